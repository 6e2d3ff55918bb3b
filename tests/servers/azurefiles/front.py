"""What every request goes through: faults, route, authorization, record; and the calls on shares and directories.

https://learn.microsoft.com/rest/api/storageservices/operations-on-shares--file-service-, …/operations-on-directories
"""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.servers.azurefiles import files
from tests.servers.azurefiles.auth import Guard, Need, detail
from tests.servers.azurefiles.listing import list_directory, list_shares
from tests.servers.azurefiles.rights import at_birth, given, key_of, rights_of
from tests.servers.azurefiles.tree import Node, Share, metadata, split_path, split_url
from tests.servers.azurefiles.web import XML, Refusal, Response, finished, missing, xml
from tests.servers.azureml.faults import Plan
from tests.servers.fault import Answer, LoseResponse, Meanwhile

if TYPE_CHECKING:
    from tests.servers.azureml.web import Request

_CONDITIONS = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")


@dataclass(frozen=True)
class Seen:
    """A request as it came in.

    :param request: ``METHOD /path?query``, a signature in it left out.
    :param how: ``key``, ``sas`` or ``token``; "" where it got no further.
    :param code: of the error; "" if there was none.
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
    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.shares: dict[str, Share] = {}
        self.plan = Plan()
        self.seen: list[Seen] = []
        self.tls_port = 0
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Response | None:
        """The answer; None if it is to be lost."""
        line = f"{request.method} {unquote(request.path)}"
        if shown := "&".join(f"{name}={value}" for name, value in request.query.items() if name != "sig"):
            line += f"?{shown}"
        fault = self.plan.strike(line)
        how: list[str] = []
        try:
            if isinstance(fault, Answer):
                raise Refusal(fault.status, fault.code, "injected", headers=dict(fault.headers))
            if isinstance(fault, Meanwhile):
                fault.action()
            with self._lock:
                response = self._dispatch(request, how, fault if isinstance(fault, files.SlowCopy) else None)
        except Refusal as refusal:
            response = refusal.response()
        version = request.headers.get("x-ms-version") or request.query.get("sv", "")
        response = finished(response, version, request.headers.get("x-ms-client-request-id", ""))
        code = response.headers.get("x-ms-error-code", "")
        self.seen.append(Seen(line, "".join(how), response.status, code, len(request.content), time.monotonic()))
        return None if isinstance(fault, LoseResponse) else response

    def _dispatch(self, request: Request, how: list[str], slow: files.SlowCopy | None) -> Response:
        account, share_name, path = split_url(request.path)
        if account != self.guard.account:
            raise Refusal(400, "InvalidUri", "The requested URI does not represent any resource on the server.")
        comp, kind = request.query.get("comp", ""), request.query.get("restype", "")
        if "sharesnapshot" in request.query:
            raise Refusal(501, "NotImplemented", "Snapshots are not played here.")
        if share_name and not path and kind == "share":
            need = Need("c", _share_permissions(request.method, comp), share_name)
        elif share_name:
            need = Need("o", _permissions(request, comp, kind), share_name, path)
        else:
            need = Need("s", "l")
        how.append(self.guard.check(request, need))
        for header in _CONDITIONS:
            if header in request.headers:  # none of the calls has them; that they are refused is a guess
                raise Refusal(400, "UnsupportedHeader", HeaderName=header, HeaderValue=request.headers[header])
        if not share_name:
            if (request.method, comp) != ("GET", "list"):
                raise _unknown(request)
            return list_shares(list(self.shares.values()), request.query, f"{request.base}/{account}/")
        if need.level == "c":
            return self._share(share_name, comp, request)
        share = self._need_share(share_name)
        parts = split_path(path, trailing_dots=_true(request, "x-ms-allow-trailing-dot"))
        if comp == "rename" and request.method == "PUT":
            return self._rename(share, parts, request, directory=kind == "directory")
        return (
            self._directory(share, parts, comp, request)
            if kind == "directory"
            else self._file(share, parts, comp, request, slow)
        )

    def _need_share(self, name: str) -> Share:
        if name not in self.shares:
            raise Refusal(404, "ShareNotFound")
        return self.shares[name]

    def _share(self, name: str, comp: str, request: Request) -> Response:
        if request.method == "PUT" and not comp:
            if not re.fullmatch(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*", name):
                raise Refusal(400, "InvalidResourceName")
            if name in self.shares:
                raise Refusal(409, "ShareAlreadyExists")
            quota = int(request.headers.get("x-ms-share-quota") or 5120)
            share = self.shares[name] = Share(name, quota, metadata(request.headers))
            return Response(201, {"ETag": share.root.etag, "Last-Modified": share.root.modified})
        share = self._need_share(name)
        said = {"ETag": share.root.etag, "Last-Modified": share.root.modified}
        match request.method, comp:
            case "DELETE", "":
                del self.shares[name]
                return Response(202)
            case "GET" | "HEAD", "" | "metadata":
                told = {f"x-ms-meta-{key}": value for key, value in share.metadata.items()}
                tier = {"x-ms-access-tier": "TransactionOptimized", "x-ms-share-quota": str(share.quota)}
                return Response(200, said | told | ({} if comp else tier | {"x-ms-enabled-protocols": "SMB"}))
            case "GET", "stats":
                used = sum(len(node.data or b"") for node in _all(share.root))
                answer = xml(f"{XML}<ShareStats><ShareUsageBytes>{used}</ShareUsageBytes></ShareStats>")
                answer.headers |= said
                return answer
            case "PUT", "metadata":
                share.metadata = metadata(request.headers)
                return Response(200, said)
            case "PUT", "filepermission":
                key = key_of(json.loads(request.content)["permission"])
                return Response(201, {"x-ms-file-permission-key": key})
            case "GET", "filepermission":
                rights = rights_of(request.headers.get("x-ms-file-permission-key", ""))
                return Response(200, body=json.dumps({"permission": rights}).encode(), kind="application/json")
        raise _unknown(request)

    def _directory(self, share: Share, parts: list[str], comp: str, request: Request) -> Response:
        if request.method == "PUT" and not comp:
            if share.find(parts) is not None:
                raise Refusal(409, "ResourceAlreadyExists")
            node = Node(parts[-1], rights=at_birth(request.headers, share.parent(parts).rights))
            node.set_headers(request.headers)
            node.set_metadata(request.headers)
            share.put(parts, node)
            return Response(201, node.headers())
        node = share.need(parts, directory=True, reads=request.method in ("GET", "HEAD"))
        match request.method, comp:
            case "GET", "list":
                extended = _true(request, "x-ms-file-extended-info")
                base = {"base": f"{request.base}/{self.guard.account}/"}
                return list_directory(share, "/".join(parts), node, {**request.query, **base}, extended)
            case "GET" | "HEAD", "" | "metadata":
                return Response(200, node.properties())
            case "DELETE", "":
                if node.children:
                    raise Refusal(409, "DirectoryNotEmpty")
                if not parts:
                    raise Refusal(409, "CannotDeleteFileOrDirectory")  # a guess
                share.remove(parts)
                return Response(202)
            case "PUT", "properties" | "metadata":
                node.touch()
                if comp == "metadata":
                    node.set_metadata(request.headers)
                else:
                    node.set_headers(request.headers)
                    node.rights = given(request.headers) or node.rights
                return Response(200, node.headers())
        raise _unknown(request)

    def _file(
        self, share: Share, parts: list[str], comp: str, request: Request, slow: files.SlowCopy | None
    ) -> Response:
        if not parts:
            raise Refusal(400, "InvalidUri")
        match request.method, comp:
            case "PUT", "" if "x-ms-copy-source" in request.headers:
                return files.copy(
                    share, parts, request, lambda url: self._source(url, request, needs_proof=False), slow
                )
            case "PUT", "":
                return files.create(share, parts, request)
            case "PUT", "range":
                return files.put_range(share, parts, request, lambda url: self._source(url, request, needs_proof=True))
            case "PUT", "properties":
                return files.set_properties(share, parts, request)
            case "PUT", "metadata":
                return files.set_metadata(share, parts, request)
            case "PUT", "lease":
                return files.lease(share, parts, request)
            case "PUT", "copy":
                return files.abort_copy(share, parts, request)
            case "GET", "rangelist":
                return files.ranges(share, parts, request)
            case "GET" | "HEAD", "" | "metadata":
                return files.get(share, parts, request)
            case "DELETE", "":
                return files.delete(share, parts, request)
        raise _unknown(request)

    def _rename(self, share: Share, parts: list[str], request: Request, *, directory: bool) -> Response:
        url = request.headers.get("x-ms-file-rename-source")
        if not url:
            raise missing("x-ms-file-rename-source")
        _, name, path = split_url(url)
        query = dict(parse_qsl(urlsplit(url).query))
        if "sig" in query:
            self.guard.check_sas(query, request.base.startswith("https:"), Need("o", "dw", name, path))
        elif "sig" in request.query:  # good for the new name only; the code is a guess
            raise Refusal(403, "AuthenticationFailed", detail("The source of a rename needs its own signature."))
        old = split_path(path, trailing_dots=_true(request, "x-ms-source-allow-trailing-dot"))
        if not old or not parts:
            raise Refusal(400, "InvalidUri")
        return files.rename(share, parts, request, self._need_share(name), old, directory=directory)

    def _source(self, url: str, request: Request, *, needs_proof: bool) -> Node:
        """The file that a URL in ``x-ms-copy-source`` names.

        :param needs_proof: whether it needs a SAS or a token of its own even within the account.
        """
        account, name, path = split_url(url)
        query = dict(parse_qsl(urlsplit(url).query))
        token = request.headers.get("x-ms-copy-source-authorization", "").removeprefix("Bearer ")
        try:
            if account != self.guard.account:
                raise Refusal(404, "CannotVerifyCopySource")
            if "sig" in query:
                self.guard.check_sas(query, url.startswith("https:"), Need("o", "r", name, path))
            elif token:
                self.guard.check_token(token)
            elif needs_proof or "sig" in request.query:
                raise Refusal(401, "CannotVerifyCopySource")
            parts = split_path(path, trailing_dots=_true(request, "x-ms-source-allow-trailing-dot"))
            return self._need_share(name).need(parts, directory=False, reads=True)
        except Refusal as refusal:
            if refusal.status == 404 and not needs_proof:
                raise
            raise Refusal(refusal.status, "CannotVerifyCopySource", CopySourceErrorCode=refusal.code) from None


def _all(node: Node) -> list[Node]:
    return [node, *(below for child in node.children.values() for below in _all(child))]


def _share_permissions(method: str, comp: str) -> str:
    if method in ("GET", "HEAD"):
        return "r"
    return "d" if method == "DELETE" else "w" if comp else "cw"


def _permissions(request: Request, comp: str, kind: str) -> str:
    if request.method in ("GET", "HEAD"):
        return "l" if comp == "list" else "r"
    if request.method == "DELETE":
        return "d"
    return "cw" if not comp else "w"


def _true(request: Request, header: str) -> bool:
    return request.headers.get(header, "").lower() == "true"


def _unknown(request: Request) -> Refusal:
    return Refusal(501, "NotImplemented", f"{request.method} {request.target.partition('?')[0]} is not played here.")
