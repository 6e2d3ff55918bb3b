"""SQL Server's types: how they are called, how they travel, and which PostgreSQL type holds them.

A value passes between the two as PostgreSQL's text. Dates and times have forms of their own there, which sort as what
they mean: ``2020-01-31 23:59:59.1234567``, ``23:59:59.1234567``, and for datetimeoffset the time in UTC, then the
offset in minutes: ``2020-01-31 22:59:59.1234567+0060``.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tests.servers.tsql.errors import refused
from tests.servers.tsql.tokens import COLLATION

MAX = -1
_DAY_ONE, _DAY_1900 = date(1, 1, 1).toordinal(), date(1900, 1, 1).toordinal()
_POWERS = [10**n for n in range(40)]


@dataclass(frozen=True)
class SqlType:
    """:param size: characters or bytes of what has a length, ``MAX`` for max.
    :param scale: of decimal, or of what has fractions of a second.
    """

    name: str
    size: int = 0
    precision: int = 0
    scale: int = 0

    def __str__(self) -> str:
        if self.name in _SIZED:
            return f"{self.name}({'max' if self.size == MAX else self.size})"
        if self.name in ("decimal", "numeric"):
            return f"{self.name}({self.precision},{self.scale})"
        return f"{self.name}({self.scale})" if self.name in _SCALED else self.name

    @property
    def pg(self) -> str:
        """PostgreSQL's type, with its label of size or scale."""
        held = PG_NAMES[self.name]
        if self.name in _SIZED:
            return held if self.size == MAX else f"{held}({self.size})"
        if self.name in ("decimal", "numeric"):
            return f"numeric({self.precision},{self.scale})"
        return f"{held}({self.scale + 1})" if self.name in _SCALED else held

    @property
    def max_length(self) -> int:
        """As sys.columns has it: in bytes."""
        if self.name in _SIZED:
            return self.size * (2 if self.name in ("nvarchar", "nchar") and self.size != MAX else 1)
        if self.name in ("decimal", "numeric"):
            return decimal_bytes(self.precision)
        if self.name in _SCALED:
            return _SCALED[self.name] + time_bytes(self.scale)
        return _FIXED[self.name]

    def info(self) -> bytes:
        """TYPE_INFO."""
        name = self.name
        if name in _TYPE_BYTES:
            return _TYPE_BYTES[name]
        if name in ("decimal", "numeric"):
            return bytes([0x6A, 17, self.precision, self.scale])
        if name in _SCALED:
            return bytes([{"time": 0x29, "datetime2": 0x2A, "datetimeoffset": 0x2B}[name], self.scale])
        head = struct.pack("<BH", _SIZED[name], 0xFFFF if self.size == MAX else self.max_length)
        return head if name in ("varbinary", "binary") else head + COLLATION

    def encoder(self) -> Callable[[bytes | None], bytes]:
        """What makes a value of a row from PostgreSQL's text of it."""
        name, scale = self.name, self.scale
        if name in _SIZED:
            return _sized(name, self.size)
        if name in ("decimal", "numeric"):
            return _decimal(self.precision, scale)
        if name in _SCALED:
            return {"time": _time, "datetime2": _datetime2, "datetimeoffset": _offset}[name](scale)
        return _nullable(_SIMPLE[name])


_SIZED = {"nvarchar": 0xE7, "nchar": 0xEF, "varchar": 0xA7, "char": 0xAF, "varbinary": 0xA5, "binary": 0xAD}
_SCALED = {"time": 0, "datetime2": 3, "datetimeoffset": 5}
_FIXED = {
    "bit": 1, "tinyint": 1, "smallint": 2, "int": 4, "bigint": 8, "real": 4, "float": 8, "date": 3,
    "datetime": 8, "smalldatetime": 4, "money": 8, "smallmoney": 4, "uniqueidentifier": 16,
}  # fmt: skip
_TYPE_BYTES = {
    "bit": b"\x68\x01", "tinyint": b"\x26\x01", "smallint": b"\x26\x02", "int": b"\x26\x04", "bigint": b"\x26\x08",
    "real": b"\x6d\x04", "float": b"\x6d\x08", "date": b"\x28", "datetime": b"\x6f\x08", "smalldatetime": b"\x6f\x04",
    "money": b"\x6e\x08", "smallmoney": b"\x6e\x04", "uniqueidentifier": b"\x24\x10",
}  # fmt: skip
PG_NAMES = {
    "bit": "t.bit", "tinyint": "t.tinyint", "smallint": "int2", "int": "int4", "bigint": "int8", "real": "float4",
    "float": "float8", "date": "date", "datetime": "t.datetime", "smalldatetime": "t.smalldatetime",
    "money": "t.money", "smallmoney": "t.smallmoney", "uniqueidentifier": "t.guid", "nvarchar": "t.nvarchar",
    "nchar": "t.nchar", "varchar": "t.varchar", "char": "t.char", "varbinary": "t.varbinary", "binary": "t.binary",
    "time": "t.time", "datetime2": "t.datetime2", "datetimeoffset": "t.datetimeoffset", "decimal": "numeric",
    "numeric": "numeric", "ntext": "t.old_ntext", "text": "t.old_text", "image": "t.old_image",
}  # fmt: skip


def decimal_bytes(precision: int) -> int:
    return 5 if precision <= 9 else 9 if precision <= 19 else 13 if precision <= 28 else 17


def time_bytes(scale: int) -> int:
    return 3 if scale <= 2 else 4 if scale <= 4 else 5


def _nullable(encode: Callable[[bytes], bytes]) -> Callable[[bytes | None], bytes]:
    return lambda value: b"\0" if value is None else encode(value)


def _integer(size: int) -> Callable[[bytes], bytes]:
    head, signed = bytes([size]), size > 1
    return lambda value: head + int(value).to_bytes(size, "little", signed=signed)


def _money(value: bytes, form: str = "<Bii") -> bytes:
    number = int(Decimal(value.decode()).scaleb(4))
    return struct.pack(form, 8, number >> 32, struct.unpack("<i", struct.pack("<I", number & 0xFFFFFFFF))[0])


def _smallmoney(value: bytes) -> bytes:
    return struct.pack("<Bi", 4, int(Decimal(value.decode()).scaleb(4)))


def _days(value: bytes) -> int:
    return date(int(value[:4]), int(value[5:7]), int(value[8:10])).toordinal()


def _date(value: bytes) -> bytes:
    return b"\x03" + (_days(value) - _DAY_ONE).to_bytes(3, "little")


def _ticks(value: bytes) -> int:
    """Of ``23:59:59.1234567``, in 100 ns."""
    return (int(value[:2]) * 3600 + int(value[3:5]) * 60 + int(value[6:8])) * 10_000_000 + int(value[9:16])


def _datetime(value: bytes) -> bytes:
    ticks = (_ticks(value[11:]) * 300 + 5_000_000) // 10_000_000
    return struct.pack("<BiI", 8, _days(value) - _DAY_1900, ticks)


def _smalldatetime(value: bytes) -> bytes:
    return struct.pack("<BHH", 4, _days(value) - _DAY_1900, _ticks(value[11:]) // 600_000_000)


_SIMPLE: dict[str, Callable[[bytes], bytes]] = {
    "bit": _integer(1),
    "tinyint": _integer(1),
    "smallint": _integer(2),
    "int": _integer(4),
    "bigint": _integer(8),
    "real": lambda value: b"\x04" + struct.pack("<f", float(value)),
    "float": lambda value: b"\x08" + struct.pack("<d", float(value)),
    "money": _money,
    "smallmoney": _smallmoney,
    "date": _date,
    "datetime": _datetime,
    "smalldatetime": _smalldatetime,
    "uniqueidentifier": lambda value: b"\x10" + uuid.UUID(value.decode()).bytes_le,
}


def _time(scale: int) -> Callable[[bytes | None], bytes]:
    size, unit = time_bytes(scale), _POWERS[7 - scale]
    return _nullable(lambda value: bytes([size]) + (_ticks(value) // unit).to_bytes(size, "little"))


def _datetime2(scale: int) -> Callable[[bytes | None], bytes]:
    size, unit = time_bytes(scale), _POWERS[7 - scale]
    head = bytes([size + 3])

    def encode(value: bytes) -> bytes:
        ticks = (_ticks(value[11:]) // unit).to_bytes(size, "little")
        return head + ticks + (_days(value) - _DAY_ONE).to_bytes(3, "little")

    return _nullable(encode)


def _offset(scale: int) -> Callable[[bytes | None], bytes]:
    inner = _datetime2(scale)
    head = bytes([time_bytes(scale) + 5])
    return _nullable(lambda value: head + inner(value)[1:] + struct.pack("<h", int(value[27:])))


def _decimal(precision: int, scale: int) -> Callable[[bytes | None], bytes]:
    size = decimal_bytes(precision) - 1
    head = bytes([size + 1])

    def encode(value: bytes) -> bytes:
        whole, _, fraction = value.partition(b".")
        if len(fraction) > scale:
            if fraction[scale:].strip(b"0"):
                raise refused(f"the scale of a decimal that came out as {value.decode()}: CAST it")
            fraction = fraction[:scale]
        number = int(whole + fraction.ljust(scale, b"0"))
        return head + (b"\0" if number < 0 or whole[:1] == b"-" else b"\1") + abs(number).to_bytes(size, "little")

    return _nullable(encode)


def plp(content: bytes) -> bytes:
    """A value of a max type: its length, one chunk, the end."""
    if not content:
        return struct.pack("<QI", 0, 0)
    return struct.pack("<QI", len(content), len(content)) + content + b"\0\0\0\0"


def _sized(name: str, size: int) -> Callable[[bytes | None], bytes]:
    if name in ("nvarchar", "nchar"):

        def content(value: bytes) -> bytes:
            return value.decode().encode("utf-16-le")
    elif name in ("varchar", "char"):

        def content(value: bytes) -> bytes:
            return value.decode().encode("cp1252", "replace")
    else:

        def content(value: bytes) -> bytes:
            return bytes.fromhex(value[2:].decode())

    if size == MAX:
        return lambda value: b"\xff" * 8 if value is None else plp(content(value))

    def encode(value: bytes | None) -> bytes:
        if value is None:
            return b"\xff\xff"
        found = content(value)
        return len(found).to_bytes(2, "little") + found

    return encode
