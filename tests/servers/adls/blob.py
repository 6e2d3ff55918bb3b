"""The calls of the blob endpoint that Data Lake clients make, and those by which Blob clients read and write files.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from uuid import uuid4
from xml.etree import ElementTree

from tests.servers.adls import containers
from tests.servers.adls.conditions import check_conditions, check_lease, check_source_conditions
from tests.servers.adls.containers import date, metadata_of
from tests.servers.adls.errors import StorageError
from tests.servers.adls.model import Account, Lease, Node
from tests.servers.adls.paths import describe, stamps
from tests.servers.azureml.web import Request, Response

Handler = Callable[..., Response]


def handler(request: Request, container: str, path: str) -> tuple[Handler, str]:
    """What answers a call, and the permissions of which a SAS needs one. :raises StorageError: nothing does."""
    method, comp, kind = request.method, request.query.get("comp", ""), request.query.get("restype", "")
    if not container:
        calls = {
            ("GET", "list", ""): (containers.list_containers, "l"),
            ("GET", "properties", "account"): (containers.account_information, "rlwd"),
            ("HEAD", "properties", "account"): (containers.account_information, "rlwd"),
            ("POST", "userdelegationkey", "service"): (containers.user_delegation_key, ""),
        }
    elif not path and kind == "container":
        calls = {
            ("PUT", "", kind): (containers.create_container, "cw"),
            ("DELETE", "", kind): (containers.delete_container, "d"),
            ("GET", "", kind): (containers.container_properties, "rl"),
            ("HEAD", "", kind): (containers.container_properties, "rl"),
            ("PUT", "metadata", kind): (containers.set_container_metadata, "w"),
            ("GET", "list", kind): (containers.list_blobs, "l"),
        }
    else:
        calls = {
            ("GET", "", kind): (read, "r"),
            ("HEAD", "", kind): (properties, "r"),
            ("PUT", "", kind): (put_blob, "cw"),
            ("PUT", "block", kind): (put_block, "w"),
            ("PUT", "blocklist", kind): (put_block_list, "w"),
            ("PUT", "metadata", kind): (set_metadata, "w"),
            ("PUT", "properties", kind): (set_headers, "w"),
            ("PUT", "lease", kind): (lease, "w"),
            ("DELETE", "", kind): (delete, "d"),
        }
    found = calls.get((method, comp, kind))
    if "x-ms-copy-source" in request.headers:
        found = {"": (copy, "cw"), "block": (copy_block, "w")}.get(comp) if method == "PUT" else None
    if found is None:
        raise StorageError("NotImplemented", status=501, message=f"The stand-in knows no {method} {request.target}")
    return found


def node_at(account: Account, container: str, path: str) -> Node:
    files = account.find(container)
    if path not in files.paths:
        raise StorageError("BlobNotFound")
    return files.paths[path]


def _settings(headers: Mapping[str, str]) -> dict[str, str]:
    names = (
        "Cache-Control",
        "Content-Type",
        "Content-MD5",
        "Content-Encoding",
        "Content-Language",
        "Content-Disposition",
    )
    return {name: headers[f"x-ms-blob-{name.lower()}"] for name in names if headers.get(f"x-ms-blob-{name.lower()}")}


def _described(node: Node) -> dict[str, str]:
    headers = describe(node) | {"x-ms-blob-type": "BlockBlob", "x-ms-creation-time": date(node.created)}
    metadata = node.metadata | ({"hdi_isfolder": "true"} if node.is_directory else {})
    return headers | {f"x-ms-meta-{name}": value for name, value in metadata.items()}


def properties(request: Request, account: Account, container: str, path: str) -> Response:
    node = node_at(account, container, path)
    check_conditions(request, node)
    return Response(200, node.content, _described(node))


def read(request: Request, account: Account, container: str, path: str) -> Response:
    node = node_at(account, container, path)
    check_conditions(request, node)
    check_lease(request, node) if request.headers.get("x-ms-lease-id") else None
    headers = _described(node)
    wanted = request.headers.get("x-ms-range") or request.headers.get("Range")
    if not wanted:
        return Response(200, node.content, headers)
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
    if found is None:
        raise StorageError("InvalidHeaderValue")
    size = len(node.content)
    start, end = int(found[1]), min(int(found[2] or size), size - 1)
    if start >= size:
        raise StorageError("InvalidRange", headers={"Content-Range": f"bytes */{size}"})
    part = node.content[start : end + 1]
    if whole := headers.pop("Content-MD5", None):
        headers["x-ms-blob-content-md5"] = whole
    if request.headers.get("x-ms-range-get-content-md5") == "true":
        headers["Content-MD5"] = base64.b64encode(hashlib.md5(part).digest()).decode()
    return Response(206, part, headers | {"Content-Range": f"bytes {start}-{end}/{size}"})


def _place(request: Request, account: Account, container: str, path: str) -> Node:
    """The new file that replaces what is at a path. :raises StorageError: it may not."""
    files = account.find(container)
    account.check_changeable(files, path)
    there = files.paths.get(path)
    check_conditions(request, there, exists="BlobAlreadyExists")
    check_lease(request, there)
    if there and there.is_directory:
        raise StorageError("PathConflict")
    files.make_parents(path)
    node = Node(headers=_settings(request.headers), metadata=metadata_of(request.headers), lease=there and there.lease)
    node.acl = there.acl if there else files.acl_for(path, directory=False) or node.acl  # the former is a guess
    return node


def _check_md5(request: Request) -> str:
    digest = base64.b64encode(hashlib.md5(request.content).digest()).decode()
    if request.headers.get("Content-MD5", digest) != digest:
        raise StorageError("Md5Mismatch")
    return digest


def put_blob(request: Request, account: Account, container: str, path: str) -> Response:
    if request.headers.get("x-ms-blob-type") != "BlockBlob":
        raise StorageError("MissingRequiredHeader")
    digest = _check_md5(request)
    node = _place(request, account, container, path)
    node.content = request.content
    node.headers.setdefault("Content-MD5", digest)
    if request.headers.get("Content-Type"):
        node.headers.setdefault("Content-Type", request.headers["Content-Type"])
    files = account.find(container)
    if node.metadata.pop("hdi_isfolder", "") == "true":
        node = Node(is_directory=True, metadata=node.metadata, acl=files.acl_for(path, directory=True))
    files.paths[path] = node
    return Response(201, None, stamps(node) | {"Content-MD5": digest})


def copy(request: Request, account: Account, container: str, path: str, *, source: Node) -> Response:
    """At once, as ``x-ms-requires-sync`` asks.

    https://learn.microsoft.com/rest/api/storageservices/copy-blob-from-url
    """
    if request.headers.get("x-ms-requires-sync", "").lower() != "true":
        raise StorageError("NotImplemented", status=501, message="The stand-in copies while the client waits, only.")
    check_source_conditions(request, source)
    node = _place(request, account, container, path)
    node.content, node.headers = source.content, dict(source.headers)
    node.metadata = node.metadata or dict(source.metadata)
    account.find(container).paths[path] = node
    told = {"x-ms-copy-id": str(uuid4()), "x-ms-copy-status": "success"}
    return Response(202, None, stamps(node) | told)


def copy_block(request: Request, account: Account, container: str, path: str, *, source: Node) -> Response:
    """https://learn.microsoft.com/rest/api/storageservices/put-block-from-url"""
    check_source_conditions(request, source)
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("x-ms-source-range", ""))
    if found is None or int(found[2]) >= len(source.content):
        raise StorageError("InvalidRange")
    part = source.content[int(found[1]) : int(found[2]) + 1]
    return put_block(replace(request, content=part), account, container, path)


def put_block(request: Request, account: Account, container: str, path: str) -> Response:
    """Blocks of a file that is not there yet are kept beside the files, where no list shows them."""
    digest = _check_md5(request)
    files = account.find(container)
    account.check_changeable(files, path)
    check_lease(request, files.paths.get(path))
    files.blocks.setdefault(path, {})[request.query["blockid"]] = request.content
    return Response(201, None, {"Content-MD5": digest, "x-ms-request-server-encrypted": "true"})


def put_block_list(request: Request, account: Account, container: str, path: str) -> Response:
    files = account.find(container)
    node = _place(request, account, container, path)
    there = files.paths.get(path)
    committed, waiting = there.blocks if there else {}, files.blocks.get(path, {})
    for entry in ElementTree.fromstring(request.content):
        sources = {"Committed": [committed], "Uncommitted": [waiting], "Latest": [waiting, committed]}[entry.tag]
        block = next((blocks[entry.text or ""] for blocks in sources if entry.text in blocks), None)
        if block is None:
            raise StorageError("InvalidBlockList")
        node.blocks[entry.text or ""] = block
        node.content += block
    files.blocks.pop(path, None)
    files.paths[path] = node
    return Response(201, None, stamps(node))


def set_metadata(request: Request, account: Account, container: str, path: str) -> Response:
    node = node_at(account, container, path)
    account.check_changeable(account.find(container), path)
    check_conditions(request, node)
    check_lease(request, node)
    node.metadata = metadata_of(request.headers)
    node.metadata.pop("hdi_isfolder", None)
    node.touch()
    return Response(200, None, stamps(node))


def set_headers(request: Request, account: Account, container: str, path: str) -> Response:
    node = node_at(account, container, path)
    account.check_changeable(account.find(container), path)
    check_conditions(request, node)
    check_lease(request, node)
    node.headers = _settings(request.headers)
    node.touch()
    return Response(200, None, stamps(node))


def delete(request: Request, account: Account, container: str, path: str) -> Response:
    node = node_at(account, container, path)
    account.check_changeable(account.find(container), path)
    check_conditions(request, node)
    check_lease(request, node)
    if node.is_directory and account.find(container).below(path):
        raise StorageError("DirectoryIsNotEmpty")
    account.find(container).remove(path)
    return Response(202)


def lease(request: Request, account: Account, container: str, path: str) -> Response:
    """https://learn.microsoft.com/rest/api/storageservices/lease-blob; a broken lease ends at once here."""
    node = node_at(account, container, path)
    check_conditions(request, node)
    action, held = request.headers.get("x-ms-lease-action", ""), node.active_lease
    given, proposed = request.headers.get("x-ms-lease-id", ""), request.headers.get("x-ms-proposed-lease-id", "")
    headers = stamps(node)
    if action == "acquire":
        duration = int(request.headers.get("x-ms-lease-duration", "-1"))
        if duration != -1 and not 15 <= duration <= 60:
            raise StorageError("InvalidHeaderValue")
        if held and held.id.lower() != proposed.lower():
            raise StorageError("LeaseAlreadyPresent")
        until = float("inf") if duration < 0 else time.monotonic() + duration
        node.lease = Lease(proposed or str(uuid4()), duration, until)
        return Response(201, None, headers | {"x-ms-lease-id": node.lease.id})
    if node.lease is None or (action != "renew" and held is None):
        raise StorageError("LeaseNotPresentWithLeaseOperation")
    if action == "break":
        node.lease = None
        return Response(202, None, headers | {"x-ms-lease-time": "0"})
    if given.lower() != node.lease.id.lower():
        raise StorageError("LeaseIdMismatchWithLeaseOperation")
    if action == "release":
        node.lease = None
        return Response(200, None, headers)
    if action == "renew" and node.lease.duration > 0:
        node.lease.until = time.monotonic() + node.lease.duration
    elif action == "change":
        node.lease.id = proposed
    elif action != "renew":
        raise StorageError("InvalidHeaderValue")
    return Response(200, None, headers | {"x-ms-lease-id": node.lease.id})
