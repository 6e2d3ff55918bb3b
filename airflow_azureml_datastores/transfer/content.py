"""Whether what was delivered is the same content as some other time."""

from __future__ import annotations

from dataclasses import replace

from airflow_azureml_datastores.core.manifest import Entry, Manifest
from airflow_azureml_datastores.core.place import OpenDatastore, open_place
from airflow_azureml_datastores.core.uri import parse_datastore_uri
from airflow_azureml_datastores.transfer.engine import content_digest, for_each


def digest_of_content(open_datastore: OpenDatastore, manifest: Manifest, sources: Manifest | None = None) -> str:
    """A manifest's digest, over what can be known of the files' contents without reading them over a network.

    Where the manifest has no digest of a file, because its bytes did not pass through the worker, it is that of the
    sources' manifest; or it is read, if the file is on this machine; else the source's etag stands for it.

    :param sources: the manifest of what was delivered.
    :raises Changed: a file is not the one that was delivered any more.
    """
    folder = open_place(open_datastore, parse_datastore_uri(manifest.target)).folder()
    known = _digests(sources) if sources is not None else {}

    def complete(entry: Entry) -> Entry:
        digest = entry.digest or known.get((entry.source, entry.source_etag), "")
        if not digest and folder.store.features.on_disk:
            digest = content_digest(folder.store, entry.delivered(folder.path))
        return replace(entry, digest=digest)

    return replace(manifest, entries=tuple(for_each(complete, manifest.entries))).digest


def _digests(manifest: Manifest) -> dict[tuple[str, str], str]:
    """Path in the store and etag -> digest."""
    folder = parse_datastore_uri(manifest.target).path
    return {(folder + entry.path, entry.etag): entry.digest for entry in manifest.entries}
