"""Leases on files: how a write that names a version keeps others out, and what others do who meet one.

https://learn.microsoft.com/rest/api/storageservices/lease-file
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import uuid4

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.stores._azure_errors import code_of
from airflow_azureml_datastores.stores._file_share import NOT_THERE, TIDYING, FileShare

log = logging.getLogger(__name__)

T = TypeVar("T")

LEASE_PATIENCE = 30.0
"""Seconds for which a lease is respected while nothing happens to the file."""

KEPT_OUT = ("LeaseAlreadyPresent", "LeaseIdMissing")
LOST = ("LeaseIdMismatchWithFileOperation", "LeaseLost", "LeaseNotPresentWithFileOperation")
"""The codes that say that a lease of ours is gone: its file was replaced, or somebody broke it."""

_PAUSES = (0.02, 0.3)
"""Seconds between two looks at a lease: at first, and at most."""


class Leases:
    """The leases on the files of one share.

    A lease on a file never ends by itself, so that of a killed holder has to be broken by whoever needs the file. This
    is safe even if the holder lives: all that it does under the lease is one rename that names it, and with the lease
    broken the service refuses that.

    :param patience: seconds after which a lease is broken, counted from the last change of the file.
    """

    def __init__(self, share: FileShare, patience: float) -> None:
        self._share = share
        self._patience = patience

    @contextmanager
    def held(self, path: str) -> Iterator[str]:
        """Hold a lease on a file; gives its id. Raises the SDK's errors, as for a file that is not there."""
        from azure.storage.fileshare import ShareLeaseClient

        lease = ShareLeaseClient(self._share.file(path), lease_id=str(uuid4()))
        try:
            self.past(path, lease.acquire)
            yield lease.id
        finally:
            # Gone with the file, if that was replaced. Also where acquiring it failed: the answer may have got lost.
            with self._share.quietly():
                lease.release(**TIDYING)

    def past(self, path: str, call: Callable[[], T]) -> T:
        """The result of a call that a lease on the file may keep out: then it is made again until it gets through."""
        watch: _Watch | None = None
        while True:
            try:
                return call()
            except self._share.errors.upstream as error:
                if code_of(error) not in KEPT_OUT:
                    raise
            watch = watch or _Watch(self._share, path, self._patience)
            watch.wait()

    def delete(self, path: str) -> None:
        """Delete a file, past leases; one that is not there, or is a folder, is no error."""
        try:
            self.past(path, self._share.file(path).delete_file)
        except self._share.errors.upstream as error:
            if code_of(error) not in NOT_THERE:
                raise self._share.errors.translate(error, path) from None


class _Watch:
    """Somebody else's lease, for as long as it is in the way."""

    def __init__(self, share: FileShare, path: str, patience: float) -> None:
        self._share, self._path, self._patience = share, path, patience
        self._pause = _PAUSES[0]
        self._until, self._seen = time.monotonic() + patience, self._etag()

    def wait(self) -> None:
        """Pause; or break the lease, if its time is over."""
        if time.monotonic() < self._until:
            time.sleep(self._pause * random.uniform(0.5, 1.5))
            self._pause = min(2 * self._pause, _PAUSES[1])
            return
        before, self._seen = self._seen, self._etag()
        if self._seen == before:
            self._break()
        self._until = time.monotonic() + self._patience

    def _etag(self) -> str | None:
        try:
            return self._share.file(self._path).get_file_properties().etag
        except self._share.errors.upstream as error:
            if code_of(error) in NOT_THERE:
                return None
            raise

    def _break(self) -> None:
        from azure.storage.fileshare import ShareLeaseClient

        name = f"{show(self._path)} in {self._share.url}"
        log.warning("Breaking the lease on %s, which has not changed for %g seconds.", name, self._patience)
        try:
            ShareLeaseClient(self._share.file(self._path)).break_lease()
        except self._share.errors.upstream as error:
            if code_of(error) not in (*NOT_THERE, "LeaseNotPresentWithLeaseOperation", "LeaseAlreadyBroken"):
                raise
