"""Experiments as jobs of Azure ML in DAGs: waiting in the worker and in the triggerer, failing, cleared, killed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models.xcom import XComModel
from airflow.sdk import DAG
from airflow.utils.session import create_session

from airflow_azureml_datastores import Input, Output
from airflow_azureml_datastores.errors import ExperimentFailed
from airflow_azureml_datastores.hooks import WorkspaceHook
from airflow_azureml_datastores.operators import (
    IngestToExperimentOperator,
    PublishOutputsOperator,
    RunExperimentOperator,
)
from tests.dags.conftest import WORKSPACE
from tests.dags.runs import Finished, run_dag
from tests.servers.azureml import AzureML, Workspace
from tests.servers.azureml.cluster import ClusterRun, JobFailed, run_command
from tests.servers.fixtures import Servers

BLOB = "azureml://datastores/workspaceblobstore/paths"
COUNT = 'cat ${{inputs.x}}/* > ${{outputs.all}}/all; echo "{\\"files\\": $(ls ${{inputs.x}} | wc -l)}" > ${{outputs.n}}'

Run = Callable[..., Finished]


def connection_fields(azureml: AzureML, workspace: Workspace) -> dict[str, Any]:
    """The connection that leads to a workspace."""
    place = {
        "subscription_id": workspace.id.subscription,
        "resource_group": workspace.id.resource_group,
        "workspace_name": workspace.id.workspace,
        "tenant_id": azureml.tenant,
    }
    login = {"login": azureml.tester.client_id, "password": azureml.tester.secret}
    return {"conn_type": "azureml_workspace", "extra": place, **login}


@pytest.fixture
def cloud(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace of Azure ML behind the connection ``ml_workspace``."""
    azureml: AzureML = servers.azureml
    made = azureml.new_workspace(blob=servers.azurite)
    monkeypatch.setenv(f"AIRFLOW_CONN_{WORKSPACE.upper()}", json.dumps(connection_fields(azureml, made)))
    for name, value in azureml.azure_environment.items():
        monkeypatch.setenv(name, value)
    yield made
    azureml.clear_plan()


@pytest.fixture
def run(request: pytest.FixtureRequest, cloud: Workspace) -> Run:
    """Runs a DAG that a function fills."""

    def run_filled(fill: Callable[[], Any], retries: int = 0, **given: Any) -> Finished:
        defaults = {"workspace_conn_id": WORKSPACE, "retries": retries, "retry_delay": timedelta(0)}
        with DAG(request.node.originalname, schedule=None, default_args=defaults) as dag:
            fill()
        return run_dag(dag, **given)

    return run_filled


def job(**given: Any) -> RunExperimentOperator:
    settings = {"task_id": "train", "experiment": "e", "run": "r", "command": "true", "compute": "cpu-cluster"}
    return RunExperimentOperator(**{**settings, "environment": "ubuntu:24.04", "poll_interval": 0.05, **given})


def link(done: Finished) -> Any:
    """What the UI takes for the task's link."""
    with create_session() as session:
        query = XComModel.get_many(run_id=done.run.run_id, task_ids="train", key="_link_StudioLink")
        row = session.scalars(query).first()
        return row and XComModel.deserialize_value(row)


@pytest.mark.parametrize("deferrable", [True, False])
def test_ingest_job_publish(run: Run, cloud: Workspace, deferrable: bool) -> None:
    with WorkspaceHook(WORKSPACE) as hook:
        for name in "ab":
            hook.open().at(f"in/{name}").write(name.encode())
    cloud.jobs.runs(run_command)

    def fill() -> None:
        ingest = IngestToExperimentOperator(task_id="ingest", experiment="e", run="r", inputs={"x": "in/"})
        train = job(
            command=COUNT,
            inputs=ingest.output,
            outputs={"all": Output(mode="rw_mount"), "n": Output(type="uri_file")},
            metrics="n",
            run=None,
            deferrable=deferrable,
        )
        PublishOutputsOperator(task_id="publish", run=train.output, outputs={"all": f"{BLOB}/published/"})

    done = run(fill)
    assert done.succeeded, done.log
    (name,) = cloud.jobs.all
    result = done["train"]
    # The manifest of the ingest lies beside the files.
    assert (result["experiment"], result["run"], result["job"]) == ("e", "r", name)
    assert result["metrics"] == {"files": 3}
    assert result["outputs"]["all"]["uri"] == f"{BLOB}/experiments/e/r/outputs/all/"
    with WorkspaceHook(WORKSPACE) as hook:
        assert b"ab" in hook.open().at("published/all").read()
    assert ("running trigger in line" in done.log) == deferrable
    assert link(done).startswith(f"https://ml.azure.com/runs/{name}")
    tags = cloud.jobs.all[name].properties["tags"]
    assert (tags["airflow_task_id"], tags["airflow_run_id"]) == ("train", done.run.run_id)
    assert cloud.jobs.all[name].properties["displayName"] == "train"


def test_a_data_asset_stays_one(run: Run, cloud: Workspace) -> None:
    cloud.data.plant("table", "7", {"dataType": "uri_folder", "dataUri": f"{BLOB}/in/"})
    cloud.jobs.plays("Completed")
    done = run(
        lambda: job(
            command="cat ${{inputs.x}} ${{inputs.y}}",
            inputs={"x": "azureml:table@latest", "y": Input("azureml:table:7", mode="ro_mount")},
        )
    )
    assert done.succeeded, done.log
    (made,) = cloud.jobs.all.values()
    assert all(made.properties["inputs"][name]["uri"].endswith("/data/table/versions/7") for name in "xy")


def test_an_environment_beside_the_dag(run: Run, cloud: Workspace, tmp_path: Path) -> None:
    (tmp_path / "env.yaml").write_text("dependencies: [python=3.12]")
    cloud.jobs.plays("Completed")
    beside = os.path.relpath(tmp_path / "env.yaml", Path(__file__).parent)
    done = run(lambda: job(environment={"image": "ubuntu:24.04", "conda_file": beside}))
    assert done.succeeded, done.log
    (versions,) = cloud.environments.versions.values()
    (made,) = versions.values()
    assert "python=3.12" in made["condaFile"]


def test_what_a_job_wrote_is_an_input_of_the_next(run: Run, cloud: Workspace) -> None:
    cloud.jobs.runs(lambda made: made.write("y", "z", b"1"))
    first = run(lambda: job(outputs={"y": None}))
    name = first["train"]["job"]
    cloud.jobs.plays("Completed")
    uri = f"azureml://jobs/{name}/outputs/y"
    second = run(lambda: job(run="second", command="ls ${{inputs.x}}", inputs={"x": uri}))
    assert second.succeeded, second.log
    made = cloud.jobs.all[second["train"]["job"]]
    assert made.properties["inputs"]["x"]["uri"] == f"{BLOB}/experiments/e/r/outputs/y/"


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_failed_job_and_its_retry(run: Run, cloud: Workspace, deferrable: bool) -> None:
    def second_time_lucky(made: ClusterRun) -> None:
        made.log(f"I am {made.name}")
        if made.name.endswith("-1"):
            raise JobFailed("The node was preempted.")

    cloud.jobs.runs(second_time_lucky)
    done = run(lambda: job(deferrable=deferrable), retries=1)
    assert (done.tasks["train"].state, done.tasks["train"].tries) == ("success", 2)
    assert [made.status for made in cloud.jobs.all.values()] == ["Failed", "Completed"]
    assert "The node was preempted." in done.log
    assert f"I am {next(iter(cloud.jobs.all))}" in done.log


def test_a_cleared_task_runs_anew(run: Run, cloud: Workspace) -> None:
    cloud.jobs.plays("Completed")
    at = datetime(2026, 11, 23, tzinfo=UTC)
    first, second = (run(lambda: job(), logical_date=at, run_after=at) for _ in range(2))
    assert first.run.run_id == second.run.run_id
    assert [first["train"]["job"], second["train"]["job"]] == [*cloud.jobs.all]
    assert [name[-2:] for name in cloud.jobs.all] == ["-1", "-2"]


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_time_is_over(run: Run, cloud: Workspace, deferrable: bool) -> None:
    cloud.jobs.waits()
    done = run(lambda: job(deferrable=deferrable, execution_timeout=timedelta(seconds=4)))
    assert done.states == {"train": "failed"}
    (made,) = cloud.jobs.all.values()
    assert made.cancelled.is_set()
    assert ("execution_timeout is over" in done.log) == deferrable


def test_the_same_task_on_the_worker(run: Run, cloud: Workspace) -> None:
    done = run(lambda: job(compute="local", command="echo here", timeout="2h", deferrable=True))
    assert done.succeeded, done.log
    assert "environment, timeout left aside" in done.log
    assert cloud.jobs.all == {}


def test_no_compute_of_this_name(run: Run, cloud: Workspace) -> None:
    done = run(lambda: job(compute="cpu-clutter"))
    assert done.states == {"train": "failed"}
    assert "Did you mean 'cpu-cluster'?" in done.log


def test_secrets_stay_where_they_are(run: Run, cloud: Workspace, servers: Servers, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print('trained')")
    cloud.jobs.runs(run_command)
    done = run(lambda: job(code=str(tmp_path), command="python train.py"))
    assert done.succeeded, done.log
    for secret in (servers.azureml.tester.secret, servers.azurite.key, "sig="):
        assert secret not in done.log
        assert secret not in json.dumps(done["train"])


def test_a_killed_task_cancels_its_job(cloud: Workspace) -> None:
    """What Airflow does on SIGTERM, which reaches a task in the middle of its work."""
    cloud.jobs.waits()
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="train", map_index=-1, xcom_push=lambda key, value: None)
    task = job(workspace_conn_id=WORKSPACE)
    raised: list[BaseException] = []

    def execute() -> None:
        try:
            task.execute({"ti": ti})  # type: ignore[arg-type]
        except ExperimentFailed as error:
            raised.append(error)

    working = threading.Thread(target=execute)
    working.start()
    until(lambda: cloud.jobs.all)
    task.on_kill()
    working.join(30)
    (made,) = cloud.jobs.all.values()
    assert (made.cancelled.is_set(), made.status) == (True, "Canceled")
    assert "ended as Canceled" in str(raised)
    task.on_kill()  # it is over: no error


def until(come: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not come():
        assert time.monotonic() < deadline
        time.sleep(0.01)
