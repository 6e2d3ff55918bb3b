"""The calls on files. Each handler has the share, the names of the path and the request.

https://learn.microsoft.com/rest/api/storageservices/operations-on-files
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.servers.azurefiles.listing import list_ranges
from tests.servers.azurefiles.rights import at_birth, given, inherited
from tests.servers.azurefiles.tree import Node, Share, Waits, metadata
from tests.servers.azurefiles.web import MAX_RANGE, Refusal, Response, bad_header, byte_range, missing
from tests.servers.fault import Fault

if TYPE_CHECKING:
    from tests.servers.azureml.web import Request

LARGEST = 4 << 40


@dataclass
class SlowCopy(Fault):
    """A copy goes on after the answer: it is pending for the next so many who ask about the file.

    :param fails: how it ends then; "" is well.
    """

    looks: int = 2
    fails: str = ""


Parts = list[str]
Source = Callable[[str], Node]
"""Finds the file that a URL in a header names, and checks that it may be read."""


def create(share: Share, parts: Parts, request: Request) -> Response:
    """Of a given size, all zero; whatever file was there is gone."""
    headers = request.headers
    if headers.get("x-ms-type", "").lower() != "file":
        raise missing("x-ms-type")
    size = _number(request, "x-ms-content-length")
    if size > LARGEST:
        raise bad_header("x-ms-content-length", str(size))
    if len(request.content) > min(size, MAX_RANGE):
        raise Refusal(413, "RequestBodyTooLarge")
    lease_id = replace(share, parts, request)
    node = Node(parts[-1], bytearray(size), lease=lease_id, rights=at_birth(headers, share.parent(parts).rights))
    node.set_headers(headers, replace_content=True)
    node.set_metadata(headers)
    if request.content:  # versions from 2025 on take a small file's content at once
        node.bytes[: len(request.content)] = request.content
        node.mark(0, len(request.content), written=True)
    share.put(parts, node)
    return Response(201, node.headers())


def copy(share: Share, parts: Parts, request: Request, source: Source, slow: SlowCopy | None = None) -> Response:
    """Within the service a copy is done at once, and the answer tells that; if it is not told to be slow."""
    url = request.headers["x-ms-copy-source"]
    original = source(url)
    node = Node(parts[-1], bytearray(original.bytes), lease=replace(share, parts, request))
    node.rights = inherited(share.parent(parts).rights)
    if mode := request.headers.get("x-ms-file-permission-copy-mode"):
        node.rights = original.rights if mode == "source" else given(request.headers) or node.rights
    node.ranges, node.content = list(original.ranges), dict(original.content)
    node.metadata = metadata(request.headers) or dict(original.metadata)
    node.set_headers(request.headers, source=original)
    told = {"x-ms-copy-id": str(uuid4()), "x-ms-copy-status": "pending" if slow else "success"}
    node.copied = told | {
        "x-ms-copy-source": url.partition("?")[0],
        "x-ms-copy-progress": f"{len(node.bytes)}/{len(node.bytes)}",
        "x-ms-copy-completion-time": node.modified,
    }
    if slow:
        node.waits = Waits(node.bytes, slow.looks, slow.fails)
        node.data, node.ranges = bytearray(len(node.bytes)), []
    share.put(parts, node)
    return Response(202, node.headers() | told)


def abort_copy(share: Share, parts: Parts, request: Request) -> Response:
    node = share.need(parts, directory=False)
    if node.waits is None or node.copied["x-ms-copy-id"] != request.query.get("copyid"):
        raise Refusal(409, "NoPendingCopyOperation", "There is currently no pending copy operation.")
    node.end_copy("aborted")
    return Response(204)


def get(share: Share, parts: Parts, request: Request) -> Response:
    node = share.need(parts, directory=False, reads=True)
    node.look()
    data, said = node.bytes, node.properties() | {"Accept-Ranges": "bytes"}
    asked = request.headers.get("x-ms-range") or request.headers.get("Range")
    wants_md5 = request.headers.get("x-ms-range-get-content-md5", "").lower() == "true"
    if request.method == "HEAD" or not asked:
        if wants_md5:
            raise bad_header("x-ms-range-get-content-md5", "true")
        return Response(200, said, b"" if request.method == "HEAD" and not data else bytes(data), said["Content-Type"])
    first, last = byte_range(asked)
    if first >= len(data):
        raise Refusal(416, "InvalidRange", headers={"Content-Range": f"bytes */{len(data)}"})
    part = bytes(data[first : None if last is None else last + 1])
    said["Content-Range"] = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
    if "Content-Md5" in said:
        said["x-ms-content-md5"] = said.pop("Content-Md5")
    if wants_md5:
        if len(part) > MAX_RANGE:
            raise bad_header("x-ms-range-get-content-md5", "true")
        said["Content-MD5"] = md5(part)
    return Response(206, said, part, said["Content-Type"])


def delete(share: Share, parts: Parts, request: Request) -> Response:
    node = share.need(parts, directory=False)
    node.check_writable()
    check_lease(node, request)
    share.remove(parts)
    return Response(202)


def set_properties(share: Share, parts: Parts, request: Request) -> Response:
    """All content headers at once; and the size, which cuts or adds zeros."""
    node = share.need(parts, directory=False)
    check_lease(node, request)
    if "x-ms-content-length" in request.headers:
        size, data = _number(request, "x-ms-content-length"), node.bytes
        node.data = data[:size] + bytearray(max(0, size - len(data)))
        node.mark(size, max(size, len(data)), written=False)
    node.touch(written="x-ms-content-length" in request.headers)
    node.set_headers(request.headers, replace_content=True)
    node.rights = given(request.headers) or node.rights
    return Response(200, node.headers())


def set_metadata(share: Share, parts: Parts, request: Request) -> Response:
    node = share.need(parts, directory=False)
    check_lease(node, request)
    node.set_metadata(request.headers)
    node.touch()
    return Response(200, node.headers())


def put_range(share: Share, parts: Parts, request: Request, source: Source) -> Response:
    node = share.need(parts, directory=False)
    node.check_writable()
    check_lease(node, request)
    first, last = _whole_range(request, "x-ms-range", "Range")
    size, write = last + 1 - first, request.headers.get("x-ms-write", "").lower()
    if write not in ("update", "clear"):
        raise bad_header("x-ms-write", write) if write else missing("x-ms-write")
    content = request.content
    if "x-ms-copy-source" in request.headers:
        content = _source_bytes(request, source(request.headers["x-ms-copy-source"]), write)
    if write == "update" and size > MAX_RANGE:
        raise Refusal(413, "RequestBodyTooLarge", MaxLimit=str(MAX_RANGE))
    if len(content) != (size if write == "update" else 0):
        raise bad_header("Content-Length", str(len(content)))
    if last >= len(node.bytes):
        raise Refusal(416, "InvalidRange")
    told = request.headers.get("Content-MD5")
    if told and told != md5(content):
        raise Refusal(400, "Md5Mismatch", UserSpecifiedMd5=told, ServerCalculatedMd5=md5(content))
    node.bytes[first : last + 1] = content or bytes(size)
    node.mark(first, last + 1, written=write == "update")
    node.touch(written=request.headers.get("x-ms-file-last-write-time", "now").lower() != "preserve")
    answer = {"ETag": node.etag, "Last-Modified": node.modified, "x-ms-request-server-encrypted": "true"}
    if write == "update":
        answer["Content-MD5"] = md5(content)
    return Response(201, answer | {"x-ms-file-last-write-time": node.written})


def ranges(share: Share, parts: Parts, request: Request) -> Response:
    node = share.need(parts, directory=False, reads=True)
    return list_ranges(node, request.headers.get("x-ms-range") or request.headers.get("Range") or "", request.query)


def lease(share: Share, parts: Parts, request: Request) -> Response:
    """Leases of files never end by themselves: https://learn.microsoft.com/rest/api/storageservices/lease-file"""
    node = share.need(parts, directory=False)
    action = request.headers.get("x-ms-lease-action", "").lower()
    given, proposed = request.headers.get("x-ms-lease-id", ""), request.headers.get("x-ms-proposed-lease-id")
    said = {"ETag": node.etag, "Last-Modified": node.modified}
    if action == "acquire":
        if request.headers.get("x-ms-lease-duration", "-1") != "-1":
            raise bad_header("x-ms-lease-duration", request.headers["x-ms-lease-duration"])
        if node.lease and node.lease != proposed:
            raise Refusal(409, "LeaseAlreadyPresent")
        node.lease, node.broken = proposed or str(uuid4()), False
        return Response(201, said | {"x-ms-lease-id": node.lease})
    if action not in ("release", "change", "break"):
        raise bad_header("x-ms-lease-action", action)
    if not node.lease:
        raise Refusal(409, "LeaseNotPresentWithLeaseOperation")
    if given != node.lease and (given or action != "break"):
        raise Refusal(409, "LeaseIdMismatchWithLeaseOperation")
    if action == "change":
        node.lease = proposed or node.lease
        return Response(200, said | {"x-ms-lease-id": node.lease})
    node.lease, node.broken = "", action == "break"
    return Response(202, said | {"x-ms-lease-time": "0"}) if action == "break" else Response(200, said)


def rename(share: Share, parts: Parts, request: Request, source: Share, old: Parts, *, directory: bool) -> Response:
    """In one step. https://learn.microsoft.com/rest/api/storageservices/rename-file, …/rename-directory"""
    if source is not share:
        raise bad_header("x-ms-file-rename-source", request.headers["x-ms-file-rename-source"])
    node = share.need(old, directory=directory)
    check_lease(node, request, "x-ms-source-lease-id")
    there = share.find(parts)
    if any(step is node for step in share.walk(parts[:-1])):
        raise Refusal(409, "SharingViolation", "A directory cannot be moved into itself.")  # a guess
    if there is None and request.headers.get("x-ms-destination-lease-id"):
        raise Refusal(412, "LeaseNotPresentWithFileOperation")  # a guess
    if there is not None and there is not node:
        if directory or there.data is None or not _true(request, "x-ms-file-rename-replace-if-exists"):
            raise Refusal(409, "ResourceAlreadyExists")
        check_lease(there, request, "x-ms-destination-lease-id")
        if not _true(request, "x-ms-file-rename-ignore-readonly"):
            there.check_writable()
    share.remove(old)
    share.put(parts, node)
    node.touch()
    node.set_headers(request.headers)
    node.metadata = metadata(request.headers) or node.metadata
    node.rights = given(request.headers) or node.rights
    return Response(200, node.headers())


def replace(share: Share, parts: Parts, request: Request) -> str:
    """Check that a file may be put here; gives the lease of the one that is there, which stays. :raises Refusal:"""
    there = share.find(parts)
    if there is None:
        return ""
    if there.data is None:
        raise Refusal(409, "ResourceTypeMismatch")
    there.check_writable()
    check_lease(there, request)
    return there.lease


def check_lease(node: Node, request: Request, header: str = "x-ms-lease-id") -> None:
    given = request.headers.get(header, "")
    if node.lease and not given:
        raise Refusal(412, "LeaseIdMissing")
    if given and not node.lease:
        raise Refusal(412, "LeaseNotPresentWithFileOperation")
    if given != node.lease:
        raise Refusal(412, "LeaseIdMismatchWithFileOperation")


def md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _source_bytes(request: Request, node: Node, write: str) -> bytes:
    if write != "update" or request.content:
        raise bad_header("x-ms-write", write)
    first, last = _whole_range(request, "x-ms-source-range")
    if last >= len(node.bytes):
        raise Refusal(416, "InvalidRange")
    if last + 1 - first > MAX_RANGE:
        raise Refusal(413, "RequestBodyTooLarge", MaxLimit=str(MAX_RANGE))
    return bytes(node.bytes[first : last + 1])


def _whole_range(request: Request, *names: str) -> tuple[int, int]:
    for name in names:
        if text := request.headers.get(name):
            first, last = byte_range(text, name)
            if last is None:
                raise bad_header(name, text)
            return first, last
    raise missing(names[0])


def _number(request: Request, header: str) -> int:
    text = request.headers.get(header)
    if text is None:
        raise missing(header)
    if not text.isdecimal():
        raise bad_header(header, text)
    return int(text)


def _true(request: Request, header: str) -> bool:
    return request.headers.get(header, "").lower() == "true"
