"""Azure's own host names, for clients that cannot be pointed elsewhere: reached through a proxy, they lead here.

azure-ai-ml looks for the log of a running job at ``https://<account>.blob.core.windows.net``, whatever the datastore's
endpoint is.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.servers.azureml.web import Refusal, Request, Response

if TYPE_CHECKING:
    from tests.servers.azurite import BlobService

NAMES = ("management.azure.com", "login.microsoftonline.com", "*.blob.core.windows.net")
_KNOWN = re.compile(
    r"management\.azure\.com|login\.microsoftonline\.com|(?P<account>[a-z0-9]+)\.blob\.core\.windows\.net"
)
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"}


def is_known(host: str) -> bool:
    """Whether a host is played here."""
    return _KNOWN.fullmatch(host) is not None


def account(host: str) -> str | None:
    """The storage account that a host stands for."""
    found = _KNOWN.fullmatch(host)
    return found["account"] if found else None


def forward(request: Request, blob: BlobService | None) -> Response:
    """Let Azurite answer for a storage account; the host, which is part of what is signed, stays."""
    if blob is None:
        raise Refusal(404, "ResourceNotFound", "There is no such storage account.")
    at = urlsplit(blob.url)
    assert at.hostname
    upstream = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
    try:
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in ("connection", "expect")
        }
        upstream.request(request.method, request.target, request.content or None, headers)
        answer = upstream.getresponse()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
        return Response(answer.status, answer.read(), kept)
    finally:
        upstream.close()


def tunnel(client: socket.socket, port: int) -> None:
    """Pass bytes on between a client of the proxy and a port of this machine, until one of them hangs up."""
    with socket.create_connection(("127.0.0.1", port)) as server:
        back = threading.Thread(target=_pump, args=[server, client], daemon=True)
        back.start()
        _pump(client, server)
        back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # one side hung up
        while block := source.recv(1 << 16):
            target.sendall(block)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
