"""Ports for servers that cannot be told to take a free one and say which."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_port() -> Iterator[int]:
    """A free port of the loopback interface, kept from being given away until a server listens on it, and after.

    Linux lets a server that sets SO_REUSEADDR bind to it, as nearly all do, but takes it for no connection of others.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
