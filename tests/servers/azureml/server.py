"""The sockets of the stand-in."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlsplit

from tests.servers.azureml.azure_hosts import is_known, tunnel
from tests.servers.azureml.front import Front, Seen
from tests.servers.azureml.web import Request


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: Front
    timeout = 60
    disable_nagle_algorithm = True  # or a body waits 40 ms for the client to acknowledge the headers

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True  # the client hung up

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        content = self._content()
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        request = Request(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            self.headers,  # type: ignore[arg-type]
            content,
            f"{scheme}://{self.headers['Host']}",
            self.path,
        )
        response = self.front.answer(request)
        if response is None:
            self.close_connection = True
            return
        body, kind = response.content()
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if kind and "Content-Type" not in response.headers:
            self.send_header("Content-Type", kind)
        if response.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _content(self) -> bytes:
        """The body, whose length comes before it as a whole or chunk by chunk.

        :raises ConnectionError: the client hung up in the middle of it.
        """
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0] or self._hung_up(), 16):
            chunks.append(self._read(size))
            self._read(2)
        self._read(2)
        return b"".join(chunks)

    def _read(self, size: int) -> bytes:
        content = self.rfile.read(size)
        return content if len(content) == size else self._hung_up()

    def _hung_up(self) -> NoReturn:
        raise ConnectionError("the client hung up")

    def do_CONNECT(self) -> None:
        """As a proxy: only to the hosts that are played here, so that nothing gets out."""
        self.close_connection = True
        host, _, port = self.path.partition(":")
        if not is_known(host) or port != "443":
            self.front.seen.append(Seen(f"CONNECT {self.path}", "", "", 502, b"", time.monotonic()))
            self.send_error(502)
            return
        self.send_response_only(200, "Connection established")
        self.end_headers()
        tunnel(self.connection, self.front.tls_port)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _serve


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # many threads of a test come at once

    def __init__(self, handler: type[_Handler], tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        super().__init__(("127.0.0.1", 0), handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake is the connection's own thread's, so that nobody waits for a slow one."""
        if self._tls is not None:
            try:
                secured = self._tls.wrap_socket(request, server_side=True)
            except OSError:
                return  # a client that does not trust us
            with secured:
                super().finish_request(secured, client_address)
        else:
            super().finish_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with suppress(OSError):  # wrapped in TLS, and closed with it
            super().shutdown_request(request)


@contextmanager
def serve(front: Front, tls: ssl.SSLContext | None) -> Iterator[str]:
    """Serve on a free loopback port; gives the address without a trailing slash."""
    handler = type("Handler", (_Handler,), {"front": front})
    server = _Server(handler, tls)
    if tls is not None:
        front.tls_port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, name="azureml", daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
