"""Rows of a real database into an experiment's run: parts, manifest, and what happens when it breaks off."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_azureml_datastores.core.credentials import Credential, Login
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.experiment import ExperimentRun, Input
from airflow_azureml_datastores.core.manifest import Manifest
from airflow_azureml_datastores.core.rows_input import RowsInput
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.core.table_store import Query, TableStore
from airflow_azureml_datastores.errors import AccessDenied, InvalidInput, NoData, Unavailable, Unsupported
from airflow_azureml_datastores.transfer import row_files, rows
from airflow_azureml_datastores.transfer.ingest import ingest
from tests.contract.tables.rig import TableRig, find_rigs
from tests.contract.tables.rigs_mysql import MySqlRig
from tests.contract.tables.rigs_postgresql import PostgreSqlRig
from tests.integration.transfer_jobs import started
from tests.integration.transfer_sites import Site, Sites, make_sites
from tests.servers.fixtures import Servers
from tests.unit.transfer.stores import MemoryStore, Watched, contents, fill, opener

RUN = ExperimentRun("churn", "r1")
FOLDER = RUN.input_folder("x")


# What is tried here knows of no database: two are enough, and one of them with every home.
@pytest.fixture(scope="module", params=[pytest.param(found, id=found.name) for found in (PostgreSqlRig, MySqlRig)])
def rig(request: pytest.FixtureRequest) -> TableRig:
    made: TableRig = request.param(request)
    return made


@pytest.fixture
def database(rig: TableRig) -> Iterator[TableStore]:
    with rig.open() as store:
        yield store


Ask = Callable[..., RowsInput]


@pytest.fixture
def ask(rig: TableRig) -> Ask:
    def ask(count: int, **options: Any) -> RowsInput:
        """So many rows of numbers, as an input."""
        return Input.query("crm", rig.numbers, [count], **options)

    return ask


@pytest.fixture(params=["local", "blob"])
def home(request: pytest.FixtureRequest, servers: Servers) -> Iterator[FileStore]:
    with make_sites(servers) as sites:
        made: Sites = sites
        yield made.open(request.param)


SIDES = [
    pytest.param({}, id="one"),
    pytest.param({"partition": "id", "partitions": 3}, id="side_by_side"),
]


@pytest.fixture(params=SIDES)
def side(request: pytest.FixtureRequest, rig: TableRig) -> dict[str, Any]:
    """By how many readers rows are read, as fields of their input."""
    found: dict[str, Any] = request.param
    if found and not rig.ranges:
        pytest.skip("the database cannot be read side by side")
    return found


Ingest = Callable[..., dict[str, Any]]


@pytest.fixture
def take(database: TableStore) -> Ingest:
    def take(home: FileStore, value: RowsInput, **others: Any) -> dict[str, Any]:
        """Ingest as input ``x``, beside others."""
        open_datastore = opener(workspaceblobstore=home, **others.pop("stores", {}))
        inputs = {"x": value, **others}
        results = ingest(open_datastore, RUN, inputs, say=lambda line: None, open_tables=lambda name: database)
        assert list(results) == list(inputs)
        return results["x"]

    return take


def parts(home: FileStore) -> list[str]:
    return [path for path in contents(home, FOLDER) if path != "_manifest.json"]


def table(home: FileStore) -> pa.Table:
    found = contents(home, FOLDER)
    return pa.concat_tables([pq.read_table(BytesIO(found[path])) for path in parts(home)])


def manifest(home: FileStore) -> Manifest:
    return Manifest.from_json(contents(home, FOLDER)["_manifest.json"], "")


def test_parquet(home: FileStore, take: Ingest, ask: Ask) -> None:
    result = take(home, ask(1000))
    found = table(home)
    assert found.num_rows == 1000
    assert found.slice(999).to_pylist() == [{"id": 1000, "name": "name 1000", "f": 1500.0}]
    made = manifest(home)
    assert [entry.path for entry in made.entries] == ["part-00000.parquet"]
    assert made.origin["rows"] == "1000"
    assert json.loads(made.origin["schema"]) == {"id": "int64", "name": "string", "f": "double"}
    assert result == {
        "uri": f"azureml://datastores/workspaceblobstore/paths/{FOLDER}",
        "type": "uri_folder",
        "files": 1,
        "bytes": made.size,
        "manifest": f"azureml://datastores/workspaceblobstore/paths/{FOLDER}_manifest.json",
        "mode": "copy",
        "source": "a query of datastore 'crm'",
        "unchanged": 0,
        "rows": 1000,
    }


def test_csv(home: FileStore, take: Ingest) -> None:
    sql = "select 1 as a, 'x,\"y' as b, '' as c, null as d, cast(0.10 as decimal(3,2)) as e, date '2026-11-25' as f"
    take(home, Input.query("crm", sql, format="csv"))
    assert contents(home, FOLDER)["part-00000.csv"] == (b'"a","b","c","d","e","f"\n1,"x,""y","",,0.10,2026-11-25\n')


def test_table(rig: TableRig, home: FileStore, take: Ingest) -> None:
    with rig.schema() as schema:
        quotes = rig.quotes
        name = f"{schema}.{quotes['open']}Order{quotes['close']}"
        rig.execute(f"create table {name} as select 1 as a, 2 as b")
        result = take(home, Input.table("crm", f"{schema}.Order", ["b"]))
    assert table(home).to_pylist() == [{"b": 2}]
    assert result["source"] == f"table {schema}.Order of datastore 'crm'"


def test_in_parts(home: FileStore, take: Ingest, monkeypatch: pytest.MonkeyPatch, ask: Ask) -> None:
    monkeypatch.setattr(row_files, "_PART", 1 << 19)
    take(home, ask(600_000))
    assert len(parts(home)) >= 3
    assert table(home)["id"].to_pylist() == list(range(1, 600_001))
    assert manifest(home).origin["rows"] == "600000"


class TestNothing:
    def test_is_an_error(self, home: FileStore, take: Ingest, ask: Ask, side: dict[str, Any]) -> None:
        with pytest.raises(NoData, match="a query of datastore 'crm' gives no rows; pass allow_empty=True"):
            take(home, ask(0, **side))
        assert contents(home, "") == {}

    def test_may_be_accepted(self, home: FileStore, take: Ingest, ask: Ask, side: dict[str, Any]) -> None:
        assert take(home, ask(0, allow_empty=True, **side))["rows"] == 0
        assert table(home).schema.names == ["id", "name", "f"]


class TestAgain:
    def test_is_no_work(self, home: FileStore, take: Ingest, monkeypatch: pytest.MonkeyPatch, ask: Ask) -> None:
        query = ask(10)
        first = take(home, query)
        before = contents(home, FOLDER)
        monkeypatch.setattr(rows.RowsDelivery, "_entries", None)
        assert take(home, query) == {**first, "unchanged": 1}
        assert contents(home, FOLDER) == before

    @pytest.mark.parametrize("other", [{"count": 20}, {"count": 10, "format": "csv"}], ids=["rows", "csv"])
    def test_with_another_query_replaces_all(
        self, home: FileStore, take: Ingest, other: dict[str, Any], ask: Ask
    ) -> None:
        take(home, ask(10))
        take(home, ask(**other))
        assert [entry.path for entry in manifest(home).entries] == parts(home)
        assert parts(home) == [f"part-00000.{other.get('format', 'parquet')}"]

    def test_after_somebody_has_meddled(self, home: FileStore, take: Ingest, ask: Ask) -> None:
        query = ask(10)
        take(home, query)
        home.write(f"{FOLDER}part-00000.parquet", [b"x"])
        home.write(f"{FOLDER}other", [b"x"])
        take(home, query)
        assert table(home).num_rows == 10


@pytest.mark.parametrize("at", range(1, 8))
def test_breaks_off_anywhere(
    home: FileStore, take: Ingest, monkeypatch: pytest.MonkeyPatch, at: int, ask: Ask, side: dict[str, Any]
) -> None:
    """Nothing looks finished, and the next attempt ends as if there had been none before."""
    monkeypatch.setattr(row_files, "_PART", 1 << 16)  # of each 65,536 rows
    query = ask(330_000, **side)
    calls = 0

    def fail(call: str, path: str) -> None:
        nonlocal calls
        calls += call in ("write", "delete", "list")
        if calls >= at:
            raise Unavailable("down")

    with pytest.raises(Unavailable):
        take(Watched(home, fail), query)
    assert "_manifest.json" not in contents(home, FOLDER)
    take(home, query)
    assert [entry.path for entry in manifest(home).entries] == parts(home)


def take_in_process(
    told: Callable[[str, str], None],
    location: Location,
    login: Credential,
    sql: str,
    site: Site,
    size: int,
    part: int,
    side: dict[str, Any],
) -> None:
    """The same in a process of its own; at the end it tells the most memory that it had, in KiB."""
    row_files._PART = part
    with site.open() as home, location.open(login) as database:
        assert isinstance(database, TableStore)
        store = database
        ingest(
            opener(workspaceblobstore=Watched(home, after=told)),
            RUN,
            {"x": Input.query("crm", sql, [size], **side)},
            say=lambda line: None,
            open_tables=lambda name: store,
        )
    told("memory", str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


@pytest.mark.parametrize("kind", ["local", "blob"])
def test_killed_between_two_parts(
    kind: str, rig: TableRig, servers: Servers, take: Ingest, ask: Ask, side: dict[str, Any]
) -> None:
    with make_sites(servers) as sites:
        site = sites.new(kind)
        with started(
            take_in_process, rig._location, rig._login, rig.numbers, site, 600_000, 1 << 19, side, ahead=0
        ) as changes:
            assert any(call == "write" and "00001.parquet" in path for call, path in changes)
        with site.open() as home:
            left = contents(home, FOLDER)
            assert any(path.endswith("00000.parquet") for path in left)
            assert "_manifest.json" not in left
            assert take(home, ask(100_000, **side))["rows"] == 100_000
            assert sorted(table(home)["id"].to_pylist()) == list(range(1, 100_001))
            assert [entry.path for entry in manifest(home).entries] == parts(home)


def test_memory_does_not_grow_with_the_rows(rig: TableRig, servers: Servers, side: dict[str, Any]) -> None:
    most = []
    with make_sites(servers) as sites:
        for size in (200_000, 2_000_000):
            with started(
                take_in_process, rig._location, rig._login, rig.numbers, sites.new("local"), size, 8 << 20, side
            ) as changes:
                (kib,) = [int(path) for call, path in changes if call == "memory"]
            most.append(kib / 1024)
    print(f"{most} MiB")
    assert most[1] - most[0] < 64 * side.get("partitions", 1), f"{most} MiB"


class TestSideBySide:
    @pytest.fixture(params=[pytest.param(found, id=found.name) for found in find_rigs() if found.ranges])
    def rig(self, request: pytest.FixtureRequest) -> TableRig:
        made: TableRig = request.param(request)
        return made

    def test_each_reader_has_files_of_its_own(
        self, home: FileStore, take: Ingest, monkeypatch: pytest.MonkeyPatch, ask: Ask
    ) -> None:
        monkeypatch.setattr(row_files, "_PART", 1 << 17)
        result = take(home, ask(200_000, partition="id", partitions="2"))
        names = [entry.path for entry in manifest(home).entries]
        assert names == parts(home)
        assert {name[:8] for name in names} == {"part-00-", "part-01-"}
        assert "part-01-00001.parquet" in names
        assert (result["rows"], result["files"]) == (200_000, len(names))
        assert json.loads(manifest(home).origin["schema"]) == {"id": "int64", "name": "string", "f": "double"}
        assert sorted(table(home)["id"].to_pylist()) == list(range(1, 200_001))

    def test_by_how_many_does_not_matter_to_a_retry(
        self, home: FileStore, take: Ingest, monkeypatch: pytest.MonkeyPatch, ask: Ask
    ) -> None:
        take(home, ask(10, partition="id", partitions=2))
        monkeypatch.setattr(rows.RowsDelivery, "_entries", None)
        assert take(home, ask(10))["unchanged"] == 2

    def test_is_of_one_moment(self, rig: TableRig, database: TableStore, home: FileStore, take: Ingest) -> None:
        with rig.schema() as schema:
            rig.count(schema, 100_000)

            def change(call: str, path: str) -> None:
                if call == "write":
                    rig.execute(f"update {schema}.t set n = n + 50000 where n <= 50000")

            take(Watched(home, change), Input.table("crm", f"{schema}.t", partition="n", partitions=4))
            assert sorted(table(home)["n"].to_pylist()) == list(range(1, 100_001))

    def test_the_first_error_ends_all(self, rig: TableRig, home: FileStore, take: Ingest) -> None:
        """Other readers wait for what takes them a minute or more."""
        expression, problem = rig.failing
        slow = f"case when n > 199999 then {expression} else {rig.waiting} end"
        sql = f"select n, {slow} as x from ({rig.integers.format(200_001)}) as q where n in (1, 2, 200000)"
        begun = time.monotonic()
        with pytest.raises(InvalidInput, match=problem):
            take(home, Input.query("crm", sql, partition="n", partitions=4))
        assert time.monotonic() - begun < 20
        assert contents(home, "") == {}

    def test_an_error_of_the_target_ends_all(self, rig: TableRig, home: FileStore, take: Ingest) -> None:
        def fail(call: str, path: str) -> None:
            if call == "write":
                raise Unavailable("down")

        sql = f"select n, case when n < 3 then {rig.waiting} end as x from ({rig.integers.format(20)}) as q"
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="down"):
            take(Watched(home, fail), Input.query("crm", sql, partition="n", partitions=2))
        assert time.monotonic() - begun < 20

    def test_what_does_not_fit_moves_nothing(self, home: FileStore, take: Ingest, ask: Ask) -> None:
        source = MemoryStore()
        fill(source, {"a": b"1"}, "in/")
        for column, problem in (("name", "is of type text"), ("nope", "no column 'nope' to partition by")):
            with pytest.raises(InvalidInput, match=problem):
                take(
                    home,
                    ask(1, partition=column, partitions=2),
                    y="azureml://datastores/s/paths/in/",
                    stores={"s": source},
                )
        assert contents(home, "") == {}


def test_what_cannot_be_read_side_by_side(rig: TableRig, home: FileStore, take: Ingest, ask: Ask) -> None:
    if rig.ranges:
        pytest.skip("it can")
    with pytest.raises(Unsupported, match="cannot show one moment to several connections"):
        take(home, ask(1, partition="id", partitions=2))
    assert contents(home, "") == {}


class TestBeforeAnythingMoves:
    @pytest.fixture
    def source(self) -> MemoryStore:
        store = MemoryStore()
        fill(store, {"a": b"1"}, "in/")
        return store

    def test_a_query_is_refused(self, home: FileStore, take: Ingest, source: MemoryStore) -> None:
        with pytest.raises(InvalidInput, match="nope"):
            take(
                home,
                Input.query("crm", "select * from nope"),
                y="azureml://datastores/s/paths/in/",
                stores={"s": source},
            )
        assert contents(home, "") == {}

    def test_files_are_missing(self, home: FileStore, take: Ingest, source: MemoryStore, ask: Ask) -> None:
        with pytest.raises(NoData):
            take(home, ask(1), y="azureml://datastores/s/paths/no/", stores={"s": source})
        assert contents(home, "") == {}

    def test_both_are_there(self, home: FileStore, take: Ingest, source: MemoryStore, ask: Ask) -> None:
        take(home, ask(1), y="azureml://datastores/s/paths/in/", stores={"s": source})
        assert set(contents(home, RUN.folder)) == {
            "inputs/x/_manifest.json",
            "inputs/x/part-00000.parquet",
            "inputs/y/_manifest.json",
            "inputs/y/a",
        }


class TestPostgreSqlOnly:
    @pytest.fixture
    def rig(self, request: pytest.FixtureRequest) -> PostgreSqlRig:
        return PostgreSqlRig(request)

    @pytest.mark.parametrize(
        ("value", "problem"),
        [
            ("'NaN'::numeric(10, 2)", 'column "it\'s" holds NaN'),
            ("'infinity'::timestamptz", "column \"it's\" has a row with 'infinity'"),
            ("'-infinity'::timestamp", "column \"it's\" has a row with 'infinity'"),
            ("'infinity'::date", "column \"it's\" has a row with 'infinity'"),
        ],
    )
    def test_values_without_a_counterpart(self, database: TableStore, value: str, problem: str) -> None:
        query = Query(f'select {value} as "it\'s" union all select null')
        if "numeric" in value:  # a union would lose its precision
            query = Query(f'select {value} as "it\'s"')
        with pytest.raises(InvalidInput, match=problem), database.read(query) as found:
            list(found.batches)

    def test_the_connection_is_lost(self, rig: PostgreSqlRig, database: TableStore) -> None:
        """It is an error, and not the end of the process."""
        ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like 'COPY%lost and gone%'"
        query = Query("select n, 'lost and gone' as x from generate_series(1, 5000000) as n")

        def take() -> None:
            with database.read(query) as found:
                next(found.batches)
                rig.execute(ended)
                list(found.batches)

        with pytest.raises(Unavailable):
            take()

    def test_a_table_that_the_role_may_not_read(self, rig: PostgreSqlRig) -> None:
        with rig.schema() as schema:
            rig.execute(f"create table {schema}.t (a int)")
            rig.execute(f"create role reader_of_{schema} login")
            try:
                with rig._location.open(Login(f"reader_of_{schema}", "")) as store:
                    store.check()
                    with pytest.raises(AccessDenied, match="permission denied for schema"):
                        store.check_query(store.table(f"{schema}.t"))
            finally:
                rig.execute(f"drop role reader_of_{schema}")

    def test_holds_no_files(self, rig: PostgreSqlRig) -> None:
        from airflow_azureml_datastores.core.datastore import open_files

        with pytest.raises(Unsupported, match="is a database: it has tables, no files"):
            open_files(rig._location, rig._login)
