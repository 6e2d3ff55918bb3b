"""The example DAGs, as Airflow would load them."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from tests.dags.runs import BUNDLE

FOLDER = Path(__file__).parents[2] / "dags_examples"


@cache
def examples() -> DagBag:
    """All that Airflow finds in the examples' folder."""
    return DagBag(FOLDER, bundle_name=BUNDLE)


def example(dag_id: str) -> DAG:
    """One example, freshly loaded: a run may leave something behind in a DAG's objects."""
    (dag,) = DagBag(FOLDER / f"{dag_id}.py", bundle_name=BUNDLE).dags.values()
    for task in dag.tasks:
        task.retry_delay = timedelta(0)
    return dag
