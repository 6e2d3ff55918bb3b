"""The tokens of a reply: MS-TDS 2.2.7."""

from __future__ import annotations

import struct

from tests.servers.tsql.errors import SqlError
from tests.servers.tsql.login import VERSION

DONE, DONE_PROC, DONE_IN_PROC = 0xFD, 0xFE, 0xFF
MORE, ERROR, IN_TRANSACTION, COUNT, ATTENTION = 0x1, 0x2, 0x4, 0x10, 0x20
SELECT = 0xC1

COLLATION = bytes.fromhex("0904d00034")  # SQL_Latin1_General_CP1_CI_AS
SERVER = "standin"


def b_varchar(text: str) -> bytes:
    content = text.encode("utf-16-le", "surrogatepass")
    return bytes([len(content) // 2]) + content


def us_varchar(text: str) -> bytes:
    content = text.encode("utf-16-le", "surrogatepass")
    return struct.pack("<H", len(content) // 2) + content


def done(token: int, status: int, rows: int = 0, command: int = 0) -> bytes:
    return struct.pack("<BHHQ", token, status, command, rows)


def error(problem: SqlError) -> bytes:
    return _message(0xAA, problem.number, problem.state, problem.level, problem.message)


def info(number: int, text: str, level: int = 0, state: int = 1) -> bytes:
    return _message(0xAB, number, state, level, text)


def _message(token: int, number: int, state: int, level: int, text: str) -> bytes:
    body = struct.pack("<iBB", number, state, level) + us_varchar(text[:4000])
    body += b_varchar(SERVER) + b_varchar("") + struct.pack("<i", 1)
    return struct.pack("<BH", token, len(body)) + body


def changed(kind: int, new: bytes, old: bytes) -> bytes:
    """ENVCHANGE. Both values with their lengths."""
    return struct.pack("<BHB", 0xE3, len(new) + len(old) + 1, kind) + new + old


def began(descriptor: bytes) -> bytes:
    return changed(8, b"\x08" + descriptor, b"\0")


def ended(descriptor: bytes, committed: bool) -> bytes:
    return changed(9 if committed else 10, b"\0", b"\x08" + descriptor)


def logged_in(database: str, packet_size: int, old_size: int, federated: bool) -> bytes:
    body = b"\x01" + bytes.fromhex("74000004") + b_varchar("Microsoft SQL Server") + VERSION
    return b"".join(
        [
            changed(1, b_varchar(database), b_varchar("master")),
            info(5701, f"Changed database context to '{database}'.", state=2),
            changed(7, bytes([5]) + COLLATION, b"\0"),
            changed(2, b_varchar("us_english"), b"\0"),
            info(5703, "Changed language setting to us_english."),
            struct.pack("<BH", 0xAD, len(body)) + body,
            changed(4, b_varchar(str(packet_size)), b_varchar(str(old_size))),
            b"\xae\x02" + struct.pack("<I", 0) + b"\xff" if federated else b"",
            done(DONE, 0),
        ]
    )


def return_status(value: int) -> bytes:
    return struct.pack("<Bi", 0x79, value)


def return_int(ordinal: int, name: str, value: int | None) -> bytes:
    """RETURNVALUE of an OUTPUT parameter that is an int."""
    body = b"\0" if value is None else b"\x04" + struct.pack("<i", value)
    return struct.pack("<BH", 0xAC, ordinal) + b_varchar(name) + b"\x01" + struct.pack("<IH", 0, 1) + b"\x26\x04" + body
