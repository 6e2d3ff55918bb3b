"""One run of a DAG in this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import DAG


@dataclass(frozen=True)
class Run:
    """A DAG run that is over.

    :param states: task -> state.
    :param results: task -> what it returned.
    :param changed: files of the workspace and the clinic that were made, changed or removed meanwhile.
    """

    states: Mapping[str, str]
    results: Mapping[str, Any]
    changed: frozenset[Path]


def run(dag: DAG, conf: dict[str, Any]) -> Run:
    """Run a DAG to its end."""
    before = files()
    done = dag.test(run_conf=conf)
    changed = before.items() ^ files().items()
    tasks = done.get_task_instances()
    return Run(
        {ti.task_id: str(ti.state) for ti in tasks},
        {ti.task_id: ti.xcom_pull(task_ids=ti.task_id) for ti in tasks if ti.state == "success"},
        frozenset(path for path, _ in changed),
    )


def files() -> dict[Path, tuple[int, int]]:
    """Size and time of each file of the workspace and the clinic."""
    found = [path for folder in ("azureml_workspaces", "clinic") for path in Path(AIRFLOW_HOME, folder).rglob("*")]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found if path.is_file()}
