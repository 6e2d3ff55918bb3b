"""New rows of a real database: what a batch is, whose it is, and what becomes of it whoever dies when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_azureml_datastores.core.experiment import ExperimentRun, Input
from airflow_azureml_datastores.core.manifest import Manifest
from airflow_azureml_datastores.core.place import OpenDatastore
from airflow_azureml_datastores.core.rows_input import RowsInput
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.core.table_store import TableStore
from airflow_azureml_datastores.errors import AlreadyTaken, DatastoresError, InvalidInput, NoData, Unavailable
from airflow_azureml_datastores.transfer.ingest import ingest
from airflow_azureml_datastores.transfer.new_rows import RowsWatch
from tests.contract.tables.rig import TableRig
from tests.contract.tables.rigs_azure_sql import AzureSqlRig, FreeTdsRig
from tests.contract.tables.rigs_mysql import MySqlRig
from tests.contract.tables.rigs_postgresql import PostgreSqlRig
from tests.unit.transfer.stores import MemoryStore, Watched, contents, opener


class Orders:
    """A table whose rows are taken by the consumer ``c``, and runs that take them."""

    def __init__(self, rig: TableRig, database: TableStore, schema: str, at: str = "bigint") -> None:
        self.rig = rig
        self.database = database
        self.name = f"{schema}.orders"
        self.home: FileStore = MemoryStore()
        rig.execute(f"create table {self.name} (id int, at {at}, note varchar(9))")

    def insert(self, *rows: tuple[int, int | None]) -> None:
        for row in rows:
            self.rig.execute(f"insert into {self.name} values (%s, %s)", *row)

    def input(self, **given: Any) -> RowsInput:
        return Input.table("crm", self.name, **{"watermark": "at", "consumer": "c", **given})

    def run(
        self, run: str, home: FileStore | None = None, *, value: Any = None, batch: str | None = None, **given: Any
    ) -> dict[str, Any]:
        """Ingest for a run. Returns the input's result."""
        return ingest(
            self.opener(home),
            ExperimentRun("e", run),
            {"x": value or self.input(**given)},
            say=lambda line: None,
            open_tables=lambda name: self.database,
            batch=batch or run,
        )["x"]

    def opener(self, home: FileStore | None = None) -> OpenDatastore:
        return opener(workspaceblobstore=home or self.home)

    def look(self, run: str, min_rows: int = 1, **given: Any) -> dict[str, Any] | None:
        watch = RowsWatch(self.input(**given), f"{run}-sensor", min_rows)
        return watch.look(self.opener(), lambda name: self.database)[0]

    def took(self, run: str) -> list[tuple[int, int]]:
        """The rows in a run's folder."""
        found = contents(self.home, f"experiments/e/{run}/inputs/x/")
        if "_manifest.json" not in found:
            return []
        tables = [pq.read_table(BytesIO(found[path])) for path in found if path.endswith(".parquet")]
        return sorted((row["id"], row["at"]) for table in tables for row in table.to_pylist())

    def manifest(self, run: str) -> Manifest:
        return Manifest.from_json(self.home_file(f"experiments/e/{run}/inputs/x/_manifest.json"), "")

    def home_file(self, path: str) -> bytes:
        return b"".join(self.home.read(path))


@pytest.fixture(scope="module")
def rig(request: pytest.FixtureRequest) -> PostgreSqlRig:
    return PostgreSqlRig(request)


@pytest.fixture
def orders(rig: PostgreSqlRig) -> Iterator[Orders]:
    with rig.schema() as schema, rig.open() as database:
        yield Orders(rig, database, schema)


OVERLAP: dict[str, Any] = {"overlap": 5, "keys": ["id"]}


def test_each_batch_begins_where_the_last_one_ended(orders: Orders) -> None:
    orders.insert((1, 10), (2, 20), (3, None))
    first = orders.run("r1")
    orders.insert((4, 20), (5, 30))
    orders.rig.execute(f"update {orders.name} set at = 31 where id = 1")
    second = orders.run("r2")
    assert (orders.took("r1"), orders.took("r2")) == ([(1, 10), (2, 20)], [(1, 31), (5, 30)])
    assert first["rows"] == 2
    assert first["watermark"] == {"column": "at", "type": "integer", "low": None, "high": 20}
    assert second["watermark"] == {"column": "at", "type": "integer", "low": 20, "high": 31}
    assert json.loads(orders.manifest("r2").origin["watermark"]) == second["watermark"]
    with pytest.raises(NoData, match="has no rows that are new to 'c'; pass allow_empty=True"):
        orders.run("r3")


def test_side_by_side(orders: Orders) -> None:
    """The same rows, late ones among them, and again those that are taken."""
    side = {**OVERLAP, "partition": "id", "partitions": 3}
    orders.insert((1, 10), (2, 18), (3, 20), (4, 20), (5, 13))
    orders.run("r1", **side)
    assert "part-02-00000.parquet" in contents(orders.home, "experiments/e/r1/inputs/x/")
    orders.insert((6, 16), (7, 14), (8, 21), (9, 22))  # 14 is too late
    orders.run("r2", **side)
    orders.insert((10, 19), (11, 23))
    orders.run("r3", **OVERLAP)
    before = [orders.took(run) for run in ("r1", "r2", "r3")]
    assert before[1:] == [[(6, 16), (8, 21), (9, 22)], [(10, 19), (11, 23)]]
    for path in contents(orders.home, "experiments/e/r2/"):
        orders.home.delete(f"experiments/e/r2/{path}")
    orders.run("r2", **side)
    assert [orders.took(run) for run in ("r1", "r2", "r3")] == before
    with pytest.raises(NoData, match="no rows that are new"):
        orders.run("r4", **side)


def test_initial(orders: Orders) -> None:
    orders.insert((1, 10), (2, 20))
    assert orders.run("r1", initial="10")["watermark"]["low"] == 10
    assert orders.took("r1") == [(2, 20)]
    orders.insert((3, 5), (4, 21))
    orders.run("r2", initial=0)
    assert orders.took("r2") == [(4, 21)]


def test_initial_above_all_that_is_there(orders: Orders) -> None:
    orders.insert((1, 10))
    with pytest.raises(NoData):
        orders.run("r1", initial=10)
    orders.insert((2, 11))
    orders.run("r1", initial=10)
    assert orders.took("r1") == [(2, 11)]


class TestLateRows:
    def test_are_taken_once(self, orders: Orders) -> None:
        orders.insert((1, 10), (2, 18), (3, 20))
        orders.run("r1", **OVERLAP)
        orders.insert((4, 16), (5, 15), (6, 21))  # 15 is too late
        orders.run("r2", **OVERLAP)
        orders.insert((7, 17), (8, 22))
        orders.run("r3", **OVERLAP)
        assert orders.took("r2") == [(4, 16), (6, 21)]
        assert orders.took("r3") == [(7, 17), (8, 22)]

    def test_alone_are_a_batch(self, orders: Orders) -> None:
        orders.insert((1, 10))
        orders.run("r1", **OVERLAP)
        orders.insert((2, 9))
        assert orders.run("r2", **OVERLAP)["watermark"] == {"column": "at", "type": "integer", "low": 10, "high": 10}
        assert orders.took("r2") == [(2, 9)]
        with pytest.raises(NoData):
            orders.run("r3", **OVERLAP)

    def test_without_overlap_are_not_taken(self, orders: Orders) -> None:
        orders.insert((1, 10))
        orders.run("r1")
        orders.insert((2, 9))
        with pytest.raises(NoData):
            orders.run("r2")

    def test_an_overlap_that_grows_takes_nothing_twice(self, orders: Orders) -> None:
        orders.insert((1, 10), (2, 20))
        orders.run("r1", overlap=1, keys=["id"])
        orders.insert((3, 15), (4, 30))
        orders.run("r2", overlap=100, keys=["id"])
        orders.insert((5, 15), (6, 29))
        orders.run("r3", overlap=100, keys=["id"])
        assert orders.took("r2") == [(4, 30)]  # what was beyond the overlap was not watched
        assert orders.took("r3") == [(6, 29)]

    def test_an_overlap_that_comes_later(self, orders: Orders) -> None:
        orders.insert((1, 10))
        orders.run("r1")
        orders.insert((2, 20), (3, 9))
        orders.run("r2", **OVERLAP)
        orders.insert((4, 19))
        orders.run("r3", **OVERLAP)
        assert (orders.took("r2"), orders.took("r3")) == ([(2, 20)], [(4, 19)])

    def test_of_a_run_that_is_cleared(self, orders: Orders) -> None:
        """It gets its rows again, without those that came into its range later, be they another's or nobody's."""
        orders.insert((1, 10))
        orders.run("r1", **OVERLAP)
        orders.insert((2, 9), (3, 12))
        orders.run("r2", **OVERLAP)
        orders.insert((4, 11), (5, 13))
        orders.run("r3", **OVERLAP)
        orders.insert((6, 11))
        before = {run: orders.took(run) for run in ("r1", "r2", "r3")}
        assert before["r2"] == [(2, 9), (3, 12)]
        for path in contents(orders.home, "experiments/"):
            orders.home.delete(f"experiments/{path}")
        for run in ("r2", "r1", "r3"):
            orders.run(run, **OVERLAP)
        assert {run: orders.took(run) for run in before} == before
        orders.run("r4", **OVERLAP)
        assert orders.took("r4") == [(6, 11)]

    def test_in_one_folder(self, orders: Orders) -> None:
        """DAG runs whose experiment's run is always the same: a later one replaces what is there."""
        orders.insert((1, 10))
        orders.run("r", batch="1", **OVERLAP)
        for id, batch in ((2, "2"), (3, "3")):
            orders.insert((id, 9))
            orders.run("r", batch=batch, **OVERLAP)
            assert orders.took("r") == [(id, 9)]
        assert orders.run("r", batch="3", **OVERLAP)["unchanged"] == 1
        orders.run("r", batch="2", **OVERLAP)
        assert orders.took("r") == [(2, 9)]


class TestTypes:
    @pytest.mark.parametrize(
        ("type_", "values", "overlap", "kind"),
        [
            ("int2", ["-32768", "-32767", "5"], 2, "integer"),
            ("int8", ["9007199254740993", "9007199254740994", "9007199254740995"], "2", "integer"),
            ("numeric(38, 10)", ["1" + "0" * 27 + ".0000000001", "1" + "0" * 27 + ".0000000002", "2" + "0" * 27],
             0.5, "decimal"),
            ("numeric(4, 2)", ["-1.10", "-1.01", "0"], "0.333", "decimal"),
            ("date", ["2026-11-21", "2026-11-22", "2026-11-23"], "1h", "date"),
            ("timestamp", ["2026-11-21 00:00:00.000001", "2026-11-21 00:00:00.000002", "2026-11-21 01:00"],
             "5m", "timestamp"),
            ("timestamptz", ["2026-03-29 01:59:59.999999+01", "2026-03-29 03:00+02", "2026-03-29 03:00:00.000001+02"],
             5, "timestamptz"),
            ("numeric", ["1e40", "1.00000000000000000000000000001e40", "2e40"], None, "text"),
            ("text", ["a", "b ü''", "c"], None, "text"),
            ("uuid", ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002",
                      "6ecd8c99-4036-403d-bf84-cf8400f67836"], None, "text"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("overlapping", [False, True])
    def test_come_back_exactly(
        self, orders: Orders, type_: str, values: list[str], overlap: Any, kind: str, overlapping: bool
    ) -> None:
        given: dict[str, Any] = {"overlap": overlap, "keys": ["id"]} if overlapping else {}
        if overlapping and overlap is None:
            pytest.skip("which there is none of")
        orders.rig.execute(f"alter table {orders.name} alter at type {type_} using null")
        for n, value in enumerate(values):
            orders.rig.execute(f"insert into {orders.name} values ({n}, '{value}')")
            result = orders.run(f"r{n}", **given)
            assert [id for id, _ in orders.took(f"r{n}")] == [n]
            assert result["watermark"]["type"] == kind
            with pytest.raises(NoData):
                orders.run("none", **given)
        for n in range(3):
            orders.home.delete(f"experiments/e/r{n}/inputs/x/_manifest.json")
            orders.run(f"r{n}", **given)
            assert [id for id, _ in orders.took(f"r{n}")] == [n]

    @pytest.mark.parametrize(
        ("type_", "value", "problem"),
        [
            ("float8", "1.5", "it holds float, and has to hold"),
            ("bool", "true", "it holds bool"),
            ("timestamptz", "infinity", "has a row with 'infinity'"),
            ("numeric", "NaN", "while it holds NaN"),
            ("timestamp", "10000-01-01", "beyond the year 9999"),
        ],
    )
    def test_that_are_no_watermark(self, orders: Orders, type_: str, value: str, problem: str) -> None:
        orders.rig.execute(f"alter table {orders.name} alter at type {type_} using null")
        orders.rig.execute(f"insert into {orders.name} values (1, '{value}')")
        with pytest.raises(InvalidInput, match=problem):
            orders.run("r1")
        assert contents(orders.home, "") == {}


class TestBadInput:
    @pytest.mark.parametrize(
        ("given", "problem"),
        [
            ({"watermark": "nope"}, "nope"),
            ({"overlap": 1, "keys": ["nope"]}, "nope"),
            ({"overlap": "1h", "keys": ["id"]}, "is a number, so its overlap is one, too, not '1h'"),
            ({"initial": "2026-11-21"}, "initial is '2026-11-21', but the watermark is a column of integer"),
            ({"watermark": "note", "overlap": 1, "keys": ["id"]}, "overlap needs a watermark that is a number"),
        ],
    )
    def test_is_found_before_anything_moves(self, orders: Orders, given: dict[str, Any], problem: str) -> None:
        orders.rig.execute(f"insert into {orders.name} values (1, 10, 'a')")
        with pytest.raises(InvalidInput, match=problem):
            orders.run("r1", **given)
        assert contents(orders.home, "") == {}

    @pytest.mark.parametrize(
        ("given", "problem"),
        [
            ({"watermark": "id"}, "is that of 'at' of table .*, not of 'id' of table"),
            ({"keys": ["note"]}, "knows rows by the keys id, not by note: give these, or"),
            ({"keys": []}, "knows rows by the keys id, not by none"),
        ],
    )
    def test_another_cursor(self, orders: Orders, given: dict[str, Any], problem: str) -> None:
        orders.insert((1, 10))
        orders.run("r1", **OVERLAP)
        with pytest.raises(InvalidInput, match=problem):
            orders.run("r2", **{"keys": ["id"], **given})

    def test_another_type_than_before(self, orders: Orders) -> None:
        orders.insert((1, 10))
        orders.run("r1")
        orders.rig.execute(f"alter table {orders.name} alter at type numeric(10, 2)")
        orders.insert((1, 11))
        with pytest.raises(InvalidInput, match="is at a integer, but 'at' is a decimal now: name another consumer"):
            orders.run("r2")

    @pytest.mark.parametrize(
        "evil", ['at" > 0 or "1" = "1', "at'; drop table x; --", "at? :at $1 %s", 'ünï "𝒳"', "q.at"]
    )
    def test_names_are_names_whatever_is_in_them(self, orders: Orders, evil: str) -> None:
        orders.insert((1, 10), (2, 20))
        with pytest.raises(DatastoresError):
            orders.run("r1", watermark=evil, overlap=1, keys=["id"])
        with pytest.raises(DatastoresError):
            orders.run("r1", overlap=1, keys=[evil])
        quoted = '"' + evil.replace('"', '""') + '"'
        orders.rig.execute(f"alter table {orders.name} rename at to {quoted}")
        orders.rig.execute(f'alter table {orders.name} rename id to {quoted[:-1]}2"')
        new = orders.input(watermark=evil, overlap=1, keys=[f"{evil}2"], initial=10)
        assert orders.run("r1", value=new)["rows"] == 1
        orders.rig.execute(f"select 1 from {orders.name}")

    def test_two_inputs_of_one_consumer(self, orders: Orders) -> None:
        with pytest.raises(InvalidInput, match="'x' and 'y' are both of the consumer 'c'"):
            ingest(
                orders.opener(),
                ExperimentRun("e", "r"),
                {"x": orders.input(), "y": orders.input()},
                say=lambda line: None,
                open_tables=lambda name: orders.database,
                batch="r",
            )


class TestQueries:
    @pytest.mark.parametrize(
        ("sql", "parameters"),
        [
            ("select * from {} where id > ? and '?' <> '??' -- ?", [0]),
            ("select * from {} where id > :low and :low >= 0 and note::text is null;  ", {"low": 0}),
            (
                """select * from {} where not ('{{"a":1}}'::jsonb ? 'b') and (array[1,2])[1:2] is not null""",
                [],
            ),
            ("with o as (select * from {}) select * from o order by id", ()),
        ],
        ids=["?", ":name", "none", "with"],
    )
    def test_new_of_a_query(self, orders: Orders, sql: str, parameters: Any) -> None:
        orders.insert((1, 10), (2, 20))
        new = Input.query(
            "crm", sql.format(orders.name), parameters, watermark="at", consumer="c", overlap=5, keys=["id"]
        )
        orders.run("r1", value=new)
        orders.insert((3, 19), (4, 30))
        assert orders.run("r2", value=new)["rows"] == 2
        assert orders.took("r2") == [(3, 19), (4, 30)]


class TestNothing:
    def test_may_be_accepted_and_stays(self, orders: Orders) -> None:
        assert orders.run("r0", allow_empty=True)["rows"] == 0
        orders.insert((1, 10))
        orders.run("r1")
        assert orders.run("r2", allow_empty=True)["rows"] == 0
        orders.insert((2, 20))
        for run in ("r0", "r2"):
            orders.home.delete(f"experiments/e/{run}/inputs/x/_manifest.json")
            assert orders.run(run, allow_empty=True)["rows"] == 0
        assert orders.run("r3")["rows"] == 1

    def test_of_a_batch_is_there_any_more(self, orders: Orders) -> None:
        orders.insert((1, 10))
        orders.run("r1")
        orders.rig.execute(f"update {orders.name} set at = 11")
        assert orders.run("r1")["unchanged"] == 1
        orders.home.delete("experiments/e/r1/inputs/x/_manifest.json")
        with pytest.raises(NoData, match="has none of the 1 rows any more that this run of 'c' took"):
            orders.run("r1")


class TestTwoAtOnce:
    """The other one takes while the first one's rows are on their way."""

    def meanwhile(self, orders: Orders, do: Callable[[], object], at: str = "_manifest.json") -> Watched:
        done: list[object] = []

        def after(call: str, path: str) -> None:
            if call == "write" and path.endswith(at) and not done:
                done.append(True)
                do()

        return Watched(orders.home, after=after)

    @pytest.mark.parametrize("given", [{}, OVERLAP], ids=["plain", "overlap"])
    def test_the_slower_one_takes_what_is_left(self, orders: Orders, given: dict[str, Any]) -> None:
        orders.insert((1, 10))
        orders.run("r0", **given)
        orders.insert((2, 20), (3, 9))

        def other() -> None:
            orders.run("r2", **given)
            orders.insert((4, 30), (5, 19))

        orders.run("r1", self.meanwhile(orders, other), **given)
        late = bool(given)
        assert orders.took("r2") == [(2, 20), (3, 9)] if late else [(2, 20)]
        assert orders.took("r1") == ([(4, 30), (5, 19)] if late else [(4, 30)])

    def test_nothing_is_left(self, orders: Orders) -> None:
        orders.insert((1, 10))
        with pytest.raises(AlreadyTaken, match="taken by other runs of 'c'"):
            orders.run("r1", self.meanwhile(orders, lambda: orders.run("r2")))
        assert orders.took("r2") == [(1, 10)]
        assert contents(orders.home, "experiments/e/r1/") == {}

    def test_of_the_same_run(self, orders: Orders) -> None:
        """A try that was taken for dead goes on beside the next one."""
        orders.insert((1, 10))

        def other() -> None:
            orders.insert((2, 20))
            orders.run("r1")

        assert orders.run("r1", self.meanwhile(orders, other))["rows"] == 2
        assert orders.took("r1") == [(1, 10), (2, 20)]
        with pytest.raises(NoData):
            orders.run("r2")

    def test_of_several_inputs(self, orders: Orders) -> None:
        """What one input took is kept for the next try, so it must not look as if there was nothing to do."""
        orders.insert((1, 10))
        both = {"x": orders.input(), "y": orders.input(consumer="d")}

        def run(name: str, home: FileStore) -> dict[str, Any]:
            return ingest(
                orders.opener(home),
                ExperimentRun("e", name),
                both,
                say=lambda line: None,
                open_tables=lambda _: orders.database,
                batch=name,
            )

        other = self.meanwhile(orders, lambda: orders.run("r2", value=both["y"]), at=".rows.json")
        with pytest.raises(NoData, match="has taken the rows of its input 'x', but: the new rows of table"):
            run("r1", other)
        orders.insert((2, 20))
        done = run("r1", orders.home)
        assert [done[name]["rows"] for name in both] == [1, 1]
        assert orders.run("r2", value=both["y"])["unchanged"] == 1


@pytest.mark.parametrize("retried_first", [False, True], ids=["another", "retry"])
@pytest.mark.parametrize(("at", "after"), [*((at, False) for at in range(1, 11)), *((at, True) for at in range(1, 5))])
def test_breaks_off_anywhere(orders: Orders, at: int, after: bool, retried_first: bool) -> None:
    """Before or after any step: the retry takes what is left, or another run does, and nobody loses or doubles it."""
    orders.insert((1, 10))
    orders.run("r0", **OVERLAP)
    orders.insert((2, 20), (3, 9))
    calls = 0

    def fail(call: str, path: str) -> None:
        nonlocal calls
        calls += call in ("write", "delete", "list", "stat")
        if calls >= at:
            raise Unavailable("down")

    broken = Watched(orders.home, after=fail) if after else Watched(orders.home, fail)
    with suppress(Unavailable):
        orders.run("r1", broken, **OVERLAP)
    orders.insert((4, 30), (5, 19))
    for run in (["r1", "r2"] if retried_first else ["r2", "r1"]) + ["r3"]:
        with suppress(NoData):
            orders.run(run, **OVERLAP)
    taken = sorted(row for run in ("r0", "r1", "r2", "r3") for row in orders.took(run))
    assert taken == [(1, 10), (2, 20), (3, 9), (4, 30), (5, 19)]


def test_breaks_off_before_the_cursor_moves(orders: Orders) -> None:
    """What is there already tells nothing of the rows that came late since, nor which are to be known again."""

    def fail(call: str, path: str) -> None:
        if call == "write" and path.endswith(".rows.json"):
            raise Unavailable("down")

    orders.insert((1, 10))
    with pytest.raises(Unavailable):
        orders.run("r1", Watched(orders.home, fail), **OVERLAP)
    assert orders.took("r1") == [(1, 10)]
    orders.insert((2, 9))
    orders.run("r1", **OVERLAP)
    assert orders.took("r1") == [(1, 10), (2, 9)]
    with pytest.raises(NoData):
        orders.run("r2", **OVERLAP)


class TestSensor:
    def test_waits_for_new_rows(self, orders: Orders) -> None:
        assert orders.look("r1") is None
        orders.insert((1, 10), (2, None))
        assert orders.look("r1", min_rows=2) is None
        batch = orders.look("r1")
        assert batch is not None
        assert batch["rows"] == 1
        assert batch["watermark"] == {"column": "at", "type": "integer", "low": None, "high": 10}
        orders.insert((3, 20))
        assert orders.run("r1", value=json.loads(json.dumps(batch)))["rows"] == 1  # what it saw, no more
        again = orders.look("r1")
        assert again is not None
        assert again["watermark"] == batch["watermark"]
        later = orders.look("r2")
        assert later is not None
        assert later["watermark"]["low"] == 10
        assert orders.run("r2", value=later)["rows"] == 1

    def test_late_rows(self, orders: Orders) -> None:
        orders.insert((1, 10), (2, 8))
        orders.run("r1", **OVERLAP)
        assert orders.look("r2", **OVERLAP) is None
        orders.insert((3, 9), (4, 1))
        batch = orders.look("r2", **OVERLAP)
        assert batch is not None
        assert batch["rows"] == 1
        assert orders.run("r2", value=batch)["rows"] == 1
        assert orders.took("r2") == [(3, 9)]
        assert orders.look("r3", **OVERLAP) is None

    def test_others_were_faster(self, orders: Orders) -> None:
        orders.insert((1, 10), (2, 20))
        batch = orders.look("r1")
        orders.run("r2")
        orders.insert((3, 30))
        with pytest.raises(AlreadyTaken):
            orders.run("r1", value=batch)
        assert orders.run("r3")["rows"] == 1


SQL_SERVER = [
    ("datetime", ["2026-11-01T02:03:04.003", "2026-11-01T02:03:04.007", "2026-11-01T02:03:04.010"], "5m", "timestamp"),
    ("smalldatetime", ["2026-11-01T02:03:00", "2026-11-01T02:04:00", "2026-11-02T02:03:00"], "5m", "timestamp"),
    ("datetime2(3)", ["2026-11-01T02:03:04.003", "2026-11-01T02:03:04.004", "2026-11-02"], "5m", "timestamp"),
    ("datetime2(7)", [f"2026-11-01T02:03:04.{digits}" for digits in ("0000009", "000001", "0000011")], 5, "timestamp"),
    ("datetimeoffset(7)", [f"2026-03-29T03:00:00.{digits}+02:00" for digits in ("0000009", "000001", "0000011")], "5m",
     "timestamptz"),
    ("date", ["2026-10-31", "2026-11-01", "2026-11-12"], "1d", "date"),
    ("decimal(38, 10)", ["-1", "0.0000000001", "1000000000000000000000000000.5"], 2, "decimal"),
    ("nvarchar(9)", ["a", "b ü''", "c"], None, "text"),
]  # fmt: skip
MYSQL = [
    ("datetime(6)", ["2026-11-01 02:03:04.000003", "2026-11-01 02:03:04.000004", "2026-11-02"], "5m", "timestamp"),
    ("timestamp(6) null", ["2026-03-29 02:00:00", "2026-03-29 02:00:00.000001", "2026-03-29 03:00:00"], 5,
     "timestamptz"),
    ("date", ["2026-10-31", "2026-11-01", "2026-11-12"], "1d", "date"),
    ("decimal(38, 10)", ["-1", "0.0000000001", "1000000000000000000000000000.5"], 2, "decimal"),
    ("bigint unsigned", ["1", "9223372036854775808", "18446744073709551615"], 5, "integer"),
    ("varchar(9)", ["a", "b ü''", "c"], None, "text"),
]  # fmt: skip


@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize(
    ("made", "type_", "values", "overlap", "kind"),
    [pytest.param(rig, *case, id=f"{rig.name}-{case[0]}") for rig in (AzureSqlRig, FreeTdsRig) for case in SQL_SERVER]
    + [pytest.param(MySqlRig, *case, id=f"mysql-{case[0]}") for case in MYSQL],
)
def test_watermarks_of_other_databases_come_back_exactly(
    request: pytest.FixtureRequest,
    made: type[TableRig],
    type_: str,
    values: list[str],
    overlap: Any,
    kind: str,
    overlapping: bool,
) -> None:
    given: dict[str, Any] = {"overlap": overlap, "keys": ["id"]} if overlapping else {}
    if overlapping and overlap is None:
        pytest.skip("which there is none of")
    rig = made(request)
    with rig.schema() as schema, rig.open() as database:
        orders = Orders(rig, database, schema, type_)
        for n, value in enumerate(values):
            rig.execute(f"insert into {orders.name} (id, at) values ({n}, '{value}')")
            assert orders.look(f"r{n}", **given)["rows"] == 1
            result = orders.run(f"r{n}", **given)
            assert [id for id, _ in orders.took(f"r{n}")] == [n]
            assert result["watermark"]["type"] == kind
            assert orders.look("none", **given) is None
            with pytest.raises(NoData):
                orders.run("none", **given)
        for n in range(3):
            orders.home.delete(f"experiments/e/r{n}/inputs/x/_manifest.json")
            orders.run(f"r{n}", **given)
            assert [id for id, _ in orders.took(f"r{n}")] == [n]
