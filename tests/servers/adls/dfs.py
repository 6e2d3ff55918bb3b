"""The calls of the dfs endpoint: https://learn.microsoft.com/rest/api/storageservices/data-lake-storage-gen2"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

from tests.servers.adls import filesystems
from tests.servers.adls.auth import check_sas, source_query
from tests.servers.adls.conditions import check_conditions, check_lease, check_source_conditions
from tests.servers.adls.errors import StorageError
from tests.servers.adls.filesystems import page
from tests.servers.adls.model import Account, Node, managed, parent
from tests.servers.adls.paths import apply_headers, describe, node_at, number, stamps
from tests.servers.azureml.web import Request, Response


def handler(request: Request) -> tuple[Callable[[Request, Account, str, str], Response], str] | None:
    """What answers a call of this endpoint, and the permissions of which a SAS needs one; None if it is not one of it.

    Both endpoints are on one address here. A read is the same for both; a delete is told by what the client accepts.
    """
    method, query = request.method, request.query
    if query.get("resource") == "account":
        return filesystems.list_filesystems, "l"
    if query.get("resource") == "filesystem":
        return {
            "GET": (filesystems.list_paths, "l"),
            "PUT": (filesystems.create_filesystem, "cw"),
            "DELETE": (filesystems.delete_filesystem, "d"),
            "HEAD": (filesystems.filesystem_properties, "r"),
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


def create(request: Request, account: Account, container: str, path: str) -> Response:
    if request.content:
        raise StorageError("ContentLengthMustBeZero")
    files = account.find(container)
    account.check_changeable(files, path)
    there = files.paths.get(path)
    check_conditions(request, there, exists="PathAlreadyExists")
    check_lease(request, there)
    is_directory = request.query["resource"] == "directory"
    if there and there.is_directory != is_directory:
        raise StorageError("PathConflict")
    files.make_parents(path)
    acl = there.acl if there else files.acl_for(path, directory=is_directory)  # that what is replaced stays: a guess
    node = Node(is_directory, lease=there.lease if there else None, acl=acl)
    ignored = apply_headers(request, node, account)
    files.paths[path] = node
    return Response(201, None, stamps(node) | ignored)


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
    apply_headers(request, node, account)
    return Response(201)


def append(request: Request, account: Account, container: str, path: str) -> Response:
    node = node_at(account.find(container), path)
    if node.is_directory:
        raise StorageError("PathConflict")
    check_lease(request, node)
    position = number(request, "position")
    if not request.content:
        raise StorageError("InvalidHeaderValue")  # of Content-Length
    given = request.headers.get("Content-MD5")
    if given and given != base64.b64encode(hashlib.md5(request.content).digest()).decode():
        raise StorageError("Md5Mismatch")
    node.uncommitted[position] = request.content
    headers = {"x-ms-request-server-encrypted": "true"}
    if request.query.get("flush", "").lower() == "true":
        node.flush(position + len(request.content), retain=False)
        headers |= stamps(node)
    return Response(202, None, headers)


def flush(request: Request, account: Account, container: str, path: str) -> Response:
    if request.content:
        raise StorageError("ContentLengthMustBeZero")
    node = node_at(account.find(container), path)
    if node.is_directory:
        raise StorageError("PathConflict")
    check_conditions(request, node, exists="PathAlreadyExists")
    check_lease(request, node)
    node.flush(number(request, "position"), retain=request.query.get("retainUncommittedData", "").lower() == "true")
    node.headers.pop("Content-MD5", None)
    ignored = apply_headers(request, node, account)
    return Response(200, None, stamps(node) | ignored)


def delete(request: Request, account: Account, container: str, path: str) -> Response:
    """Atomic; with ``paginated`` the rights are looked at page by page before."""
    files = account.find(container)
    account.check_changeable(files, path)
    node = node_at(files, path)
    check_conditions(request, node)
    check_lease(request, node)
    below = files.below(path) if node.is_directory else []
    if below and request.query.get("recursive", "").lower() != "true":
        raise StorageError("DirectoryNotEmpty")
    if request.query.get("paginated", "").lower() == "true":
        _, headers = page(request, account, below, "maxRecords")
        if headers:
            return Response(202, None, headers)
    files.remove(path)
    return Response(200)


def set_properties(request: Request, account: Account, container: str, path: str) -> Response:
    node = node_at(account.find(container), path)
    check_conditions(request, node)
    check_lease(request, node)
    apply_headers(request, node, account)
    node.touch()
    return Response(200, None, stamps(node))


def set_access_control(request: Request, account: Account, container: str, path: str) -> Response:
    if account.onelake:
        raise managed()
    node = node_at(account.find(container), path)
    check_conditions(request, node)
    check_lease(request, node)
    apply_headers(request, node, account)
    node.touch()
    return Response(200, None, stamps(node))


def set_access_control_recursive(request: Request, account: Account, container: str, path: str) -> Response:
    if account.onelake:
        raise managed()
    files = account.find(container)
    node = node_at(files, path)
    names, headers = page(request, account, [path, *(files.below(path) if node.is_directory else [])], "maxRecords")
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
    node = node_at(account.find(container), path)
    check_conditions(request, node)
    return Response(200, None, describe(node))
