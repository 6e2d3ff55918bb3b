"""SQL Server under contract, with Microsoft's driver and with FreeTDS."""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from airflow_azureml_datastores.core.credentials import Login
from airflow_azureml_datastores.core.table_store import TableStore
from airflow_azureml_datastores.errors import AccessDenied, ContainerNotFound, DatastoresError, MissingExtra
from airflow_azureml_datastores.stores import _odbc
from airflow_azureml_datastores.stores.azure_sql import AzureSqlDatabase
from tests.servers.tsql import SqlServer


class AzureSqlRig:
    name: ClassVar[str] = "azure_sql"
    type: ClassVar[str] = "AzureSqlDatabase"
    integers: ClassVar[str] = "select cast(value as int) as n from generate_series(1, {})"
    numbers: ClassVar[str] = (
        "select cast(value as bigint) as id, concat(N'name ', value) as name, cast(value as float) * 1.5 as f "
        "from generate_series(1, cast(? as int)) order by id"
    )
    failing: ClassVar[tuple[str, str]] = ("1 / (200000 - n)", "zero")
    ranges: ClassVar[Sequence[tuple[str, Sequence[str]]]] = []
    waiting: ClassVar[str] = ""
    unfit_names: ClassVar[Collection[str]] = []
    comments: ClassVar[Sequence[str]] = ["/* /* ; */ ' */"]
    without_database: ClassVar[type[DatastoresError]] = ContainerNotFound
    values: ClassVar[Sequence[tuple[str, str, Any]]] = [
        ("1::bit", "bool", True),
        ("255::tinyint", "uint8", 255),
        ("-32768::smallint", "int16", -32768),
        ("2147483647::int", "int32", 2147483647),
        ("-9223372036854775808::bigint", "int64", -(1 << 63)),
        ("1.5::real", "float", 1.5),
        ("0.1::float", "double", 0.1),
        ("-1000000000000000000000000000.0000000001::decimal(38, 10)", "decimal128(38, 10)",
         Decimal("-1" + "0" * 27 + ".0000000001")),
        ("-0.01::decimal(3, 2)", "decimal128(3, 2)", Decimal("-0.01")),
        ("-922337203685477.5808::money", "decimal128(19, 4)", Decimal("-922337203685477.5808")),
        ("N''::nvarchar(9)", "string", ""),
        ("N'Übergröße 𝒳 👩‍👩‍👧 ''\"'::nvarchar(99)", "string", "Übergröße 𝒳 👩‍👩‍👧 '\""),
        ("replicate(cast(N'ä' as nvarchar(max)), 100000)::nvarchar(max)", "string", "ä" * 100000),
        ("'ab'::char(4)", "string", "ab  "),
        ("'äß'::varchar(9)", "string", "äß"),
        ("0x00FF27::varbinary(9)", "binary", b"\x00\xff'"),
        ("'0001-01-01'::date", "date32[day]", date(1, 1, 1)),
        ("'23:59:59.999999'::time(6)", "time64[us]", time(23, 59, 59, 999999)),
        ("'9999-12-31 23:59:59.9'::datetime2(6)", "timestamp[us]", datetime(9999, 12, 31, 23, 59, 59, 900000)),  # noqa: DTZ001
        ("'1753-01-01 00:00:00.003'::datetime", "timestamp[us]", datetime(1753, 1, 1, 0, 0, 0, 3000)),  # noqa: DTZ001
        ("'2026-11-26 10:31'::smalldatetime", "timestamp[us]", datetime(2026, 11, 26, 10, 31)),  # noqa: DTZ001
        ("'2026-03-29 03:00:00 +02:00'::datetimeoffset(3)", "timestamp[us, tz=UTC]",
         datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("'6ECD8C99-4036-403D-BF84-CF8400F67836'::uniqueidentifier", "string",
         "6ecd8c99-4036-403d-bf84-cf8400f67836"),
    ]  # fmt: skip
    stored: ClassVar[Sequence[tuple[str, str, Any]]] = [
        ("bit", "bool", True),
        ("bit", "int8", 0),
        ("tinyint", "int64", 255),
        ("smallint", "int16", -32768),
        ("int", "int32", 2147483647),
        ("int", "string", "17"),
        ("bigint", "int64", -(1 << 63)),
        ("bigint", "uint32", 4294967295),
        ("real", "double", 1.5),
        ("float", "double", 0.1),
        ("float", "double", 1.7976931348623157e308),
        ("float", "double", 5e-324),
        ("decimal(38, 10)", "decimal128(38, 10)", Decimal("-1" + "0" * 27 + ".0000000001")),
        ("decimal(38, 0)", "decimal128(38, 0)", Decimal("9" * 38)),
        ("decimal(38, 38)", "decimal128(38, 38)", Decimal("0." + "0" * 37 + "1")),
        ("decimal(38, 28)", "decimal128(38, 28)", Decimal("-0.0000001234567890123456789012")),
        ("decimal(12, 2)", "double", 0.01),
        ("money", "decimal128(19, 4)", Decimal("922337203685477.5807")),
        ("nvarchar(max)", "string", ""),
        ("nvarchar(100)", "string", "Übergröße 𝒳 👩‍👩‍👧 '\"\\ \t\r\n\\N"),
        ("nvarchar(max)", "string", "ä" * 100_000),
        ("nvarchar(4)", "string", "ä𝒳x"),
        ("varchar(3)", "string", "äß€"),
        ("varbinary(max)", "binary", b"\x00\xff'\\"),
        ("varbinary(3)", "binary", b""),
        ("date", "date32", date(1, 1, 1)),
        ("date", "string", "2026-11-26"),
        ("time(6)", "time64[us]", time(23, 59, 59, 999999)),
        ("datetime2(6)", "timestamp[us]", datetime(9999, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
        ("datetime2(7)", "timestamp[us]", datetime(1969, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
        ("datetime", "timestamp[us]", datetime(1753, 1, 1, 0, 0, 0, 3000)),  # noqa: DTZ001
        ("smalldatetime", "timestamp[us]", datetime(2026, 11, 26, 10, 31)),  # noqa: DTZ001
        ("datetimeoffset(6)", "timestamp[us, tz=Europe/Berlin]", datetime(2026, 3, 29, 1, 2, 3, 456789, tzinfo=UTC)),
        ("datetimeoffset(3)", "string", "2026-03-29T03:00:00+02:00"),
        ("uniqueidentifier", "string", "6ecd8c99-4036-403d-bf84-cf8400f67836"),
    ]  # fmt: skip
    misfits: ClassVar[Sequence[tuple[str, str, Any, str]]] = [
        ("tinyint", "int64", -1, "-1 is no tinyint"),
        ("int", "double", 1.5, "1.5 is no int"),
        ("int", "string", "x", "'x' is no int"),
        ("bit", "int8", 2, "2 is no bit"),
        ("real", "double", 1e300, r"1e\+300 is no real"),
        ("float", "double", float("nan"), "nan is no number that the database can hold"),
        ("float", "double", float("-inf"), "-inf is no number that the database can hold"),
        ("decimal(5, 2)", "decimal128(38, 10)", Decimal("1000"), r"is no decimal\(5, 2\)"),
        ("decimal(5, 2)", "double", float("nan"), r"nan is no decimal\(5, 2\)"),
        ("nvarchar(3)", "string", "ä𝒳xy", "'ä𝒳xy' is longer than the 3 characters"),
        ("varchar(5)", "string", "ä𝒳", "'ä𝒳' cannot be held in 5 bytes by the column, whose code page is 1252"),
        ("varchar(3)", "string", "abcd", "'abcd' is longer than the 3 characters"),
        ("varbinary(3)", "binary", b"abcd", "b'abcd' is longer than the 3 bytes"),
        ("datetime", "timestamp[us]", datetime(1752, 12, 31), "1752-12-31 00:00:00 is outside of 1753-01-01"),  # noqa: DTZ001
        ("datetime2(7)", "timestamp[ns]", 1, "has more than seven digits of a second's fraction"),
        ("date", "string", "2026-02-30", "'2026-02-30' is no date"),
    ]  # fmt: skip

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.server: SqlServer = request.getfixturevalue("servers").mssql
        _odbc.WAIT, _odbc.CONNECTING, _odbc.ATTEMPTS = 0.01, 2, 3
        user, self.password = self.server.login
        self._login = Login(user, self.password)
        self._location = AzureSqlDatabase(
            self.server.host, self.server.database, self.server.port, enforce_ssl=False, driver=self.driver()
        )

    @classmethod
    def driver(cls) -> str | None:
        """That of the wheel; where none is named, rows are read by mssql-python."""
        return None

    @property
    def quotes(self) -> dict[str, str]:
        return {"open": "[", "close": "]"}

    def open(self, **changes: Any) -> TableStore:
        return replace(self._location, **changes).open(self._login)

    def execute(self, sql: str, *values: Any) -> None:
        self.server.execute(sql, *values)

    def fill(self, schema: str, value: str) -> None:
        expression, _, type_ = value.rpartition("::")
        self.execute(f"create table {schema}.t (o int, x {type_} null)")
        self.execute(f"insert into {schema}.t values (1, {expression}), (2, null)")

    def count(self, schema: str, numbers: int) -> None:
        self.execute(f"select n into {schema}.t from ({self.integers.format(numbers)}) as q")

    @contextmanager
    def schema(self) -> Iterator[str]:
        name = f"test_{uuid4().hex}"
        self.execute(f"create schema {name}")
        try:
            yield name
        finally:
            tables = (
                "select t.name from sys.tables as t join sys.schemas as s on s.schema_id = t.schema_id where s.name = ?"
            )
            for (table,) in self.server.execute(tables, name):
                self.execute(f"drop table {name}.[{table.replace(']', ']]')}]")
            self.execute(f"drop schema {name}")


class FreeTdsRig(AzureSqlRig):
    name: ClassVar[str] = "azure_sql_freetds"
    without_database = AccessDenied  # the driver hands on no more than that the login failed

    @classmethod
    def driver(cls) -> str | None:
        try:
            found = _odbc.find_driver("FreeTDS")
        except (MissingExtra, ValueError) as error:
            pytest.skip(f"no FreeTDS: {error}")
        return found.name


RIGS = [AzureSqlRig, FreeTdsRig] if platform.system() == "Linux" else [AzureSqlRig]
