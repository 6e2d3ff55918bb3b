"""Drafts: files that are being written, under names of their own, until a rename makes them what they are to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.errors import Conflict
from airflow_azureml_datastores.stores._azure_errors import code_of
from airflow_azureml_datastores.stores._file_folders import make_folders
from airflow_azureml_datastores.stores._file_names import DRAFT, folder_of, is_draft, new_draft
from airflow_azureml_datastores.stores._file_share import NOT_THERE, TIDYING, TRIES, FileShare
from airflow_azureml_datastores.stores._tree_listing import FolderInfo

ABANDONED = timedelta(hours=24)
"""Since the last byte was written into it: a draft whose writer is taken for dead."""

_REMEMBERED = 10_000
"""Folders at most of which it is remembered that they have been swept."""

Make = Callable[..., dict[str, Any]]
"""Makes a draft: called with its client, and with keywords about its rights; returns the answer's headers."""


@dataclass(frozen=True, slots=True)
class Draft:
    """:param id: of the file, which it keeps when it is renamed."""

    path: str
    id: str


class Drafts:
    """The drafts of one store.

    A draft lies in the folder that its file is to be in, so that it inherits the rights that the file would.
    """

    def __init__(self, share: FileShare) -> None:
        self._share = share
        self._swept: set[str] = set()

    @contextmanager
    def new(self, path: str, make: Make) -> Iterator[tuple[str, dict[str, Any]]]:
        """A draft of a file: its path, and the answer to its making; deleted if the block fails.

        The folders above are made.
        """
        draft = new_draft(folder_of(path))
        rights: dict[str, Any] = {}
        if self._share.is_too_long_a_source(draft):
            with self._share.errors.translated(path):
                draft, rights = new_draft(""), {"permission_key": self._inherited(folder_of(path))}
        try:
            with self._share.errors.translated(path):
                made = self._made(draft, lambda: make(self._share.file(draft), **rights))
            yield draft, made
        except BaseException:
            self._remove(draft)
            raise

    def _made(self, draft: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        for _ in range(TRIES):
            try:
                return make()
            except self._share.errors.upstream as error:
                if code_of(error) not in NOT_THERE:
                    raise
            make_folders(self._share, folder_of(draft))
        raise Conflict(f"{show(folder_of(draft))} in {self._share.url}: the folder is deleted again and again.")

    def _inherited(self, folder: str) -> str:
        """The key of the rights that a file inherits that is made in a folder."""
        probe = new_draft(folder)
        try:
            made = self._made(probe, lambda: self._share.file(probe).create_file(0))
        finally:
            self._remove(probe)
        return str(made["file_permission_key"])

    def sweep(self, folder: str) -> None:
        """Delete what killed writers left in a folder, the first time that it is asked for; failing is no error."""
        if folder in self._swept:
            return
        if len(self._swept) >= _REMEMBERED:
            self._swept.clear()
        self._swept.add(folder)
        with self._share.quietly():
            for child in [child for child in self._share.children(folder, DRAFT) if is_draft(child.path)]:
                if isinstance(child, FolderInfo):  # which was of use for one request
                    self._remove_folder(child.path)
                elif child.modified < datetime.now(UTC) - ABANDONED:
                    self._remove(child.path)

    def _remove(self, path: str) -> None:
        with self._share.quietly():
            self._share.file(path).delete_file(**TIDYING)

    def _remove_folder(self, path: str) -> None:
        with self._share.quietly():
            self._share.folder(path).delete_directory(**TIDYING)
