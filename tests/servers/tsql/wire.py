"""TDS packets over a socket, with TLS inside them while it is agreed on."""

from __future__ import annotations

import select
import socket
import ssl
import struct

BATCH, RPC, REPLY, ATTENTION, BULK, TRANSACTION, LOGIN, PRELOGIN = 1, 3, 4, 6, 7, 14, 16, 18
_LAST, _RESET = 0x01, 0x18


class Closed(Exception):
    """The client is gone, or has to go."""


class Wire:
    """One client's connection. Messages come whole and go in packets as they fill up."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.size = 4096
        self._out = bytearray()
        self._sequence = 0

    def receive(self) -> tuple[int, bytes, bool]:
        """Type and content of the next message, and whether the session is to be reset before."""
        parts, reset = [], False
        while True:
            kind, status, length = struct.unpack(">BBH", self._exactly(8)[:4])
            parts.append(self._exactly(length - 8))
            reset = reset or bool(status & _RESET)
            if status & _LAST:
                return kind, b"".join(parts), reset

    def strict(self) -> bool:
        """Does the client begin with TLS, as TDS 8.0 has it?"""
        try:
            return self._socket.recv(1, socket.MSG_PEEK) == b"\x16"
        except OSError as error:
            raise Closed(str(error)) from error

    def handshake(self, context: ssl.SSLContext, *, wrapped: bool = True) -> None:
        """TLS, whose records travel in PRELOGIN packets till both ends are ready, unless they go as they are."""
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            except ssl.SSLError as error:
                raise Closed(str(error)) from error
            record = self._outgoing.read()
            if record and not wrapped:
                self._send(record)
            elif record:
                self._send(struct.pack(">BBHHBB", PRELOGIN, _LAST, len(record) + 8, 0, 0, 0) + record)
            if done:
                break
            if not wrapped:
                self._incoming.write(self._raw(1 << 16))
                continue
            kind, content, _ = self.receive()
            if kind != PRELOGIN:
                raise Closed("no TLS where it was agreed on")
            self._incoming.write(content)
        self._tls = tls

    def write(self, content: bytes) -> None:
        """Add to the reply; what fills a packet is sent."""
        self._out += content
        room = self.size - 8
        if len(self._out) > room:
            packets = []
            start = 0
            while len(self._out) - start > room:
                packets.append(self._header(0, room) + self._out[start : start + room])
                start += room
            del self._out[:start]
            self._send(b"".join(packets))

    def flush(self) -> None:
        """End the reply."""
        content = bytes(self._out)
        self._out.clear()
        self._send(self._header(_LAST, len(content)) + content)
        self._sequence = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def spoken(self) -> bool:
        """Has the client said something, or gone, while it should wait?"""
        if self._tls and (self._tls.pending() or self._incoming.pending):
            return True
        return bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        self._socket.close()

    def _header(self, status: int, length: int) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFF
        return struct.pack(">BBHHBB", REPLY, status, length + 8, 0, self._sequence, 0)

    def _send(self, content: bytes) -> None:
        if self._tls:
            for start in range(0, len(content), 1 << 16):
                self._tls.write(content[start : start + (1 << 16)])
            content = self._outgoing.read()
        try:
            self._socket.sendall(content)
        except OSError as error:
            raise Closed(str(error)) from error

    def _exactly(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            parts += self._some(length - len(parts))
        return bytes(parts)

    def _some(self, most: int) -> bytes:
        if not self._tls:
            return self._raw(most)
        while True:
            try:
                if content := self._tls.read(most):
                    return content
                raise Closed("the client ended TLS")
            except ssl.SSLWantReadError:
                self._incoming.write(self._raw(1 << 16))
            except ssl.SSLError as error:
                raise Closed(str(error)) from error

    def _raw(self, most: int) -> bytes:
        try:
            content = self._socket.recv(most)
        except OSError as error:
            raise Closed(str(error)) from error
        if not content:
            raise Closed("the client hung up")
        return content
