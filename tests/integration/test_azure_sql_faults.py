"""A SQL Server that fails now and then, at any point: rows are there once, and none is lost in silence."""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

from airflow_azureml_datastores.core.credentials import Login
from airflow_azureml_datastores.core.table_store import Load, Loaded, OpenRows, Query, Rows, WriteMode
from airflow_azureml_datastores.errors import InvalidInput, Unavailable
from airflow_azureml_datastores.stores import _odbc
from airflow_azureml_datastores.stores._azure_sql_store import AzureSqlStore
from airflow_azureml_datastores.stores.azure_sql import AzureSqlDatabase
from tests.servers.fixtures import Servers
from tests.servers.tsql import TSql, microsoft_driver

FREE_TDS = "/usr/lib/x86_64-linux-gnu/odbc/libtdsodbc.so"
ATTEMPTS = 3
FAILURES: list[dict[str, Any]] = [{"number": 40501}, {"drop": True}]
SERIES = "select cast(value as int) as n from generate_series(1, {})"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_odbc, "WAIT", 0.01)
    monkeypatch.setattr(_odbc, "ATTEMPTS", ATTEMPTS)


@pytest.fixture
def sql(servers: Servers) -> Iterator[TSql]:
    if not isinstance(servers.mssql, TSql):
        pytest.skip("a real server does not fail when it is told to")
    servers.mssql.forget()
    yield servers.mssql
    servers.mssql.forget()


@pytest.fixture(params=[lambda: None, microsoft_driver, lambda: FREE_TDS], ids=["mssql-python", "microsoft", "freetds"])
def store(sql: TSql, request: pytest.FixtureRequest) -> Iterator[AzureSqlStore]:
    driver = request.param()
    if driver is not None and not Path(driver).is_file():
        pytest.skip(f"no driver at {driver}")
    there = AzureSqlDatabase("localhost", sql.database, sql.port, enforce_ssl=False, driver=driver)
    with there.open(Login(*sql.login)) as opened:
        yield opened


@pytest.fixture
def table(sql: TSql) -> str:
    """Of two rows, in a schema in which loads are recorded already."""
    schema = f"f{uuid4().hex[:8]}"
    sql.execute(f"create schema {schema}")
    sql.execute(f"create table {schema}.t (n int not null, s nvarchar(20) null)")
    sql.execute(f"insert into {schema}.t values (1, 'one'), (2, 'two')")
    return f"{schema}.t"


class Source:
    """Rows from 2 on, and how often they were opened."""

    def __init__(self, count: int = 4, batch: int = 2) -> None:
        numbers = range(2, count + 2)
        self.rows = pa.table({"n": pa.array(numbers, pa.int32()), "s": [f"row {n}" for n in numbers]})
        self.opened, self._batch = 0, batch
        self.at: Callable[[int], object] = lambda number: None

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(self.rows.to_batches(max_chunksize=self._batch)):
            self.at(number)
            yield batch

    @property
    def open(self) -> OpenRows:
        @contextmanager
        def opened() -> Iterator[Rows]:
            self.opened += 1
            yield Rows(self.rows.schema, self._batches())

        return opened


def write(store: AzureSqlStore, table: str, source: Source, mode: WriteMode = "append", id: str = "") -> Loaded:
    keys = ["n"] if mode == "upsert" else []
    return store.write(Load(table, mode, keys, create_if_missing=False, id=id or table), source.open)


def numbers(sql: TSql, table: str) -> list[int]:
    return [n for (n,) in sql.execute(f"select n from {table} order by n")]


AFTER: dict[WriteMode, list[int]] = {
    "append": [1, 2, 2, 3, 4, 5],
    "overwrite": [2, 3, 4, 5],
    "upsert": [1, 2, 3, 4, 5],
}


@contextmanager
def cut(port: int, after: int) -> Iterator[int]:
    """A port that leads to another one, and closes when the server has sent so many bytes."""

    def forward(client: socket.socket, server: socket.socket) -> None:
        threading.Thread(target=pump, args=(client, server, sys.maxsize), daemon=True).start()
        pump(server, client, after)

    def pump(source: socket.socket, target: socket.socket, left: int) -> None:
        with source, target, suppress(OSError):
            while left > 0 and (content := source.recv(min(left, 65_536))):
                target.sendall(content)
                left -= len(content)
            for each in (source, target):
                each.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=forward, args=(client, socket.create_connection(("127.0.0.1", port))),
                                 daemon=True).start()  # fmt: skip

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


def take(store: AzureSqlStore, query: str, seen: list[int] | None = None) -> list[int]:
    """:param seen: gets what is taken, even if it breaks off."""
    seen = [] if seen is None else seen
    with store.read(Query(query)) as rows:
        for batch in rows.batches:
            seen += batch["n"].to_pylist()
    return seen


class TestLoads:
    @pytest.mark.parametrize(
        ("matching", "failure", "mode"),
        [
            ("LOGIN", {"number": 40613}, "append"),
            ("LOGIN", {"drop": True}, "upsert"),
            ("create table .*azureml_datastores_loads", {"number": 40501}, "append"),
            ("create table .*azureml_datastores_loads", {"drop": True, "when": "after"}, "append"),
            ("openjson", {"number": 1205}, "overwrite"),
            ("openjson", {"drop": True}, "append"),
            ("openjson", {"number": 4221, "when": "after"}, "append"),
            ("openjson", {"drop": True, "when": "after"}, "upsert"),
            (r"row_count\) values", {"number": 615, "when": "after"}, "upsert"),
            (r"row_count\) values", {"drop": True, "when": "after"}, "overwrite"),
        ],
    )
    def test_is_done_once(
        self, store: AzureSqlStore, sql: TSql, table: str, matching: str, failure: dict[str, Any], mode: WriteMode
    ) -> None:
        sql.fault(matching, **failure)
        assert write(store, table, Source(), mode) == Loaded(4, was_there=False)
        assert sql.faults == 0
        assert numbers(sql, table) == AFTER[mode]
        assert write(store, table, Source(), mode) == Loaded(4, was_there=True)
        assert numbers(sql, table) == AFTER[mode]

    @pytest.mark.parametrize("failure", FAILURES, ids=["error", "drop"])
    @pytest.mark.parametrize(("mode", "when"), [("append", "before"), ("append", "after"), ("overwrite", "after"),
                                                ("upsert", "after")])  # fmt: skip
    def test_whose_commit_fails(
        self, store: AzureSqlStore, sql: TSql, table: str, mode: WriteMode, when: str, failure: dict[str, Any]
    ) -> None:
        """Before it is done, or after it, which nobody has heard of."""
        source, failures = Source(), iter([True])
        source.at = lambda number: sql.fault("COMMIT", when=when, **failure) if next(failures, False) else None
        assert write(store, table, source, mode) == Loaded(4, was_there=when == "after")
        assert (sql.faults, source.opened) == (0, 2)
        assert numbers(sql, table) == AFTER[mode]

    def test_opens_its_rows_anew(self, store: AzureSqlStore, sql: TSql, table: str) -> None:
        source = Source()
        sql.fault("openjson", number=1205, times=ATTEMPTS - 1)
        assert write(store, table, source) == Loaded(4, was_there=False)
        assert source.opened == ATTEMPTS

    @pytest.mark.parametrize("failure", FAILURES, ids=["error", "drop"])
    def test_gives_up(self, store: AzureSqlStore, sql: TSql, table: str, failure: dict[str, Any]) -> None:
        source = Source()
        sql.fault("openjson", times=100, **failure)
        with pytest.raises(Unavailable, match=f"^{store.url}: "):
            write(store, table, source)
        assert source.opened == ATTEMPTS
        assert len([text for text in sql.statements if "openjson" in text]) == ATTEMPTS
        assert numbers(sql, table) == [1, 2]
        sql.forget()
        assert write(store, table, source) == Loaded(4, was_there=False)

    @pytest.mark.parametrize("number", [515, 2627])
    def test_an_error_that_stays_is_told_at_once(
        self, store: AzureSqlStore, sql: TSql, table: str, number: int
    ) -> None:
        source = Source()
        sql.fault("openjson", number=number, times=100)
        with pytest.raises(InvalidInput, match=rf"The test wants error {number} here"):
            write(store, table, source)
        assert source.opened == 1
        assert len([text for text in sql.statements if "openjson" in text]) == 1
        assert numbers(sql, table) == [1, 2]

    @pytest.mark.parametrize(("statement", "drop"), [(0, False), (1, True), (2, False)])
    def test_of_many_rows(self, store: AzureSqlStore, sql: TSql, table: str, statement: int, drop: bool) -> None:
        """Fails at the n-th statement of three."""
        source = Source(30_000, 10_000)
        failures = iter([True])

        def fail(number: int) -> None:
            if number == statement and next(failures, False):
                sql.fault("openjson", number=10928, drop=drop)

        source.at = fail
        assert write(store, table, source) == Loaded(30_000, was_there=False)
        assert (sql.faults, source.opened) == (0, 2)
        found = sql.execute(f"select count(*), count(distinct n), min(n), max(n) from {table} where s like 'row%'")
        assert [tuple(row) for row in found] == [(30_000, 30_000, 2, 30_001)]


READING = [
    ("LOGIN", {"number": 40613}),
    ("LOGIN", {"drop": True}),
    ("sp_describe_first_result_set", {"number": 40197}),
    ("sp_describe_first_result_set", {"drop": True}),
    ("^select n from", {"number": 40501}),
    ("^select n from", {"drop": True}),
    ("^select n from", {"drop": True, "when": "after"}),
    ("snapshot_isolation_state", {"number": 49919}),
]


class TestReading:
    @pytest.mark.parametrize(("matching", "failure"), READING)
    def test_before_the_first_row(
        self, store: AzureSqlStore, sql: TSql, table: str, matching: str, failure: dict[str, Any]
    ) -> None:
        sql.fault(matching, **failure)
        assert sorted(take(store, f"select n from {table} as t")) == [1, 2]
        assert sql.faults == 0

    @pytest.mark.parametrize(("matching", "failure"), READING[::2])
    def test_gives_up(
        self, store: AzureSqlStore, sql: TSql, table: str, matching: str, failure: dict[str, Any]
    ) -> None:
        sql.fault(matching, times=100, **failure)
        with pytest.raises(Unavailable):
            take(store, f"select n from {table} as t")

    @pytest.mark.parametrize("number", [207, 8134, 245])
    def test_an_error_that_stays_is_told_at_once(
        self, store: AzureSqlStore, sql: TSql, table: str, number: int
    ) -> None:
        sql.fault("^select n from", number=number, times=100)
        with pytest.raises(InvalidInput):
            take(store, f"select n from {table} as t")
        tried = len([text for text in sql.statements if re.match("select n from", text)])
        assert tried == (1 if store._server.driver else 2)  # by mssql-python, and by pyodbc, which can tell

    @pytest.mark.parametrize("after", [500_000, 1_000_000])
    def test_is_lost_in_the_middle_of_the_rows(self, store: AzureSqlStore, sql: TSql, after: int) -> None:
        """Rows that were given are not given again, and nobody takes some for all."""
        seen: list[int] = []
        with cut(sql.port, after) as port:
            store._server = replace(store._server, port=port)
            with pytest.raises(Unavailable):
                take(store, SERIES.format(400_000), seen)
        assert 1000 <= len(seen) < 400_000
        assert seen == list(range(1, len(seen) + 1))
        assert len([text for text in sql.statements if text.startswith("select cast(value")]) == 1

    @pytest.mark.parametrize("number", [40197, 1205])
    def test_fails_after_the_last_row(self, store: AzureSqlStore, sql: TSql, number: int) -> None:
        sql.fault("^select cast.value", number=number, when="after")
        told = str(number) if store._server.driver else "The test wants error"  # mssql-python tells no numbers
        with pytest.raises(Unavailable, match=told):
            take(store, SERIES.format(100_000))
        assert len([text for text in sql.statements if text.startswith("select cast(value")]) == 1

    def test_checks(self, store: AzureSqlStore, sql: TSql) -> None:
        for call, matching in (
            (lambda: store.check(), "select 1"),
            (lambda: store.check_query(Query("select 1 as n")), "describe"),
            (lambda: store.has_table("t"), "sys.columns"),
        ):
            sql.fault(matching, drop=True, times=ATTEMPTS - 1)
            call()
            assert sql.faults == 0
