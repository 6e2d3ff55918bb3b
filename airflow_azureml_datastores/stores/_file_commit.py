"""Giving a draft the name of the file that it is to be, under a condition: the one step in which a write shows."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.errors import Changed, Conflict, DatastoresError, PathExists, PathNotFound
from airflow_azureml_datastores.stores._azure_errors import code_of
from airflow_azureml_datastores.stores._file_drafts import Draft
from airflow_azureml_datastores.stores._file_folders import TAKEN, folder_id, remove_empty
from airflow_azureml_datastores.stores._file_leases import LOST, Leases
from airflow_azureml_datastores.stores._file_reading import stat_file
from airflow_azureml_datastores.stores._file_share import NOT_THERE, TRIES, FileShare


@dataclass(frozen=True, slots=True)
class Condition:
    """What has to be true of the target when it is written."""

    create: bool = False
    if_match: str | None = None


class Committer:
    """Renames drafts of one share."""

    def __init__(self, share: FileShare, leases: Leases) -> None:
        self._share = share
        self._leases = leases

    def check(self, path: str, condition: Condition) -> None:
        """Learn of something in the way before the bytes travel, not only afterwards."""
        if condition == Condition():
            return
        try:
            found = stat_file(self._share, path)
        except PathNotFound:
            if condition.if_match is not None:
                raise self._changed(path) from None
            return
        if condition.create:
            raise self._exists(path)
        if condition.if_match not in (None, found.etag):
            raise self._changed(path)

    def commit(self, draft: Draft, path: str, condition: Condition) -> str:
        """Rename a draft; returns the etag that it has as the file.

        :raises UnsafePath: there is a folder with something in it.
        """
        for _ in range(TRIES):
            try:
                if condition.if_match is not None:
                    return self._swap(draft, path, condition.if_match)
                return self._leases.past(path, lambda: self._rename(draft, path, overwrite=not condition.create))
            except self._share.errors.upstream as error:
                if code_of(error) not in TAKEN:
                    if code_of(error) in NOT_THERE:
                        raise self._lost(path, condition) from None
                    raise self._share.errors.translate(error, path) from None
            if folder_id(self._share, path) is not None:
                remove_empty(self._share, path)
            elif condition.create:
                raise self._exists(path)
        raise Conflict(f"{show(path)} in {self._share.url}: others put something there again and again.")

    def _swap(self, draft: Draft, path: str, etag: str) -> str:
        """Rename a draft over just this version of a file: nobody else writes it while we hold the lease."""
        for _ in range(TRIES):
            try:
                with self._leases.held(path) as lease:
                    if self._share.file(path).get_file_properties().etag.strip('"') != etag:
                        raise self._changed(path)
                    return self._rename(draft, path, overwrite=True, lease=lease)
            except self._share.errors.upstream as error:
                if code_of(error) in NOT_THERE:
                    raise self._changed(path) from None
                if code_of(error) not in LOST:
                    raise
        raise Conflict(f"{show(path)} in {self._share.url}: its lease was broken again and again.")

    def _rename(self, draft: Draft, path: str, *, overwrite: bool, lease: str | None = None) -> str:
        """One rename; returns the etag. The answer to one that was made may get lost, and the next attempt fails."""
        try:
            self._share.file(draft.path).rename_file(path, overwrite=overwrite, destination_lease=lease)
        except self._share.errors.upstream as error:
            etag = self._renamed_before(draft, path) if code_of(error) in (*NOT_THERE, *TAKEN, *LOST) else None
            if etag is None:
                raise
            return etag
        return self._share.told("ETag").strip('"')

    def _renamed_before(self, draft: Draft, path: str) -> str | None:
        """The etag of what is at the path, if it is what was the draft."""
        try:
            found = self._share.file(path).get_file_properties()
        except self._share.errors.upstream:
            return None
        return found.etag.strip('"') if found.file_id == draft.id else None

    def _lost(self, path: str, condition: Condition) -> DatastoresError:
        """What it means that the draft is gone, and is not at the path either."""
        try:
            self.check(path, condition)
        except DatastoresError as error:
            return error
        return Conflict(
            f"{show(path)} in {self._share.url}: what was written is gone again; somebody deleted or renamed the "
            "folder, or replaced the file."
        )

    def _changed(self, path: str) -> Changed:
        return Changed(f"{show(path)} in {self._share.url}: it is not, or no longer, the version that was asked for.")

    def _exists(self, path: str) -> PathExists:
        return PathExists(f"{show(path)} in {self._share.url}: there is something already.")
