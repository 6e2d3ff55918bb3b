"""Folders of a datastore as folders of this machine, through FUSE."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from airflow_azureml_datastores.compute._credential_bridge import portable
from airflow_azureml_datastores.compute._mount_keeper import MountProcess
from airflow_azureml_datastores.compute._mount_order import Order
from airflow_azureml_datastores.compute._mount_system import check_system
from airflow_azureml_datastores.compute._mount_tree import SourceTree
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import InvalidInput
from airflow_azureml_datastores.transfer.progress import Say
from airflow_azureml_datastores.transfer.source import Source

CACHE = 4 << 30
"""Bytes of disk that a mount keeps what was read in, unless told otherwise."""


def check_mounts() -> None:
    """Check that this machine can mount. Makes no mount.

    :raises MissingExtra: the Python package is not installed.
    :raises Unsupported: the system has no FUSE, or does not let this process use it; the message says what is missing
        and which modes work without.
    """
    check_system()


@contextmanager
def mount_source(
    folder: Path, source: Source, *, cache: int = CACHE, scratch: Path | None = None, say: Say
) -> Iterator[None]:
    """Mount exactly the files of a source, read-only, each in the version that the source names.

    A file that has changed since cannot be read (``ESTALE``), and ``say`` is told why. Nothing else is in the folder.

    :param folder: an empty folder; empty again afterwards.
    :param cache: bytes of disk that may hold what was read.
    :param scratch: folder for that; None is the system's temporary folder.
    :param say: takes what goes wrong, from a thread.
    :raises UnsafePath: a name is none that a file can have, or is that of a folder too; nothing is mounted.
    :raises Unsupported: see :func:`check_mounts`; or the source's store cannot be opened from another process.
    :raises Unavailable: the mount ended before the block did.
    """
    SourceTree(source.files, datetime.now(UTC))
    with _mounted(folder, source.folder.store, source.uri, cache, scratch, say, files=source.files):
        yield


@contextmanager
def mount_folder(
    folder: Path, place: Place, *, writable: bool = False, cache: int = CACHE, scratch: Path | None = None, say: Say
) -> Iterator[None]:
    """Mount a folder of a datastore as it is, and as it changes.

    A file that is written is in the store when it is closed, or after fsync: ``close`` and ``fsync`` report what went
    wrong. Staged files of the datastore are not shown; folders without files are not kept.

    :param folder: an empty folder; empty again afterwards.
    :param place: a folder in a datastore; there need not be anything yet.
    :param writable: whether files can be changed.
    :param cache: bytes of disk that may hold what was read; what is being written comes on top.
    :param scratch: folder for both; None is the system's temporary folder.
    :param say: takes what goes wrong, from a thread.
    :raises Unsupported: see :func:`check_mounts`; or the store cannot be opened from another process.
    :raises Unavailable: the mount ended before the block did.
    :raises TransferIncomplete: on leaving the block: files that were written are not in the store. Not raised if the
        block raises something itself; ``say`` is told.
    """
    place = place.folder()
    with _mounted(folder, place.store, place.uri, cache, scratch, say, prefix=place.path, writable=writable):
        yield


@contextmanager
def _mounted(
    folder: Path, store: FileStore, name: str, cache: int, scratch: Path | None, say: Say, **shown: Any
) -> Iterator[None]:
    """Mount what ``shown`` says, as :class:`Order` has it."""
    check_mounts()
    mountpoint = os.path.realpath(folder)
    if os.listdir(mountpoint):
        raise InvalidInput(f"a datastore can be mounted at an empty folder only, not at {mountpoint!r}.")
    location, credential = store.door
    with (
        TemporaryDirectory(prefix="azureml-mount-", dir=scratch, ignore_cleanup_errors=True) as room,
        portable(credential) as (portable_credential, inherited),
    ):
        room = os.path.realpath(room)
        mount = MountProcess(Order(mountpoint, room, cache, name, location, portable_credential, **shown), say)
        try:
            mount.start(inherited)
            yield
            mount.end()
        finally:  # whatever was raised, by a signal handler too: leave with nothing running and nothing mounted
            mount.kill()
