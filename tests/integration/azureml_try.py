"""One try of a task that runs an experiment as a job, in this process or in one that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from airflow_azureml_datastores import Output
from airflow_azureml_datastores.compute.azureml_job import JobExperiment, JobOptions
from airflow_azureml_datastores.core.credentials import AccessToken, Anonymous
from airflow_azureml_datastores.core.experiment import ExperimentRun
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.uri import WorkspaceId
from airflow_azureml_datastores.workspaces.azureml import AzureMLWorkspace

RUN = ExperimentRun("churn", "first")


@dataclass(frozen=True)
class Door:
    """How to get at a workspace, from any process.

    :param ca: path of the certificates to trust, which ``REQUESTS_CA_BUNDLE`` has to name.
    """

    url: str
    token: str
    id: Mapping[str, str]
    ca: str


@contextmanager
def task(
    door: Door,
    *,
    command: str = "true",
    outputs: Mapping[str, Mapping[str, Any]] | None = None,
    compute: str = "cpu-cluster",
    environment: Any = "ubuntu:24.04",
    said: list[str] | None = None,
    code: str | None = None,
    **given: Any,
) -> Iterator[JobExperiment]:
    """A try of the one task there is; what is given is JSON."""
    with ExitStack() as closing:
        workspace = AzureMLWorkspace("lab", WorkspaceId(**door.id), AccessToken(door.token), resource_manager=door.url)
        closing.callback(workspace.close)

        def open_datastore(name: str | None) -> Place:
            record = workspace.get(name) if name else workspace.default()
            credential = workspace.credential(record) or Anonymous()
            return Place(record.name, closing.enter_context(record.location.open(credential)))

        lines = [] if said is None else said
        options = JobOptions(environment, **given.pop("options", {}))
        yield JobExperiment(
            workspace,
            open_datastore,
            RUN,
            "dag/run/train",
            command,
            compute,
            given.pop("inputs", {}),
            {name: Output(**fields) for name, fields in (outputs or {}).items()},
            say=lines.append,
            on_line=lines.append,
            code=Path(code) if code else None,
            options=options,
            **given,
        )


@contextmanager
def in_a_process(door: Door, **given: Any) -> Iterator[subprocess.Popen[str]]:
    """A try in a process, which prints the job's name once it is submitted, and waits for its end."""
    order = json.dumps({"door": asdict(door), **given})
    command = [sys.executable, "-m", __name__, order]
    trusting = {**os.environ, "REQUESTS_CA_BUNDLE": door.ca}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=trusting) as process:
        try:
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    with task(Door(**order.pop("door")), **order) as experiment:
        job = experiment.start()
        print(job.name, flush=True)
        experiment.wait(job, poll=0.05)
