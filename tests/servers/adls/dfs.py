"""The calls of the dfs endpoint: https://learn.microsoft.com/rest/api/storageservices/data-lake-storage-gen2"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from tests.servers.adls.auth import check_sas, source_query
from tests.servers.adls.conditions import check_conditions, check_lease, check_source_conditions
from tests.servers.adls.errors import StorageError
from tests.servers.adls.model import Account, Filesystem, Node, managed, parent
from tests.servers.azureml.web import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable

_SETTINGS = {
    "x-ms-cache-control": "Cache-Control",
    "x-ms-content-type": "Content-Type",
    "x-ms-content-md5": "Content-MD5",
    "x-ms-content-encoding": "Content-Encoding",
    "x-ms-content-language": "Content-Language",
    "x-ms-content-disposition": "Content-Disposition",
}
_MANAGED_HEADERS = ("x-ms-owner", "x-ms-group", "x-ms-permissions", "x-ms-umask", "x-ms-acl", "x-ms-proposed-lease-id")


def handler(request: Request) -> tuple[Callable[[Request, Account, str, str], Response], str] | None:
    """What answers a call of this endpoint, and the permissions of which a SAS needs one; None if it is not one of it.

    Both endpoints are on one address here. A read is the same for both; a delete is told by what the client accepts.
    """
    method, query = request.method, request.query
    if query.get("resource") == "account":
        return list_filesystems, "l"
    if query.get("resource") == "filesystem":
        return {
            "GET": (list_paths, "l"),
            "PUT": (create_filesystem, "cw"),
            "DELETE": (delete_filesystem, "d"),
            "HEAD": (filesystem_properties, "r"),
        }.get(method)
    if method == "PUT" and "x-ms-rename-source" in request.headers:
        return rename, "cw"
    if method == "PUT" and query.get("resource") in ("file", "directory"):
        return create, "cw"
    action = query.get("action", "")
    if method == "PATCH":
        return {
            "append": (append, "aw"),
            "flush": (flush, "w"),
            "setProperties": (set_properties, "w"),
            "setAccessControl": (set_access_control, "op"),
            "setAccessControlRecursive": (set_access_control_recursive, "p"),
        }.get(action)
    if method == "HEAD" and action in ("getAccessControl", "getStatus"):
        return status, "er"
    if method == "DELETE" and (
        "recursive" in query or request.headers.get("Accept", "").startswith("application/json")
    ):
        return delete, "d"
    return None


def _node(files: Filesystem, path: str) -> Node:
    if path not in files.paths:
        raise StorageError("PathNotFound")
    return files.paths[path]


def _number(request: Request, name: str, default: int | None = None) -> int:
    text = request.query.get(name)
    if text is None:
        if default is None:
            raise StorageError("MissingRequiredQueryParameter")
        return default
    if not text.isdecimal():
        raise StorageError("InvalidQueryParameterValue")
    return int(text)


def _stamps(node: Node) -> dict[str, str]:
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


def _properties(text: str) -> dict[str, str]:
    """Metadata as this endpoint writes it: ``name=base64,…``."""
    pairs = (entry.strip().partition("=") for entry in text.split(",") if entry.strip())
    return {name: base64.b64decode(value).decode() for name, _, value in pairs}


def _apply(request: Request, node: Node, account: Account) -> dict[str, str]:
    """Take over what the headers say of a path; tells what was ignored."""
    node.headers |= {name: request.headers[key] for key, name in _SETTINGS.items() if key in request.headers}
    if "x-ms-properties" in request.headers:
        node.metadata = _properties(request.headers["x-ms-properties"])
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


def create_filesystem(request: Request, account: Account, container: str, path: str) -> Response:
    if container in account.filesystems and not account.onelake:
        raise StorageError("FilesystemAlreadyExists")
    files = account.create(container)
    files.metadata = _properties(request.headers.get("x-ms-properties", ""))
    return Response(
        201, None, {"ETag": files.etag, "Last-Modified": files.last_modified, "x-ms-namespace-enabled": "true"}
    )


def delete_filesystem(request: Request, account: Account, container: str, path: str) -> Response:
    account.find(container)
    if account.onelake:
        raise managed()
    del account.filesystems[container]
    return Response(202)


def filesystem_properties(request: Request, account: Account, container: str, path: str) -> Response:
    files = account.find(container)
    return Response(
        200, None, {"ETag": files.etag, "Last-Modified": files.last_modified, "x-ms-namespace-enabled": "true"}
    )


def list_filesystems(request: Request, account: Account, container: str, path: str) -> Response:
    if account.onelake:
        raise managed()
    found = [
        files for name, files in sorted(account.filesystems.items()) if name.startswith(request.query.get("prefix", ""))
    ]
    entries = [{"name": f.name, "etag": f.etag.strip('"'), "lastModified": f.last_modified} for f in found]
    return Response(200, {"filesystems": entries})


def _page(request: Request, account: Account, names: list[str], parameter: str) -> tuple[list[str], dict[str, str]]:
    """The names from the continuation on, as many as a page has, and the header that leads on."""
    size = _number(request, parameter, account.page)
    if size < 1:
        raise StorageError("OutOfRangeQueryParameterValue")
    if token := request.query.get("continuation"):
        try:
            last = base64.b64decode(token, b"-_", validate=True).decode()
        except ValueError:
            raise StorageError("InvalidQueryParameterValue") from None
        names = [name for name in names if name.split("/") > last.split("/")]
    page = names[: min(size, account.page)]
    if len(page) == len(names):
        return page, {}
    return page, {"x-ms-continuation": base64.urlsafe_b64encode(page[-1].encode()).decode()}


def list_paths(request: Request, account: Account, container: str, path: str) -> Response:
    files = account.find(container)
    if "recursive" not in request.query:
        raise StorageError("MissingRequiredQueryParameter")
    directory = request.query.get("directory", "").strip("/")
    if not _node(files, directory).is_directory:
        raise StorageError("PathNotFound")
    names = files.below(directory)
    if request.query["recursive"].lower() != "true":
        names = [name for name in names if parent(name) == directory]
    page, headers = _page(request, account, names, "maxResults")
    return Response(200, {"paths": [_entry(name, files.paths[name]) for name in page]}, headers)


def _entry(name: str, node: Node) -> dict[str, str]:
    """All values are texts, and a file has no ``isDirectory``."""
    entry = {
        "name": name,
        "contentLength": str(len(node.content)),
        "etag": node.etag.strip('"'),
        "lastModified": node.last_modified,
        "creationTime": str(int(node.created * 10**7) + 116444736000000000),
        "owner": node.owner,
        "group": node.group,
        "permissions": node.permissions,
    }
    return entry | ({"isDirectory": "true"} if node.is_directory else {})


def create(request: Request, account: Account, container: str, path: str) -> Response:
    if request.content:
        raise StorageError("ContentLengthMustBeZero")
    files = account.find(container)
    account.check_changeable(files, path)
    there = files.paths.get(path)
    check_conditions(request, there, exists="PathAlreadyExists")
    check_lease(request, there)
    is_directory = request.query["resource"] == "directory"
    if not path or (there and there.is_directory != is_directory):
        raise StorageError("PathConflict")
    files.make_parents(path)
    node = Node(is_directory, lease=there.lease if there else None)
    ignored = _apply(request, node, account)
    files.paths[path] = node
    return Response(201, None, _stamps(node) | ignored)


def rename(request: Request, account: Account, container: str, path: str) -> Response:
    """Atomic. With ``If-None-Match: *`` nothing is replaced; else a file, or an empty directory (a guess), is."""
    source, query = source_query(request)
    origin, _, old = source.partition("/")
    if not origin or not old:
        raise StorageError("InvalidSourceUri")
    if "sig" in request.query:
        check_sas(query, account, origin, old, "dwm", secure=request.base.startswith("https"))
    files, start = account.find(container), account.find(origin)
    account.check_changeable(files, path)
    account.check_changeable(start, old)
    node = start.paths.get(old)
    if node is None:
        raise StorageError("SourcePathNotFound")
    check_source_conditions(request, node)
    check_lease(request, node, header="x-ms-source-lease-id")
    there = files.paths.get(path)
    check_conditions(request, there, exists="PathAlreadyExists")
    if files is start and node.is_directory and (path == old or path.startswith(f"{old}/")):
        raise StorageError("InvalidRenameSourcePath")
    if parent(path) not in files.paths:
        raise StorageError("RenameDestinationParentPathNotFound")
    if not files.paths[parent(path)].is_directory:
        raise StorageError("PathConflict")
    if there is not None and (files is not start or path != old):
        if there.is_directory != node.is_directory:
            raise StorageError("InvalidSourceOrDestinationResourceType")
        if there.is_directory and files.below(path):
            raise StorageError("PathAlreadyExists")
        files.remove(path)
    node.lease = None
    start.move(old, files, path)
    _apply(request, node, account)
    return Response(201)


def append(request: Request, account: Account, container: str, path: str) -> Response:
    node = _node(account.find(container), path)
    if node.is_directory:
        raise StorageError("PathConflict")
    check_lease(request, node)
    position = _number(request, "position")
    if not request.content:
        raise StorageError("InvalidHeaderValue")  # of Content-Length
    given = request.headers.get("Content-MD5")
    if given and given != base64.b64encode(hashlib.md5(request.content).digest()).decode():
        raise StorageError("Md5Mismatch")
    node.uncommitted[position] = request.content
    headers = {"x-ms-request-server-encrypted": "true"}
    if request.query.get("flush", "").lower() == "true":
        node.flush(position + len(request.content), retain=False)
        headers |= _stamps(node)
    return Response(202, None, headers)


def flush(request: Request, account: Account, container: str, path: str) -> Response:
    if request.content:
        raise StorageError("ContentLengthMustBeZero")
    node = _node(account.find(container), path)
    if node.is_directory:
        raise StorageError("PathConflict")
    check_conditions(request, node, exists="PathAlreadyExists")
    check_lease(request, node)
    node.flush(_number(request, "position"), retain=request.query.get("retainUncommittedData", "").lower() == "true")
    node.headers.pop("Content-MD5", None)
    ignored = _apply(request, node, account)
    return Response(200, None, _stamps(node) | ignored)


def delete(request: Request, account: Account, container: str, path: str) -> Response:
    """Atomic; with ``paginated`` the rights are looked at page by page before."""
    files = account.find(container)
    account.check_changeable(files, path)
    node = _node(files, path)
    check_conditions(request, node)
    check_lease(request, node)
    below = files.below(path) if node.is_directory else []
    if below and request.query.get("recursive", "").lower() != "true":
        raise StorageError("DirectoryNotEmpty")
    if request.query.get("paginated", "").lower() == "true":
        _, headers = _page(request, account, below, "maxRecords")
        if headers:
            return Response(202, None, headers)
    files.remove(path)
    return Response(200)


def set_properties(request: Request, account: Account, container: str, path: str) -> Response:
    node = _node(account.find(container), path)
    check_conditions(request, node)
    check_lease(request, node)
    _apply(request, node, account)
    node.touch()
    return Response(200, None, _stamps(node))


def set_access_control(request: Request, account: Account, container: str, path: str) -> Response:
    if account.onelake:
        raise managed()
    node = _node(account.find(container), path)
    check_conditions(request, node)
    check_lease(request, node)
    _apply(request, node, account)
    node.touch()
    return Response(200, None, _stamps(node))


def set_access_control_recursive(request: Request, account: Account, container: str, path: str) -> Response:
    if account.onelake:
        raise managed()
    files = account.find(container)
    node = _node(files, path)
    names, headers = _page(request, account, [path, *(files.below(path) if node.is_directory else [])], "maxRecords")
    mode, given = request.query.get("mode"), request.headers.get("x-ms-acl")
    if mode not in ("set", "modify", "remove") or not given:
        raise StorageError("InvalidQueryParameterValue")
    for name in names:
        entries = {} if mode == "set" else dict(entry.rsplit(":", 1) for entry in files.paths[name].acl.split(","))
        for entry in given.split(","):
            if mode == "remove":
                entries.pop(entry, None)
            else:
                who, _, rights = entry.rpartition(":")
                entries[who] = rights
        files.paths[name].acl = ",".join(f"{who}:{rights}" for who, rights in entries.items())
    folders = sum(files.paths[name].is_directory for name in names)
    body = {
        "directoriesSuccessful": folders,
        "filesSuccessful": len(names) - folders,
        "failureCount": 0,
        "failedEntries": [],
    }
    return Response(200, body, headers)


def status(request: Request, account: Account, container: str, path: str) -> Response:
    node = _node(account.find(container), path)
    check_conditions(request, node)
    return Response(200, None, describe(node))
