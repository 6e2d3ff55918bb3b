"""PostgreSQL under contract."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, ClassVar
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url

from airflow_azureml_datastores.core.credentials import Login
from airflow_azureml_datastores.core.table_store import TableStore
from airflow_azureml_datastores.errors import ContainerNotFound, DatastoresError
from airflow_azureml_datastores.stores.postgresql import AzurePostgreSql


class PostgreSqlRig:
    name: ClassVar[str] = "postgresql"
    type: ClassVar[str] = "AzurePostgreSql"
    integers: ClassVar[str] = "select n from generate_series(1, {}) as n"
    numbers: ClassVar[str] = (
        "select n::int8 as id, 'name ' || n as name, n * 1.5::float8 as f from generate_series(1, ?) as n order by n"
    )
    failing: ClassVar[tuple[str, str]] = ("1 / (200000 - n)", "zero")
    ranges: ClassVar[Sequence[tuple[str, Sequence[str]]]] = [
        ("int2", ["-32768", "0", "32767", "32766", "1", "2", "3", "4", "5"]),
        ("int4", ["-2147483648", "2147483647", "0", "0", "17"]),
        ("int8", ["-9223372036854775808", "9223372036854775807", "0", "1", "2", "4611686018427387904"]),
        ("numeric(10, 2)", ["0", "0.01", "99999999.99", "-99999999.99", "0.02"]),
        ("numeric", ["1e40", "-1e-40", "0", "'NaN'", "17"]),
        ("date", ["'4713-01-01 BC'", "'5874897-12-31'", "'2026-11-26'", "'2026-11-27'"]),
        ("timestamp", ["'2026-11-26 10:00:00'", "'2026-11-26 10:00:00.000001'", "'1969-12-31'"]),
        ("timestamp", ["'2026-11-26 10:00:00'", "'2026-11-26 10:00:00.000001'"]),
        ("timestamptz", ["'2026-03-29 03:00+02'", "'0001-01-01 00:00+00'", "'9999-12-31 23:59:59.999999+00'"]),
    ]  # fmt: skip
    waiting: ClassVar[str] = (
        "(select count(*) from generate_series(1, 50000) as a, generate_series(1, 50000) as b where a + b > n)"
    )
    unfit_names: ClassVar[Collection[str]] = []
    comments: ClassVar[Sequence[str]] = ["/* /* ; */ ' */"]
    without_database: ClassVar[type[DatastoresError]] = ContainerNotFound
    values: ClassVar[Sequence[tuple[str, str, Any]]] = [
        ("true", "bool", True),
        ("(-32768)::int2", "int16", -32768),
        ("2147483647", "int32", 2147483647),
        ("-9223372036854775808", "int64", -(1 << 63)),
        ("1.5::float4", "float", 1.5),
        ("0.1::float8", "double", 0.1),
        ("'-Infinity'::float8", "double", float("-inf")),
        ("(1e27 + 0.1)::numeric(38, 10)", "decimal128(38, 10)", Decimal("1" + "0" * 27 + ".1000000000")),
        ("(-0.01)::numeric(3, 2)", "decimal128(3, 2)", Decimal("-0.01")),
        ("1.50::numeric", "string", "1.50"),
        ("1e50::numeric(60)", "string", "1" + "0" * 50),
        ("''", "string", ""),
        ("'Übergröße 𝒳 👩‍👩‍👧 ''\"'", "string", "Übergröße 𝒳 👩‍👩‍👧 '\""),
        ("repeat('ä', 100000)", "string", "ä" * 100000),
        ("'ab'::char(4)", "string", "ab"),
        ("'\\x00ff27'::bytea", "binary", b"\x00\xff'"),
        ("date '0001-01-01'", "date32[day]", date(1, 1, 1)),
        ("time '23:59:59.999999'", "time64[us]", time(23, 59, 59, 999999)),
        ("timestamp '1969-12-31 23:59:59.999999'", "timestamp[us]", datetime(1969, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
        ("timestamptz '2026-03-29 03:00+02'", "timestamp[us, tz=UTC]", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("'6ecd8c99-4036-403d-bf84-cf8400f67836'::uuid", "string", "6ecd8c99-4036-403d-bf84-cf8400f67836"),
        ("'{\"a\": [1, null]}'::jsonb", "string", '{"a": [1, null]}'),
        ("'{\"a\":1, \"a\":2}'::json", "string", '{"a":1, "a":2}'),
        ("array[1, null, 3]", "string", "{1,NULL,3}"),
        ("interval '1 day 02:00'", "string", "1 day 02:00:00"),
        ("timetz '10:00+02'", "string", "10:00:00+02"),
        ("inet '127.0.0.1'", "string", "127.0.0.1/32"),
        ("b'101'", "string", "101"),
    ]  # fmt: skip

    stored: ClassVar[Sequence[tuple[str, str, Any]]] = [
        ("bool", "bool", True),
        ("bool", "int8", 1),
        ("bool", "string", "false"),
        ("int2", "int64", -32768),
        ("int4", "int32", 2147483647),
        ("int4", "string", "17"),
        ("int8", "uint32", 4294967295),
        ("float4", "double", 1.5),
        ("float8", "double", 0.1),
        ("float8", "double", float("-inf")),
        ("float8", "int64", 1 << 53),
        ("numeric(38, 10)", "decimal128(38, 10)", Decimal("-1" + "0" * 27 + ".0000000001")),
        ("numeric(38, 0)", "decimal128(38, 0)", Decimal("9" * 38)),
        ("numeric(38, 38)", "decimal128(38, 38)", Decimal("0." + "0" * 37 + "1")),
        ("numeric(38, 28)", "decimal128(38, 28)", Decimal("-0.0000001234567890123456789012")),
        ("numeric(12, 2)", "double", 0.01),
        ("numeric(12, 2)", "decimal128(38, 10)", Decimal("1.50")),
        ("numeric", "decimal128(38, 10)", Decimal("1.5")),
        ("text", "string", ""),
        ("text", "string", "Übergröße 𝒳 👩‍👩‍👧 '\"\\ \t\n\\N"),
        ("text", "string", "ä" * 100_000),
        ("varchar(3)", "string", "ä𝒳x"),
        ("char(4)", "string", "ab"),
        ("bytea", "binary", b"\x00\xff'\\"),
        ("date", "date32", date(1, 1, 1)),
        ("date", "string", "2026-11-26"),
        ("time", "time64[us]", time(23, 59, 59, 999999)),
        ("time", "string", "10:00:00.5"),
        ("timestamp", "timestamp[us]", datetime(1969, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
        ("timestamp", "string", "2026-11-26 10:00:00.000001"),
        ("timestamptz", "timestamp[us, tz=Europe/Berlin]", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("timestamptz", "string", "2026-03-29T03:00:00+02:00"),
        ("uuid", "string", "6ecd8c99-4036-403d-bf84-cf8400f67836"),
        ("jsonb", "string", '{"a": [1, null]}'),
        ("json", "string", '{"a":1, "a":2}'),
        ("int4[]", "string", "{1,NULL,3}"),
        ("interval", "string", "1 day 02:00:00"),
        ("inet", "string", "127.0.0.1/32"),
    ]  # fmt: skip
    misfits: ClassVar[Sequence[tuple[str, str, Any, str]]] = [
        ("int2", "int64", 32768, "32768 is no smallint"),
        ("int4", "double", 1.5, "1.5 is no integer"),
        ("int4", "string", "x", "'x' is no integer"),
        ("bool", "int8", 2, "2 is no boolean"),
        ("float4", "double", 1e300, "1e\\+300 is no real"),
        ("numeric(5, 2)", "decimal128(38, 10)", Decimal("1000"), "is no numeric\\(5,2\\)"),
        ("numeric(5, 2)", "decimal128(38, 10)", Decimal("0.001"), "is no numeric\\(5,2\\)"),
        ("numeric(5, 2)", "double", float("nan"), "nan is no numeric\\(5,2\\)"),
        ("varchar(3)", "string", "äöüß", "'äöüß' is longer than the 3 characters"),
        ("text", "string", "a\0b", "has a NUL character"),
        ("date", "string", "2026-02-30", "'2026-02-30' is no date"),
    ]  # fmt: skip

    def __init__(self, request: pytest.FixtureRequest) -> None:
        url = make_url(request.getfixturevalue("servers").postgres)
        host = url.host or str(url.query["host"])
        self.password = url.password or "no-such-secret-word"
        self._login = Login(url.username or "", self.password)
        self._location = AzurePostgreSql(
            host,
            url.database or "",
            url.port or url.query.get("port") or 5432,
            enforce_ssl=False,  # type: ignore[arg-type]
        )
        self._conninfo = self._location.open(self._login)._login.parameters()

    @property
    def quotes(self) -> dict[str, str]:
        return {"open": '"', "close": '"'}

    def open(self, **changes: Any) -> TableStore:
        return replace(self._location, **changes).open(self._login)

    def execute(self, sql: str, *values: Any) -> None:
        with psycopg.connect(psycopg.conninfo.make_conninfo("", **self._conninfo), autocommit=True) as connection:
            connection.execute(sql, values or None)  # type: ignore[arg-type]

    def fill(self, schema: str, value: str) -> None:
        self.execute(f"create table {schema}.t as select 1 as o, {value} as x")
        self.execute(f"insert into {schema}.t values (2, null)")

    def count(self, schema: str, numbers: int) -> None:
        self.execute(f"create table {schema}.t as {self.integers.format(numbers)}")

    @contextmanager
    def schema(self) -> Iterator[str]:
        name = f"test_{uuid4().hex}"
        self.execute(f"create schema {name}")
        try:
            yield name
        finally:
            self.execute(f"drop schema {name} cascade")


RIGS = [PostgreSqlRig]
