"""How the headers of a request describe a path, and those of an answer."""

from __future__ import annotations

import base64

from tests.servers.adls.errors import StorageError
from tests.servers.adls.model import Account, Filesystem, Node
from tests.servers.azureml.web import Request

_SETTINGS = {
    "x-ms-cache-control": "Cache-Control",
    "x-ms-content-type": "Content-Type",
    "x-ms-content-md5": "Content-MD5",
    "x-ms-content-encoding": "Content-Encoding",
    "x-ms-content-language": "Content-Language",
    "x-ms-content-disposition": "Content-Disposition",
}
_MANAGED_HEADERS = ("x-ms-owner", "x-ms-group", "x-ms-permissions", "x-ms-umask", "x-ms-acl", "x-ms-proposed-lease-id")


def node_at(files: Filesystem, path: str) -> Node:
    if path not in files.paths:
        raise StorageError("PathNotFound")
    return files.paths[path]


def number(request: Request, name: str, default: int | None = None) -> int:
    text = request.query.get(name)
    if text is None:
        if default is None:
            raise StorageError("MissingRequiredQueryParameter")
        return default
    if not text.isdecimal():
        raise StorageError("InvalidQueryParameterValue")
    return int(text)


def stamps(node: Node) -> dict[str, str]:
    return {"ETag": node.etag, "Last-Modified": node.last_modified, "x-ms-request-server-encrypted": "true"}


def describe(node: Node) -> dict[str, str]:
    """The headers in which both endpoints tell of a path."""
    lease = node.active_lease
    state = "leased" if lease else "expired" if node.lease else "available"
    headers = {
        "Content-Type": "application/octet-stream",
        **node.headers,
        "ETag": node.etag,
        "Last-Modified": node.last_modified,
        "Accept-Ranges": "bytes",
        "x-ms-resource-type": "directory" if node.is_directory else "file",
        "x-ms-owner": node.owner,
        "x-ms-group": node.group,
        "x-ms-permissions": node.permissions,
        "x-ms-acl": node.acl,
        "x-ms-lease-state": state,
        "x-ms-lease-status": "locked" if lease else "unlocked",
        "x-ms-server-encrypted": "true",
    }
    if lease:
        headers["x-ms-lease-duration"] = "infinite" if lease.duration < 0 else "fixed"
    return headers


def metadata_in(text: str) -> dict[str, str]:
    """Metadata as this endpoint writes it: ``name=base64,…``."""
    pairs = (entry.strip().partition("=") for entry in text.split(",") if entry.strip())
    return {name: base64.b64decode(value).decode() for name, _, value in pairs}


def apply_headers(request: Request, node: Node, account: Account) -> dict[str, str]:
    """Take over what the headers say of a path; tells what was ignored."""
    node.headers |= {name: request.headers[key] for key, name in _SETTINGS.items() if key in request.headers}
    if "x-ms-properties" in request.headers:
        node.metadata = metadata_in(request.headers["x-ms-properties"])
    if account.onelake:
        ignored = [name for name in _MANAGED_HEADERS if name in request.headers]
        return {"x-ms-rejected-headers": ",".join(ignored)} if ignored else {}
    node.owner = request.headers.get("x-ms-owner", node.owner)
    node.group = request.headers.get("x-ms-group", node.group)
    node.acl = request.headers.get("x-ms-acl", node.acl)
    if permissions := request.headers.get("x-ms-permissions"):
        mask = int(request.headers.get("x-ms-umask", "0"), 8)
        shown = _symbolic(permissions, mask)
        rest = [entry for entry in node.acl.split(",") if not entry.startswith(("user::", "group::", "other::"))]
        node.acl = ",".join([f"user::{shown[:3]}", f"group::{shown[3:6]}", f"other::{shown[6:9]}", *rest])
    return {}


def _symbolic(permissions: str, mask: int) -> str:
    if not permissions.isdecimal():
        return permissions
    bits = int(permissions, 8) & ~mask
    return "".join(letter if bits >> (8 - at) & 1 else "-" for at, letter in enumerate("rwxrwxrwx"))
