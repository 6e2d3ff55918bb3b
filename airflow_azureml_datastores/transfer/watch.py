"""Finding new data: what a consumer has not taken yet, once it is complete."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_azureml_datastores.core.experiment import unique_slug
from airflow_azureml_datastores.core.manifest import Entry, Manifest
from airflow_azureml_datastores.core.place import OpenDatastore
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.errors import PublishInProgress
from airflow_azureml_datastores.transfer.cursors import CursorFile, state_place
from airflow_azureml_datastores.transfer.source import extent, list_published


def find_new(
    open_datastore: OpenDatastore,
    uri: DatastoreUri,
    *,
    consumer: str,
    batch: str,
    now: datetime,
    min_files: int = 1,
    stable_for: float = 0.0,
    done_marker: str | None = None,
) -> tuple[list[ObjectInfo], str]:
    """The new or changed files, if they may be taken now.

    :param consumer: who takes; each consumer sees everything once.
    :param batch: names the taking run; what it took before is still new to itself.
    :param now: with time zone.
    :param min_files: fewer than this are not worth a batch yet.
    :param stable_for: seconds for which none of the new files may have changed.
    :param done_marker: name of a file that completes a folder; files count once it stands in their folder or one above,
        up to the watched one.
    :returns: the files (none if it is not time yet), and what to tell the person who waits.
    """
    root = open_datastore(uri.datastore)
    reach = extent(root, uri)
    try:
        listed = list_published(root, reach, also=done_marker)
    except PublishInProgress as error:
        return [], str(error)
    data = [info for info in listed if reach.covers(info.path) and info.path.rpartition("/")[2] != done_marker]
    if done_marker is not None:
        names = {info.path for info in listed}
        data = [info for info in data if _is_done(info.path, reach.folder, done_marker, names)]
    cursor = CursorFile(open_datastore, consumer).load()
    new = cursor.new_for(batch, root.datastore, data)
    if len(new) < min_files:
        return [], f"{len(new)} new of {len(data)} files at {uri}; waiting for {min_files}."
    youngest = max(info.modified for info in new)
    if stable_for and (now - youngest).total_seconds() < stable_for:
        return (
            [],
            f"{len(new)} new files at {uri}; the last changed at {youngest}, waiting for {stable_for:g} s of quiet.",
        )
    return new, f"{len(new)} new files at {uri}."


def record_batch(
    open_datastore: OpenDatastore, uri: DatastoreUri, files: list[ObjectInfo], *, consumer: str, batch: str
) -> dict[str, Any]:
    """Write down exactly which files a batch is. The cursor does not move: that is for whoever takes the batch.

    :returns: ``uri``, ``files``, ``bytes``, ``manifest`` (URI of the list), ``consumer`` and ``batch``.
    """
    root = open_datastore(uri.datastore)
    folder = root.at(extent(root, uri).folder)
    entries = tuple(Entry(info.path[len(folder.path) :], info.size, info.etag, info.path, info.etag) for info in files)
    manifest = Manifest(str(uri), folder.uri, entries, {"consumer": consumer, "batch": batch})
    place = state_place(open_datastore, f"batches/{unique_slug(consumer)}/{batch}.json")
    place.store.write(place.path, manifest.to_json())
    return {
        "uri": str(uri),
        "files": manifest.files,
        "bytes": manifest.size,
        "manifest": place.uri,
        "consumer": consumer,
        "batch": batch,
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
