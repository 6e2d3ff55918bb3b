"""A reverse proxy that makes an HTTP service misbehave on demand: what real networks and busy services do."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_BLOCK = 1 << 16


@dataclass
class Fault:
    """What goes wrong, with which requests, and how often. One subclass per kind of trouble.

    :param match: regular expression searched in ``METHOD /path?query``.
    :param times: how many requests are struck.
    :param skip: how many matching requests pass before.
    """

    match: str
    times: int = field(default=1, kw_only=True)
    skip: int = field(default=0, kw_only=True)

    def strikes(self, request: str) -> bool:
        """Whether this request is struck; counts it."""
        if not self.times or not re.search(self.match, request):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Answer(Fault):
    """The proxy answers with an error of its own; the service never hears of the request."""

    status: int
    code: str = "ServerBusy"
    headers: Mapping[str, str] = field(default_factory=dict)

    def bytes(self) -> bytes:
        body = f'<?xml version="1.0"?><Error><Code>{self.code}</Code><Message>injected</Message></Error>'
        headers = {
            "Content-Type": "application/xml",
            "Content-Length": str(len(body)),
            "x-ms-error-code": self.code,
            **self.headers,
        }
        lines = [f"HTTP/1.1 {self.status} Injected", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", body]).encode()


@dataclass
class ResetRequest(Fault):
    """The connection breaks after so many bytes of the request's body."""

    after: int = 0


@dataclass
class CutResponse(Fault):
    """The connection ends after so many bytes of the response's body: closed properly, or reset."""

    after: int
    reset: bool = False


@dataclass
class LoseResponse(Fault):
    """The service did what it was asked; the client never hears of it."""


@dataclass
class Meanwhile(Fault):
    """Something happens between the request's arrival and its being passed on, which then goes well."""

    action: Callable[[], object]


@dataclass(frozen=True)
class Seen:
    """A request as it came by.

    :param request: ``METHOD /path?query``.
    :param fault: what struck it; None if nothing did.
    :param at: seconds of a monotonic clock.
    """

    request: str
    fault: Fault | None
    at: float


class FaultProxy:
    """A proxy on a free loopback port in front of a service, with a plan of faults.

    :param upstream: URL of the service; its path is kept.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname
        assert parts.port
        self._upstream = (parts.hostname, parts.port)
        self._path = parts.path
        self._plan: list[Fault] = []
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self.seen: list[Seen] = []

    def plan(self, *faults: Fault) -> None:
        """Add faults; for each request the first one that strikes counts."""
        with self._lock:
            self._plan.extend(faults)

    def requests(self, pattern: str) -> list[Seen]:
        """The requests so far in which this regular expression is found."""
        return [seen for seen in self.seen if re.search(pattern, seen.request)]

    @property
    def url(self) -> str:
        """Where clients find the service through this proxy."""
        return f"http://127.0.0.1:{self._port}{self._path}"

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self._server = starting.result()
        self._port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # one side hung up: what a proxy in trouble looks like
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its response. Returns whether the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        request = head.split(b"\r\n", 1)[0].rpartition(b" ")[0].decode("latin-1")
        fault = self._strike(request)
        if isinstance(fault, ResetRequest):
            await reader.readexactly(fault.after)
            writer.transport.abort()
            return False
        if _header(head, "expect"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(int(_header(head, "content-length") or 0))
        if isinstance(fault, Answer):
            writer.write(fault.bytes())
            await writer.drain()
            return True
        if isinstance(fault, Meanwhile):
            await asyncio.to_thread(fault.action)
        await self._pass_on(head, body, fault, writer)
        return False

    def _strike(self, request: str) -> Fault | None:
        with self._lock:
            fault = next((fault for fault in self._plan if fault.strikes(request)), None)
            self.seen.append(Seen(request, fault, self._loop.time()))
        return fault

    async def _pass_on(self, head: bytes, body: bytes, fault: Fault | None, writer: asyncio.StreamWriter) -> None:
        """One connection to the service per request, as that needs no bookkeeping; the client's ends with it."""
        upstream, to_upstream = await asyncio.open_connection(*self._upstream)
        try:
            to_upstream.write(_closing(head) + body)
            await to_upstream.drain()
            answer = await upstream.readuntil(b"\r\n\r\n")
            if isinstance(fault, LoseResponse):
                await upstream.read()
                writer.transport.abort()
                return
            writer.write(_closing(answer))
            await _relay(upstream, writer, fault if isinstance(fault, CutResponse) else None)
        finally:
            to_upstream.close()


async def _relay(upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: CutResponse | None) -> None:
    left = cut.after if cut else None
    while block := await upstream.read(_BLOCK):
        writer.write(block if left is None else block[:left])
        await writer.drain()
        if left is not None:
            left -= len(block)
            if left <= 0:
                break
    if cut and cut.reset:
        writer.transport.abort()


def _closing(head: bytes) -> bytes:
    """The head of a message after which the connection ends, as both sides have to be told."""
    return re.sub(rb"(?i)\r\n(?:connection|expect):[^\r]*", b"", head[:-2]) + b"Connection: close\r\n\r\n"


def _header(head: bytes, name: str) -> str | None:
    found = re.search(rb"(?im)^%s:\s*([^\r]*)" % name.encode(), head)
    return found[1].decode("latin-1") if found else None
