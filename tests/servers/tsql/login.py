"""What is said before the first statement: PRELOGIN and LOGIN7."""

from __future__ import annotations

import struct
from dataclasses import dataclass

ENCRYPT_OFF, ENCRYPT_ON, ENCRYPT_NOT_SUP, ENCRYPT_REQ = 0, 1, 2, 3
_FEDAUTH = 0x02
VERSION = bytes([12, 0, 0x07, 0xD0])  # 12.0.2000, as Azure SQL calls itself


def prelogin_options(content: bytes) -> dict[int, bytes]:
    found, position = {}, 0
    while content[position] != 0xFF:
        option, offset, length = struct.unpack_from(">BHH", content, position)
        found[option] = content[offset : offset + length]
        position += 5
    return found


def prelogin_reply(encryption: int, federated: bool) -> bytes:
    options = {0: VERSION + b"\0\0", 1: bytes([encryption]), 2: b"\0", 3: b"", 4: b"\0"}
    if federated:
        options[6] = b"\1"
    offset, head, body = 5 * len(options) + 1, b"", b""
    for option, value in options.items():
        head += struct.pack(">BHH", option, offset + len(body), len(value))
        body += value
    return head + b"\xff" + body


@dataclass
class Login:
    """:param token: the access token, where one is given instead of user and password."""

    user: str
    password: str
    token: str | None
    database: str
    application: str
    read_only: bool
    packet_size: int


def read_login(content: bytes) -> Login:
    """:raises ValueError: for what is not understood: Windows' logins, tokens the server would have to ask for."""
    packet_size = struct.unpack_from("<I", content, 8)[0]
    type_flags, flags3 = content[26], content[27]

    def text(at: int) -> bytes:
        offset, length = struct.unpack_from("<HH", content, at)
        return content[offset : offset + 2 * length]

    password = bytes(((byte ^ 0xA5) << 4 | (byte ^ 0xA5) >> 4) & 0xFF for byte in text(44))
    token = None
    if flags3 & 0x10:
        pointer = struct.unpack_from("<H", content, 56)[0]
        token = _token(content, struct.unpack_from("<I", content, pointer)[0])
    if content[25] & 0x80:
        raise ValueError("Windows authentication")
    return Login(
        user=text(40).decode("utf-16-le"),
        password=password.decode("utf-16-le"),
        token=token,
        database=text(68).decode("utf-16-le"),
        application=text(48).decode("utf-16-le"),
        read_only=bool(type_flags & 0x20),
        packet_size=packet_size,
    )


def _token(content: bytes, position: int) -> str | None:
    found = None
    while content[position] != 0xFF:
        feature, length = struct.unpack_from("<BI", content, position)
        data = content[position + 5 : position + 5 + length]
        if feature == _FEDAUTH:
            if data[0] >> 1 != 1:
                raise ValueError("a federated authentication without a token")
            size = struct.unpack_from("<I", data, 1)[0]
            found = data[5 : 5 + size].decode("utf-16-le")
        position += 5 + length
    return found
