"""The Files API 2.0: files and directories of volumes.

https://docs.databricks.com/api/azure/workspace/files. What that leaves open is as the clients of Databricks have met
it: parents are made by a PUT (databricks/cli#1408), a volume with nothing in it has no root directory (databricks/
cli#5834), a directory is not made over a file and not deleted while something is in it (libs/filer of databricks/cli).
Where a rule is a guess, its place says so.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.servers.azureml.web import Request, Response
from tests.servers.databricks import ranges
from tests.servers.databricks.auth import READ, WRITE, User
from tests.servers.databricks.errors import Refusal, invalid
from tests.servers.databricks.model import Catalogs, Directory, File, NotADirectory, Tree, entries

MOST = 1000
"""Entries on a page at most."""
LARGEST = 5 << 30
"""Bytes of a file that comes in one request."""


class FilesApi:
    """The calls on ``/fs/files`` and ``/fs/directories`` that are no multipart uploads."""

    def __init__(self, catalogs: Catalogs) -> None:
        self._catalogs = catalogs

    def locate(self, path: str, user: User, privilege: str) -> tuple[Tree, list[str]]:
        """The volume that a path is in, and the rest of it. :raises Refusal:"""
        names = path.strip("/").split("/")
        if names[0] != "Volumes" or len(names) < 4:
            raise invalid(f"Invalid path '{path}': it has to be /Volumes/<catalog>/<schema>/<volume>/…")
        if {"", ".", ".."} & set(names) or "\0" in path:
            raise invalid(f"Invalid path '{path}'.")  # a guess, for what clients do not send
        volume = ".".join(names[1:4])
        missing = self._catalogs.missing(volume)
        if missing:
            kind, name = missing
            reason = f"FILES_API_{kind.upper()}_IS_NOT_FOUND"  # a guess, after FILES_API_DIRECTORY_IS_NOT_FOUND
            raise Refusal(404, "NOT_FOUND", f"{kind} '{name}' does not exist.", reason=reason)
        user.check(privilege, volume)
        return self._catalogs.tree(volume), names[4:]

    def file(self, path: str, request: Request, user: User) -> Response:
        match request.method:
            case "GET" | "HEAD":
                file = self.need_file(path, user)
                if request.method == "HEAD":
                    return Response(200, file.data, ranges.headers_of(file))
                return self._get(file, request)
            case "PUT":
                self.put(path, request.content, user, overwrite=overwrites(request))
                return Response(204)
            case "DELETE":
                tree, parts = self.locate(path, user, WRITE)
                if not isinstance(tree.find(parts), File):
                    raise no_such_file(path)
                tree.remove(parts)
                return Response(204)
        raise invalid(f"{request.method} is none of this API's methods.")

    def need_file(self, path: str, user: User) -> File:
        tree, parts = self.locate(path, user, READ)
        found = tree.find(parts)
        if not isinstance(found, File):
            raise no_such_file(path)
        return found

    def _get(self, file: File, request: Request) -> Response:
        try:
            return ranges.send(file, request)
        except ranges.Modified:
            raise Refusal(412, "PRECONDITION_FAILED", "The file has been modified.") from None
        except ranges.Unsatisfiable:
            raise Refusal(416, "RANGE_NOT_SATISFIABLE", "The range is not satisfiable.") from None

    def check_free(self, path: str, user: User, *, overwrite: bool) -> tuple[Tree, list[str]]:
        """Whether a file may be written there. :raises Refusal:"""
        tree, parts = self.locate(path, user, WRITE)
        found = tree.find(parts)
        if not parts or isinstance(found, Directory):
            raise in_the_way("directory")  # a guess, after the answer to a directory over a file
        if found is not None and not overwrite:
            told = f"The file being created already exists: {path}."
            raise Refusal(409, "ALREADY_EXISTS", told, reason="FILES_API_FILE_ALREADY_EXISTS")
        return tree, parts

    def put(self, path: str, content: bytes, user: User, *, overwrite: bool) -> None:
        if len(content) > LARGEST:
            raise Refusal(413, "REQUEST_TOO_LARGE", "The file is larger than 5 GiB.")
        tree, parts = self.check_free(path, user, overwrite=overwrite)
        try:
            tree.put(parts, File(content))
        except NotADirectory:
            raise in_the_way("file") from None  # a guess

    def directory(self, path: str, request: Request, user: User) -> Response:
        if request.method == "PUT":
            tree, parts = self.locate(path, user, WRITE)
            try:
                tree.make_directory(parts)
            except NotADirectory:
                raise in_the_way("file") from None
            return Response(204)
        if request.method == "DELETE":
            return self._delete_directory(path, user)
        tree, parts = self.locate(path, user, READ)
        found = tree.find(parts)
        if not isinstance(found, Directory) or (not parts and not found.children):
            raise no_such_directory(path)
        return Response(200) if request.method == "HEAD" else self._list(path, found, request)

    def _delete_directory(self, path: str, user: User) -> Response:
        tree, parts = self.locate(path, user, WRITE)
        found = tree.find(parts)
        if not isinstance(found, Directory):
            raise no_such_directory(path)
        if not parts:
            raise invalid("The root directory of a volume cannot be deleted.")  # a guess
        if found.children:
            raise invalid("The directory is not empty.", reason="FILES_API_DIRECTORY_IS_NOT_EMPTY")
        tree.remove(parts)
        return Response(204)

    def _list(self, path: str, directory: Directory, request: Request) -> Response:
        size = min(int(request.query.get("page_size") or MOST) or MOST, MOST)
        start = int(request.query.get("page_token") or 0)
        found = list(entries(directory))
        body: dict[str, Any] = {}
        if page := found[start : start + size]:
            body["contents"] = [_entry(f"{path.rstrip('/')}/{name}", name, node) for name, node in page]
        if start + size < len(found):
            body["next_page_token"] = str(start + size)
        return Response(200, body)

    def volume(self, name: str) -> Response:
        """Unity Catalog's own word on a volume: https://docs.databricks.com/api/azure/workspace/volumes/read"""
        missing = self._catalogs.missing(name)
        if missing:
            kind, missed = missing
            raise Refusal(404, f"{kind.upper()}_DOES_NOT_EXIST", f"{kind} '{missed}' does not exist.")
        catalog, schema, volume = name.split(".")
        told = {"catalog_name": catalog, "schema_name": schema, "name": volume, "full_name": name}
        return Response(200, {**told, "volume_type": "MANAGED"})


def _entry(path: str, name: str, node: File | Directory) -> dict[str, Any]:
    told = {"path": path, "name": name, "last_modified": node.modified * 1000}
    if isinstance(node, Directory):
        return {**told, "is_directory": True}
    return {**told, "is_directory": False, "file_size": len(node.data)}


def overwrites(request: Request) -> bool:
    return request.query.get("overwrite", "true").lower() == "true"


def no_such_file(path: str) -> Refusal:
    told = f"The file being accessed is not found: {quote(path)}."
    return Refusal(404, "NOT_FOUND", told, reason="FILES_API_FILE_IS_NOT_FOUND")


def no_such_directory(path: str) -> Refusal:
    told = f"The directory being accessed is not found: {quote(path)}."
    return Refusal(404, "NOT_FOUND", told, reason="FILES_API_DIRECTORY_IS_NOT_FOUND")


def in_the_way(kind: str) -> Refusal:
    plural = {"file": "files", "directory": "directories"}[kind]
    told = f"The given path points to an existing {kind}. This API does not support operations on {plural}."
    return Refusal(409, "CONFLICT", told)
