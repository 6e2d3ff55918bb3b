"""What every request goes through: faults, authentication, the call that it is, and the record of it."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import unquote

from tests.servers.azureml.faults import Plan
from tests.servers.azureml.web import Request, Response
from tests.servers.databricks.auth import Guard
from tests.servers.databricks.dbfs import DbfsApi
from tests.servers.databricks.errors import CloudRefusal, Refusal, no_such_endpoint
from tests.servers.databricks.files import FilesApi
from tests.servers.databricks.model import Catalogs
from tests.servers.databricks.uploads import CLOUD, Uploads
from tests.servers.fault import Fault, LoseResponse, Meanwhile

_FILES, _DIRECTORIES, _DBFS = "/api/2.0/fs/files", "/api/2.0/fs/directories", "/api/2.0/dbfs/"
_VOLUMES = "/api/2.1/unity-catalog/volumes/"


@dataclass
class Refused(Fault):
    """The request is answered with an error, in the form of whoever answers it, and has no effect."""

    status: int
    code: str = "TEMPORARILY_UNAVAILABLE"
    message: str = "Injected."
    headers: dict[str, str] = field(default_factory=dict)

    def refusal(self, request: Request) -> Refusal:
        if request.path.startswith(CLOUD):
            refusal: Refusal = CloudRefusal(self.status, self.code, self.message)
        else:
            refusal = Refusal(self.status, self.code, self.message)
        refusal.headers = self.headers
        return refusal


@dataclass(frozen=True)
class Seen:
    """A request as it came in.

    :param request: ``METHOD /path?query``, decoded, signatures and session tokens left out.
    :param how: ``pat``, ``oauth`` or ``entra``; "" where no token counts or it got no further.
    :param status: of the answer, lost or not.
    :param size: bytes of the body.
    :param at: seconds of a monotonic clock.
    """

    request: str
    how: str
    status: int
    code: str
    size: int
    at: float


class Front:
    tls_port = 0

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.catalogs = Catalogs()
        self.files = FilesApi(self.catalogs)
        self.uploads = Uploads(self.files)
        self.dbfs = DbfsApi()
        self.plan = Plan()
        self.seen: list[Seen] = []
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Response | None:
        """The answer; None if it is to be lost."""
        line = f"{request.method} {unquote(request.path)}"
        shown = [f"{name}={value}" for name, value in request.query.items() if name not in ("sig", "session_token")]
        if shown:
            line += "?" + "&".join(shown)
        fault = self.plan.strike(line)
        how: list[str] = []
        code = ""
        try:
            if isinstance(fault, Refused):
                raise fault.refusal(request)
            if isinstance(fault, Meanwhile):
                fault.action()
            with self._lock:
                response = self._dispatch(request, how)
        except Refusal as refusal:
            code = refusal.code
            response = refusal.response()
            response.headers |= refusal.headers
        self.seen.append(Seen(line, "".join(how), response.status, code, len(request.content), time.monotonic()))
        return None if isinstance(fault, LoseResponse) else response

    def _dispatch(self, request: Request, how: list[str]) -> Response:
        path, call = unquote(request.path), (request.method, request.query.get("action", ""))
        if path.startswith(CLOUD):
            return self.uploads.cloud(request)
        if path == "/oidc/v1/token" and request.method == "POST":
            return self.guard.grant(request)
        if path == "/.well-known/databricks-config":
            raise no_such_endpoint(request.method, path)  # older workspaces have none, whoever asks
        user = self.guard.check(request)
        how.append(user.how)
        if path.startswith(f"{_FILES}/"):
            path = path.removeprefix(_FILES)
            match call:
                case "POST", "initiate-upload":
                    return self.uploads.initiate(path, request, user)
                case "POST", "complete-upload":
                    return self.uploads.complete(path, request, user)
                case "POST", "abort-upload":
                    return self.uploads.abort(path, request)
            return self.files.file(path, request, user)
        if path.startswith(f"{_DIRECTORIES}/"):
            return self.files.directory(path.removeprefix(_DIRECTORIES), request, user)
        if path.startswith(_DBFS):
            return self.dbfs.answer(path.removeprefix(_DBFS), request)
        match request.method, path:
            case "POST", "/api/2.0/fs/create-upload-part-urls":
                return self.uploads.part_urls(request, user)
            case "POST", "/api/2.0/fs/create-abort-upload-url":
                return self.uploads.abort_url(request, user)
            case "POST", "/api/2.0/fs/create-download-url":
                return self.uploads.download_url(request, user)
            case "GET", _ if re.fullmatch(rf"{re.escape(_VOLUMES)}[^/]+", path):
                return self.files.volume(path.removeprefix(_VOLUMES))
        raise no_such_endpoint(request.method, path)
