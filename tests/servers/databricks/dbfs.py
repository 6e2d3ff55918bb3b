"""The DBFS API 2.0: https://docs.databricks.com/api/azure/workspace/dbfs

What that leaves open is as databricks/cli (libs/filer) and databricks-sdk have met it: parents are made by the way, to
delete what is not there is no error, volumes are not to be had this way. Where a rule is a guess, its place says so.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from dataclasses import dataclass, field
from typing import Any

from tests.servers.azureml.web import Request, Response
from tests.servers.databricks.errors import Refusal, invalid, no_such_endpoint
from tests.servers.databricks.model import Directory, File, NotADirectory, Tree, entries

MIB = 1 << 20


@dataclass
class Handle:
    """A file that is being written."""

    parts: list[str]
    content: bytearray = field(default_factory=bytearray)


class DbfsApi:
    """:ivar disabled: whether the workspace has no DBFS root any more."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.disabled = False
        self.handles: dict[int, Handle] = {}
        self._numbers = itertools.count(1000)

    def answer(self, call: str, request: Request) -> Response:
        """:raises Refusal:"""
        method, handler = self._calls().get(call, ("", None))
        if handler is None or request.method != method:
            raise no_such_endpoint(request.method, request.path)
        asked = dict(request.query) if method == "GET" else _body(request)
        return Response(200, handler(asked) or {})

    def _calls(self) -> dict[str, tuple[str, Any]]:
        return {
            "add-block": ("POST", self._add_block),
            "close": ("POST", self._close),
            "create": ("POST", self._create),
            "delete": ("POST", self._delete),
            "get-status": ("GET", self._get_status),
            "list": ("GET", self._list),
            "mkdirs": ("POST", self._mkdirs),
            "move": ("POST", self._move),
            "put": ("POST", self._put),
            "read": ("GET", self._read),
        }

    def _locate(self, asked: dict[str, Any], name: str = "path") -> list[str]:
        path = asked.get(name)
        if not isinstance(path, str):
            raise invalid(f"Missing required field: {name}")
        path = path.removeprefix("dbfs:")
        if not path.startswith("/"):
            raise invalid(f"Path must be absolute: {path}")
        if path == "/Volumes" or path.startswith("/Volumes/"):
            raise Refusal(403, "PERMISSION_DENIED", "No operations allowed on this path.")
        if self.disabled:
            raise Refusal(403, "PERMISSION_DENIED", f"Public DBFS root is disabled. Access is denied on path: {path}")
        return [part for part in path.split("/") if part]  # a guess: empty segments count for nothing

    def _need(self, parts: list[str]) -> File | Directory:
        found = self.tree.find(parts)
        if found is None:
            told = f"No file or directory exists on path {_path(parts)}."
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", told)
        return found

    def _check_free(self, parts: list[str], *, overwrite: bool) -> None:
        found = self.tree.find(parts)
        if isinstance(found, Directory) or (found is not None and not overwrite):
            raise _exists(parts)

    def _place(self, parts: list[str], node: File | Directory) -> None:
        try:
            self.tree.put(parts, node)
        except NotADirectory:
            raise _exists(parts[:-1]) from None  # a guess

    def _put(self, asked: dict[str, Any]) -> None:
        content = asked["file"] if "file" in asked else _decoded(asked.get("contents", ""))
        if len(content) > MIB and "file" not in asked:
            raise _too_much("MAX_BLOCK_SIZE_EXCEEDED")
        parts = self._locate(asked)
        self._check_free(parts, overwrite=_true(asked.get("overwrite")))
        self._place(parts, File(content))

    def _create(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The file is there at once, empty, and what it replaces is gone, as in Data Lake storage (a guess)."""
        parts = self._locate(asked)
        self._check_free(parts, overwrite=_true(asked.get("overwrite")))
        self._place(parts, File(b""))
        handle = next(self._numbers)
        self.handles[handle] = Handle(parts)
        return {"handle": handle}

    def _add_block(self, asked: dict[str, Any]) -> None:
        handle = self._handle(asked)
        block = _decoded(asked.get("data", ""))
        if len(block) > MIB:
            raise _too_much("MAX_BLOCK_SIZE_EXCEEDED")
        handle.content.extend(block)

    def _close(self, asked: dict[str, Any]) -> None:
        handle = self._handle(asked)
        del self.handles[asked["handle"]]
        self._place(handle.parts, File(bytes(handle.content)))

    def _handle(self, asked: dict[str, Any]) -> Handle:
        handle = self.handles.get(asked.get("handle", 0))
        if handle is None:
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"No stream opened with handle {asked.get('handle')}.")
        return handle

    def _read(self, asked: dict[str, Any]) -> dict[str, Any]:
        offset, length = int(asked.get("offset", 0)), int(asked.get("length", MIB // 2))
        if length > MIB:
            raise _too_much("MAX_READ_SIZE_EXCEEDED")
        parts = self._locate(asked)
        found = self._need(parts)
        if isinstance(found, Directory) or offset < 0 or length < 0:
            raise invalid(f"Cannot read {_path(parts)}.")
        content = found.data[offset : offset + length]
        return {"bytes_read": len(content), "data": base64.b64encode(content).decode()}

    def _list(self, asked: dict[str, Any]) -> dict[str, Any]:
        parts = self._locate(asked)
        found = self._need(parts)
        if isinstance(found, File):
            return {"files": [_status(parts, found)]}
        files = [_status([*parts, name], node) for name, node in entries(found)]
        return {"files": files} if files else {}

    def _get_status(self, asked: dict[str, Any]) -> dict[str, Any]:
        parts = self._locate(asked)
        return _status(parts, self._need(parts))

    def _mkdirs(self, asked: dict[str, Any]) -> None:
        parts = self._locate(asked)
        try:
            self.tree.make_directory(parts)
        except NotADirectory:
            raise _exists(parts) from None

    def _delete(self, asked: dict[str, Any]) -> None:
        parts = self._locate(asked)
        found = self.tree.find(parts)
        if found is None or not parts:
            return
        if isinstance(found, Directory) and found.children and not _true(asked.get("recursive")):
            raise Refusal(
                400, "BAD_REQUEST", f"{_path(parts)} is non empty."
            )  # IO_ERROR until 2025 (databricks/cli#4153)
        self.tree.remove(parts)

    def _move(self, asked: dict[str, Any]) -> None:
        source, target = self._locate(asked, "source_path"), self._locate(asked, "destination_path")
        node = self._need(source)
        if isinstance(self.tree.find(target), Directory):
            target = [*target, source[-1]]  # into it, as Hadoop's rename does (a guess)
        if self.tree.find(target) is not None:
            raise _exists(target)
        self._place(target, node)
        self.tree.remove(source)


def _body(request: Request) -> dict[str, Any]:
    kind = request.headers.get("Content-Type", "")
    if not kind.startswith("multipart/form-data"):
        return dict(request.json())
    from email.parser import BytesParser

    message = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + request.content)
    asked: dict[str, Any] = {}
    for part in message.walk():
        name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            asked |= {"file": content} if name == "contents" else {name: content.decode()}
    return asked


def _path(parts: list[str]) -> str:
    return "/" + "/".join(parts)


def _status(parts: list[str], node: File | Directory) -> dict[str, Any]:
    size = 0 if isinstance(node, Directory) else len(node.data)
    told = {"path": _path(parts), "is_dir": isinstance(node, Directory), "file_size": size}
    return {**told, "modification_time": node.modified * 1000}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Content is not base64.") from None


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


def _exists(parts: list[str]) -> Refusal:
    told = f"A file or directory already exists at the input path {_path(parts)}."
    return Refusal(400, "RESOURCE_ALREADY_EXISTS", told)


def _too_much(code: str) -> Refusal:
    return Refusal(400, code, "The maximum is 1048576 bytes.")
