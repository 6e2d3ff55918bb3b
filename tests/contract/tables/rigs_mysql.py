"""MySQL under contract."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, ClassVar
from uuid import uuid4

import pymysql
import pytest
from sqlalchemy import make_url

from airflow_azureml_datastores.core.credentials import Login
from airflow_azureml_datastores.core.table_store import TableStore
from airflow_azureml_datastores.errors import ContainerNotFound, DatastoresError
from airflow_azureml_datastores.stores.mysql import AzureMySql


class MySqlRig:
    name: ClassVar[str] = "mysql"
    type: ClassVar[str] = "AzureMySql"
    # Neither MySQL nor MariaDB counts without being asked for more than 1000.
    integers: ClassVar[str] = (
        "select a.n * 3000 + b.n + 1 as n from tests.numbers as a join tests.numbers as b where a.n * 3000 + b.n < {}"
    )
    numbers: ClassVar[str] = (
        "select n as id, concat('name ', n) as name, n * 1.5e0 as f from (select a.n * 3000 + b.n + 1 as n "
        "from tests.numbers as a join tests.numbers as b where a.n * 3000 + b.n < ?) as q order by n"
    )
    failing: ClassVar[tuple[str, str]] = ("exp(if(n = 200000, 1000, 1))", "out of range")
    ranges: ClassVar[Sequence[tuple[str, Sequence[str]]]] = []
    waiting: ClassVar[str] = ""
    unfit_names: ClassVar[Collection[str]] = ["ünï 𝒳"]
    comments: ClassVar[Sequence[str]] = ["# it's one;", "/* /* ; */"]
    without_database: ClassVar[type[DatastoresError]] = ContainerNotFound
    values: ClassVar[Sequence[tuple[str, str, Any]]] = [
        ("true::bool", "int8", 1),
        ("-128::tinyint", "int8", -128),
        ("255::tinyint unsigned", "uint8", 255),
        ("-32768::smallint", "int16", -32768),
        ("16777215::mediumint unsigned", "uint32", 16777215),
        ("2147483647::int", "int32", 2147483647),
        ("4294967295::int unsigned", "uint32", 4294967295),
        ("-9223372036854775808::bigint", "int64", -(1 << 63)),
        ("18446744073709551615::bigint unsigned", "uint64", (1 << 64) - 1),
        ("2026::year", "int16", 2026),
        ("1.1::float", "float", 1.100000023841858),
        ("0.1::double", "double", 0.1),
        ("1234567890::decimal(10)", "decimal128(10, 0)", Decimal(1234567890)),
        ("-0.01::decimal(3, 2)", "decimal128(3, 2)", Decimal("-0.01")),
        ("99.9::decimal(3, 1) unsigned", "decimal128(3, 1)", Decimal("99.9")),
        ("cast(1e27 as decimal(38, 10)) + 0.1::decimal(38, 10)", "decimal128(38, 10)", Decimal("1" + "0" * 27 + ".1")),
        ("1.50::decimal(60, 2)", "string", "1.50"),
        ("b'1'::bit(1)", "bool", True),
        ("b'101000000001'::bit(12)", "uint64", 0xA01),
        ("''::varchar(9)", "string", ""),
        ("'Übergröße 𝒳 👩‍👩‍👧 \\'\"\\\\'::text", "string", "Übergröße 𝒳 👩‍👩‍👧 '\"\\"),
        ("repeat('ä', 100000)::longtext", "string", "ä" * 100000),
        ("repeat('x', 250)::text", "string", "x" * 250),
        ("repeat('x', 251)::text", "string", "x" * 251),
        ("'a'::varchar(5) collate utf8mb4_bin", "string", "a"),
        ("'ä'::varchar(5) character set latin1", "string", "ä"),
        ("'ab'::char(4)", "string", "ab"),
        ("'b'::enum('a', 'b')", "string", "b"),
        ("'a,b'::set('a', 'b')", "string", "a,b"),
        ("x'00ff27'::varbinary(9)", "binary", b"\x00\xff'"),
        ("x'00'::binary(3)", "binary", b"\x00\x00\x00"),
        ("repeat(x'00ff', 40000)::mediumblob", "binary", b"\x00\xff" * 40000),
        ("'0001-01-01'::date", "date32[day]", date(1, 1, 1)),
        ("'9999-12-31'::date", "date32[day]", date(9999, 12, 31)),
        ("'1969-12-31 23:59:59.999999'::datetime(6)", "timestamp[us]", datetime(1969, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
        ("'2026-02-28 00:00:00'::datetime", "timestamp[us]", datetime(2026, 2, 28)),  # noqa: DTZ001
        ("from_unixtime(1774746000)::timestamp", "timestamp[us, tz=UTC]", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("'-838:59:58.000001'::time(6)", "string", "-838:59:58.000001"),
        ("'00:00:00'::time", "string", "00:00:00"),
        ("'23:59:59.5'::time(1)", "string", "23:59:59.5"),
        ("'{\"a\": [1, null]}'::json", "string", '{"a": [1, null]}'),
        ("point(1, 2)::point", "binary", bytes.fromhex("000000000101000000000000000000f03f0000000000000040")),
    ]  # fmt: skip

    stored: ClassVar[Sequence[tuple[str, str, Any]]] = [
        ("bool", "bool", True),
        ("tinyint", "int64", -128),
        ("tinyint unsigned", "uint8", 255),
        ("smallint", "int16", -32768),
        ("mediumint unsigned", "int64", 16777215),
        ("int", "string", "17"),
        ("bigint", "int64", -(1 << 63)),
        ("bigint unsigned", "uint64", (1 << 64) - 1),
        ("year", "int64", 2026),
        ("bit(1)", "bool", True),
        ("bit(12)", "uint64", 0xA01),
        ("float", "double", 1.5),
        ("double", "double", 0.1),
        ("double", "double", 1.7976931348623157e308),
        ("double", "double", 5e-324),
        ("decimal(38, 10)", "decimal128(38, 10)", Decimal("-1" + "0" * 27 + ".0000000001")),
        ("decimal(38, 0)", "decimal128(38, 0)", Decimal("9" * 38)),
        ("decimal(38, 30)", "decimal128(38, 30)", Decimal("0." + "0" * 29 + "1")),
        ("decimal(38, 28)", "decimal128(38, 28)", Decimal("-0.0000001234567890123456789012")),
        ("decimal(12, 2)", "double", 0.01),
        ("decimal(60, 2)", "decimal128(38, 2)", Decimal("1.50")),
        ("longtext", "string", ""),
        ("longtext", "string", "Übergröße 𝒳 👩‍👩‍👧 '\"\\ \t\n\\N\\' \0 %s ?"),
        ("longtext", "string", "ä" * 100_000),
        ("varchar(3)", "string", "ä𝒳x"),
        ("varchar(5) character set latin1", "string", "äß"),
        ("varbinary(9)", "binary", b"\x00\xff'\\"),
        ("longblob", "binary", b"\x00\xff" * 40_000),
        ("date", "date32", date(1, 1, 1)),
        ("date", "string", "2026-11-26"),
        ("time(6)", "time64[us]", time(23, 59, 59, 999999)),
        ("time(6)", "string", "-838:59:58.000001"),
        ("datetime(6)", "timestamp[us]", datetime(1969, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
        ("datetime(6)", "string", "2026-11-26 10:00:00.000001"),
        ("timestamp(6) null", "timestamp[us, tz=Europe/Berlin]", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("timestamp null", "string", "2026-03-29T03:00:00+02:00"),
        ("json", "string", '{"a": [1, null]}'),
        ("enum('a', 'b')", "string", "b"),
        ("set('a', 'b')", "string", "a,b"),
    ]  # fmt: skip
    misfits: ClassVar[Sequence[tuple[str, str, Any, str]]] = [
        ("tinyint unsigned", "int64", -1, "-1 is no tinyint"),
        ("int", "double", 1.5, "1.5 is no int"),
        ("int", "string", "x", "'x' is no int"),
        ("float", "double", 1e300, "1e\\+300 is no float"),
        ("double", "double", float("nan"), "nan is no number that the database can hold"),
        ("decimal(5, 2)", "decimal128(38, 10)", Decimal("1000"), "is no decimal\\(5,2\\)"),
        ("decimal(5, 2)", "double", float("nan"), "nan is no decimal\\(5,2\\)"),
        ("varchar(3)", "string", "äöüß", "'äöüß' is longer than the 3 characters"),
        ("varbinary(3)", "binary", b"abcd", "b'abcd' is longer than the 3 bytes"),
        ("date", "string", "2026-02-30", "'2026-02-30' is no date"),
        ("timestamp null", "timestamp[us, tz=UTC]", datetime(2039, 1, 1, tzinfo=UTC), "is outside of 1970-01-01"),
    ]  # fmt: skip

    def __init__(self, request: pytest.FixtureRequest) -> None:
        url = make_url(request.getfixturevalue("servers").mysql)
        self.password = url.password or "no-such-secret-word"
        self._login = Login(url.username or "", self.password)
        self._location = AzureMySql(url.host or "", "tests", url.port or 3306, enforce_ssl=False)
        self.execute("create database if not exists tests")
        self.execute("create table if not exists tests.numbers (n int primary key)")
        self.execute(f"replace into tests.numbers values {', '.join(f'({n})' for n in range(3000))}")

    @property
    def quotes(self) -> dict[str, str]:
        return {"open": "`", "close": "`"}

    def open(self, **changes: Any) -> TableStore:
        return replace(self._location, **changes).open(self._login)

    def connect(self) -> pymysql.Connection[Any]:
        at, login = self._location, self._login
        return pymysql.connect(
            host=at.host, port=at.port_number, user=login.username, password=login.password.encode(), autocommit=True
        )

    def execute(self, sql: str, *values: Any) -> None:
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(sql, values or None)

    def fill(self, schema: str, value: str) -> None:
        expression, _, type_ = value.rpartition("::")
        self.execute(f"create table {schema}.t (o int, x {type_} null)")
        self.execute(f"insert into {schema}.t values (1, {expression}), (2, null)")

    def count(self, schema: str, numbers: int) -> None:
        self.execute(f"create table {schema}.t as {self.integers.format(numbers)}")

    @contextmanager
    def schema(self) -> Iterator[str]:
        name = f"test_{uuid4().hex}"
        self.execute(f"create database {name}")
        try:
            yield name
        finally:
            self.execute(f"drop database {name}")


RIGS = [MySqlRig]
