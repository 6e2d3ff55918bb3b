"""Experiments run, on the worker or on a compute of the workspace."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_azureml_datastores.core.duration import seconds
from airflow_azureml_datastores.core.experiment import ExperimentRun, Output
from airflow_azureml_datastores.core.template import whole_number
from airflow_azureml_datastores.core.uri import DataAssetUri, parse_uri
from airflow_azureml_datastores.errors import ExperimentFailed
from airflow_azureml_datastores.links import StudioLink
from airflow_azureml_datastores.operators._base import (
    WorkspaceOperator,
    experiment_run,
    mapping,
    resolved_output,
    task_name,
    texts,
)
from airflow_azureml_datastores.triggers.job import JobTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_azureml_datastores.compute.azureml_job import JobExperiment
    from airflow_azureml_datastores.compute.local_process import LocalProcess
    from airflow_azureml_datastores.core.job import Job
    from airflow_azureml_datastores.hooks.workspace import WorkspaceHook

_CANCEL_PATIENCE = 30.0
"""Seconds that a killed task gives the service to take the cancellation of its job."""


class RunExperimentOperator(WorkspaceOperator):
    """Run an experiment's command with its inputs at hand, and deliver what it writes.

    The command is Azure ML's: ``${{inputs.x}}`` stands for the local path of an input (a literal number or text as it
    is), ``${{outputs.y}}`` for the path to write to. Its output goes into the task's log. If it fails, nothing is
    delivered and the task fails with the tail of its output; when the task is killed, so is every process it started.

    On a compute of the workspace the command is a job. A retry goes on with the job that the last try submitted, unless
    that failed; when the task is killed, the job is cancelled.

    :param experiment: the experiment's name.
    :param command: for ``bash``.
    :param inputs: what an ``IngestToExperimentOperator`` returned, or name -> ``azureml://`` URI, ``Input``, number,
        text.
    :param outputs: name -> ``Output``, an ``azureml://`` URI, or None for a folder in the run's own folder.
    :param code: folder that the command starts in, absolute or relative to the DAG's file; the command gets a copy.
    :param env: added to the command's environment, which has none of Airflow's own variables.
    :param metrics: name of the ``uri_file`` output to which the command writes its metrics, a JSON object.
    :param compute: where it runs; ``local`` is a process on the worker, another one the name of a compute of the
        workspace, or ``serverless``. None is what the workspace's connection says, or else the worker.
    :param run: name of the run; None takes that of the ingest, or derives it from the DAG run. That of a mapped task's
        instance ends with its index.
    :param environment: of a job: ``azureml:<name>:<version>``, ``azureml:<name>@latest``, a Docker image, or the fields
        of azure-ai-ml's ``Environment``, a ``conda_file`` being relative to the DAG's file. It and what follows is for
        jobs alone; a process on the worker ignores it.
    :param instance_type: of a serverless job: the size of its machines.
    :param instance_count: how many machines the job takes.
    :param distribution: for example ``{"type": "pytorch", "process_count_per_instance": 4}``.
    :param tags: of the job; DAG, DAG run and task are added.
    :param timeout: after which the service ends the job: seconds, a ``timedelta``, or text such as ``2h``.
    :param display_name: of the job; None is the task's id.
    :param deferrable: wait for the job in the triggerer, without a worker slot.
    :param poll_interval: between two looks at the job: seconds, a ``timedelta``, or text such as ``30s``.
    :param workspace_conn_id: id of the workspace's connection.

    Returns ``experiment``, ``run``, ``outputs`` (per output ``uri``, ``files``, ``bytes``, ``manifest`` and ``type``)
    and ``metrics``; of a job also its name, ``job``.
    """

    template_fields: Sequence[str] = (
        "experiment",
        "command",
        "inputs",
        "outputs",
        "code",
        "env",
        "metrics",
        "compute",
        "run",
        "environment",
        "instance_type",
        "instance_count",
        "distribution",
        "tags",
        "timeout",
        "display_name",
        "poll_interval",
        "workspace_conn_id",
    )
    template_fields_renderers = {"command": "bash", "inputs": "json", "env": "json"}
    operator_extra_links = (StudioLink(),)

    def __init__(
        self,
        *,
        experiment: str,
        command: str,
        inputs: Mapping[str, Any] | XComArg | None = None,
        outputs: Mapping[str, Output | str | None] | None = None,
        code: str | None = None,
        env: Mapping[str, str] | None = None,
        metrics: str | None = None,
        compute: str | None = None,
        run: str | None = None,
        environment: str | Mapping[str, Any] | None = None,
        instance_type: str | None = None,
        instance_count: int | None = None,
        distribution: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float | str | timedelta | None = None,
        display_name: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | str | timedelta = 30,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.experiment = experiment
        self.command = command
        self.inputs: Any = inputs
        self.outputs = outputs
        self.code = code
        self.env = env
        self.metrics = metrics
        self.compute = compute
        self.run = run
        self.environment = environment
        self.instance_type = instance_type
        self.instance_count = instance_count
        self.distribution = distribution
        self.tags = tags
        self.timeout = timeout
        self.display_name = display_name
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self._process: LocalProcess | None = None
        self._job: JobExperiment | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        with self.workspace_hook() as hook:
            on_worker = (self.compute or hook.compute) == "local"
            return self._run_process(hook, context) if on_worker else self._run_job(hook, context)

    def resume(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on when the trigger has seen the job's end.

        :raises ExperimentFailed: the job failed, or the task's ``execution_timeout`` is over.
        """
        from airflow_azureml_datastores.compute.azureml_job import job_or_gone

        with self.workspace_hook() as hook:
            jobs, name = hook.workspace.jobs, event["job"]
            if event["status"] == "timeout":
                jobs.cancel(name)
                raise ExperimentFailed(f"job {name} was cancelled: the task's execution_timeout is over.", 1)
            job = job_or_gone(jobs.get(name), name)
            return self._finish(self._job_experiment(hook, context), job)

    def on_kill(self) -> None:
        if self._process is not None:
            self._process.kill()
        if self._job is not None:
            # In a thread, as what this one was interrupted in may hold a lock that the request needs.
            cancelling = threading.Thread(target=self._job.cancel, daemon=True)
            cancelling.start()
            cancelling.join(_CANCEL_PATIENCE)

    def _run_process(self, hook: WorkspaceHook, context: Context) -> dict[str, Any]:
        from airflow_azureml_datastores.compute.experiment import LocalExperiment
        from airflow_azureml_datastores.compute.local_process import LocalProcess

        run, inputs = self._run_and_inputs(context)
        for_jobs = ("environment", "instance_type", "instance_count", "distribution", "tags", "timeout", "display_name")
        if ignored := [name for name in for_jobs if getattr(self, name) is not None]:
            self.log.info("compute is 'local': %s left aside, for jobs alone.", ", ".join(ignored))
        self._process = LocalProcess()
        result = LocalExperiment(
            hook.open,
            run,
            self.command,
            {name: hook.resolve_input(value) for name, value in inputs.items()},
            self._resolved_outputs(hook),
            say=self.log.info,
            on_line=self.log.info,
            code=self._code_folder(),
            env=texts("env", self.env),
            metrics=self.metrics,
        ).execute(self._process)
        return {"experiment": run.experiment, "run": run.run, **result}

    def _run_job(self, hook: WorkspaceHook, context: Context) -> dict[str, Any]:
        poll = seconds(self.poll_interval)
        experiment = self._job = self._job_experiment(hook, context)
        try:
            job = experiment.start(poll)
            StudioLink.show(context, job.studio_url)
            if self.deferrable and job.running:
                self._defer(job.name, poll)
            job = experiment.wait(job, poll)
        except AirflowTaskTimeout:
            experiment.cancel()
            raise
        finally:
            self._job = None  # from here on there is nothing to cancel, or the hook is closed
        return self._finish(experiment, job)

    def _job_experiment(self, hook: WorkspaceHook, context: Context) -> JobExperiment:
        from airflow_azureml_datastores.compute.azureml_job import JobExperiment, JobOptions

        ti = context["ti"]
        run, inputs = self._run_and_inputs(context)
        return JobExperiment(
            hook.workspace,
            hook.open,
            run,
            task_name(context),
            self.command,
            self.compute or hook.compute,
            inputs,
            self._resolved_outputs(hook),
            say=self.log.info,
            on_line=self.log.info,
            code=self._code_folder(),
            env=texts("env", self.env),
            metrics=self.metrics,
            resolve_input=lambda value: _for_job(hook, value),
            options=JobOptions(
                environment=self._environment() or hook.environment,
                instance_type=self.instance_type,
                instance_count=None
                if self.instance_count is None
                else whole_number("instance_count", self.instance_count),
                distribution=self.distribution,
                timeout=None if self.timeout is None else max(1, round(seconds(self.timeout))),
                display_name=self.display_name or ti.task_id,
                tags={
                    "airflow_dag_id": ti.dag_id,
                    "airflow_run_id": ti.run_id,
                    "airflow_task_id": ti.task_id,
                    **texts("tags", self.tags),
                },
            ),
        )

    def _defer(self, job: str, poll: float) -> None:
        limit = self.execution_timeout
        deadline = None if limit is None else time.time() + limit.total_seconds()
        trigger = JobTrigger(self.workspace_conn_id, job, poll, deadline)
        self.defer(trigger=trigger, method_name="resume")

    def _finish(self, experiment: JobExperiment, job: Job) -> dict[str, Any]:
        result = experiment.finish(job)
        return {"experiment": experiment.run.experiment, "run": experiment.run.run, **result}

    def _run_and_inputs(self, context: Context) -> tuple[ExperimentRun, Mapping[str, Any]]:
        given = mapping("inputs", self.inputs)
        if isinstance(given.get("inputs"), Mapping) and "run" in given:
            return experiment_run(self.experiment, self.run, context, ingested=given["run"]), given["inputs"]
        return experiment_run(self.experiment, self.run, context), given

    def _resolved_outputs(self, hook: WorkspaceHook) -> dict[str, Output]:
        return {name: resolved_output(hook, value) for name, value in mapping("outputs", self.outputs).items()}

    def _code_folder(self) -> Path | None:
        return self._beside_dag(self.code) if self.code else None

    def _environment(self) -> str | Mapping[str, Any] | None:
        given = self.environment
        if isinstance(given, Mapping) and isinstance(given.get("conda_file"), str):
            return {**given, "conda_file": str(self._beside_dag(given["conda_file"]))}
        return given

    def _beside_dag(self, path: str) -> Path:
        dag = self.get_dag()
        return Path(dag.folder if dag is not None else os.getcwd(), path)


def _for_job(hook: WorkspaceHook, value: Any) -> Any:
    """An input with its URI resolved; a data asset stays one, for the lineage that Azure ML keeps."""
    path = value if isinstance(value, str) else getattr(value, "path", None)
    if isinstance(path, str) and path.startswith("azureml:") and isinstance(parse_uri(path), DataAssetUri):
        return value
    return hook.resolve_input(value)
