"""The calls of the blob endpoint on the account and on containers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.servers.adls.auth import delegation_key
from tests.servers.adls.model import Account, Node, managed
from tests.servers.adls.paths import describe
from tests.servers.azureml.web import Request, Response


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


def create_container(request: Request, account: Account, container: str, path: str) -> Response:
    files = account.create(container)
    files.metadata = metadata_of(request.headers)
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
    files.metadata = metadata_of(request.headers)
    return Response(200, None, {"ETag": files.etag, "Last-Modified": files.last_modified})


def list_blobs(request: Request, account: Account, container: str, path: str) -> Response:
    """Directories are blobs with ``hdi_isfolder``; with a delimiter they are only prefixes.

    The order is that of a walk through the directories, not that of names: ``a/b`` comes before ``a-b``.
    """
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
    marker = request.query.get("marker", "").split("/")
    names = [name for name in sorted(entries, key=lambda name: name.split("/")) if name.split("/") > marker]
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
        f"<Blob><Name>{escape(name)}</Name><Properties><Creation-Time>{date(node.created)}</Creation-Time>"
        f"<Last-Modified>{node.last_modified}</Last-Modified><Etag>{node.etag.strip(chr(34))}</Etag>"
        f"<ResourceType>{headers['x-ms-resource-type']}</ResourceType>"
        f"<Content-Length>{len(node.content)}</Content-Length>"
        f"<Content-Type>{escape(node.headers.get('Content-Type', 'application/octet-stream'))}</Content-Type>"
        f"{content_md5}<BlobType>BlockBlob</BlobType><LeaseStatus>{headers['x-ms-lease-status']}</LeaseStatus>"
        f"<LeaseState>{headers['x-ms-lease-state']}</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties>"
        f"<Metadata>{metadata}</Metadata></Blob>"
    )


def metadata_of(headers: Mapping[str, str]) -> dict[str, str]:
    prefix = "x-ms-meta-"
    return {name[len(prefix) :]: value for name, value in headers.items() if name.lower().startswith(prefix)}


def _xml(content: str) -> Response:
    return Response(200, f'<?xml version="1.0" encoding="utf-8"?>{content}', {"Content-Type": "application/xml"})


def date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
