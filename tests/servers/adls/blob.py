"""The calls of the blob endpoint that Data Lake clients make, and those by which Blob clients read and write files.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.servers.adls.auth import delegation_key
from tests.servers.adls.conditions import check_conditions, check_lease
from tests.servers.adls.dfs import describe
from tests.servers.adls.errors import StorageError
from tests.servers.adls.model import Account, Lease, Node, managed
from tests.servers.azureml.web import Request, Response

Handler = Callable[[Request, Account, str, str], Response]
_XML = {"Content-Type": "application/xml"}


def handler(request: Request, container: str, path: str) -> tuple[Handler, str]:
    """What answers a call, and the permissions of which a SAS needs one. :raises StorageError: nothing does."""
    method, comp, kind = request.method, request.query.get("comp", ""), request.query.get("restype", "")
    if not container:
        calls = {
            ("GET", "list", ""): (list_containers, "l"),
            ("GET", "properties", "account"): (account_information, "rlwd"),
            ("HEAD", "properties", "account"): (account_information, "rlwd"),
            ("POST", "userdelegationkey", "service"): (user_delegation_key, ""),
        }
    elif not path and kind == "container":
        calls = {
            ("PUT", "", kind): (create_container, "cw"),
            ("DELETE", "", kind): (delete_container, "d"),
            ("GET", "", kind): (container_properties, "rl"),
            ("HEAD", "", kind): (container_properties, "rl"),
            ("PUT", "metadata", kind): (set_container_metadata, "w"),
            ("GET", "list", kind): (list_blobs, "l"),
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
    if found is None:
        raise StorageError("NotImplemented", status=501, message=f"The stand-in knows no {method} {request.target}")
    return found


def _node(account: Account, container: str, path: str) -> Node:
    files = account.find(container)
    if path not in files.paths:
        raise StorageError("BlobNotFound")
    return files.paths[path]


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    prefix = "x-ms-meta-"
    return {name[len(prefix) :]: value for name, value in headers.items() if name.lower().startswith(prefix)}


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


def _stamps(node: Node) -> dict[str, str]:
    return {"ETag": node.etag, "Last-Modified": node.last_modified, "x-ms-request-server-encrypted": "true"}


def _xml(content: str) -> Response:
    return Response(200, f'<?xml version="1.0" encoding="utf-8"?>{content}', dict(_XML))


# the account


def list_containers(request: Request, account: Account, container: str, path: str) -> Response:
    if account.onelake:
        raise managed()
    prefix, marker = request.query.get("prefix", ""), request.query.get("marker", "")
    size = min(int(request.query.get("maxresults", account.page)), account.page)
    names = [name for name in sorted(account.filesystems) if name.startswith(prefix) and name > marker]
    shown = ""
    for name in names[:size]:
        files = account.filesystems[name]
        metadata = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in files.metadata.items())
        shown += (
            f"<Container><Name>{name}</Name><Properties><Last-Modified>{files.last_modified}</Last-Modified>"
            f"<Etag>{files.etag}</Etag><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>"
            f"<HasImmutabilityPolicy>false</HasImmutabilityPolicy><HasLegalHold>false</HasLegalHold></Properties>"
            f"<Metadata>{metadata}</Metadata></Container>"
        )
    more = names[size - 1] if len(names) > size else ""
    return _xml(
        f'<EnumerationResults ServiceEndpoint="{request.base}/{account.name}/"><Containers>{shown}</Containers>'
        f"<NextMarker>{more}</NextMarker></EnumerationResults>"
    )


def account_information(request: Request, account: Account, container: str, path: str) -> Response:
    return Response(
        200, None, {"x-ms-sku-name": "Standard_LRS", "x-ms-account-kind": "StorageV2", "x-ms-is-hns-enabled": "true"}
    )


def user_delegation_key(request: Request, account: Account, container: str, path: str) -> Response:
    """https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key"""
    asked = {child.tag: child.text or "" for child in ElementTree.fromstring(request.content)}
    now = datetime.now(UTC)
    principal = request.principal
    assert principal is not None  # no key and no SAS gets here: nothing is needed that they could have
    signed = {
        "skoid": principal.object_id,
        "sktid": principal.tenant,
        "skt": asked.get("Start") or now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ske": asked.get("Expiry") or (now + timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "sks": "b",
        "skv": request.headers.get("x-ms-version", "2020-02-10"),
    }
    names = ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService", "SignedVersion")
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in zip(names, signed.values(), strict=True))
    return _xml(f"<UserDelegationKey>{fields}<Value>{delegation_key(account, signed)}</Value></UserDelegationKey>")


# containers


def create_container(request: Request, account: Account, container: str, path: str) -> Response:
    files = account.create(container)
    files.metadata = _metadata(request.headers)
    return Response(201, None, {"ETag": files.etag, "Last-Modified": files.last_modified})


def delete_container(request: Request, account: Account, container: str, path: str) -> Response:
    account.find(container)
    if account.onelake:
        raise managed()
    del account.filesystems[container]
    return Response(202)


def container_properties(request: Request, account: Account, container: str, path: str) -> Response:
    files = account.find(container)
    headers = {
        "ETag": files.etag,
        "Last-Modified": files.last_modified,
        "x-ms-lease-status": "unlocked",
        "x-ms-lease-state": "available",
        "x-ms-has-immutability-policy": "false",
        "x-ms-has-legal-hold": "false",
    }
    return Response(200, None, headers | {f"x-ms-meta-{name}": value for name, value in files.metadata.items()})


def set_container_metadata(request: Request, account: Account, container: str, path: str) -> Response:
    files = account.find(container)
    if account.onelake:
        raise managed()
    files.metadata = _metadata(request.headers)
    return Response(200, None, {"ETag": files.etag, "Last-Modified": files.last_modified})


def list_blobs(request: Request, account: Account, container: str, path: str) -> Response:
    """Directories are blobs with ``hdi_isfolder``; with a delimiter they are only prefixes."""
    files = account.find(container)
    prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
    entries: dict[str, Node | None] = {}
    for name in sorted(files.paths):
        node = files.paths[name]
        shown = f"{name}/" if node.is_directory and delimiter else name
        if not name or not shown.startswith(prefix) or (shown == prefix and node.is_directory and delimiter):
            continue
        head, found, _ = shown[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        entries[prefix + head + delimiter if found else name] = None if found else node
    size = min(int(request.query.get("maxresults", account.page)), account.page)
    names = [name for name in sorted(entries) if name > request.query.get("marker", "")]
    content = "".join(_listed(name, entries[name], request.query.get("include", "")) for name in names[:size])
    more = names[size - 1] if len(names) > size else ""
    return _xml(
        f'<EnumerationResults ServiceEndpoint="{request.base}/{account.name}/" ContainerName="{container}">'
        f"<Blobs>{content}</Blobs><NextMarker>{escape(more)}</NextMarker></EnumerationResults>"
    )


def _listed(name: str, node: Node | None, include: str) -> str:
    if node is None:
        return f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>"
    headers = describe(node)
    content_md5 = f"<Content-MD5>{headers['Content-MD5']}</Content-MD5>" if "Content-MD5" in headers else ""
    metadata = ""
    if "metadata" in include:
        shown = node.metadata | ({"hdi_isfolder": "true"} if node.is_directory else {})
        metadata = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in shown.items())
    return (
        f"<Blob><Name>{escape(name)}</Name><Properties><Creation-Time>{_date(node.created)}</Creation-Time>"
        f"<Last-Modified>{node.last_modified}</Last-Modified><Etag>{node.etag.strip(chr(34))}</Etag>"
        f"<ResourceType>{headers['x-ms-resource-type']}</ResourceType>"
        f"<Content-Length>{len(node.content)}</Content-Length>"
        f"<Content-Type>{escape(node.headers.get('Content-Type', 'application/octet-stream'))}</Content-Type>"
        f"{content_md5}<BlobType>BlockBlob</BlobType><LeaseStatus>{headers['x-ms-lease-status']}</LeaseStatus>"
        f"<LeaseState>{headers['x-ms-lease-state']}</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties>"
        f"<Metadata>{metadata}</Metadata></Blob>"
    )


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


# paths


def _described(node: Node) -> dict[str, str]:
    headers = describe(node) | {"x-ms-blob-type": "BlockBlob", "x-ms-creation-time": _date(node.created)}
    metadata = node.metadata | ({"hdi_isfolder": "true"} if node.is_directory else {})
    return headers | {f"x-ms-meta-{name}": value for name, value in metadata.items()}


def properties(request: Request, account: Account, container: str, path: str) -> Response:
    node = _node(account, container, path)
    check_conditions(request, node)
    return Response(200, node.content, _described(node))


def read(request: Request, account: Account, container: str, path: str) -> Response:
    node = _node(account, container, path)
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
    return Node(headers=_settings(request.headers), metadata=_metadata(request.headers), lease=there and there.lease)


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
    if node.metadata.pop("hdi_isfolder", "") == "true":
        node = Node(is_directory=True, metadata=node.metadata)
    account.find(container).paths[path] = node
    return Response(201, None, _stamps(node) | {"Content-MD5": digest})


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
    return Response(201, None, _stamps(node))


def set_metadata(request: Request, account: Account, container: str, path: str) -> Response:
    node = _node(account, container, path)
    account.check_changeable(account.find(container), path)
    check_conditions(request, node)
    check_lease(request, node)
    node.metadata = _metadata(request.headers)
    node.metadata.pop("hdi_isfolder", None)
    node.touch()
    return Response(200, None, _stamps(node))


def set_headers(request: Request, account: Account, container: str, path: str) -> Response:
    node = _node(account, container, path)
    account.check_changeable(account.find(container), path)
    check_conditions(request, node)
    check_lease(request, node)
    node.headers = _settings(request.headers)
    node.touch()
    return Response(200, None, _stamps(node))


def delete(request: Request, account: Account, container: str, path: str) -> Response:
    node = _node(account, container, path)
    account.check_changeable(account.find(container), path)
    check_conditions(request, node)
    check_lease(request, node)
    if node.is_directory and account.find(container).below(path):
        raise StorageError("DirectoryIsNotEmpty")
    account.find(container).remove(path)
    return Response(202)


def lease(request: Request, account: Account, container: str, path: str) -> Response:
    """https://learn.microsoft.com/rest/api/storageservices/lease-blob; a broken lease ends at once here."""
    node = _node(account, container, path)
    check_conditions(request, node)
    action, held = request.headers.get("x-ms-lease-action", ""), node.active_lease
    given, proposed = request.headers.get("x-ms-lease-id", ""), request.headers.get("x-ms-proposed-lease-id", "")
    headers = _stamps(node)
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
