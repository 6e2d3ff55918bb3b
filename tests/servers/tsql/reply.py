"""A reply as it goes out: each statement's end is told once it is known whether more follows."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.servers.tsql import tokens
from tests.servers.tsql.errors import SqlError
from tests.servers.tsql.statements import Column
from tests.servers.tsql.wire import Wire


class Reply:
    """:param nested: the statements are those of a procedure, whose own end comes after them."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.nested = False
        self._pending: tuple[int, int, int, int] | None = None

    def write(self, content: bytes) -> None:
        self._more()
        self._wire.write(content)

    def error(self, problem: SqlError) -> None:
        self.write(tokens.error(problem))
        self.done(tokens.ERROR)

    def done(self, status: int = 0, rows: int = 0, command: int = 0) -> None:
        """The end of a statement."""
        self._more()
        if self.nested:
            self._wire.write(tokens.done(tokens.DONE_IN_PROC, status | tokens.MORE, rows, command))
        else:
            self._pending = (tokens.DONE, status, rows, command)

    def done_procedure(self, status: int = 0) -> None:
        self._more()
        self._pending = (tokens.DONE_PROC, status, 0, 0xE0)

    def end(self, in_transaction: bool) -> None:
        token, status, rows, command = self._pending or (tokens.DONE, 0, 0, 0)
        if in_transaction:
            status |= tokens.IN_TRANSACTION
        self._pending = None
        self._wire.write(tokens.done(token, status, rows, command))
        self._wire.flush()

    def attention(self) -> None:
        """The client has called it off: what is not told yet is not told any more."""
        self._pending = None
        self._wire.write(tokens.done(tokens.DONE, tokens.ATTENTION))
        self._wire.flush()

    def _more(self) -> None:
        if self._pending:
            token, status, rows, command = self._pending
            self._pending = None
            self._wire.write(tokens.done(token, status | tokens.MORE, rows, command))

    def columns(self, columns: list[Column]) -> Callable[[list[bytes | None]], bytes]:
        """Tell the columns of the rows to come; gives what makes a row."""
        parts = [struct.pack("<BH", 0x81, len(columns))]
        for column in columns:
            flags = 0 if column.required else 1
            if column.identity:
                flags |= 0x10
            parts.append(struct.pack("<IH", 0, flags | 0x08) + column.type.info() + tokens.b_varchar(column.name))
        self.write(b"".join(parts))
        encoders = [column.type.encoder() for column in columns]

        def row(values: list[bytes | None]) -> bytes:
            return b"\xd1" + b"".join([encode(value) for encode, value in zip(encoders, values, strict=True)])

        return row
