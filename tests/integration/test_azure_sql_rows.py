"""Rows of a SQL Server: times to 100 ns, what a query may not be, names, and memory."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

from airflow_azureml_datastores.core.credentials import Login
from airflow_azureml_datastores.core.table_store import Load, Query, Rows, TableStore
from airflow_azureml_datastores.errors import InvalidInput
from airflow_azureml_datastores.stores._azure_sql_store import AzureSqlStore
from airflow_azureml_datastores.stores.azure_sql import AzureSqlDatabase
from tests.contract.tables.test_writing import rows_of
from tests.integration.transfer_jobs import started
from tests.servers.fixtures import Servers
from tests.servers.tsql import SqlServer, TSql, microsoft_driver

FREE_TDS = "/usr/lib/x86_64-linux-gnu/odbc/libtdsodbc.so"


@pytest.fixture
def sql(servers: Servers) -> SqlServer:
    return servers.mssql


@pytest.fixture
def location(sql: SqlServer) -> AzureSqlDatabase:
    return AzureSqlDatabase(sql.host, sql.database, sql.port, enforce_ssl=False, driver=microsoft_driver())


@pytest.fixture
def microsoft(location: AzureSqlDatabase, sql: SqlServer) -> Iterator[TableStore]:
    with location.open(Login(*sql.login)) as opened:
        yield opened


@pytest.fixture(params=["mssql-python", "microsoft", "freetds"])
def store(sql: SqlServer, request: pytest.FixtureRequest) -> Iterator[TableStore]:
    """Read by mssql-python, and by pyodbc with either driver."""
    driver = {"mssql-python": None, "microsoft": microsoft_driver(), "freetds": FREE_TDS}[request.param]
    if driver is not None and not Path(driver).is_file():
        pytest.skip(f"no driver at {driver}")
    there = AzureSqlDatabase(sql.host, sql.database, sql.port, enforce_ssl=False, driver=driver)
    with there.open(Login(*sql.login)) as opened:
        yield opened


@pytest.fixture
def schema(sql: SqlServer) -> str:
    name = f"r{uuid4().hex[:8]}"
    sql.execute(f"create schema {name}")
    return name


def get(store: TableStore, sql: str, parameters: Any = ()) -> pa.Table:
    with store.read(Query(sql, parameters)) as rows:
        return pa.Table.from_batches(list(rows.batches), rows.schema)


def texts(table: pa.Table) -> list[list[str | None]]:
    return [column.cast(pa.string()).to_pylist() for column in table.columns]


def write(store: TableStore, table: str, rows: pa.Table, **changes: Any) -> None:
    given: dict[str, Any] = {"mode": "append", "keys": [], "create_if_missing": True, "id": uuid4().hex}
    store.write(Load(table, **(given | changes)), rows_of(rows))


class TestTimes:
    def test_to_100_ns(self, store: TableStore, sql: SqlServer, schema: str) -> None:
        """Beside types of time that drivers hand on in another form."""
        sql.execute(
            f"create table {schema}.t (o int, a datetime2(7), b time(7), c datetimeoffset(7), d datetime2(3), "
            f"e datetime, f smalldatetime, g time(0), h datetimeoffset(0), i date)"
        )
        sql.execute(
            f"insert into {schema}.t values (2, '2026-11-26 10:31:15.1234567', '23:59:59.9999999', "
            f"'2026-03-29 03:00:00.0000001 -03:30', '0001-01-01 00:00:00.123', '1753-01-01 00:00:00.003', "
            f"'2079-06-06 23:59', '10:11:12', '0001-01-02 00:00:00 +14:00', '9999-12-31')"
        )
        sql.execute(f"insert into {schema}.t (o) values (1)")
        found = get(store, f"select * from {schema}.t order by o").drop_columns(["o"])
        assert [str(type_) for type_ in found.schema.types] == [
            "timestamp[ns]",
            "time64[ns]",
            "timestamp[ns, tz=UTC]",
            "timestamp[us]",
            "timestamp[us]",
            "timestamp[us]",
            "time64[us]",
            "timestamp[us, tz=UTC]",
            "date32[day]",
        ]
        assert texts(found) == [
            [None, text]
            for text in (
                "2026-11-26 10:31:15.123456700",
                "23:59:59.999999900",
                "2026-03-29 06:30:00.000000100Z",
                "0001-01-01 00:00:00.123000",
                "1753-01-01 00:00:00.003000",
                "2079-06-06 23:59:00.000000",
                "10:11:12.000000",
                "0001-01-01 10:00:00.000000Z",
                "9999-12-31",
            )
        ]

    @pytest.mark.parametrize(
        ("value", "type_"),
        [
            ("9999-12-31", "datetime2"),
            ("0001-01-01", "datetime2"),
            ("1677-09-21", "datetime2"),
            ("2262-04-12 00:00:00 +00:00", "datetimeoffset"),
        ],
    )
    def test_that_nanoseconds_cannot_hold(self, store: TableStore, value: str, type_: str) -> None:
        value = f"cast('{value}' as {type_})"
        problem = rf"column 'at' has a time outside of 1677 to 2262.*cast\(at as {type_}\(6\)\)"
        with pytest.raises(InvalidInput, match=problem):
            get(store, f"select {value} as at")
        as_told = f"select cast(at as {type_}(6)) as at from (select {value} as at) as q"
        assert pa.types.is_timestamp(get(store, as_told).schema.types[0])

    @pytest.mark.parametrize("made", [True, False])
    def test_written(self, store: TableStore, sql: SqlServer, schema: str, made: bool) -> None:
        if not made:
            sql.execute(f"create table {schema}.t (o int, a datetime2(7), b datetimeoffset(7), c time(7))")
        rows = pa.table(
            {
                "o": pa.array([1, 2, 3], pa.int32()),
                "a": pa.array([1_795_689_075_123_456_700, -100, None], pa.timestamp("ns")),
                "b": pa.array([100, -9_000_000_000_000_000_100, None], pa.timestamp("ns", "Europe/Berlin")),
                "c": pa.array([86_399_999_999_900, 0, None], pa.time64("ns")),
            }
        )
        write(store, f"{schema}.t", rows)
        found = get(store, f"select a, b, c from {schema}.t order by o")
        assert [column.to_pylist() for column in (c.cast(pa.int64()) for c in found.columns)] == [
            [value.value for value in rows[name]] for name in "abc"
        ]

    @pytest.mark.parametrize(("value", "type_"), [(1, "datetime2(7)"), (199, "time(7)")])
    def test_finer_ones_are_refused(
        self, store: TableStore, sql: SqlServer, schema: str, value: int, type_: str
    ) -> None:
        sql.execute(f"create table {schema}.t (a {type_})")
        arrow = pa.time64("ns") if type_.startswith("time") else pa.timestamp("ns")
        with pytest.raises(InvalidInput, match=r"'a', row 2: .* has more than seven digits of a second's fraction"):
            write(store, f"{schema}.t", pa.table({"a": pa.array([100, value], arrow)}))
        assert get(store, f"select * from {schema}.t").num_rows == 0


class TestColumns:
    """What mssql-python reads, and what it leaves to pyodbc."""

    @pytest.fixture
    def columns(self, sql: SqlServer, caplog: pytest.LogCaptureFixture) -> Iterator[TableStore]:
        if not isinstance(sql, TSql):
            pytest.skip("a real server does not tell who reads")
        caplog.set_level("INFO", "airflow_azureml_datastores")
        sql.forget()
        with AzureSqlDatabase("localhost", sql.database, sql.port, enforce_ssl=False).open(Login(*sql.login)) as opened:
            yield opened
        sql.forget()

    @pytest.fixture
    def table(self, sql: SqlServer, schema: str) -> str:
        """Of times to 100 ns: each digit, and before 1970."""
        sql.execute(f"create table {schema}.t (n int, a datetime2, b datetimeoffset, s nvarchar(max))")
        for n in range(10):
            time = f"{1960 + 2 * n}-01-01 23:59:59.999999{n}"
            sql.execute(f"insert into {schema}.t values ({n}, '{time}', '{time} -03:30', 'x')")
        sql.execute(f"insert into {schema}.t (n) values (10)")
        return f"{schema}.t"

    @pytest.mark.parametrize(
        ("text", "by"),
        [
            ("select * from {} -- all of it", "MSSQL-Python"),
            ("select n, a from {} where n > ? or a < ?;", "MSSQL-Python"),
            ("select n from {} order by n", "MSSQL-Python"),
            ("with q as (select n from {}) select * from q option (maxdop 1)", "MSSQL-Python"),
            ("select * from {} order by n desc", "airflow-azureml-datastores"),
            ("select top (3) a from {} order by n", "airflow-azureml-datastores"),
            (";with q as (select * from {}) select * from q;", "MSSQL-Python"),
            ("with q as (select * from {}) select * from q order by n", "airflow-azureml-datastores"),
            ("select b from {} option (maxdop 1)", "airflow-azureml-datastores"),
        ],
    )
    def test_are_the_same(
        self, columns: TableStore, microsoft: TableStore, sql: SqlServer, table: str, text: str, by: str
    ) -> None:
        assert isinstance(sql, TSql)
        query, values = text.format(table), [3, "1961-01-01"] if "?" in text else []
        before = len(sql.logins)
        found = get(columns, query, values)
        assert sql.logins[before:][-1]["application"] == by
        wanted = get(microsoft, query, values)
        assert found.schema == wanted.schema
        by_row = [sorted(zip(*texts(rows), strict=True), key=str) for rows in (found, wanted)]
        assert by_row[0] == by_row[1]
        assert "order" not in text or texts(found) == texts(wanted)
        assert found.num_rows > 2

    def test_refused_by_the_server(
        self, columns: TableStore, sql: SqlServer, table: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It may know less than SQL Server does."""
        assert isinstance(sql, TSql)
        sql.fault("datepart", number=195, times=100)
        found = get(columns, f"select * from {table}")
        assert texts(found)[1][3] == "1966-01-01 23:59:59.999999300"
        assert "Read by pyodbc, as mssql-python cannot: The test wants error 195 here." in caplog.text


CHANGING = [
    "select 1 as x delete from {}",
    "select 1 as x where 1=1delete from {}",
    "select 1 as x where 1=1.5e3delete from {}",
    "select 1 as x where 1=0x1update {} set n = 0",
    "select 1 as x /* /* */ ' */ delete from {} --'",
    "select 1 as x /* /* */ [ */ delete from {} --]",
    "select 1 as x --\r delete from {}",
    "select 1 as x -- ' \n delete from {} --'",
    "select '' as x exec('drop table {}')",
    "select [a]]b] as x from (select 1 as [a]]b]) as q delete from {}",
    'select 1 as "x""y" truncate table {}',
    "select * into {}2 from {}",
    "select 1 as x; delete from {}",
    "select 1 as x; select 2 as x",
    ";with q as (select 1 as a) delete from {}",
    ";with q as (select 1 as a) select * from q; delete from {}",
    "with q as (select n from {}) delete from q",
    "with q as (select n from {}) merge into {} as t using q on 1 = 0 when not matched then insert values (9)",
    "exec sp_rename '{}', 'x'",
    "sp_rename '{}', 'x'",
    "[sp_rename] '{}', 'x'",
    "/* select */ delete from {}",
    "declare @x int = 1 select @x as x",
    "begin tran select 1 as x commit",
    "select 1 as x {{call sp_rename('{}', 'x')}}",
    "select 1 as x if 1 = 1 print 'x'",
    "select next value for {} as x",
    "select 1 as x waitfor delay '00:00:01'",
    "use master select 1 as x",
    "select * from openrowset('x', 'y', 'delete from {}') as q",
    "select 1 as x writetext {}.n @p 'x'",
    "select 'x as x",
    "select 1 as x /* /* */",
    "select [x",
    "",
    "-- select 1 as x",
]


class TestQueries:
    @pytest.mark.parametrize("text", CHANGING)
    def test_that_change_something_are_not_sent(self, microsoft: TableStore, sql: SqlServer, text: str) -> None:
        sent = len(sql.statements) if isinstance(sql, TSql) else 0
        query = Query(text.replace("{}", "nowhere").replace("{{", "{").replace("}}", "}"))
        for call in (lambda: microsoft.check_query(query), lambda: get(microsoft, query.sql)):
            with pytest.raises(InvalidInput, match="query"):
                call()
        if isinstance(sql, TSql):
            assert [text for text in sql.statements[sent:] if "isolation" not in text] == []

    @pytest.mark.parametrize(
        "text",
        [
            "select 'delete; from /* --' as x",
            "select N'it''s; drop' as [exec ''; into]",
            'select 1 as "update ""; --"',
            "select 1 as x -- ; delete ' [ \"",
            "-- delete '\r\nselect 1 as x",
            "select /* exec /* ; ' */ drop ' */ 1 as x",
            "/**/select 1 as x;",
            "with q as (select 1 as x) select * from q where x in (select x from q);",
            "(select 1 as x) union all (select 2)",
            "select 1as x",
            "select q.inserted, executed from (select 1 as inserted, 2 as executed, 3 as update_1) as q",
            "select a.[update], a.[into] from (select 1 as [update], 2 as [into]) as a",
            "select 2*/* */3 as x",
        ],
    )
    def test_that_read(self, store: TableStore, text: str) -> None:
        store.check_query(Query(text))
        assert get(store, text).num_rows >= 1

    def test_in_an_order_inside_of_others(self, store: TableStore) -> None:
        """The database would lose the order, and says so; what it cannot know is why the query is inside of another."""
        query = Query("select 1 as x order by x")
        assert get(store, query.sql).num_rows == 1
        with pytest.raises(InvalidInput, match=r"ORDER BY clause .* \(1033\) A query with a watermark"):
            store.check_query(store.between(query, "x", 0))

    def test_of_several_results(self, store: TableStore) -> None:
        with pytest.raises(InvalidInput, match="gives several results"):
            get(store, "select 1 as a select 2 as b")

    def test_where_nobody_can_describe_them(self, store: TableStore, sql: SqlServer) -> None:
        """The server may not know SQL Server's procedure: then the query is run without its values, to see."""
        if not isinstance(sql, TSql):
            pytest.skip("a real server knows it")
        sql.forget()
        sql.fault("sp_describe_first_result_set", number=2812, times=10)
        text, values = "select ? as a, ? as b, ? as c where 1 < ?", [7, "x", Decimal("1.50"), 2.5]
        store.check_query(Query(text, values))
        assert get(store, text, values).to_pylist() == [{"a": 7, "b": "x", "c": Decimal("1.50")}]
        sql.forget()

    def test_values_beside_comments(self, store: TableStore) -> None:
        text = "select ? /* ? /* ' ? */ ? */ as a, -- ?\r\n ? as [b?], '?' as c -- ?\r, ? as d"
        found = get(store, text, [1, "x", 10**30])
        assert found.to_pylist() == [{"a": 1, "b?": "x", "c": "?", "d": 10**30}]

    @pytest.mark.parametrize("word", ["certificates", "SSL Provider", "login"])
    def test_what_is_not_there(self, store: TableStore, word: str) -> None:
        with pytest.raises(InvalidInput, match=f"Invalid object name '{word}'"):
            get(store, f"select * from [{word}]")


@pytest.mark.parametrize(
    "name",
    ["]]", "a]]; drop table x; --", "it's", "''", "line\nbreak", "\r\n", "%s{0}$x$", "@P1", "#x", "a--", "/*", "😀]"],
)
def test_names_are_names(store: TableStore, sql: SqlServer, schema: str, name: str) -> None:
    """Of schemas, tables, columns and keys."""
    quoted = "[" + name.replace("]", "]]") + "]"
    if name != "#x":  # a table of this name is another one
        own = f"{schema} {name}"
        sql.execute(f"create schema [{schema} {quoted[1:]}")
        table = ".".join('"' + part.replace('"', '""') + '"' for part in (own, name))
    else:
        table = f"{schema}.t"
    rows = pa.table({name: [1, 2], f"{name} 2": ["a", name]})
    for _ in range(2):
        write(store, table, rows, mode="upsert", keys=[name])
    write(store, table, pa.table({name: [3]}), mode="append")
    assert store.has_table(table)
    query = store.table(table, [f"{name} 2", name])
    assert sorted(str(row) for row in get(store, query.sql).to_pylist()) == sorted(
        str({f"{name} 2": value, name: n}) for n, value in ((1, "a"), (2, name), (3, None))
    )
    between = store.between(query, name, 1, 2, only=[name])
    assert get(store, between.sql, between.parameters).to_pylist() == [{name: 2}]
    newest = store.newest(query, name)
    assert get(store, newest.sql)[name].to_pylist() == [3]


@pytest.mark.parametrize("kind", ["nvarchar(9)", "varchar(9)", "char(2)"])
def test_columns_of_another_collation(store: TableStore, sql: SqlServer, schema: str, kind: str) -> None:
    """Than that of the server, which temporary tables have unless told: it would not compare them."""
    collated = "collate Latin1_General_100_CI_AS"
    sql.execute(f"create table {schema}.t (k {kind} {collated} primary key, v {kind} {collated} null)")
    for rows in ({"k": ["a", "b"], "v": ["1", None]}, {"k": ["B", "c"], "v": ["2", "3"]}):
        write(store, f"{schema}.t", pa.table(rows), mode="upsert", keys=["k"])
    if isinstance(sql, TSql):  # which would compare them
        made = [text for text in sql.statements if text.startswith("create table #")][-2:]
        assert [f"([k] {kind} {collated} null, [v] {kind} {collated} null)" in text for text in made] == [True, True]
    found = get(store, f"select rtrim(k) as k, rtrim(v) as v from {schema}.t order by k").to_pylist()
    assert [tuple(row.values()) for row in found] == [("a", "1"), ("b", "2"), ("c", "3")]


@pytest.mark.parametrize("hidden", ["", "hidden "])
@pytest.mark.parametrize("mode", ["append", "overwrite", "upsert"])
def test_a_temporal_table(store: TableStore, sql: SqlServer, schema: str, mode: Any, hidden: str) -> None:
    """The database fills in the columns of its period, and nobody else may."""
    sql.execute(
        f"create table {schema}.t (id int primary key, v nvarchar(9), "
        f"since datetime2(7) generated always as row start {hidden}not null, "
        f"until datetime2(7) generated always as row end {hidden}not null, period for system_time (since, until))"
    )
    keys = ["id"] if mode == "upsert" else []
    write(store, f"{schema}.t", pa.table({"id": [1], "v": ["a"]}), mode=mode, keys=keys)
    assert [tuple(row) for row in sql.execute(f"select id, v from {schema}.t")] == [(1, "a")]
    rows = pa.table({"id": [2], "v": ["a"], "since": [datetime(2026, 11, 1)]})  # noqa: DTZ001
    with pytest.raises(InvalidInput, match="'since'"):
        write(store, f"{schema}.t", rows, mode=mode, keys=keys)


def test_reads_without_locks_where_the_database_can(store: TableStore, sql: SqlServer, schema: str) -> None:
    if not isinstance(sql, TSql):
        pytest.skip("a real server does not tell what it was sent")
    sql.forget()
    get(store, "select 1 as x")
    assert [text for text in sql.statements if "isolation level" in text] == [
        "set transaction isolation level snapshot"
    ]


def test_what_a_trigger_says_is_heard(store: TableStore, sql: SqlServer, schema: str) -> None:
    """It comes after the count of the rows that were brought, as here what the second statement says."""
    assert isinstance(store, AzureSqlStore)
    sql.execute(f"create table {schema}.t (n int not null)")
    with pytest.raises(InvalidInput, match=r"column 'n'.*\(515\)"):
        store._transaction(
            lambda db: db.fetch(f"insert into {schema}.t values (1); insert into {schema}.t values (null)")
        )
    assert sql.execute(f"select count(*) from {schema}.t")[0][0] == 0


def measure(told: Callable[[str, str], None], location: AzureSqlDatabase, login: Login, size: int, table: str) -> None:
    """Read or load so many rows in a process of its own, and tell the most memory that it had, in KiB."""

    @contextmanager
    def rows() -> Iterator[Rows]:
        def batches() -> Iterator[pa.RecordBatch]:
            for start in range(0, size, 10_000):
                numbers = range(start, start + 10_000)
                columns = [pa.array(numbers, pa.int32()), [f"name {n}" for n in numbers], [n / 4 for n in numbers]]
                yield pa.RecordBatch.from_arrays([pa.array(c) for c in columns], schema=wanted)

        wanted = pa.schema([("id", pa.int32()), ("name", pa.string()), ("f", pa.float64())])
        yield Rows(wanted, batches())

    count = 0
    with location.open(login) as store:
        if table:
            count = store.write(Load(table, "append", [], create_if_missing=True, id=table), rows).rows
        else:
            series = f"generate_series(1, {size})"
            sql = (
                f"select cast(value as int) as id, cast(value as nvarchar(9)) as name, value / 4.0e0 as f from {series}"
            )
            with store.read(Query(sql)) as found:
                for batch in found.batches:
                    count += batch.num_rows
    assert count == size
    told("memory", str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


@pytest.mark.slow
@pytest.mark.parametrize(("few", "many", "loads"), [(50_000, 500_000, False), (30_000, 300_000, True)])
def test_memory_does_not_grow_with_the_rows(
    location: AzureSqlDatabase, sql: SqlServer, schema: str, few: int, many: int, loads: bool
) -> None:
    most = []
    for size in (few, many):
        table = f"{schema}.t{size}" if loads else ""
        with started(measure, location, Login(*sql.login), size, table) as changes:
            (kib,) = [int(text) for call, text in changes if call == "memory"]
        most.append(kib / 1024)
    assert most[1] - most[0] < 48, f"{most} MiB"
