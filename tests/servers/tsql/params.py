"""Reading RPC requests: the procedure and its parameters, each with its type."""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tests.servers.tsql.errors import refused
from tests.servers.tsql.types import MAX, SqlType

_PROCEDURES = {
    10: "sp_executesql", 11: "sp_prepare", 12: "sp_execute", 13: "sp_prepexec", 15: "sp_unprepare",
}  # fmt: skip
_FIXED = {0x30: "tinyint", 0x32: "bit", 0x34: "smallint", 0x38: "int", 0x7F: "bigint", 0x3B: "real", 0x3E: "float",
          0x3C: "money", 0x7A: "smallmoney", 0x3D: "datetime", 0x3A: "smalldatetime"}  # fmt: skip
_VARIABLE = {
    (0x26, 1): "tinyint", (0x26, 2): "smallint", (0x26, 4): "int", (0x26, 8): "bigint", (0x68, 1): "bit",
    (0x6D, 4): "real", (0x6D, 8): "float", (0x6E, 8): "money", (0x6E, 4): "smallmoney", (0x6F, 8): "datetime",
    (0x6F, 4): "smalldatetime", (0x24, 16): "uniqueidentifier",
}  # fmt: skip
_SIZED = {0xE7: "nvarchar", 0xEF: "nchar", 0xA7: "varchar", 0xAF: "char", 0xA5: "varbinary", 0xAD: "binary"}
_LARGE = {0x63: "ntext", 0x23: "text", 0x22: "image"}
_SCALED = {0x29: "time", 0x2A: "datetime2", 0x2B: "datetimeoffset"}


@dataclass
class Parameter:
    """:param value: as PostgreSQL's text.
    :param output: the client wants to have it back.
    """

    name: str
    type: SqlType
    value: bytes | None
    output: bool = False

    def text(self) -> str:
        return "" if self.value is None else self.value.decode()


@dataclass
class Call:
    procedure: str
    parameters: list[Parameter]


class Reader:
    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def take(self, length: int) -> bytes:
        found = self._content[self._at : self._at + length]
        if len(found) < length:
            raise ValueError("a message ended too early")
        self._at += length
        return found

    def number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def text(self, size: int = 1) -> str:
        return self.take(2 * self.number(size)).decode("utf-16-le", "surrogatepass")

    @property
    def left(self) -> int:
        return len(self._content) - self._at

    def skip_headers(self) -> int:
        """ALL_HEADERS; gives the transaction the request is for, 0 for none."""
        end, transaction = self._at + self.number(4), 0
        while self._at < end:
            stop = self._at + self.number(4)
            if self.number(2) == 2:
                transaction = self.number(8)
            self._at = stop
        return transaction

    def calls(self) -> list[Call]:
        found = []
        while self.left:
            length = self.number(2)
            if length == 0xFFFF:
                number = self.number(2)
                name = _PROCEDURES.get(number, f"procedure number {number}")
            else:
                name = self.take(2 * length).decode("utf-16-le")
            self.take(2)
            parameters = []
            while self.left and self._content[self._at] not in (0x80, 0xFE, 0xFF):
                parameters.append(self._parameter())
            if self.left:
                self.take(1)
            found.append(Call(name, parameters))
        return found

    def _parameter(self) -> Parameter:
        name, status = self.text(), self.number(1)
        kind, large = self.type()
        return Parameter(name, kind, self.value(kind, large), bool(status & 1))

    def type(self) -> tuple[SqlType, int]:
        """TYPE_INFO, and in how many bytes the length of a value is told: 0 for fixed ones, 8 for chunks."""
        code = self.number(1)
        if code in _FIXED:
            return SqlType(_FIXED[code]), 0
        if code in (0x26, 0x68, 0x6D, 0x6E, 0x6F, 0x24):
            return SqlType(_VARIABLE[code, self.number(1)]), 1
        if code in (0x6A, 0x6C):
            self.take(1)
            precision, scale = self.take(2)
            return SqlType("decimal", precision=precision, scale=scale), 1
        if code == 0x28:
            return SqlType("date"), 1
        if code in _SCALED:
            return SqlType(_SCALED[code], scale=self.number(1)), 1
        if code in _SIZED:
            size = self.number(2)
            if code not in (0xA5, 0xAD):
                self.take(5)
            if size == 0xFFFF:
                return SqlType(_SIZED[code], MAX), 8
            return SqlType(_SIZED[code], max(size // 2 if code in (0xE7, 0xEF) else size, 1)), 2
        if code in _LARGE:
            self.take(4)
            if code != 0x22:
                self.take(5)
            return SqlType(_LARGE[code], MAX), 4
        raise refused(f"parameters of the type {code:#x}")

    def value(self, kind: SqlType, large: int) -> bytes | None:
        if large == 0:
            content: bytes | None = self.take(kind.max_length)
        elif large == 1:
            length = self.number(1)
            content = self.take(length) if length else None
        elif large == 8:
            content = self._chunks()
        else:
            length = self.number(large)
            content = None if length == (1 << 8 * large) - 1 else self.take(length)
        return None if content is None else decode(kind, content)

    def _chunks(self) -> bytes | None:
        if self.number(8) == 0xFFFF_FFFF_FFFF_FFFF:
            return None
        parts = []
        while length := self.number(4):
            parts.append(self.take(length))
        return b"".join(parts)


def decode(kind: SqlType, content: bytes) -> bytes:
    """PostgreSQL's text of a value."""
    name = kind.name
    if name in ("nvarchar", "nchar", "ntext"):
        try:
            text = content.decode("utf-16-le")
        except UnicodeDecodeError:
            raise refused("strings with halves of a surrogate pair") from None
        return _no_nul(text.encode())
    if name in ("varchar", "char", "text"):
        return _no_nul(content.decode("cp1252", "replace").encode())
    if name in ("varbinary", "binary", "image"):
        return b"\\x" + content.hex().encode()
    return _scalar(kind, content).encode()


def _no_nul(content: bytes) -> bytes:
    if b"\0" in content:
        raise refused("strings with a NUL")
    return content


def _scalar(kind: SqlType, content: bytes) -> str:
    name = kind.name
    if name in ("tinyint", "bit"):
        return str(content[0] if name == "tinyint" else int(content[0] != 0))
    if name in ("smallint", "int", "bigint"):
        return str(int.from_bytes(content, "little", signed=True))
    if name in ("real", "float"):
        return repr(struct.unpack("<f" if name == "real" else "<d", content)[0])
    if name == "decimal":
        number = int.from_bytes(content[1:], "little") * (1 if content[0] else -1)
        return f"{Decimal((number < 0, tuple(map(int, str(abs(number)))), -kind.scale)):f}"
    if name == "money":
        high, low = struct.unpack("<iI", content)
        return f"{Decimal((high << 32) + low).scaleb(-4):f}"
    if name == "smallmoney":
        return f"{Decimal(struct.unpack('<i', content)[0]).scaleb(-4):f}"
    if name == "uniqueidentifier":
        return str(uuid.UUID(bytes_le=content)).upper()
    return _moment(kind, content)


def _moment(kind: SqlType, content: bytes) -> str:
    name = kind.name
    if name == "datetime":
        days, ticks = struct.unpack("<iI", content)
        return f"{_day(days + 693_595)} {_clock((ticks * 10 + 1) // 3 * 10_000)}"
    if name == "smalldatetime":
        days, minutes = struct.unpack("<HH", content)
        return f"{_day(days + 693_595)} {_clock(minutes * 600_000_000)}"
    if name == "date":
        return _day(int.from_bytes(content, "little"))
    if name == "datetimeoffset":
        offset = struct.unpack("<h", content[-2:])[0]
        content = content[:-2]
    size = len(content) if name == "time" else len(content) - 3
    clock = _clock(int.from_bytes(content[:size], "little") * 10 ** (7 - kind.scale))
    if name == "time":
        return clock
    moment = f"{_day(int.from_bytes(content[size:], 'little'))} {clock}"
    return moment if name == "datetime2" else f"{moment}{offset:+05d}"


def _day(since_year_one: int) -> str:
    return date.fromordinal(since_year_one + 1).isoformat()


def _clock(ticks: int) -> str:
    seconds, fraction = divmod(ticks, 10_000_000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:07}"
