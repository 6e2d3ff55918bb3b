"""Running DAGs in this process, and what came of it."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.sdk import DAG
from airflow.utils.session import create_session

BUNDLE = "dags-folder"


@dataclass(frozen=True)
class Ran:
    """A task instance that is over.

    :param tries: how many it took.
    :param result: what it returned.
    """

    state: str | None
    tries: int
    result: Any


@dataclass(frozen=True)
class Finished:
    """A DAG run that is over.

    :param tasks: by task id, and for a mapped one with its index: ``ingest[0]``.
    :param log: everything that was logged, in the order of time.
    """

    run: DagRun
    tasks: Mapping[str, Ran]
    log: str

    def __getitem__(self, task: str) -> Any:
        """What a task returned."""
        return self.tasks[task].result

    @property
    def states(self) -> dict[str, str | None]:
        return {task: ran.state for task, ran in self.tasks.items()}

    @property
    def succeeded(self) -> bool:
        """Whether every task did, at its first try."""
        return {(ran.state, ran.tries) for ran in self.tasks.values()} == {("success", 1)}


def run_dag(dag: DAG, conf: Mapping[str, Any] | None = None, **given: Any) -> Finished:
    """Run a DAG, of the examples' folder or made up in a test, to its end.

    :param given: for ``dag.test``.
    """
    with _logged() as log:
        bag = DagBag("/dev/null", bundle_name=BUNDLE)
        bag.bag_dag(dag)
        sync_bag_to_db(bag, BUNDLE, None)
        run = dag.test(run_conf=dict(conf or {}), **given)
    tasks = {_name(ti): _ran(ti) for ti in run.get_task_instances()}
    return Finished(run, tasks, re.sub(r"\x1b\[[0-9;]*m", "", log.getvalue()))


@contextmanager
def _logged() -> Iterator[io.StringIO]:
    """Take what is logged by either of the two ways that Airflow's own code uses."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    try:
        with redirect_stdout(log):
            yield log
    finally:
        logging.getLogger().removeHandler(handler)


def _name(ti: TaskInstance) -> str:
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"


def _ran(ti: TaskInstance) -> Ran:
    with create_session() as session:
        query = XComModel.get_many(
            run_id=ti.run_id, dag_ids=ti.dag_id, task_ids=ti.task_id, map_indexes=ti.map_index, key="return_value"
        )
        row = session.scalars(query).first()
        return Ran(ti.state and str(ti.state), ti.try_number, row and XComModel.deserialize_value(row))
