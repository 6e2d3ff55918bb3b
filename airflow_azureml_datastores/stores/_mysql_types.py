"""MySQL's types as Arrow's, and values of parameters as MySQL's."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from airflow_azureml_datastores.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

# https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html
_TINY, _SHORT, _LONG, _FLOAT, _DOUBLE, _NULL, _TIMESTAMP, _LONGLONG, _INT24, _DATE, _TIME, _DATETIME, _YEAR = range(
    1, 14
)
_DECIMAL, _BIT, _VECTOR, _JSON, _NEWDECIMAL, _BLOB, _VAR_STRING = 0, 16, 242, 245, 246, 252, 253
_WHOLE = {_TINY: 8, _SHORT: 16, _LONG: 32, _INT24: 32, _LONGLONG: 64, _YEAR: 16}
"""Type -> bits that it is sent with."""

_UNSIGNED = 32
"""Of a column's flags."""
_BINARY = 63
"""The character set of what is no text."""
_MOST_DIGITS = 38
"""Of a decimal in Arrow and in Parquet."""

Form = Literal["number", "moment", "elapsed", "text", "bits"]


@dataclass(frozen=True)
class Column:
    """A column of a query's result, as the server describes it.

    :param length: characters at most, as the server shows a value.
    :param scale: digits after the point.
    """

    name: str
    type: int
    charset: int = _BINARY
    length: int = 0
    flags: int = 0
    scale: int = 0

    @property
    def form(self) -> Form:
        """How its values are sent."""
        if self.type in _WHOLE or self.type in (_FLOAT, _DOUBLE):
            return "number"
        if self.type in (_DATE, _DATETIME, _TIMESTAMP):
            return "moment"
        return "elapsed" if self.type == _TIME else "bits" if self.type == _BIT else "text"

    @cached_property
    def arrow(self) -> pa.DataType:
        import pyarrow as pa

        unsigned = bool(self.flags & _UNSIGNED)
        if self.type in (_DECIMAL, _NEWDECIMAL):
            digits = self.length - (self.scale > 0) - (not unsigned)
            return pa.decimal128(max(digits, 1), self.scale) if digits <= _MOST_DIGITS else pa.string()
        if self.type in _WHOLE:
            return pa.type_for_alias(f"{'u' * (unsigned and self.type != _YEAR)}int{_WHOLE[self.type]}")
        if self.type == _BIT:
            return pa.bool_() if self.length == 1 else pa.uint64()
        others = {
            _FLOAT: pa.float32(),
            _DOUBLE: pa.float64(),
            _DATE: pa.date32(),
            _DATETIME: pa.timestamp("us"),
            _TIMESTAMP: pa.timestamp("us", "UTC"),
            **dict.fromkeys((_TIME, _JSON, _NULL), pa.string()),
        }
        return others.get(self.type) or (pa.binary() if self.charset == _BINARY else pa.string())

    def check_dates(self, wrong: Any) -> None:
        """:param wrong: a numpy array that is true where a date is none. :raises InvalidInput: it is one somewhere."""
        if wrong.any():
            raise InvalidInput(
                f"column {self.name!r} has a row with a date like '0000-00-00', for which there is no value outside "
                f"of MySQL: replace it in the query (nullif), or read it as text (cast(`{self.name}` as char))."
            )

    def from_binary(self, array: pa.Array) -> pa.Array:
        """Values as they were sent, as those of its Arrow type. :raises InvalidInput: one does not fit."""
        import pyarrow as pa

        if pa.types.is_binary(self.arrow):
            return array
        try:
            text = array.cast(pa.string())
            return text if pa.types.is_string(self.arrow) else text.cast(self.arrow)
        except pa.ArrowInvalid as error:
            raise InvalidInput(f"column {self.name!r} has a row that is no {self.arrow}: {error}.") from None


def encode_values(values: Sequence[Any]) -> bytes:
    """Values as a statement is executed with: which are NULL, their types, and each.

    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_execute.html

    :raises InvalidInput: MySQL has no such value.
    """
    if not values:
        return b""
    nulls = sum(1 << number for number, value in enumerate(values) if value is None)
    encoded = [_encode(value) for value in values]
    types = b"".join(struct.pack("<H", kind) for kind, _ in encoded)
    return nulls.to_bytes((len(values) + 7) // 8, "little") + b"\1" + types + b"".join(data for _, data in encoded)


def _encode(value: Any) -> tuple[int, bytes]:
    match value:
        case None:
            return _NULL, b""
        case bool() | int() if -(1 << 63) <= value < 1 << 63:
            return _LONGLONG, struct.pack("<q", value)
        case int():
            return _NEWDECIMAL, _sized(str(value).encode())
        case float() if math.isfinite(value):
            return _DOUBLE, struct.pack("<d", value)
        case Decimal() if value.is_finite():
            return _NEWDECIMAL, _sized(f"{value:f}".encode())
        case str() | UUID():
            return _VAR_STRING, _sized(str(value).encode())
        case bytes() | bytearray() | memoryview():
            return _BLOB, _sized(bytes(value))
        case datetime():
            moment = value if value.tzinfo is None else value.astimezone(UTC)
            at = (moment.hour, moment.minute, moment.second, moment.microsecond)
            return _DATETIME, struct.pack("<BHBBBBBI", 11, moment.year, moment.month, moment.day, *at)
        case date():
            return _DATE, struct.pack("<BHBB", 4, value.year, value.month, value.day)
        case time() if value.tzinfo is None:
            at_day = timedelta(hours=value.hour, minutes=value.minute, seconds=value.second)
            return _encode(at_day + timedelta(microseconds=value.microsecond))
        case timedelta():
            size = abs(value)
            minutes, seconds = divmod(size.seconds, 60)
            parts = (size.days, minutes // 60, minutes % 60, seconds, size.microseconds)
            return _TIME, struct.pack("<BBIBBBI", 12, value != size, *parts)
        case dict() | list():
            return _encode(json.dumps(value))
        case float() | Decimal():
            raise InvalidInput(f"{value} cannot be the value of a parameter: MySQL has no such number.")
    raise InvalidInput(f"a {type(value).__name__} cannot be the value of a parameter.")


def _sized(data: bytes) -> bytes:
    """With the length before it."""
    size = len(data)
    for limit, mark, width in ((251, b"", 1), (1 << 16, b"\xfc", 2), (1 << 24, b"\xfd", 3)):
        if size < limit:
            return mark + size.to_bytes(width, "little") + data
    return b"\xfe" + size.to_bytes(8, "little") + data
