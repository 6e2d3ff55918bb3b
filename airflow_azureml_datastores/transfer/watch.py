"""Finding new data: what a consumer has not taken yet, once it is complete."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airflow_azureml_datastores.core.experiment import unique_slug
from airflow_azureml_datastores.core.manifest import Entry, Manifest
from airflow_azureml_datastores.core.place import OpenDatastore, Place
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.core.uri import DatastoreUri, parse_datastore_uri
from airflow_azureml_datastores.errors import PublishInProgress
from airflow_azureml_datastores.transfer.cursors import STATE_DATASTORE, CursorFile, state_place
from airflow_azureml_datastores.transfer.source import extent, list_published


@dataclass(frozen=True)
class Watch:
    """What to look for, and for whom.

    :param uri: ``azureml://`` URI of a folder, file or pattern.
    :param consumer: who takes; each consumer sees everything once.
    :param batch: names the taking run; what it took before is still new to itself.
    :param min_files: fewer than this are not worth a batch yet.
    :param stable_for: seconds for which none of the new files may have changed.
    :param done_marker: name of a file that completes a folder; files count once it stands in their folder or one above,
        up to the watched one.
    :param asset: the data asset that the place was given as, for the records.
    """

    uri: str
    consumer: str
    batch: str
    min_files: int = 1
    stable_for: float = 0.0
    done_marker: str | None = None
    asset: str | None = None

    @property
    def datastores(self) -> tuple[str | None, ...]:
        """The datastores that a look opens; None is the default."""
        return parse_datastore_uri(self.uri).datastore, STATE_DATASTORE

    def look(self, open_datastore: OpenDatastore, now: datetime) -> tuple[list[ObjectInfo], str]:
        """The new or changed files, if they may be taken now.

        :param now: with time zone.
        :returns: the files (none if it is not time yet), and what to tell the person who waits.
        """
        uri, root = self._open(open_datastore)
        reach = extent(root, uri)
        try:
            listed = list_published(root, reach, also=self.done_marker)
        except PublishInProgress as error:
            return [], str(error)
        data = [info for info in listed if reach.covers(info.path) and info.path.rpartition("/")[2] != self.done_marker]
        if self.done_marker is not None:
            names = {info.path for info in listed}
            done = [info for info in data if _is_done(info.path, reach.folder, self.done_marker, names)]
            if data and not done:
                return [], f"{len(data)} files at {uri}, but no {self.done_marker} that says they are complete."
            data = done
        new = CursorFile(open_datastore, self.consumer).load().new_for(self.batch, root.datastore, data)
        if len(new) < max(self.min_files, 1):
            return [], f"{len(new)} new of {len(data)} files at {uri}; waiting for {self.min_files}."
        youngest = max(info.modified for info in new)
        if self.stable_for and (now - youngest).total_seconds() < self.stable_for:
            return [], f"{len(new)} new files at {uri}; waiting for {self.stable_for:g} s without a change."
        return new, f"{len(new)} new of {len(data)} files at {uri}."

    def _open(self, open_datastore: OpenDatastore) -> tuple[DatastoreUri, Place]:
        """The watched place, by its datastore's own name, and that datastore."""
        uri = parse_datastore_uri(self.uri)
        root = open_datastore(uri.datastore)
        return replace(uri, datastore=root.datastore), root

    def record(self, open_datastore: OpenDatastore, files: list[ObjectInfo]) -> dict[str, Any]:
        """Write down exactly which files a batch is. The cursor does not move: that is for whoever takes the batch.

        :returns: ``uri``, ``files``, ``bytes``, ``manifest`` (URI of the list), ``consumer`` and ``batch``.
        """
        uri, root = self._open(open_datastore)
        folder = root.at(extent(root, uri).folder)
        entries = tuple(Entry(i.path[len(folder.path) :], i.size, i.etag, i.path, i.etag) for i in files)
        origin = {"consumer": self.consumer, "batch": self.batch} | ({"asset": self.asset} if self.asset else {})
        manifest = Manifest(str(uri), folder.uri, entries, origin)
        place = state_place(open_datastore, f"batches/{unique_slug(self.consumer)}/{self.batch}.json")
        place.store.write(place.path, manifest.to_json())
        return {
            "uri": str(uri),
            "files": manifest.files,
            "bytes": manifest.size,
            "manifest": place.uri,
            "consumer": self.consumer,
            "batch": self.batch,
        }


def _is_done(path: str, folder: str, marker: str, names: set[str]) -> bool:
    """Whether the marker stands in the path's folder or one above it, up to the watched one."""
    at = path.rfind("/")
    while at + 1 >= len(folder):
        if path[: at + 1] + marker in names:
            return True
        if at < 0:
            return False
        at = path.rfind("/", 0, at)
    return False
