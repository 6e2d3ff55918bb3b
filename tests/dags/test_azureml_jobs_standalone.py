"""Jobs of Azure ML whose tasks a user ends, in a whole Airflow: in the worker and in the triggerer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from airflow.triggers.base import BaseTrigger

from tests.dags.standalone import Airflow, run_airflow
from tests.dags.test_azureml_jobs import connection_fields
from tests.servers.azureml import Workspace
from tests.servers.fixtures import Servers

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("standalone")]

DAG_FILE = """
from airflow.sdk import DAG
from airflow_azureml_datastores.operators import RunExperimentOperator

given = {"experiment": "e", "command": "true", "compute": "cpu-cluster", "environment": "ubuntu:24.04",
         "workspace_conn_id": "ml_workspace", "poll_interval": 1}
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
    home = tmp_path_factory.mktemp("jobs")
    (home / "dags").mkdir()
    (home / "dags" / "jobs.py").write_text(DAG_FILE)
    connection = json.dumps(connection_fields(servers.azureml, cloud))
    env = {"AIRFLOW_CONN_ML_WORKSPACE": connection, **servers.azureml.azure_environment}
    with run_airflow(home, home / "dags", env) as made:
        yield made


@pytest.fixture(scope="module")
def tasks(airflow: Airflow) -> str:
    """Path of the API to the tasks of a run whose jobs do not end by themselves."""
    airflow.wait("the DAG", lambda: airflow.call("GET", "/api/v2/dags/jobs"))
    run = airflow.call("POST", "/api/v2/dags/jobs/dagRuns", logical_date=None)["dag_run_id"]
    return f"/api/v2/dags/jobs/dagRuns/{quote(run)}/taskInstances"


@pytest.mark.parametrize(("task", "waits"), [("in_the_worker", "running"), ("in_the_triggerer", "deferred")])
def test_marked_as_failed(airflow: Airflow, tasks: str, cloud: Workspace, task: str, waits: str) -> None:
    if waits == "deferred" and not hasattr(BaseTrigger, "on_kill"):
        pytest.skip("before Airflow 3.3 a trigger is not told of it")

    def job() -> Any:
        return next((job for job in cloud.jobs.all.values() if job.properties["displayName"] == task), None)

    airflow.wait("a job", lambda: job() and airflow.call("GET", f"{tasks}/{task}")["state"] == waits)
    assert not job().cancelled.is_set()
    airflow.call("PATCH", f"{tasks}/{task}", new_state="failed")
    airflow.wait("it to be cancelled", job().cancelled.is_set)
