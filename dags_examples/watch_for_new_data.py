"""Wait, without holding a worker, until somebody has delivered, and take exactly what is new.

A delivery is a folder below ``incoming/`` of the default datastore, and complete once it holds ``_SUCCESS``. On a
laptop that is in Airflow's home, at ``azureml_workspaces/ml_workspace/workspaceblobstore/``: put two CSV files into a
folder there, then an empty ``_SUCCESS``. It needs nothing but a connection ``ml_workspace``, and a triggerer.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG

from airflow_azureml_datastores.operators import IngestToExperimentOperator
from airflow_azureml_datastores.sensors import NewDataSensor

with DAG(
    "watch_for_new_data",
    schedule="@continuous",  # the next wait begins when a batch has been taken
    start_date=pendulum.datetime(2026, 11, 1, tz="UTC"),
    max_active_runs=1,
    default_args={"workspace_conn_id": "ml_workspace", "retries": 3},
    tags=["azureml"],
    doc_md=__doc__,
):
    arrived = NewDataSensor(
        task_id="arrived",
        path="incoming/**/*.csv",
        done_marker="_SUCCESS",
        min_files=2,
        stable_for="2s",  # for those who upload the marker too early
        deferrable=True,
        poke_interval=5,
        timeout=timedelta(hours=12),
        soft_fail=True,
    )
    IngestToExperimentOperator(task_id="ingest", experiment="incoming", inputs={"batch": arrived.output})
