"""A whole Airflow: a sensor that waits in its triggerer, and jobs of Azure ML whose tasks a user ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from airflow.triggers.base import BaseTrigger

from airflow_azureml_datastores.core.manifest import is_data
from tests.dags.standalone import Airflow, deferred, run_airflow
from tests.dags.test_azureml_jobs import connection_fields
from tests.servers.azureml import Workspace
from tests.servers.fixtures import Servers

ROOT = Path(__file__).parents[2]
BLOB = "azureml_workspaces/ml_workspace/workspaceblobstore"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("standalone")]

JOBS = """
from airflow.sdk import DAG
from airflow_azureml_datastores.operators import RunExperimentOperator

given = {"experiment": "e", "command": "true", "compute": "cpu-cluster", "environment": "ubuntu:24.04",
         "workspace_conn_id": "ml_cloud", "poll_interval": 1}
with DAG("jobs", schedule=None, is_paused_upon_creation=False):
    RunExperimentOperator(task_id="in_the_worker", **given)
    RunExperimentOperator(task_id="in_the_triggerer", deferrable=True, **given)
"""


@pytest.fixture(scope="module")
def cloud(servers: Servers) -> Workspace:
    made = servers.azureml.new_workspace(blob=servers.azurite)
    made.jobs.waits()
    return made


@pytest.fixture(scope="module")
def airflow(servers: Servers, cloud: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """With an embedded workspace and one of Azure ML."""
    home = tmp_path_factory.mktemp("standalone")
    shutil.copytree(ROOT / "dags_examples", home / "dags")
    (home / "dags" / "jobs.py").write_text(JOBS)
    env = {
        "AIRFLOW_CONN_ML_WORKSPACE": '{"conn_type": "azureml_local_workspace"}',
        "AIRFLOW_CONN_ML_CLOUD": json.dumps(connection_fields(servers.azureml, cloud)),
        **servers.azureml.azure_environment,
    }
    with run_airflow(home, home / "dags", env) as made:
        yield made


def test_a_sensor_waits_in_the_triggerer(airflow: Airflow) -> None:
    blob = airflow.home / BLOB
    airflow.wait("the DAG", lambda: airflow.call("PATCH", "/api/v2/dags/watch_for_new_data", is_paused=False))
    waiting = airflow.wait("a run that waits", lambda: deferred(airflow, "watch_for_new_data"))
    for name in ("a/1.csv", "a/2.csv", "a/_SUCCESS"):
        (blob / "incoming" / name).parent.mkdir(parents=True, exist_ok=True)
        (blob / "incoming" / name).write_text(name)
    assert airflow.states_at_end("watch_for_new_data", waiting) == {"arrived": "success", "ingest": "success"}
    taken = [
        path for path in blob.glob("experiments/incoming/*/inputs/batch/**/*") if path.is_file() and is_data(path.name)
    ]
    assert sorted(path.read_text() for path in taken) == ["a/1.csv", "a/2.csv"]


@pytest.fixture(scope="module")
def tasks(airflow: Airflow) -> str:
    """Path of the API to the tasks of a run whose jobs do not end by themselves."""
    airflow.wait("the DAG", lambda: airflow.call("GET", "/api/v2/dags/jobs"))
    run = airflow.call("POST", "/api/v2/dags/jobs/dagRuns", logical_date=None)["dag_run_id"]
    return f"/api/v2/dags/jobs/dagRuns/{quote(run)}/taskInstances"


@pytest.mark.parametrize(("task", "waits"), [("in_the_worker", "running"), ("in_the_triggerer", "deferred")])
def test_a_job_marked_as_failed(airflow: Airflow, tasks: str, cloud: Workspace, task: str, waits: str) -> None:
    if waits == "deferred" and not hasattr(BaseTrigger, "on_kill"):
        pytest.skip("before Airflow 3.3 a trigger is not told of it")

    def job() -> Any:
        return next((job for job in cloud.jobs.all.values() if job.properties["displayName"] == task), None)

    airflow.wait("a job", lambda: job() and airflow.call("GET", f"{tasks}/{task}")["state"] == waits)
    assert not job().cancelled.is_set()
    airflow.call("PATCH", f"{tasks}/{task}", new_state="failed")
    airflow.wait("it to be cancelled", job().cancelled.is_set)
