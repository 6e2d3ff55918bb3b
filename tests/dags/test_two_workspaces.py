"""From laptop to Azure ML: the same DAG file in an embedded workspace and in Azure ML's, and what comes of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import DAG
from azure.storage.blob import ContainerClient

from airflow_azureml_datastores.core.place import open_place
from airflow_azureml_datastores.core.uri import parse_datastore_uri
from airflow_azureml_datastores.hooks import WorkspaceHook
from airflow_azureml_datastores.operators import RunExperimentOperator
from airflow_azureml_datastores.transfer.source import read_manifest
from tests.dags.conftest import WORKSPACE
from tests.dags.examples import example
from tests.dags.runs import Finished, run_dag
from tests.dags.test_experiment_pipeline import container, kept_by_airflow  # noqa: F401
from tests.servers.azureml import AzureML, Workspace
from tests.servers.azureml.cluster import run_command
from tests.servers.fixtures import Servers

DAG_ID = "experiment_pipeline"
CLINIC = Path(AIRFLOW_HOME, "clinic")


@pytest.fixture(autouse=True)
def clinic() -> Iterator[None]:
    """The folder that stands in for the clinic's container, as each test finds it: not there."""
    yield
    shutil.rmtree(CLINIC, ignore_errors=True)


@pytest.fixture
def cloud(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace in Azure ML; nothing leads to it yet."""
    for name, value in servers.azureml.azure_environment.items():
        monkeypatch.setenv(name, value)
    return servers.azureml.new_workspace(blob=servers.azurite)


def fields(azureml: AzureML, workspace: Workspace, **more: str) -> dict[str, Any]:
    """The connection that leads to a workspace in Azure ML."""
    place = {
        "subscription_id": workspace.id.subscription,
        "resource_group": workspace.id.resource_group,
        "workspace_name": workspace.id.workspace,
        "tenant_id": azureml.tenant,
    }
    login = {"login": azureml.tester.client_id, "password": azureml.tester.secret}
    return {"conn_type": "azureml_workspace", "extra": {**place, **more}, **login}


def connect(monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any]) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{WORKSPACE.upper()}", json.dumps(connection))


@dataclass(frozen=True)
class Laptop:
    """Two days in an embedded workspace.

    :param clinic: what the clinic had delivered.
    :param days: what came of each day.
    """

    clinic: Path
    days: list[dict[str, Any]]


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    home, clinic = tmp_path_factory.mktemp("workspace"), tmp_path_factory.mktemp("clinic")
    with pytest.MonkeyPatch.context() as monkeypatch:
        connect(monkeypatch, {"conn_type": "azureml_local_workspace", "extra": {"home": str(home)}})
        days = [days_work(pipeline()) for _ in range(2)]
    shutil.copytree(CLINIC, clinic, dirs_exist_ok=True)
    shutil.rmtree(CLINIC)
    return Laptop(clinic, days)


def pipeline() -> DAG:
    dag = example(DAG_ID)
    train = dag.get_task("train")
    assert isinstance(train, RunExperimentOperator)
    train.poll_interval = 0.1
    return dag


def delivered(done: Finished) -> dict[str, Any]:
    """What two runs should have in common: metrics, and every byte that was delivered."""
    files = {}
    with WorkspaceHook(WORKSPACE) as hook:
        for task in ("ingest", "publish"):
            for name, found in done[task].get("inputs", done[task]).items():
                manifest = read_manifest(hook.open, found["manifest"])
                folder = open_place(hook.open, parse_datastore_uri(manifest.target))
                for entry in manifest.entries:
                    content = folder.at(entry.path).read()
                    assert len(content) == entry.size
                    files[task, name, entry.path] = content
    return {"metrics": done["train"]["metrics"], "files": files}


def days_work(dag: DAG, *secrets: str) -> dict[str, Any]:
    """What came of a day; none of the secrets is in what was logged, or kept by Airflow or in the workspace."""
    done = run_dag(dag)
    assert done.succeeded, done.log
    with WorkspaceHook(WORKSPACE) as hook:
        store = hook.open().store
        records = [b"".join(store.read(info.path)).decode(errors="replace") for info in store.list()]
    assert len(records) > 10
    for text in (done.log, *kept_by_airflow(), *records):
        assert not [secret for secret in secrets if secret in text]
    return delivered(done)


def secrets_of(servers: Servers) -> list[str]:
    return [str(servers.azureml.tester.secret), servers.azurite.key]


def test_a_folder_of_the_worker(
    laptop: Laptop, servers: Servers, cloud: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the connection differs."""
    connect(monkeypatch, fields(servers.azureml, cloud))
    assert [days_work(pipeline(), *secrets_of(servers)) for _ in range(2)] == laptop.days
    assert len(laptop.days[1]["files"]) > 4
    assert not cloud.jobs.all
    assert list(cloud.connections.records) == ["clinic"]  # Azure ML has no datastores of its type


def test_on_a_cluster(
    laptop: Laptop,
    servers: Servers,
    cloud: Workspace,
    container: ContainerClient,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clinic delivers to a container, as in production, and the experiment is a job."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")  # the job's environment
    cloud.jobs.runs(run_command)
    connect(monkeypatch, fields(servers.azureml, cloud, compute="cpu-cluster", environment="ubuntu:24.04"))
    container.upload_blob("reference/holdout.csv", (laptop.clinic / "reference/holdout.csv").read_bytes())
    for day, drop in enumerate(sorted(laptop.clinic.joinpath("drops").iterdir())):
        container.upload_blob(f"drops/{drop.name}", drop.read_bytes())
        assert days_work(pipeline(), *secrets_of(servers)) == laptop.days[day]
    assert [job.status for job in cloud.jobs.all.values()] == ["Completed", "Completed"]
    assert "clinic" in cloud.datastores.names
