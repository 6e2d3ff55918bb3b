"""SQL Server's types as Arrow's: what a query gives, and as what rows are brought."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_azureml_datastores.core.watermark import FineTime
from airflow_azureml_datastores.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

TIMESTAMP, TIME, OFFSET = 93, -154, -155
"""ODBC's numbers of types: SQL_TYPE_TIMESTAMP, SQL_SS_TIME2, SQL_SS_TIMESTAMPOFFSET."""

_EPOCH = date(1970, 1, 1).toordinal()
_1900 = date(1900, 1, 1).toordinal()
_DAY = 86_400 * 10**9
_DIGITS = 38
_TEXTS = ("char", "varchar", "nchar", "nvarchar", "text", "ntext", "xml", "sysname", "json")
_BINARIES = ("binary", "varbinary", "image", "timestamp", "rowversion")


@dataclass(frozen=True)
class Declared:
    """A type as SQL Server writes it, such as ``decimal(38,10)``.

    :param first: precision, or length; -1 is ``max``; None where there is none.
    """

    name: str
    first: int | None = None
    second: int = 0

    @classmethod
    def parse(cls, text: str) -> Declared:
        found = re.fullmatch(r"(\w+)(?:\((\d+|max)(?:\s*,\s*(\d+))?\))?.*", text.strip().lower())
        if found is None:
            return cls(text)
        first = None if found[2] is None else -1 if found[2] == "max" else int(found[2])
        return cls(found[1], first, int(found[3] or 0))

    @property
    def scale(self) -> int:
        """Digits of a second's fraction; what a type of time has in its brackets."""
        return 7 if self.first is None else self.first

    def arrow(self) -> pa.DataType | None:
        """The Arrow type that holds all its values exactly; None if there is none."""
        import pyarrow as pa

        unit = "ns" if self.scale > 6 else "us"
        if self.name in ("decimal", "numeric"):
            return pa.decimal128(self.first or 18, self.second)
        if self.name in _TEXTS:
            return pa.string()
        if self.name in _BINARIES:
            return pa.binary()
        return {
            "bit": pa.bool_(),
            "tinyint": pa.uint8(),
            "smallint": pa.int16(),
            "int": pa.int32(),
            "bigint": pa.int64(),
            "real": pa.float32(),
            "float": pa.float32() if self.first is not None and self.first <= 24 else pa.float64(),
            "money": pa.decimal128(19, 4),
            "smallmoney": pa.decimal128(10, 4),
            "date": pa.date32(),
            "time": pa.time64(unit),
            "datetime2": pa.timestamp(unit),
            "datetime": pa.timestamp("us"),
            "smalldatetime": pa.timestamp("us"),
            "datetimeoffset": pa.timestamp(unit, "UTC"),
            "uniqueidentifier": pa.string(),
        }.get(self.name)


@dataclass(frozen=True)
class ResultColumn:
    """A column of a query's result."""

    name: str
    declared: Declared
    type: pa.DataType

    def array(self, values: Sequence[Any]) -> pa.Array:
        """Values as pyodbc gives them. :raises InvalidInput: Arrow has no place for one."""
        import pyarrow as pa

        if prepare := _PREPARED.get(self.declared.name):
            values = [None if value is None else prepare(value) for value in values]
        if self.type in (pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.time64("us")):
            values = [value // 1000 if isinstance(value, int) else value for value in values]
        with self._told_of_years():
            return pa.array(values, self.type)

    def fitted(self, array: pa.Array, rest: pa.Array | None = None) -> pa.Array:
        """Values as mssql-python gives them.

        :param rest: nanoseconds to be added.
        :raises InvalidInput: Arrow has no place for one.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.declared.name == "uniqueidentifier":
            array = pc.utf8_lower(array)
        with self._told_of_years():
            found = array.cast(self.type)
            if rest is not None:
                found = pc.add_checked(found.cast(pa.int64()), rest.cast(pa.int64())).cast(self.type)
        return found

    @contextmanager
    def _told_of_years(self) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except (pa.ArrowInvalid, OverflowError):
            if self.type in (pa.timestamp("ns"), pa.timestamp("ns", "UTC")):
                raise InvalidInput(
                    f"column {self.name!r} has a time outside of 1677 to 2262, which has no value with seven digits of "
                    f"a second's fraction: cast it in the query, cast({self.name} as {self.declared.name}(6))."
                ) from None
            raise


def result_columns(found: Sequence[tuple[str | None, str]]) -> list[ResultColumn]:
    """Columns by their names and declared types.

    :raises InvalidInput: names are missing or there twice, or Arrow has no type for one.
    """
    columns: list[ResultColumn] = []
    seen: set[str] = set()
    for number, (name, text) in enumerate(found, 1):
        if not name:
            raise InvalidInput(f"column {number} of the query has no name: give it one with AS.")
        if name.casefold() in seen:
            raise InvalidInput(
                f"the query gives several columns of the same name, {name.lower()!r}: name them apart with AS."
            )
        seen.add(name.casefold())
        declared = Declared.parse(text)
        if (type_ := declared.arrow()) is None:
            raise InvalidInput(f"column {name!r} is {text}, for which there is no type: cast it in the query.")
        columns.append(ResultColumn(name, declared, type_))
    return columns


def described(found: Sequence[Sequence[Any]]) -> list[tuple[str, str]]:
    """Names and types of columns, as far as pyodbc's description of a result has them."""
    return [(name, _type_of(*rest)) for name, *rest in found]


def _type_of(kind: Any, _: Any, size: int, precision: int, scale: int, *rest: Any) -> str:
    if kind is int:
        return {3: "tinyint", 5: "smallint", 10: "int"}.get(precision, "bigint")
    if kind is float:
        return "real" if precision and precision <= 24 else "float"
    if kind is Decimal:
        return f"decimal({precision},{scale})"
    if kind is datetime:
        return f"datetime2({scale or 0})"
    names = {bool: "bit", str: "nvarchar(max)", bytes: "varbinary(max)", bytearray: "varbinary(max)", date: "date"}
    return names.get(kind, "time(7)" if kind is time else "nvarchar(max)")


def declaration(value: Any) -> str:
    """The type that a parameter's value is declared with. :raises InvalidInput: there is none."""
    match value:
        case None:
            return "nvarchar(1)"
        case bool():
            return "bit"
        case int():
            if -(1 << 63) <= value < 1 << 63:
                return "bigint"
            if abs(value) < 10**_DIGITS:
                return "decimal(38, 0)"
        case float() if isfinite(value):
            return "float"
        case Decimal() if value.is_finite():
            _, digits, exponent = value.as_tuple()
            scale = max(-int(exponent), 0)
            precision = max(len(digits) + max(int(exponent), 0), scale, 1)
            if precision <= _DIGITS:
                return f"decimal({precision}, {scale})"
        case str():
            if re.search("[\ud800-\udfff]", value):
                raise InvalidInput("a text cannot be the value of a parameter: it has half a character in it.")
            return "nvarchar(4000)" if len(value.encode("utf-16-le")) <= 8000 else "nvarchar(max)"
        case bytes():
            return "varbinary(8000)" if len(value) <= 8000 else "varbinary(max)"
        case datetime():
            return "datetime2(7)" if value.tzinfo is None else "datetimeoffset(7)"
        case date():
            return "date"
        case time() if value.tzinfo is None:
            return "time(7)"
        case UUID():
            return "uniqueidentifier"
    if isinstance(value, (int, float, Decimal)):
        raise InvalidInput(f"{str(value)[:50]} cannot be the value of a parameter: SQL Server has no such number.")
    raise InvalidInput(f"a {type(value).__name__} cannot be the value of a parameter.")


def time_text(time: datetime | FineTime) -> str:
    """A time as any type of these reads it, whatever the session's language is.

    https://learn.microsoft.com/sql/t-sql/data-types/datetime-transact-sql#supported-string-literal-formats-for-datetime
    """
    text = time.isoformat() if isinstance(time, FineTime) else time.isoformat(timespec="microseconds")
    return re.sub(r"\.(\d*?)0*(?!\d)", lambda found: f".{found[1].ljust(3, '0')}" if found[1] else "", text)


def as_value(value: Any) -> Any:
    """A parameter's value as pyodbc takes it."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.isoformat(" ")  # it would lose its offset
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return Decimal(value)
    return value


def nanoseconds(packed: bytes) -> int:
    """SQL_TIMESTAMP_STRUCT, or SQL_SS_TIMESTAMPOFFSET_STRUCT, as nanoseconds since 1970, in UTC if it has an offset.

    Drivers give ``datetime`` and ``smalldatetime`` as they are on the wire: days since 1900, and 300ths of a second or
    minutes.
    """
    if len(packed) == 8:
        days, ticks = struct.unpack("<iI", packed)
        return int((_1900 + days - _EPOCH) * _DAY + (ticks * 10 + 1) // 3 * 10**6)
    if len(packed) == 4:
        days, minutes = struct.unpack("<2H", packed)
        return int((_1900 + days - _EPOCH) * _DAY + minutes * 60 * 10**9)
    year, month, day, hour, minute, second, fraction = struct.unpack_from("<h5HI", packed)
    found: int = (date(year, month, day).toordinal() - _EPOCH) * _DAY + _of_day(hour, minute, second, fraction)
    if len(packed) >= 20:
        hours, minutes = struct.unpack_from("<2h", packed, 16)
        found -= (hours * 60 + minutes) * 60 * 10**9
    return found


def nanoseconds_of_day(packed: bytes) -> int:
    """SQL_SS_TIME2_STRUCT as nanoseconds since midnight."""
    return _of_day(*struct.unpack_from("<3H2xI", packed))


def _of_day(hour: int, minute: int, second: int, fraction: int) -> int:
    return ((hour * 60 + minute) * 60 + second) * 10**9 + fraction


def _uuid(value: Any) -> str:
    return str(value).lower()


_PREPARED: dict[str, Callable[[Any], Any]] = {"uniqueidentifier": _uuid}
