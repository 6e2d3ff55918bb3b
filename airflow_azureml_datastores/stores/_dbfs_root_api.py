"""The DBFS API below one root: https://docs.databricks.com/api/azure/workspace/dbfs

Nothing there is renamed over something. What replaces a file therefore has a name of its own first
(:func:`name_of_new`); when the old one is deleted it already is the file, though it has yet to be given the name. Every
look for a file heeds that, so that a reader sees the old one or the new one, and so does who comes after a writer that
was killed.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from airflow_azureml_datastores.core.paths import MAX_NAME_BYTES
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import PathNotFound
from airflow_azureml_datastores.stores._databricks import Databricks
from airflow_azureml_datastores.stores._dbfs_names import DRAFT, NEW
from airflow_azureml_datastores.stores._dbfs_versions import describe_file

BLOCK = 1 << 20
"""Bytes of a request at most, either way."""


class Found(NamedTuple):
    """:param place: the path at which it is now.
    :param file: None for a folder.
    """

    place: str
    file: ObjectInfo | None


class DbfsApi:
    """The calls, with paths relative to the root. A path that is not there is :class:`PathNotFound`.

    :param root: absolute path of the root folder, "" for that of DBFS.
    """

    def __init__(self, databricks: Databricks, root: str) -> None:
        self.databricks = databricks
        self._root = root

    def place(self, path: str) -> str:
        """The absolute path of a file or folder; "" is the root."""
        return f"{self._root}/{path}".rstrip("/") or "/"

    def status(self, path: str, *, of: str | None = None) -> Found:
        """What is at a path.

        :param of: the file that it is, if it has yet to get that name.
        """
        told = self._get("get-status", {"path": self.place(path)}, path)
        return _found(path, path if of is None else of, told)

    def find(self, path: str) -> Found | None:
        """A file or folder, wherever it is at this moment."""
        new = name_of_new(path)
        for place in (path, new, path) if new else (path,):
            try:
                return self.status(place, of=path)
            except PathNotFound:
                continue
        return None

    def kind(self, path: str) -> Literal["file", "folder"] | None:
        found = self.find(path)
        return None if found is None else "folder" if found.file is None else "file"

    def list(self, path: str) -> list[Found]:
        """What is in a folder, in any order; a file has nothing in it."""
        told = self._get("list", {"path": self.place(path)}, path)
        entries = [entry for entry in told.get("files") or [] if entry["path"] != self.place(path)]
        return [_found(below, below, entry) for entry in entries for below in (_below(path, entry["path"]),)]

    def children(self, path: str) -> Iterable[tuple[str, bool]]:
        """Names of what is in a folder, and whether it is a folder."""
        return [(found.place.rpartition("/")[2], found.file is None) for found in self.list(path)]

    def read(self, place: str, offset: int, length: int) -> bytes:
        """Up to a block of what is at a path; fewer bytes where it ends before."""
        told = self._get("read", {"path": self.place(place), "offset": offset, "length": length}, place)
        return base64.b64decode(told.get("data") or "")

    def put(self, path: str, content: bytes, *, overwrite: bool) -> str | None:
        """Write a whole file of up to a block, once, raising what the clients raise; returns when, in HTTP's words."""
        body = {"path": self.place(path), "contents": _text(content), "overwrite": overwrite}
        date: str | None = self._post("put", body, headers=("date",)).get("date")
        return date

    def create(self, path: str) -> int:
        """Begin a file that is not there yet, once, raising what the clients raise."""
        return int(self._post("create", {"path": self.place(path), "overwrite": False})["handle"])

    def add_block(self, handle: int, content: bytes) -> None:
        """Append up to a block, once, raising what the clients raise."""
        self._post("add-block", {"handle": handle, "data": _text(content)})

    def close(self, handle: int) -> None:
        """End a file, once, raising what the clients raise."""
        self._post("close", {"handle": handle})

    def move(self, source: str, target: str) -> None:
        """Give a file another name, once, raising what the clients raise. Into a folder of that name it would go."""
        self._post("move", {"source_path": self.place(source), "destination_path": self.place(target)})

    def delete(self, path: str) -> None:
        """Delete a file or an empty folder; one that is not there is no error."""
        self.patiently(lambda: self._post("delete", {"path": self.place(path), "recursive": False}), path)

    delete_folder = delete

    def make_folder(self, path: str) -> None:
        self.patiently(lambda: self._post("mkdirs", {"path": self.place(path)}), path)

    def patiently(self, attempt: Callable[[], Any], path: str) -> Any:
        """:param path: that it is about, for messages; "" is the root."""
        return self.databricks.patiently(attempt, path or None)

    def _post(self, call: str, body: Mapping[str, Any], headers: Iterable[str] = ()) -> dict[str, Any]:
        return self.databricks.call_once("POST", f"/api/2.0/dbfs/{call}", body=body, headers=headers)

    def _get(self, call: str, query: Mapping[str, Any], path: str) -> dict[str, Any]:
        return self.databricks.call("GET", f"/api/2.0/dbfs/{call}", query=query, of=path or None)


def name_of_new(path: str) -> str | None:
    """Where a file is, beside, that is about to get this path; None if there is no such name."""
    folder, slash, name = path.rpartition("/")
    new = f"{NEW}{name}"
    return f"{folder}{slash}{new}" if name and len(new.encode()) <= MAX_NAME_BYTES else None


def name_of_draft(path: str) -> str:
    """A new place beside a file, for what is not to be seen."""
    folder, slash, _ = path.rpartition("/")
    return f"{folder}{slash}{DRAFT}{uuid4().hex}"


def _below(folder: str, absolute: str) -> str:
    name = absolute.rstrip("/").rpartition("/")[2]
    return f"{folder}/{name}" if folder else name


def _found(place: str, path: str, told: Mapping[str, Any]) -> Found:
    if told.get("is_dir"):
        return Found(place, None)
    return Found(place, describe_file(path, int(told.get("file_size") or 0), told["modification_time"] / 1000))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
