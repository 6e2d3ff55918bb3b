"""SQL Server's types as Arrow's, and the values of statements."""

from __future__ import annotations

import struct
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from airflow_azureml_datastores.core.table_store import Query
from airflow_azureml_datastores.core.watermark import FineTime
from airflow_azureml_datastores.errors import InvalidInput
from airflow_azureml_datastores.stores._azure_sql_store import AzureSqlStore
from airflow_azureml_datastores.stores._azure_sql_types import (
    Declared,
    as_value,
    declaration,
    described,
    nanoseconds,
    nanoseconds_of_day,
    result_columns,
    time_text,
)

BERLIN = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("int", Declared("int")),
        ("decimal(38,10)", Declared("decimal", 38, 10)),
        ("DECIMAL(5, 2)", Declared("decimal", 5, 2)),
        ("numeric(9)", Declared("numeric", 9)),
        ("nvarchar(max)", Declared("nvarchar", -1)),
        ("varchar(10) COLLATE Latin1_General_BIN2", Declared("varchar", 10)),
        ("datetime2(0)", Declared("datetime2", 0)),
        (" time ", Declared("time")),
        ("", Declared("")),
    ],
)
def test_declared(text: str, parsed: Declared) -> None:
    assert Declared.parse(text) == parsed


@pytest.mark.parametrize(
    ("text", "arrow"),
    [
        ("bit", pa.bool_()),
        ("tinyint", pa.uint8()),
        ("smallint", pa.int16()),
        ("int", pa.int32()),
        ("bigint", pa.int64()),
        ("real", pa.float32()),
        ("float", pa.float64()),
        ("float(24)", pa.float32()),
        ("float(25)", pa.float64()),
        ("decimal(38,10)", pa.decimal128(38, 10)),
        ("decimal", pa.decimal128(18, 0)),
        ("money", pa.decimal128(19, 4)),
        ("smallmoney", pa.decimal128(10, 4)),
        ("date", pa.date32()),
        ("time", pa.time64("ns")),
        ("time(7)", pa.time64("ns")),
        ("time(6)", pa.time64("us")),
        ("datetime2(7)", pa.timestamp("ns")),
        ("datetime2(0)", pa.timestamp("us")),
        ("datetime", pa.timestamp("us")),
        ("smalldatetime", pa.timestamp("us")),
        ("datetimeoffset(7)", pa.timestamp("ns", "UTC")),
        ("datetimeoffset(6)", pa.timestamp("us", "UTC")),
        ("uniqueidentifier", pa.string()),
        ("sysname", pa.string()),
        ("xml", pa.string()),
        ("varbinary(max)", pa.binary()),
        ("rowversion", pa.binary()),
        ("sql_variant", None),
        ("geography", None),
        ("shop.sys.hierarchyid", None),
        ("", None),
    ],
)
def test_arrow(text: str, arrow: pa.DataType | None) -> None:
    assert Declared.parse(text).arrow() == arrow


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ([("a", "int"), (None, "int")], "column 2 of the query has no name"),
        ([("", "int")], "column 1 of the query has no name"),
        ([("Straße", "int"), ("STRASSE", "int")], "several columns of the same name"),
        ([("a", "geography")], "column 'a' is geography, for which there is no type: cast it"),
    ],
)
def test_columns_that_cannot_be(columns: list[tuple[str | None, str]], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        result_columns(columns)


def stamp(*parts: int) -> bytes:
    return struct.pack("<h5HI", *parts)


class TestTimes:
    @pytest.mark.parametrize(
        ("packed", "expected"),
        [
            (stamp(1970, 1, 1, 0, 0, 0, 0), 0),
            (stamp(1970, 1, 1, 0, 0, 0, 100), 100),
            (stamp(1969, 12, 31, 23, 59, 59, 999_999_900), -100),
            (stamp(2026, 11, 26, 10, 31, 15, 123_456_700), 1_795_689_075_123_456_700),
            (stamp(1, 1, 1, 0, 0, 0, 0), -62_135_596_800 * 10**9),
            (stamp(9999, 12, 31, 23, 59, 59, 999_999_900), 253_402_300_799_999_999_900),
            (stamp(1970, 1, 1, 2, 0, 0, 100) + struct.pack("<2h", 2, 0), 100),
            (stamp(1970, 1, 1, 0, 0, 0, 0) + struct.pack("<2h", -3, -30), 12_600 * 10**9),
            (stamp(1970, 1, 1, 0, 0, 0, 0) + struct.pack("<2h", 14, 0), -50_400 * 10**9),
            (struct.pack("<iI", -53_690, 1), -6_847_804_800 * 10**9 + 3_000_000),
            (struct.pack("<iI", 25_567, 299), 997_000_000),
            (struct.pack("<iI", 25_568, 2), 86_400 * 10**9 + 7_000_000),
            (struct.pack("<2H", 25_567, 1439), 86_340 * 10**9),
            (struct.pack("<2H", 65_535, 0), 3_453_235_200 * 10**9),
        ],
    )
    def test_of_a_moment(self, packed: bytes, expected: int) -> None:
        assert nanoseconds(packed) == expected

    def test_of_a_day(self) -> None:
        assert nanoseconds_of_day(struct.pack("<3H2xI", 23, 59, 59, 999_999_900)) == 86_399_999_999_900

    @pytest.mark.parametrize(
        ("kind", "value", "expected"),
        [
            ("datetime2(7)", 1_795_689_075_123_456_700, "2026-11-26 10:31:15.123456700"),
            ("datetime2(3)", 1_795_689_075_123_000_000, "2026-11-26 10:31:15.123000"),
            ("datetime2(6)", -62_135_596_800 * 10**9, "0001-01-01 00:00:00.000000"),
            ("datetime2(6)", datetime(9999, 12, 31), "9999-12-31 00:00:00.000000"),  # noqa: DTZ001
            ("time(7)", 86_399_999_999_900, "23:59:59.999999900"),
            ("time(3)", time(1, 2, 3, 4000), "01:02:03.004000"),
            ("datetimeoffset(7)", 100, "1970-01-01 00:00:00.000000100Z"),
        ],
    )
    def test_in_arrow(self, kind: str, value: Any, expected: str) -> None:
        (column,) = result_columns([("at", kind)])
        found = column.array([value, None])
        assert found.cast(pa.string()).to_pylist() == [expected, None]

    @pytest.mark.parametrize("kind", ["datetime2", "datetimeoffset"])
    @pytest.mark.parametrize("value", [253_402_300_799_999_999_900, -62_135_596_800 * 10**9])
    def test_that_nanoseconds_cannot_hold(self, kind: str, value: int) -> None:
        (column,) = result_columns([("at", f"{kind}(7)")])
        with pytest.raises(InvalidInput, match=rf"'at' has a time outside of 1677 to 2262.*cast\(at as {kind}\(6\)\)"):
            column.array([0, value])

    def test_uuids(self) -> None:
        (column,) = result_columns([("u", "uniqueidentifier")])
        text = "6ecd8c99-4036-403d-bf84-cf8400f67836"
        assert column.array([text.upper(), UUID(text), None]).to_pylist() == [text, text, None]


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (None, "nvarchar(1)"),
        (True, "bit"),
        (-(1 << 63), "bigint"),
        (1 << 63, "decimal(38, 0)"),
        (-(10**38) + 1, "decimal(38, 0)"),
        (0.1, "float"),
        (Decimal(0), "decimal(1, 0)"),
        (Decimal("0.001"), "decimal(3, 3)"),
        (Decimal("-12.50"), "decimal(4, 2)"),
        (Decimal("1E+5"), "decimal(6, 0)"),
        (Decimal("1E-38"), "decimal(38, 38)"),
        ("", "nvarchar(4000)"),
        ("𝒳" * 2000, "nvarchar(4000)"),
        ("𝒳" * 2001, "nvarchar(max)"),
        (b"x" * 8000, "varbinary(8000)"),
        (b"x" * 8001, "varbinary(max)"),
        (datetime(2026, 11, 26), "datetime2(7)"),  # noqa: DTZ001
        (datetime(2026, 11, 26, tzinfo=UTC), "datetimeoffset(7)"),
        (date(2026, 11, 26), "date"),
        (time(1), "time(7)"),
        (UUID(int=1), "uniqueidentifier"),
    ],
)
def test_declarations(value: Any, declared: str) -> None:
    assert declaration(value) == declared


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), "nan cannot be"),
        (float("inf"), "inf cannot be"),
        (Decimal("NaN"), "NaN cannot be"),
        (Decimal("-Infinity"), "-Infinity cannot be"),
        (10**38, "SQL Server has no such number"),
        (Decimal("1E+38"), "SQL Server has no such number"),
        (Decimal("1E-39"), "SQL Server has no such number"),
        ("a\ud83d", "half a character"),
        (time(1, tzinfo=UTC), "a time cannot be the value"),
        (bytearray(b"x"), "a bytearray cannot be the value"),
        ([1], "a list cannot be the value"),
        ({}, "a dict cannot be the value"),
        (object(), "a object cannot be the value"),
    ],
)
def test_values_that_cannot_be(value: Any, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        declaration(value)


@pytest.mark.parametrize(
    ("value", "given"),
    [
        (datetime(2026, 11, 26, 1, 2, 3, 4, tzinfo=BERLIN), "2026-11-26 01:02:03.000004+02:00"),
        (datetime(2026, 11, 26), datetime(2026, 11, 26)),  # noqa: DTZ001
        (1 << 63, Decimal(1 << 63)),
        ((1 << 63) - 1, (1 << 63) - 1),
        (True, True),
        (None, None),
    ],
)
def test_values(value: Any, given: Any) -> None:
    found = as_value(value)
    assert (found, type(found)) == (given, type(given))


@pytest.mark.parametrize(
    ("entry", "declared"),
    [
        ((int, None, 10, 10, 0, True), "int"),
        ((int, None, 19, 19, 0, True), "bigint"),
        ((float, None, 24, 24, 0, True), "real"),
        ((float, None, 53, 53, 0, True), "float"),
        ((Decimal, None, 12, 12, 3, True), "decimal(12,3)"),
        ((datetime, None, 27, 27, 7, True), "datetime2(7)"),
        ((date, None, 10, 10, 0, True), "date"),
        ((time, None, 16, 16, 7, True), "time(7)"),
        ((bool, None, 1, 1, 0, True), "bit"),
        ((bytes, None, 10, 10, 0, True), "varbinary(max)"),
        ((str, None, 10, 10, 0, True), "nvarchar(max)"),
    ],
)
def test_as_a_driver_describes_it(entry: tuple[Any, ...], declared: str) -> None:
    """Where the server cannot be asked."""
    assert described([("a", *entry)]) == [("a", declared)]


def test_a_type_of_the_clr() -> None:
    """SQL Server leaves its name out, where it says the system's."""

    class Connection:
        description = [(name,) for name in ("is_hidden", "name", "system_type_name", "user_type_name")]

        def execute(self, sql: str) -> Connection:
            return self

        def fetchall(self) -> list[tuple[Any, ...]]:
            return [(False, "a", "int", None), (False, "place", None, "geography")]

    store = object.__new__(AzureSqlStore)
    with pytest.raises(InvalidInput, match="column 'place' is geography, for which there is no type: cast it"):
        store._describe(Connection(), Query("select * from t"))


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2026, 11, 1, 2, 3, 4), "2026-11-01T02:03:04"),  # noqa: DTZ001
        (datetime(2026, 11, 1, 2, 3, 4, 10_000), "2026-11-01T02:03:04.010"),  # noqa: DTZ001
        (datetime(2026, 11, 1, 2, 3, 4, 120), "2026-11-01T02:03:04.00012"),  # noqa: DTZ001
        (datetime(2026, 11, 1, 2, 3, 4, tzinfo=UTC), "2026-11-01T02:03:04+00:00"),
        (FineTime(datetime(2026, 11, 1, 2, 3, 4), 100), "2026-11-01T02:03:04.0000001"),  # noqa: DTZ001
        (FineTime(datetime(2026, 11, 1, 2, 3, 4, 5, UTC), 100), "2026-11-01T02:03:04.0000051+00:00"),
        (datetime(1, 1, 1), "0001-01-01T00:00:00"),  # noqa: DTZ001
    ],
)
def test_time_text(time: datetime | FineTime, text: str) -> None:
    assert time_text(time) == text
