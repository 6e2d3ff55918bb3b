"""Requests, answers and routes, apart from sockets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import unquote, urlencode
from uuid import uuid4

from tests.servers.azureml.entra import Principal

JSON = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A request as it came in.

    :param path: percent-encoded, without the query.
    :param target: the path and query as they were sent.
    :param base: the server's address as the client wrote it, without a trailing slash.
    :param principal: who makes it, once the token has been checked.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes
    base: str
    target: str = ""
    principal: Principal | None = None

    def json(self) -> JSON:
        """The body. :raises Refusal: it is not a JSON object."""
        try:
            body = json.loads(self.content)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refusal(
                400, "InvalidRequestContent", "The request content was invalid and could not be deserialized."
            )
        return body


@dataclass
class Response:
    """:param body: bytes and texts go as they are, anything else as JSON; None is an empty body."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> tuple[bytes, str]:
        """The body's bytes and their type."""
        if self.body is None:
            return b"", ""
        if isinstance(self.body, bytes):
            return self.body, "application/octet-stream"
        if isinstance(self.body, str):
            return self.body.encode(), "text/plain; charset=utf-8"
        return json.dumps(self.body).encode(), "application/json; charset=utf-8"


class Refusal(Exception):
    """An error in Resource Manager's form; ``inner`` is how Azure ML's own front end tells what a UserError is."""

    def __init__(
        self, status: int, code: str, message: str, *, inner: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.inner = inner
        self.headers = dict(headers or {})

    def response(self) -> Response:
        error: JSON = {"code": self.code, "message": self.message}
        if self.inner:
            inner = {"code": "BadArgument" if self.status == 400 else self.inner, "innerError": {"code": self.inner}}
            error |= {
                "details": [],
                "additionalInfo": [
                    {"type": "ComponentName", "info": {"value": "managementfrontend"}},
                    {"type": "Correlation", "info": {"value": {"operation": uuid4().hex, "request": uuid4().hex[:16]}}},
                    {"type": "InnerError", "info": {"value": inner}},
                ],
            }
        return Response(self.status, {"error": error}, self.headers)


def user_error(message: str, *, status: int = 400, inner: str = "Invalid") -> Refusal:
    """How Azure ML's front end refuses."""
    return Refusal(status, "UserError", message, inner=inner)


def not_found(message: str) -> Refusal:
    return user_error(message, status=404, inner="NotFound")


Handler = Callable[..., Response]


@dataclass(frozen=True)
class Route:
    """:param action: what Azure's roles call it, after ``Microsoft.MachineLearningServices/workspaces/``."""

    method: str
    pattern: re.Pattern[str]
    action: str
    handler: str


def route(method: str, path: str, action: str) -> Callable[[Handler], Handler]:
    """Mark a method of an :class:`Area` as the answer to a call; ``{name}`` in the path is an argument."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "/?", re.IGNORECASE)

    def mark(handler: Handler) -> Handler:
        calls = getattr(handler, "calls", [])
        handler.calls = [*calls, Route(method, pattern, action, handler.__name__)]  # type: ignore[attr-defined]
        return handler

    return mark


class Area:
    """One kind of thing in a workspace, and the calls that it answers."""

    routes: ClassVar[list[Route]]

    def __init_subclass__(cls) -> None:
        cls.routes = [call for member in vars(cls).values() for call in getattr(member, "calls", [])]

    def find(self, method: str, path: str) -> tuple[Route, Callable[[Request], Response]] | None:
        """The answer to a call; ``path`` is relative to the workspace."""
        for call in self.routes:
            if call.method == method and (found := call.pattern.fullmatch(path)):
                arguments = {name: unquote(value) for name, value in found.groupdict().items()}
                handler = getattr(self, call.handler)
                return call, lambda request, handler=handler, arguments=arguments: handler(request, **arguments)
        return None


def page(request: Request, items: Sequence[Any], size: int, *, skip: str = "$skip") -> Response:
    """A page of a list, with the link to the next one if there is more."""
    start = int(request.query.get(skip, "0"))
    body: JSON = {"value": list(items[start : start + size])}
    if start + size < len(items):
        query = {**request.query, skip: str(start + size)}
        body["nextLink"] = f"{request.base}{request.path}?{urlencode(query)}"
    return Response(200, body)


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def system_data(principal: Principal | None, created: Mapping[str, Any] | None = None) -> JSON:
    """ARM's record of who made and changed something."""
    by = principal.client_id if principal else "00000000-0000-0000-0000-000000000000"
    first = created or {"createdAt": now(), "createdBy": by, "createdByType": "Application"}
    kept = {name: first[name] for name in ("createdAt", "createdBy", "createdByType")}
    return {**kept, "lastModifiedAt": now(), "lastModifiedBy": by, "lastModifiedByType": "Application"}
