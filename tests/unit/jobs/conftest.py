"""A workspace with jobs that do what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from airflow_azureml_datastores import AzureBlob
from airflow_azureml_datastores.compute.azureml_job import JobExperiment, JobOptions
from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.core.datastore import Datastore
from airflow_azureml_datastores.core.experiment import ExperimentRun
from airflow_azureml_datastores.core.job import Job, JobFailure, JobSpec
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.workspace import Workspace
from airflow_azureml_datastores.errors import DataAssetNotFound, DatastoreNotFound, DatastoresError
from airflow_azureml_datastores.stores.local_directory import LocalDirectory

STUDIO = "https://ml.azure.com/runs/"


@dataclass
class ScriptedJobs:
    """Jobs whose statuses a test sets.

    :param while_submitting: is called with each spec before its job is there.
    :param refusals: errors for the next requests for a job.
    """

    there: dict[str, Job] = field(default_factory=dict)
    specs: list[JobSpec] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    error: str | DatastoresError = ""
    refusals: list[DatastoresError] = field(default_factory=list)
    while_submitting: Callable[[JobSpec], None] = lambda spec: None

    def submit(self, spec: JobSpec) -> Job:
        assert spec.name not in self.there
        self.while_submitting(spec)
        self.specs.append(spec)
        return self.set(spec.name, "Running")

    def set(self, name: str, status: str) -> Job:
        self.there[name] = Job(name, status, STUDIO + name)
        return self.there[name]

    def get(self, name: str) -> Job | None:
        if self.refusals:
            raise self.refusals.pop(0)
        job = self.there.get(name)
        if job is not None and job.status == "CancelRequested":
            self.set(name, "Canceled")  # by the next look
        return job

    def cancel(self, name: str) -> None:
        self.cancelled.append(name)

    def failure(self, name: str) -> JobFailure:
        if isinstance(self.error, DatastoresError):
            raise self.error
        lines: Iterable[str] = iter(self.log)
        return JobFailure(self.error, lines)


class Lab:
    """A workspace with two datastores, one in Blob storage and one that is a folder of the worker.

    What is in them is on disk here.
    """

    def __init__(self, folder: Path) -> None:
        self.jobs = ScriptedJobs()
        self.said: list[str] = []
        self.lines: list[str] = []
        self.assets = {"table:1": DataAsset("table", type="mltable", version="1")}
        self.stores = {}
        for name in ("workspaceblobstore", "disk"):
            (folder / name).mkdir()
            self.stores[name] = LocalDirectory(str(folder / name)).open(Anonymous())

    def get(self, name: str) -> Datastore:
        location = LocalDirectory("/disk") if name == "disk" else AzureBlob("account", "container")
        return Datastore(name, location)

    def get_data(self, name: str, version: str | None = None) -> DataAsset:
        try:
            return self.assets[f"{name}:{version or 1}"]
        except KeyError:
            raise DataAssetNotFound(name) from None

    def open(self, name: str | None) -> Place:
        name = name or "workspaceblobstore"
        if name not in self.stores:
            raise DatastoreNotFound(name, "'lab'", self.stores)
        return Place(name, self.stores[name])

    def write(self, path: str, content: bytes = b"x", datastore: str | None = None) -> None:
        self.open(datastore).at(path).write(content)

    def experiment(self, **given: Any) -> JobExperiment:
        """One try of a task."""
        settings: dict[str, Any] = {
            "run": ExperimentRun("churn", "first"),
            "task": "dag/run/train",
            "command": "true",
            "compute": "cpu-cluster",
            "inputs": {},
            "outputs": {},
            "options": JobOptions("azureml:sklearn@latest"),
            **given,
        }
        return JobExperiment(
            cast("Workspace", self), self.open, say=self.said.append, on_line=self.lines.append, **settings
        )

    def submitted(self, **given: Any) -> JobSpec:
        """What is submitted for a task's first try."""
        self.experiment(**given).start()
        (spec,) = self.jobs.specs
        return replace(spec)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)
