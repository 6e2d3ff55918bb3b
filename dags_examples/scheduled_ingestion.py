"""Every day's folder of several sources into one experiment, each source by a mapped task of its own.

The first source is copied: the run keeps what it saw. Of the others it keeps the exact versions (etags), and would fail
rather than read something newer. A retry goes on where the last try stopped.

It needs nothing but a connection ``ml_workspace``; data sets that come with scikit-learn stand in for what is
delivered.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG, task

from airflow_azureml_datastores.operators import IngestToExperimentOperator

RAW = "azureml://datastores/workspaceblobstore/paths/raw"
# A run that somebody or an asset has started has no logical date.
DAY = "{{ (dag_run.logical_date or dag_run.run_after) | ds }}"


@task
def deliver(day: str) -> None:
    """Play the systems that deliver: leave this task out where there are some."""
    from sklearn.datasets import load_breast_cancer, load_iris, load_wine

    from airflow_azureml_datastores.hooks import DatastoreHook

    with DatastoreHook("workspaceblobstore", workspace_conn_id="ml_workspace") as hook:
        for name, load in {"iris": load_iris, "wine": load_wine, "cells": load_breast_cancer}.items():
            for kind, rows in load(as_frame=True).frame.groupby("target"):
                hook.write(f"raw/{name}/{day}/{kind}.csv", rows.to_csv(index=False), overwrite=True)


@task
def total(ingested: list[dict[str, Any]]) -> dict[str, int]:
    """What all mapped tasks have brought together."""
    inputs = [given for result in ingested for given in result["inputs"].values()]
    return {"files": sum(given["files"] for given in inputs), "bytes": sum(given["bytes"] for given in inputs)}


with DAG(
    "scheduled_ingestion",
    schedule="@daily",
    start_date=pendulum.datetime(2026, 11, 1, tz="UTC"),
    catchup=False,
    default_args={
        "workspace_conn_id": "ml_workspace",
        "retries": 3,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": True,
    },
    tags=["azureml"],
    doc_md=__doc__,
):
    ingest = IngestToExperimentOperator.partial(task_id="ingest", experiment="benchmark").expand_kwargs(
        [
            {"inputs": {"iris": f"{RAW}/iris/{DAY}/"}, "mode": "copy"},
            {"inputs": {"wine": f"{RAW}/wine/{DAY}/*.csv"}, "mode": "direct"},
            {"inputs": {"cells": f"{RAW}/cells/{DAY}/"}, "mode": "direct"},
        ]
    )
    deliver(DAY) >> ingest
    total(ingest.output)
