"""What the process of a mount is told to serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from airflow_azureml_datastores.compute._mount_cache import DiskCache
from airflow_azureml_datastores.compute._mount_file import Room
from airflow_azureml_datastores.compute._mount_folder import MountedFolder, WritableFolder
from airflow_azureml_datastores.compute._mount_tree import LiveTree, SourceTree
from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.datastore import Location, open_files
from airflow_azureml_datastores.core.store import Version
from airflow_azureml_datastores.transfer.progress import Say

_THREADS = 16


@dataclass(frozen=True)
class Order:
    """A mount, in a form that travels to another process. It holds a secret.

    :param mountpoint: real path of an empty folder.
    :param scratch: path of an empty folder for what is read and written.
    :param cache: bytes of it that may hold what was read.
    :param name: how the list of mounts calls it.
    :param files: relative path -> the version to show; None shows all that is below ``prefix``.
    :param prefix: of what is shown, with its slash; "" is the whole store.
    """

    mountpoint: str
    scratch: str
    cache: int
    name: str
    location: Location
    credential: Credential = field(repr=False)
    files: Mapping[str, Version] | None = None
    prefix: str = ""
    writable: bool = False

    @contextmanager
    def open(self, say: Say) -> Iterator[MountedFolder]:
        """The folder to serve."""
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="read-ahead")
        cache = DiskCache(Path(self.scratch), self.cache)
        with open_files(self.location, self.credential) as store:
            room = Room(store, cache, pool)
            try:
                if self.files is not None:
                    yield MountedFolder(room, SourceTree(self.files, datetime.now(UTC)), say)
                elif self.writable:
                    tree = LiveTree(store, self.prefix, say)
                    yield WritableFolder(room, tree, say, self.prefix, self.cache)
                else:
                    yield MountedFolder(room, LiveTree(store, self.prefix, say), say)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
