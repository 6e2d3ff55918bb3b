"""What is in the way of a file: a folder of its name, or a file where a folder should be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, Protocol, TypeVar

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.errors import Conflict, PathNotFound, UnsafePath, Unsupported

T = TypeVar("T")


class Folders(Protocol):
    """Calls on the folders below a root; paths are relative to it."""

    def place(self, path: str) -> str: ...

    def kind(self, path: str) -> Literal["file", "folder"] | None:
        """What is there."""
        ...

    def children(self, path: str) -> Iterable[tuple[str, bool]]:
        """Names of what is in a folder, and whether it is a folder."""
        ...

    def delete_folder(self, path: str) -> None:
        """Delete an empty folder. :raises Conflict, Unsupported: it is not empty."""
        ...


class Room:
    """Looks into what the service refuses, and makes room where only empty folders are in the way."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def for_file(self, path: str, make: Callable[[], T]) -> T:
        """Make a file, a second time if something was in the way that could go.

        :raises UnsafePath: a folder that is not empty has its name, or a file that of a folder above it.
        """
        try:
            return make()
        except (Conflict, Unsupported):
            if not self.clear(path):
                raise
        return make()

    def clear(self, path: str) -> bool:
        """Whether an empty folder was in the way of this file, which is gone now. :raises UnsafePath: as above."""
        kind = self._folders.kind(path)
        if kind == "folder":
            self._remove(path, path)
            return True
        if kind is None:
            self._check_above(path)
        return False

    def _check_above(self, path: str) -> None:
        segments = path.split("/")
        for above in ("/".join(segments[:end]) for end in range(len(segments) - 1, 0, -1)):
            kind = self._folders.kind(above)
            if kind == "file":
                raise UnsafePath(f"{show(path)} cannot be: {show(above)} is a file, in {self._folders.place('')}.")
            if kind == "folder":
                return

    def _remove(self, folder: str, path: str) -> None:
        """Remove a folder with the empty ones in it. The service refuses if there is a file after all."""
        not_empty = UnsafePath(
            f"{show(path)} cannot be a file: it is a folder with files in it, in {self._folders.place('')}."
        )
        try:
            for name, is_folder in self._folders.children(folder):
                if not is_folder:
                    raise not_empty
                self._remove(f"{folder}/{name}", path)
            self._folders.delete_folder(folder)
        except PathNotFound:
            return
        except (Conflict, Unsupported):
            raise not_empty from None
