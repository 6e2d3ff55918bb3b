"""Where a publish keeps what is not visible yet: folders in ``.staging/`` of the target's datastore.

All attempts of one publisher stage into the same folder, so that what one has brought the next need not bring again.
A folder that is to be renamed is set apart first, under a name that no other attempt has: one that was taken for dead
and goes on does not find it there any more, and so cannot publish what another one is staging at that moment.
"""

from __future__ import annotations

import hashlib
import uuid
from contextlib import suppress
from dataclasses import replace

from airflow_azureml_datastores.core.manifest import STAGING
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.errors import PathExists, PathNotFound


class Staging:
    """The folders of one attempt to publish.

    :param target: what it publishes to.
    :param publisher: who, the same in every attempt.
    """

    def __init__(self, target: Place, publisher: str) -> None:
        # A name no longer than need be: what fits into the target should fit into the staged folder.
        own = hashlib.sha256(f"{publisher}\0{target.path}".encode()).hexdigest()[:16]
        self._own = f"{STAGING}{own}"
        self._target = target
        self.attempt = uuid.uuid4().hex[:8]
        self.folder = replace(target, path=f"{self._own}/")
        self.journal = replace(target, path=f"{self._own}.journal/")
        self.apart = replace(target, path=f"{self._own}.{self.attempt}/")

    def set_apart(self) -> None:
        """Give the staged folder the name that only this attempt has."""
        self._rename(self.folder, self.apart)

    def take_back(self, apart: str) -> None:
        """Have as staged again what an attempt had set apart. It may be gone, or something newer be staged."""
        with suppress(PathNotFound, PathExists):
            self._rename(replace(self._target, path=apart), self.folder)

    def swap_in(self) -> None:
        """Put what was set apart in the place of the target in one step, where the store can."""
        self._rename(self.apart, self._target)

    def rename_in(self, apart: str) -> None:
        """Put what an attempt had set apart in the place of the target by two renames. Begun again, it ends the same.

        :raises PathNotFound: it is not there any more: another attempt has been quicker, or somebody has deleted it.
        :raises PathExists: somebody else has made the target in between; when begun again, that is replaced.
        """
        store, target, old = self._target.store, self._target.path.rstrip("/"), _old(apart)
        with suppress(PathNotFound, PathExists):  # there was nothing, or an earlier attempt got so far
            store.rename_directory(target, old)
        try:
            store.rename_directory(apart.rstrip("/"), target)
        except PathNotFound:
            self.restore(apart)  # where another attempt was quicker, what was put aside is the new one
            raise
        except PathExists:
            store.delete_directory(old)
            raise

    def restore(self, apart: str) -> None:
        """Give the target back what :meth:`rename_in` has put aside, if there is nothing else in its place."""
        with suppress(PathNotFound, PathExists):
            self._target.store.rename_directory(_old(apart), self._target.path.rstrip("/"))

    def is_empty(self) -> bool:
        """Whether no attempt has left a file."""
        return next(self._target.store.list(self._own), None) is None

    def left(self, apart: str) -> list[str]:
        """The folders that attempts may have left.

        :param apart: where one has set something apart; empty if none has that is known.
        """
        store = self._target.store
        found = {f"{STAGING}{info.path.split('/')[1]}/" for info in store.list(self._own)}
        if store.features.directories:  # empty ones are not listed
            found |= {self.folder.path, self.journal.path, *([f"{_old(apart)}/"] if apart else [])}
        return sorted(found)

    def _rename(self, source: Place, target: Place) -> None:
        store = self._target.store
        rename = store.replace_directory if store.features.replace_directory else store.rename_directory
        rename(source.path.rstrip("/"), target.path.rstrip("/"))


def _old(apart: str) -> str:
    """Where the old folder is put while the new one takes its name."""
    return f"{apart.rstrip('/')}.old"
