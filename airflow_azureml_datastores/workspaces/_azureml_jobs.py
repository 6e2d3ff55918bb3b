"""The jobs of an Azure ML workspace."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from airflow_azureml_datastores.core.job import Job, JobFailure, JobSpec
from airflow_azureml_datastores.errors import Conflict, DatastoresError, ExperimentFailed, InvalidInput, NotFound
from airflow_azureml_datastores.stores._azure_errors import upstream_errors, without_secrets
from airflow_azureml_datastores.workspaces._arm import JOBS, WORKSPACE, ArmClient, segment
from airflow_azureml_datastores.workspaces._arm_shelf import OnSecret
from airflow_azureml_datastores.workspaces._azureml_run_history import RunHistory
from airflow_azureml_datastores.workspaces._azureml_submit import SERVERLESS, submit


class AzureMLJobs:
    """The jobs of an Azure ML workspace: see :class:`~airflow_azureml_datastores.core.job.Jobs`.

    https://learn.microsoft.com/rest/api/azureml/jobs

    :param on_secret: is told the signatures of the logs' URLs.
    """

    def __init__(self, arm: ArmClient, on_secret: OnSecret) -> None:
        self._arm = arm
        self._on_secret = on_secret

    def submit(self, spec: JobSpec) -> Job:
        self._check_compute(spec.compute)
        try:
            self._submit(spec)
        except DatastoresError:
            if (job := self.get(spec.name)) is None:
                raise
            return job  # it is only the answer that was lost
        job = self.get(spec.name)
        if job is None:
            raise NotFound(f"{self._arm.name}: job {spec.name} was submitted and is not there; was it deleted?")
        return job

    def get(self, name: str) -> Job | None:
        found = self._arm.find(f"jobs/{segment(name)}", JOBS)
        return None if found is None else _job(name, found.get("properties") or {})

    def cancel(self, name: str) -> None:
        try:
            self._arm.post(f"jobs/{segment(name)}/cancel", JOBS)
        except NotFound:
            return
        except (Conflict, InvalidInput):
            job = self.get(name)
            if job is not None and job.running:
                raise

    def failure(self, name: str) -> JobFailure:
        return RunHistory(self._arm, self._on_secret).failure(name)

    def _submit(self, spec: JobSpec) -> None:
        try:
            submit(spec, self._arm.id, self._arm.token_credential, self._arm.base, self._arm.scope)
        except upstream_errors() as error:
            raise self._submit_error(f"submit job {spec.name}", error) from None

    def _submit_error(self, request: str, error: Exception) -> DatastoresError:
        from azure.ai.ml.exceptions import MlException
        from azure.core.exceptions import HttpResponseError

        if isinstance(error, MlException):
            said = without_secrets(" ".join(str(error.message).split()))
            return InvalidInput(f"{self._arm.name}: azure-ai-ml does not take this [{request}]: {said}")
        if isinstance(error, HttpResponseError) and error.response is not None:
            answered = self._arm.errors.of_answer(request, error.status_code or 0, _body(error.response))
            if "quota" in str(answered).casefold():
                return ExperimentFailed(f"{answered} Free some of the quota or ask for more, then try again.", 1)
            return answered
        return self._arm.errors.of_failure(request, error)

    def _check_compute(self, name: str) -> None:
        """:raises InvalidInput: there is no such compute; near ones are suggested."""
        if name == SERVERLESS or self._arm.find(f"computes/{segment(name)}", WORKSPACE) is not None:
            return
        names = sorted(str(compute.get("name")) for compute in self._arm.pages("computes", WORKSPACE))
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InvalidInput(
            f"no compute {name!r} in {self._arm.name}.{hint} There are: {', '.join([*names, SERVERLESS])}; 'local' is "
            f"the worker itself."
        )


def _job(name: str, properties: Mapping[str, Any]) -> Job:
    services = properties.get("services") or {}
    outputs = properties.get("outputs") or {}
    return Job(
        name=name,
        status=properties.get("status") or "Unknown",
        studio_url=(services.get("Studio") or {}).get("endpoint") or "",
        outputs={key: value["uri"] for key, value in outputs.items() if value and value.get("uri")},
    )


def _body(response: Any) -> object:
    """The JSON of an answer; None if it has none."""
    try:
        found: object = response.json()
    except (AttributeError, ValueError):
        return None
    return found
