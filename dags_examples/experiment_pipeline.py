"""Register → watch → ingest → run → publish: every new CSV of a clinic teaches a diagnosis model a little more.

On a laptop it needs nothing but a connection ``ml_workspace`` of type *Azure ML local workspace*: a folder stands in
for the clinic's container, and the first task plays the clinic, with real measurements that come with scikit-learn. In
production ``CLINIC_ACCOUNT`` names the storage account that the clinic delivers to, and the connection
``clinic_storage`` (type *Azure Blob Storage*) lets the workers in.
"""

from __future__ import annotations

import os
from datetime import timedelta

import pendulum
from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import DAG, Param, task

from airflow_azureml_datastores import AzureBlob, Input, LocalDirectory, Output
from airflow_azureml_datastores.operators import (
    IngestToExperimentOperator,
    PublishOutputsOperator,
    RegisterDatastoreOperator,
    RunExperimentOperator,
)
from airflow_azureml_datastores.sensors import NewDataSensor

ACCOUNT = os.environ.get("CLINIC_ACCOUNT")
FOLDER = os.path.join(AIRFLOW_HOME, "clinic")
PUBLISHED = "azureml://datastores/workspaceblobstore/paths/diagnosis"


@task
def clinic_delivers(*, params: dict[str, bool]) -> str | None:
    """Put the CSV of the next day into the folder, and what to measure models with beside it. Returns the file."""
    from pathlib import Path

    from sklearn.datasets import load_breast_cancer

    cells = load_breast_cancer(as_frame=True).frame
    holdout = cells.iloc[::3]
    rest = cells.drop(holdout.index)
    days = {f"2026-11-{day + 1:02}.csv": rest.iloc[day::4] for day in range(4)}

    drops, reference = Path(FOLDER, "drops"), Path(FOLDER, "reference")
    if not reference.exists():
        drops.mkdir(parents=True, exist_ok=True)
        reference.mkdir()
        holdout.to_csv(reference / "holdout.csv", index=False)
    new = next((drops / name for name in days if not (drops / name).exists()), None)
    if new is None or not params["deliver"]:
        return None
    days[new.name].to_csv(new, index=False)
    return str(new)


with DAG(
    "experiment_pipeline",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 11, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"workspace_conn_id": "ml_workspace", "retries": 2, "retry_delay": timedelta(seconds=10)},
    params={"deliver": Param(True, type="boolean", description="On a laptop: let the clinic deliver one more day.")},
    tags=["azureml"],
    doc_md=__doc__,
) as dag:
    clinic = RegisterDatastoreOperator(
        task_id="clinic",
        datastore="clinic",
        location=AzureBlob(account_name=ACCOUNT, container_name="clinic") if ACCOUNT else LocalDirectory(FOLDER),
        credential_conn_id="clinic_storage" if ACCOUNT else None,
    )
    arrived = NewDataSensor(
        task_id="arrived",
        path="azureml://datastores/clinic/paths/drops/*.csv",
        poke_interval=2,
        timeout=3,
        soft_fail=True,  # a day without a new file is no failure
    )
    data = IngestToExperimentOperator(
        task_id="ingest",
        experiment="diagnosis",
        inputs={
            "drops": arrived.output,  # exactly the files that the sensor saw
            "holdout": Input("azureml://datastores/clinic/paths/reference/holdout.csv", mode="direct"),
            "latest": Input(f"{PUBLISHED}/models/latest/", allow_empty=True),  # the first run has none to go on from
        },
    )
    train = RunExperimentOperator(
        task_id="train",
        experiment="diagnosis",
        code="experiment_pipeline_code",
        command=(
            "python train.py --drops ${{inputs.drops}} --holdout ${{inputs.holdout}} --latest ${{inputs.latest}}"
            " --model ${{outputs.model}} --predictions ${{outputs.predictions}} --metrics ${{outputs.metrics}}"
        ),
        inputs=data.output,
        outputs={"model": Output(), "predictions": Output(), "metrics": Output(type="uri_file")},
        metrics="metrics",
    )
    publish = PublishOutputsOperator(
        task_id="publish",
        run=train.output,
        outputs={
            "model": PUBLISHED + "/models/{{ dag_run.run_after | ts_nodash }}/",
            "predictions": PUBLISHED + "/predictions/{{ dag_run.run_after | ts_nodash }}/",
        },
    )
    latest = PublishOutputsOperator(
        task_id="publish_latest", run=train.output, outputs={"model": f"{PUBLISHED}/models/latest/"}, policy="overwrite"
    )

    clinic >> arrived >> data >> train >> publish >> latest
    if not ACCOUNT:
        clinic_delivers() >> clinic
