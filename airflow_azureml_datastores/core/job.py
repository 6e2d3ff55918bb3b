"""Experiments that a workspace runs on its own computes, as jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from airflow_azureml_datastores.core.data_asset import DataType
from airflow_azureml_datastores.core.experiment import InputMode, OutputMode, OutputType


@dataclass(frozen=True)
class JobInput:
    """:param path: ``azureml://`` URI of a file or folder in a datastore, or ``azureml:<name>:<version>``."""

    path: str
    type: DataType = "uri_folder"
    mode: InputMode = "download"


@dataclass(frozen=True)
class JobOutput:
    """:param path: ``azureml://`` URI of the folder or file to write."""

    path: str
    type: OutputType = "uri_folder"
    mode: OutputMode = "upload"


@dataclass(frozen=True)
class JobSpec:
    """A command job, in the terms of Azure ML (learn.microsoft.com/azure/machine-learning/reference-yaml-job-command).

    :param name: of the job, unique in its workspace for ever.
    :param command: with ``${{inputs.x}}`` and ``${{outputs.y}}``.
    :param compute: name of a compute, or ``serverless``.
    :param environment: ``azureml:<name>:<version>``, ``azureml:<name>@latest``, a Docker image, or the fields of an
        environment as azure-ai-ml's ``Environment`` takes them.
    :param code: folder on this machine that the command starts in.
    :param env: environment variables.
    :param distribution: for example ``{"type": "pytorch", "process_count_per_instance": 4}``.
    :param timeout: seconds after which the service ends the job.
    """

    name: str
    experiment: str
    command: str
    compute: str
    environment: str | Mapping[str, Any]
    inputs: Mapping[str, JobInput | str | int | float | bool] = field(default_factory=dict)
    outputs: Mapping[str, JobOutput] = field(default_factory=dict)
    code: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    instance_type: str | None = None
    instance_count: int | None = None
    distribution: Mapping[str, Any] | None = None
    timeout: int | None = None
    display_name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


RUNNING = frozenset(
    {"NotStarted", "Starting", "Provisioning", "Preparing", "Queued", "Running", "Finalizing", "CancelRequested"}
    | {"NotResponding", "Paused", "Unknown", "Scheduled"}
)
"""Statuses of a job that is not over (ARM's JobStatus); any other one is final."""


@dataclass(frozen=True)
class Job:
    """A job as the workspace knows it.

    :param status: ARM's JobStatus, for example ``Running`` or ``Completed``.
    :param studio_url: its page in Azure ML Studio.
    :param outputs: name -> ``azureml://`` URI.
    """

    name: str
    status: str
    studio_url: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.status in RUNNING

    @property
    def succeeded(self) -> bool:
        return self.status == "Completed"


@dataclass(frozen=True)
class JobFailure:
    """Why a job failed.

    :param error: what the service says; "" if it says nothing.
    :param log: the lines of the command's log, as far as it has been written; they are fetched while they are read.
    """

    error: str
    log: Iterable[str]


class Jobs(Protocol):
    """The jobs of a workspace."""

    def submit(self, spec: JobSpec) -> Job:
        """Submit a job. If a job of this name is there, because an answer was lost, that one is returned.

        :raises InvalidInput: there is no such compute or environment, or the service does not take the job.
        :raises AccessDenied, Unavailable, MissingExtra:
        """
        ...

    def get(self, name: str) -> Job | None:
        """A job; None if there is none of this name. :raises AccessDenied, Unavailable:"""
        ...

    def cancel(self, name: str) -> None:
        """Ask for a job to be ended; one that is over already, or not there, is no error."""
        ...

    def failure(self, name: str) -> JobFailure:
        """Why a job failed. :raises AccessDenied, Unavailable, NotFound: nothing can be found out."""
        ...
