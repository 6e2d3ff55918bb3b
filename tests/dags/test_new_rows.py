"""New rows inside Airflow: the sensor's ways to wait, whose the rows are then, retries, and two runs at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import DAG, PokeReturnValue

from airflow_azureml_datastores import Datastore, Input
from airflow_azureml_datastores.errors import Unavailable
from airflow_azureml_datastores.hooks import WorkspaceHook
from airflow_azureml_datastores.operators import IngestToExperimentOperator
from airflow_azureml_datastores.sensors import NewDataSensor, NewRowsSensor
from airflow_azureml_datastores.transfer import row_inputs
from airflow_azureml_datastores.triggers import NewRowsTrigger
from tests.contract.tables.rigs_postgresql import PostgreSqlRig
from tests.dags.conftest import WORKSPACE
from tests.dags.runs import Finished, run_dag
from tests.dags.test_databases import PASSWORD, crm, rig  # noqa: F401

WAYS: list[dict[str, Any]] = [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True}]

Add = Callable[..., None]


@pytest.fixture
def orders(rig: PostgreSqlRig, workspace: WorkspaceHook, crm: None) -> Iterator[str]:  # noqa: F811
    """A table of the datastore ``crm``."""
    workspace.register(Datastore("crm", rig._location, "crm_login"))
    with rig.schema() as schema:
        rig.execute(f"create table {schema}.orders (id int, at timestamptz)")
        yield f"{schema}.orders"


@pytest.fixture
def add(rig: PostgreSqlRig, orders: str) -> Add:  # noqa: F811
    def add(*rows: tuple[int, str]) -> None:
        for id, time in rows:
            rig.execute(f"insert into {orders} values (%s, %s)", id, f"2026-11-21 {time}+00")

    return add


def sensor(kind: type[NewRowsSensor] = NewRowsSensor, **given: Any) -> NewRowsSensor:
    defaults: dict[str, Any] = {
        "task_id": "arrived",
        "datastore": "crm",
        "watermark": "at",
        "workspace_conn_id": WORKSPACE,
        "poke_interval": 0.2,
        "timeout": 60,
    }
    return kind(**defaults | given)


def run(dag_id: str, kind: type[NewRowsSensor] = NewRowsSensor, ingest: bool = True, **given: Any) -> Finished:
    with DAG(dag_id, schedule=None) as dag:
        batch = sensor(kind, **given).output
        if ingest:
            IngestToExperimentOperator(
                task_id="ingest", experiment="e", inputs={"x": batch}, workspace_conn_id=WORKSPACE
            )
    return run_dag(dag, logical_date=datetime.now(UTC))


def took(workspace: WorkspaceHook, done: Finished) -> list[int]:
    folder = workspace.open().at(f"experiments/e/{done['ingest']['run']}/inputs/x/")
    tables = [pq.read_table(BytesIO(folder.at(path).read())) for path, _ in folder.list() if path.endswith(".parquet")]
    return sorted(id for table in tables for id in table["id"].to_pylist())


@pytest.mark.parametrize("way", WAYS, ids=["poke", "reschedule", "deferrable"])
def test_waits_until_there_are_rows(workspace: WorkspaceHook, orders: str, add: Add, way: dict[str, Any]) -> None:
    class TooEarly(NewRowsSensor):
        def poke(self, context: Any) -> PokeReturnValue:
            found = super().poke(context)
            if not found.is_done:
                add((1, "10:00"), (2, "10:00:00.000001"))
            return found

    done = run(f"waits_rows_{'_'.join(way)}_{way.get('mode', '')}", TooEarly, table=orders, min_rows=2, **way)
    assert done.succeeded, done.log
    assert f"0 new rows in table {orders} of datastore 'crm' by 'at'; waiting for 2." in done.log
    assert ("running trigger in line" in done.log) == ("deferrable" in way)
    assert done["arrived"]["rows"] == 2
    high = "2026-11-21T10:00:00.000001+00:00"
    told = {"column": "at", "type": "timestamptz", "low": None, "high": high}
    assert done["arrived"]["watermark"] == done["ingest"]["inputs"]["x"]["watermark"] == told
    assert took(workspace, done) == [1, 2]
    assert PASSWORD not in done.log


def test_each_run_takes_what_no_other_took(workspace: WorkspaceHook, orders: str, add: Add) -> None:
    given = {"table": orders, "overlap": "1h", "keys": ["id"]}
    add((1, "10:00"))
    first = run("rows_of_runs", **given)
    add((2, "11:00"), (3, "09:30"), (4, "08:30"))
    second = run("rows_of_runs", **given)
    assert [took(workspace, done) for done in (first, second)] == [[1], [2, 3]]
    third = run("rows_of_runs", timeout=0, soft_fail=True, **given)
    assert third.states == {"arrived": "skipped", "ingest": "skipped"}


def test_what_was_not_ingested_stays_new(workspace: WorkspaceHook, orders: str, add: Add) -> None:
    query = {"sql": f"select * from {orders} where id >= :least", "parameters": {"least": "{{ 1 }}"}}
    add((1, "10:00"))
    assert run("only_looks_at_rows", ingest=False, **query)["arrived"]["rows"] == 1
    add((2, "10:00"), (0, "12:00"))
    assert run("only_looks_at_rows", ingest=False, **query)["arrived"]["rows"] == 2


@pytest.mark.usefixtures("orders")
def test_what_a_sensor_of_files_says_of_a_database() -> None:
    with DAG("files_sensor_of_rows", schedule=None) as dag:
        NewDataSensor(task_id="arrived", path="azureml://datastores/crm/paths/in/", workspace_conn_id=WORKSPACE)
    done = run_dag(dag)
    assert done.states == {"arrived": "failed"}
    assert "is a database: it has tables, no files" in done.log
    assert "NewRowsSensor waits for new ones" in done.log


def ingest(dag_id: str, retries: int = 0, **given: Any) -> Finished:
    with DAG(dag_id, schedule=None, default_args={"workspace_conn_id": WORKSPACE}) as dag:
        IngestToExperimentOperator(
            task_id="ingest",
            experiment="e",
            inputs={"x": Input.table("crm", **given)},
            retries=retries,
            retry_delay=timedelta(0),
        )
    return run_dag(dag, logical_date=datetime.now(UTC))


class TestIngest:
    def test_is_its_own_consumer(self, workspace: WorkspaceHook, orders: str, add: Add) -> None:
        add((1, "10:00"))
        assert took(workspace, ingest("rows_alone", table=orders, watermark="at")) == [1]
        add((2, "11:00"))
        assert took(workspace, ingest("rows_alone", table=orders, watermark="at")) == [2]
        assert took(workspace, ingest("rows_of_another", table=orders, watermark="at")) == [1, 2]
        done = ingest("rows_alone", table=orders, watermark="at")
        assert done.states == {"ingest": "failed"}
        assert "has no rows that are new to 'rows_alone.ingest.x'" in done.log

    @pytest.mark.parametrize("step", ["before", "after"])
    def test_a_retry_ends_the_same(
        self, workspace: WorkspaceHook, orders: str, add: Add, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        """The first try dies right before the cursor moves, or right after."""
        take = row_inputs.NewRowsDelivery.take
        tries: list[int] = []

        def dying(self: Any, delivered: Any) -> Any:
            tries.append(1)
            if len(tries) > 1:
                return take(self, delivered)
            if step == "after":
                take(self, delivered)
            add((2, "11:00"))
            raise Unavailable("down")

        monkeypatch.setattr(row_inputs.NewRowsDelivery, "take", dying)
        add((1, "10:00"))
        done = ingest(f"rows_die_{step}", retries=1, table=orders, watermark="at", consumer=step)
        assert done.tasks["ingest"].state == "success", done.log
        assert done.tasks["ingest"].tries == 2
        assert took(workspace, done) == ([1, 2] if step == "before" else [1])
        add((3, "12:00"))
        rest = ingest(f"rows_die_{step}", table=orders, watermark="at", consumer=step)
        assert took(workspace, rest) == ([3] if step == "before" else [2, 3])

    def test_two_runs_at_once(
        self, workspace: WorkspaceHook, orders: str, add: Add, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        take = row_inputs.NewRowsDelivery.take
        others: list[Finished] = []

        def slow(self: Any, delivered: Any) -> Any:
            monkeypatch.setattr(row_inputs.NewRowsDelivery, "take", take)
            others.append(run("rows_faster", table=orders, consumer="both"))
            return take(self, delivered)

        add((1, "10:00"))
        monkeypatch.setattr(row_inputs.NewRowsDelivery, "take", slow)
        done = run("rows_slower", table=orders, consumer="both")
        assert took(workspace, others[0]) == [1]
        assert done.states == {"arrived": "success", "ingest": "skipped"}
        assert "have been taken by other runs of 'both'" in done.log

    def test_mapped_tasks_name_their_consumers(self, workspace: WorkspaceHook, orders: str, add: Add) -> None:
        add((1, "10:00"))
        for consumer, state in ((None, "failed"), ("mapped", "success")):
            with DAG(f"rows_mapped_{consumer}", schedule=None) as dag:
                IngestToExperimentOperator.partial(
                    task_id="ingest", experiment="e", workspace_conn_id=WORKSPACE
                ).expand(inputs=[{"x": Input.table("crm", orders, watermark="at", consumer=consumer)}])
            done = run_dag(dag)
            assert done.states == {"ingest[0]": state}
            assert ("task 'ingest' is mapped, so new rows need consumer=" in done.log) == (consumer is None)


class TestTrigger:
    @pytest.fixture
    def trigger(self, orders: str) -> NewRowsTrigger:
        given = {"table": orders, "overlap": timedelta(hours=1), "keys": ["id"], "initial": "2026-01-01", "min_rows": 2}
        with DAG("deferred_rows", schedule=None):
            waiting = sensor(deferrable=True, poke_interval=0.05, **given)
        ti = type("TI", (), {"dag_id": "d", "run_id": "r", "task_id": "arrived", "map_index": -1})()
        context: Any = {"ti": ti}
        with pytest.raises(TaskDeferred) as deferred:
            waiting.execute(context)
        assert isinstance(deferred.value.trigger, NewRowsTrigger)
        return deferred.value.trigger

    def test_survives_its_way_to_the_triggerer(self, trigger: NewRowsTrigger) -> None:
        path, fields = trigger.serialize()
        assert path == "airflow_azureml_datastores.triggers.new_rows.NewRowsTrigger"
        assert PASSWORD not in json.dumps(fields)
        again = NewRowsTrigger(**json.loads(json.dumps(fields)))
        assert again.serialize() == (path, fields)
        assert (again.watch.min_rows, again.watch.rows.overlap) == (2, "3600.0s")

    def test_fires_once_when_there_are_rows(self, trigger: NewRowsTrigger, add: Add) -> None:
        async def wait() -> list[Any]:
            events = NewRowsTrigger(**trigger.serialize()[1]).run()
            event = asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait([event], timeout=0.5)
            assert not done
            await asyncio.to_thread(add, (1, "10:00"), (2, "11:00"), (3, "12:00"))
            first = await asyncio.wait_for(event, timeout=30)
            return [first, *[event async for event in events]]

        (event,) = asyncio.run(wait())
        assert event.payload["rows"] >= 2
