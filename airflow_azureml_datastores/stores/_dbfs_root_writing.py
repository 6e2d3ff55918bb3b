"""Writing files of the DBFS root: small ones in one request, big ones as drafts that get a name when they are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import chain

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import DatastoresError, PathExists, PathNotFound, Unavailable
from airflow_azureml_datastores.stores._content import counted, regrouped
from airflow_azureml_datastores.stores._dbfs_room import Room
from airflow_azureml_datastores.stores._dbfs_root_api import BLOCK, DbfsApi, name_of_draft, name_of_new
from airflow_azureml_datastores.stores._dbfs_versions import Seconds, describe_file, seconds_of


class DbfsRootWriter:
    """Writes below one root, which is there.

    :param check_version: raises :class:`Changed` if a file is not the version that is to be replaced.
    """

    def __init__(self, api: DbfsApi, seconds: Seconds, check_version: Callable[[str, str | None], None]) -> None:
        self._api = api
        self._seconds = seconds
        self._check_version = check_version
        self._room = Room(api)

    def write(self, path: str, chunks: Iterable[bytes], size: int | None, create: bool, if_match: str | None) -> str:
        """As :meth:`FileStore.write` promises. Errors of ``chunks`` come out as they are."""
        blocks = regrouped(counted(chunks, size, path), BLOCK)
        first, second = next(blocks, b""), next(blocks, None)
        self._check_version(path, if_match)
        if second is None:
            return self._put(path, first, create)
        self._make_room(path, create)
        with _Draft(self._api, path) as draft:
            size = draft.write(chain((first, second), blocks))
            with self._seconds.alone(path, size):
                file = draft.close()
                self._check_version(path, if_match)
                self._make_room(path, create)
                try:
                    self._commit(draft, path, create)
                except PathNotFound:
                    raise Unavailable(f"{show(path)}: what was uploaded of it has gone.") from None
                return self._etag(path, file)

    def _put(self, path: str, content: bytes, create: bool) -> str:
        """One request. After a lost answer the file that is there may be our own."""
        attempts = 0

        def attempt() -> str | None:
            nonlocal attempts
            attempts += 1
            return self._api.put(path, content, overwrite=not create)

        with self._seconds.alone(path, len(content)):
            try:
                sent = self._room.for_file(path, lambda: self._api.patiently(attempt, path))
            except PathExists:
                if attempts == 1 or not self._is(path, content):
                    raise
                sent = None
            return self._etag(path, describe_file(path, len(content), seconds_of(sent)))

    def _is(self, path: str, content: bytes) -> bool:
        """Whether this is what is there."""
        try:
            found = self._api.status(path).file
            return found is not None and found.size == len(content) and self._api.read(path, 0, BLOCK) == content
        except DatastoresError:
            return False

    def _make_room(self, path: str, create: bool) -> None:
        """:raises PathExists: ``create``, and there is a file.
        :raises UnsafePath: there is a folder with files in it, or a file where a folder should be.
        """
        if not self._room.clear(path) and create and self._api.find(path):
            raise PathExists(f"there is already {show(path)} in {self._api.place('')}.")

    def _commit(self, draft: _Draft, path: str, create: bool) -> None:
        """Replace a file without a moment in which neither is to be found, unless the name is too long for that.

        Of several who do it at once one finishes what another began; one of theirs stays.
        """
        if create:
            draft.move(path)
            return
        new = name_of_new(path)
        if new is not None:
            self._force(draft, new, path)
        with suppress(PathNotFound):
            self._force(draft, path, path)

    def _force(self, draft: _Draft, name: str, path: str) -> None:
        """Give it a name that others may be giving to theirs: what has it is put aside, and deleted afterwards.

        Not before, as it may be the draft itself, to which somebody else has just given the name.
        """
        while True:
            aside = self._put_aside(name, path)
            try:
                draft.move(name)
            except PathExists:
                self._drop(aside, path)
                continue
            except DatastoresError:
                self._drop(aside, path)
                raise
            if aside is not None:
                self._api.delete(aside)
            return

    def _put_aside(self, name: str, path: str) -> str | None:
        """Returns its name then; None if there is nothing of this name."""
        with suppress(PathNotFound):
            if self._api.status(name).file is None:
                self._api.delete(name)  # an empty folder
            else:
                aside = name_of_draft(path)
                _rename(self._api, name, aside, path)
                return aside
        return None

    def _drop(self, aside: str | None, path: str) -> None:
        """Delete what was put aside, if there is another file instead; else that is the file."""
        if aside is None:
            return
        if self._api.find(path) is None:
            with suppress(PathExists, PathNotFound):
                _rename(self._api, aside, path, path)
        self._api.delete(aside)

    def _etag(self, path: str, ours: ObjectInfo) -> str:
        """The etag of what was written, as the service shows it; somebody else may have replaced it at once."""
        found = self._api.find(path)
        if found is not None and found.file is not None and found.file.size == ours.size:
            return found.file.etag
        return ours.etag


class _Draft:
    """A file that is not whole yet, beside the one that it is to be, so that to move it is to rename it.

    :ivar place: its path at this moment.
    :ivar size: bytes that were sent.
    """

    def __init__(self, api: DbfsApi, path: str) -> None:
        self._api = api
        self._target = path
        self._left: list[str] = []
        self._handle = 0
        self.place = ""
        self.size = 0

    def __enter__(self) -> _Draft:
        return self

    def __exit__(self, *failed: object) -> None:
        """Delete what has got no other name. If even that fails nobody is served by knowing."""
        for name in self._left:
            with suppress(DatastoresError):
                self._api.delete(name)

    def write(self, blocks: Iterable[bytes]) -> int:
        """Write all blocks; returns how many bytes they are."""
        self._handle = self._api.patiently(self._begin, self._target)
        for block in blocks:
            self._api.patiently(partial(self._api.add_block, self._handle, block), self._target)
            self.size += len(block)
        return self.size

    def close(self) -> ObjectInfo:
        """Make the file whole, and describe it. A block whose answer got lost may be in it twice.

        :raises Unavailable: so it is, as the size shows.
        """
        with suppress(PathNotFound):  # closed already, by an attempt whose answer got lost
            self._api.patiently(partial(self._api.close, self._handle), self._target)
        found = self._api.status(self.place, of=self._target).file
        if found is None or found.size != self.size:
            raise Unavailable(
                f"{show(self._target)}: {self.size} bytes were sent, and {found.size if found else 0} are there. One "
                f"request counted twice, or not at all; nothing was written, try again."
            )
        return found

    def _begin(self) -> int:
        """Under a new name in each attempt, as nobody knows the handle of one whose answer got lost."""
        self.place = name_of_draft(self._target)
        self._left.append(self.place)
        return self._api.create(self.place)

    def move(self, name: str) -> None:
        """Give it a name.

        :raises PathExists: something else has that name.
        :raises PathNotFound: it is gone, by somebody else's hand.
        """
        _rename(self._api, self.place, name, self._target)
        self._left = [left for left in self._left if left != self.place]
        self.place = name


def _rename(api: DbfsApi, place: str, name: str, path: str) -> None:
    """Give a file another name. After a lost answer it may have it already.

    :param path: that it is about, for messages.
    :raises PathExists: something else has that name.
    :raises PathNotFound: it is gone, by somebody else's hand.
    """
    attempts = 0

    def attempt() -> None:
        nonlocal attempts
        attempts += 1
        api.move(place, name)

    try:
        api.patiently(attempt, path)
    except PathNotFound:
        if attempts == 1:
            raise
    except PathExists:
        if attempts == 1 or _is_there(api, place):
            raise


def _is_there(api: DbfsApi, place: str) -> bool:
    with suppress(PathNotFound):
        api.status(place)
        return True
    return False
