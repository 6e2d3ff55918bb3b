"""What is MySQL's own in reading its rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from airflow_azureml_datastores.core.credentials import Login
from airflow_azureml_datastores.core.table_store import Query, TableStore
from airflow_azureml_datastores.errors import AccessDenied, InvalidInput, Unavailable
from tests.contract.tables.rigs_mysql import MySqlRig


@pytest.fixture(scope="module")
def rig(request: pytest.FixtureRequest) -> MySqlRig:
    return MySqlRig(request)


@pytest.fixture
def database(rig: MySqlRig) -> Iterator[TableStore]:
    with rig.open() as store:
        yield store


def take(store: TableStore, sql: str, *values: Any) -> list[dict[str, Any]]:
    with store.read(Query(sql, values)) as found:
        return [row for batch in found.batches for row in batch.to_pylist()]


@pytest.mark.parametrize("kind", ["date", "datetime", "timestamp"])
@pytest.mark.parametrize("null", [False, True])
def test_dates_that_are_none(rig: MySqlRig, database: TableStore, kind: str, null: bool) -> None:
    with rig.schema() as schema, closing(rig.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("set sql_mode = ''")
        cursor.execute(f"create table {schema}.t (`it's` {kind} {'null' if null else 'not null'} default '0000-00-00')")
        cursor.execute(f"insert into {schema}.t values (default), ('2026-01-01')")
        with pytest.raises(InvalidInput, match="column \"it's\" has a row with a date like '0000-00-00'"):
            take(database, f"select * from {schema}.t")
        assert take(database, f"select cast(`it's` as char) as x from {schema}.t limit 1")[0]["x"][:4] == "0000"


@pytest.mark.parametrize("value", ["'2026-00-01'", "'2026-01-00'"])
def test_dates_that_are_none_by_half(rig: MySqlRig, database: TableStore, value: str) -> None:
    with rig.schema() as schema, closing(rig.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("set sql_mode = ''")
        cursor.execute(f"create table {schema}.t (x date)")
        cursor.execute(f"insert into {schema}.t values ({value})")
        with pytest.raises(InvalidInput, match="column 'x' has a row with a date like"):
            take(database, f"select * from {schema}.t")


def test_a_row_of_many_packets(rig: MySqlRig, database: TableStore) -> None:
    """Of exactly the size of packets, and around it."""
    with rig.schema() as schema:
        rig.execute(f"create table {schema}.t (n int, x longblob)")
        edge = (1 << 24) - 1
        sizes = [0, *range(edge - 12, edge + 3), 2 * edge - 10, 2 * edge - 9, 5]
        largest = take(database, "select @@max_allowed_packet as n")[0]["n"]
        sizes = [size for size in sizes if size < largest - 100] or [0]
        for number, size in enumerate(sizes):
            rig.execute(f"insert into {schema}.t values (%s, repeat('x', %s))", number, size)
        found = take(database, f"select x, n from {schema}.t order by n")
    assert [len(row["x"]) for row in found] == sizes
    assert [row["n"] for row in found] == list(range(len(sizes)))


@pytest.mark.parametrize(
    "statement", ["delete from {}.t returning a", "insert into {}.t values (9) returning a",
                  "optimize table {}.t", "call {}.p()", "select {}.f() as x", "lock tables {}.t write",
                  "select * from {}.t into outfile '/tmp/never'", "set global max_connections = 7"]
)  # fmt: skip
def test_what_gives_rows_may_change_none_either(rig: MySqlRig, database: TableStore, statement: str) -> None:
    with rig.schema() as schema:
        rig.execute(f"create table {schema}.t (a int)")
        rig.execute(f"insert into {schema}.t values (1)")
        rig.execute(f"create procedure {schema}.p() begin commit; delete from {schema}.t; select 1 as x; commit; end")
        rig.execute(
            f"create function {schema}.f() returns int modifies sql data begin delete from {schema}.t; return 1; end"
        )
        with pytest.raises(InvalidInput):
            take(database, statement.format(schema))
        assert take(database, f"select a from {schema}.t") == [{"a": 1}]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "1"),
        (-(1 << 63), "-9223372036854775808"),
        ((1 << 64) - 1, "18446744073709551615"),
        (0.1, "0.1"),
        (Decimal("-0.10"), "-0.10"),
        ("a\\'b\"𝒳", "a\\'b\"𝒳"),
        (b"\x00\xff'", b"\x00\xff'"),
        ("x" * 70_000, "x" * 70_000),
        (date(2026, 11, 1), "2026-11-01"),
        (datetime(2026, 11, 1, 2, 3, 4, 5), "2026-11-01 02:03:04.000005"),  # noqa: DTZ001
        (datetime(2026, 11, 1, 2, 0, 0, 5, timezone(timedelta(hours=3))), "2026-10-31 23:00:00.000005"),
        (time(1, 2, 3, 4), "01:02:03.000004"),
        (timedelta(days=-2, microseconds=-1), "-48:00:00.000001"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"a": [1]}, '{"a": [1]}'),
        (None, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_arrive(database: TableStore, value: Any, shown: Any) -> None:
    as_text = {bytes: "cast(? as binary)", datetime: "concat(?, '')", time: "concat(?, '')", timedelta: "concat(?, '')"}
    expression = as_text.get(type(value), "cast(? as char)")  # which MySQL 9.7 makes 31 digits of a time's fraction
    assert take(database, f"select {expression} as x", value) == [{"x": shown}]


@pytest.mark.parametrize(
    "value", [float("nan"), Decimal("Infinity"), object(), {1, 2}], ids=lambda value: type(value).__name__
)
def test_values_that_are_none(database: TableStore, value: Any) -> None:
    with pytest.raises(InvalidInput, match="cannot be the value of a parameter"):
        take(database, "select ? as x", value)


def test_limit_and_comparison(rig: MySqlRig, database: TableStore) -> None:
    found = take(database, "select n from tests.numbers where n >= ? order by n limit ?", 7, 2)
    assert found == [{"n": 7}, {"n": 8}]


def test_a_uuid_of_mariadb(database: TableStore) -> None:
    if "MariaDB" not in take(database, "select version() as x")[0]["x"]:
        pytest.skip("MySQL has no such type")
    text = "6ecd8c99-4036-403d-bf84-cf8400f67836"
    assert take(database, f"select cast('{text}' as uuid) as x") == [{"x": text}]


def test_a_user_who_may_not_read(rig: MySqlRig) -> None:
    with rig.schema() as schema:
        rig.execute(f"create table {schema}.t (a int)")
        rig.execute(f"create user {schema[:30]} identified by 'pw'")
        try:
            location = replace(rig._location, database_name="information_schema")
            with location.open(Login(schema[:30], "pw")) as store:
                store.check()
                with pytest.raises(AccessDenied, match="command denied to user"):
                    store.check_query(store.table(f"{schema}.t"))
        finally:
            rig.execute(f"drop user {schema[:30]}")


def test_a_connection_that_is_killed(rig: MySqlRig, database: TableStore) -> None:
    sql = f"select n, connection_id() as me, repeat('x', 1000) as x from ({rig.integers.format(1_000_000)}) as q"
    with database.read(Query(sql)) as found:
        (me,) = set(next(found.batches)["me"].to_pylist())
        rig.execute(f"kill {me}")
        with pytest.raises(Unavailable):
            list(found.batches)
