"""Uploads in parts, and presigned URLs: sessions that the workspace knows, data that goes to cloud storage.

The protocol is that of databricks-sdk's ``files.upload`` and ``files.download``; its documentation is their source.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from urllib.parse import quote

from tests.servers.azureml.web import Request, Response
from tests.servers.databricks import ranges
from tests.servers.databricks.auth import READ, WRITE, User
from tests.servers.databricks.errors import CloudRefusal, Refusal, invalid
from tests.servers.databricks.files import FilesApi, overwrites

CLOUD = "/cloud-storage"
"""Where cloud storage is: in truth on another host."""


@dataclass
class Session:
    """An upload that has begun.

    :ivar parts: number -> ETag and content.
    """

    path: str
    overwrite: bool
    parts: dict[int, tuple[str, bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class Grant:
    """What a presigned URL lets its bearer do: put one part, abort an upload, or get one file."""

    path: str
    session: str = ""
    part: int = 0


class Uploads:
    """:ivar sessions: those that are neither completed nor aborted.
    :ivar reachable: whether clients get through to cloud storage; its firewall may bar them.
    :ivar offered: whether the workspace gives presigned URLs at all.
    """

    def __init__(self, files: FilesApi) -> None:
        self._files = files
        self._grants: dict[str, Grant] = {}
        self.sessions: dict[str, Session] = {}
        self.reachable = True
        self.offered = True

    def expire(self) -> None:
        """Let all URLs expire that have been given so far."""
        self._grants.clear()

    def initiate(self, path: str, request: Request, user: User) -> Response:
        self._files.check_free(path, user, overwrite=overwrites(request))
        token = secrets.token_urlsafe(24)
        self.sessions[token] = Session(path, overwrites(request))
        return Response(200, {"multipart_upload": {"session_token": token}})

    def part_urls(self, request: Request, user: User) -> Response:
        self._check_offered()
        body = request.json()
        session = self._session(body["session_token"], body["path"])
        self._files.locate(session.path, user, WRITE)
        first, count = int(body["start_part_number"]), int(body["count"])
        urls = []
        for number in range(first, first + count):
            url = self._sign(request, Grant(session.path, body["session_token"], number))
            urls.append(
                {"url": url, "part_number": number, "headers": [{"name": "x-ms-blob-type", "value": "BlockBlob"}]}
            )
        return Response(200, {"upload_part_urls": urls})

    def complete(self, path: str, request: Request, user: User) -> Response:
        token = request.query.get("session_token", "")
        session = self._session(token, path)
        told = [(part["part_number"], part["etag"]) for part in request.json()["parts"]]
        if told != [(number, etag) for number, (etag, _) in sorted(session.parts.items())]:
            raise invalid("The parts are not those that were uploaded.")
        content = b"".join(content for _, (_, content) in sorted(session.parts.items()))
        self._files.put(path, content, user, overwrite=session.overwrite)
        del self.sessions[token]
        return Response(200, {})

    def abort(self, path: str, request: Request) -> Response:
        token = request.query.get("session_token", "")
        self._session(token, path)
        del self.sessions[token]
        return Response(200, {})

    def abort_url(self, request: Request, user: User) -> Response:
        """The other way to abort, as older clients go it."""
        body = request.json()
        session = self._session(body["session_token"], body["path"])
        self._files.locate(session.path, user, WRITE)
        url = self._sign(request, Grant(session.path, body["session_token"]))
        return Response(200, {"abort_upload_url": {"url": url, "headers": []}})

    def download_url(self, request: Request, user: User) -> Response:
        self._check_offered()
        path = request.query.get("path", "")
        self._files.need_file(path, user)
        return Response(200, {"url": self._sign(request, Grant(path)), "headers": []})

    def cloud(self, request: Request) -> Response:
        """What cloud storage answers. It lets in whoever has the URL, and nobody who says more than that."""
        if not self.reachable:
            raise CloudRefusal(403, "AuthorizationFailure", "This request is not authorized to perform this operation.")
        if "Authorization" in request.headers:
            raise CloudRefusal(400, "InvalidAuthenticationInfo", "Two ways of authentication were given.")
        grant = self._grants.get(request.query.get("sig", ""))
        if grant is None:
            raise CloudRefusal(
                403,
                "AuthenticationFailed",
                "Server failed to authenticate the request.",
                detail="Signature not valid in the specified time frame",
            )
        if request.method == "PUT" and grant.part:
            return self._put_part(grant, request)
        if request.method == "DELETE" and grant.session and not grant.part:
            self.sessions.pop(grant.session, None)
            return Response(200)
        if request.method == "GET" and not grant.session:
            return self._get(grant, request)
        raise CloudRefusal(403, "AuthorizationPermissionMismatch", "The signature is for another operation.")

    def _put_part(self, grant: Grant, request: Request) -> Response:
        if request.headers.get("x-ms-blob-type") != "BlockBlob":
            raise CloudRefusal(400, "MissingRequiredHeader", "A header of the signature is missing.")
        session = self.sessions.get(grant.session)
        if session is None:
            raise CloudRefusal(404, "NoSuchUpload", "The upload does not exist.")
        etag = f'"{hashlib.md5(request.content).hexdigest()}"'
        session.parts[grant.part] = (etag, request.content)
        return Response(201, None, {"ETag": etag})

    def _get(self, grant: Grant, request: Request) -> Response:
        try:
            file = self._files.need_file(grant.path, User("cloud", "sas", frozenset({READ})))
        except Refusal:
            raise CloudRefusal(404, "BlobNotFound", "The specified blob does not exist.") from None
        try:
            response = ranges.send(file, request)
        except ranges.Modified:
            raise CloudRefusal(412, "ConditionNotMet", "The condition is not met.") from None
        except ranges.Unsatisfiable:
            raise CloudRefusal(416, "InvalidRange", "The range is invalid for the size of the resource.") from None
        response.headers["ETag"] = file.etag
        return response

    def _check_offered(self) -> None:
        if not self.offered:
            told = "Presigned URLs API is not enabled for this workspace."
            raise Refusal(403, "PERMISSION_DENIED", told, reason="FILES_API_API_IS_NOT_ENABLED")

    def _session(self, token: str, path: str) -> Session:
        session = self.sessions.get(token)
        if session is None or session.path != path:
            told = "The upload session is not found."
            raise Refusal(404, "NOT_FOUND", told, reason="FILES_API_UPLOAD_SESSION_IS_NOT_FOUND")  # a guess
        return session

    def _sign(self, request: Request, grant: Grant) -> str:
        signature = secrets.token_urlsafe(32)
        self._grants[signature] = grant
        return f"{request.base}{CLOUD}{quote(grant.path)}?part={grant.part}&sig={signature}"
