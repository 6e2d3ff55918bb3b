"""An example DAG in a whole Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_azureml_datastores.core.manifest import is_data
from tests.dags.standalone import Airflow, deferred, run_airflow

ROOT = Path(__file__).parents[2]
BLOB = "azureml_workspaces/ml_workspace/workspaceblobstore"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("standalone")]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    env = {"AIRFLOW_CONN_ML_WORKSPACE": '{"conn_type": "azureml_local_workspace"}'}
    with run_airflow(tmp_path_factory.mktemp("standalone"), ROOT / "dags_examples", env) as made:
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
