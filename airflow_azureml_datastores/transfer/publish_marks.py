"""Who is publishing where: a mark per folder, in ``.staging/publishing/`` of the datastore.

By the marks publishers exclude each other, and readers learn which folders are being changed right now. Beside the
marks lies ``last``, which is written anew at the end of every change: where the marks and ``last`` are the same after a
listing as before it, nothing was published in between.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from airflow_azureml_datastores.core.manifest import STAGING
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.errors import Changed, InvalidInput, PathExists, PathNotFound, PublishInProgress

_MARKS = f"{STAGING}publishing/"
_LAST = f"{_MARKS}last"


@dataclass(frozen=True)
class Mark:
    """A publish that is under way.

    :param folder: path in the store of what it publishes to.
    :param publisher: who publishes.
    :param policy: what it does with data that is there.
    :param publish: what it publishes: another source, or another version of it, is another publish.
    :param attempt: which of the publisher's attempts is at work; one that was taken for dead may live.
    :param apart: path in the store of the folder that is to take the place of ``folder``; empty if files are copied.
    :param committing: whether the folder is being changed.
    """

    folder: str
    publisher: str
    policy: str
    publish: str = ""
    attempt: str = ""
    apart: str = ""
    committing: bool = False

    def overlaps(self, prefix: str) -> bool:
        """Whether there may be paths that start with ``prefix`` and are in the folder."""
        return prefix.startswith(self.folder) or self.folder.startswith(prefix)


def state(root: Place) -> dict[str, str]:
    """The marks of a datastore, and ``last``: path -> etag. One request."""
    return {info.path: info.etag for info in root.store.list(_MARKS)}


def read_mark(root: Place, path: str, etag: str | None = None) -> Mark:
    """A mark, in this version or as it is. :raises PathNotFound: it is gone. :raises Changed: it is another version."""
    content = b"".join(root.store.read(path, if_match=etag))
    try:
        return Mark(**json.loads(content))
    except (ValueError, TypeError) as error:
        uri = replace(root, path=path).uri
        raise InvalidInput(f"{uri} should tell who publishes, but does not: {error}. Delete it.") from error


def is_quiet(root: Place, marks: Mapping[str, str], prefix: str) -> bool:
    """Whether no path that starts with ``prefix`` is in a folder that is being changed.

    :param marks: what :func:`state` gave.
    :returns: False also if the marks are not these any more.
    :raises PublishInProgress: there is such a folder.
    """
    for path in marks.keys() - {_LAST}:
        try:
            mark = read_mark(root, path, marks[path])
        except (PathNotFound, Changed):
            return False
        if mark.committing and mark.overlaps(prefix):
            raise PublishInProgress(
                f"a publish to {replace(root, path=mark.folder).uri} is not finished: {mark.publisher}. Wait for it, "
                f"or run its task again: it completes what it began."
            )
    return True


class FolderMark:
    """The mark of one folder, for one attempt to publish to it.

    Of several attempts of one publisher the latest has the mark; those before it go no further once they look.

    :param folder: the folder.
    :param mark: who publishes to it, and what.
    """

    def __init__(self, folder: Place, mark: Mark) -> None:
        self._root = replace(folder, path="")
        self._place = replace(folder, path=f"{_MARKS}{hashlib.sha256(folder.path.encode()).hexdigest()[:16]}.json")
        self._mark = mark
        self._etag = ""

    def refuse_others(self) -> None:
        """:raises PublishInProgress: somebody else publishes to the folder, to one in it or to one around it."""
        for path in state(self._root).keys() - {_LAST}:
            try:
                mark = read_mark(self._root, path)
            except PathNotFound:
                continue
            if mark.overlaps(self._mark.folder) and not (path == self._place.path and self._is_ours(mark)):
                raise PublishInProgress(
                    f"another publish to {replace(self._root, path=mark.folder).uri} is not finished: "
                    f"{mark.publisher}. Wait for it, or run its task again: it completes what it began. If it never "
                    f"will, check the folder and delete {replace(self._root, path=path).uri}."
                )

    def left(self) -> Mark | None:
        """The mark that an attempt of ours has left, or has still."""
        mark = self._read()
        return mark if mark is not None and self._is_ours(mark) else None

    def unfinished(self) -> Mark | None:
        """The same, if that attempt broke off, or still is, while it changed the folder."""
        mark = self.left()
        return mark if mark is not None and mark.committing else None

    def set(self, apart: str = "") -> None:
        """Keep others from publishing here. :raises PublishInProgress: somebody else is, or changes the folder already.

        :param apart: what is to take the folder's place.
        """
        self._mark = replace(self._mark, apart=apart)
        while not self._try_to_set():
            self.refuse_others()
        try:
            self.refuse_others()  # after our mark is set, so that of two at least one sees the other's
        except PublishInProgress:
            self.remove()
            raise

    def take_over(self, mark: Mark) -> None:
        """Go on with what :meth:`unfinished` gave. :raises PublishInProgress: its attempt lives, or another goes on."""
        self._change(replace(mark, attempt=self._mark.attempt))

    def begin_commit(self) -> Mark:
        """Tell readers that the folder is about to change. :raises PublishInProgress: the mark is not ours any more."""
        return self._change(replace(self._mark, committing=True))

    def check(self) -> None:
        """:raises PublishInProgress: the mark is not this attempt's any more."""
        mark = self._read()
        if mark is None or not self._is_own(mark):
            raise self._another()

    def end_commit(self) -> None:
        """Tell readers that the folder has changed, and is whole; others are still kept out."""
        self.check()
        replace(self._root, path=_LAST).write(uuid.uuid4().hex.encode())
        self._change(self._mark)

    def remove(self) -> None:
        """Let others publish here, if the mark is this attempt's."""
        mark = self._read()
        if mark is not None and self._is_own(mark):
            self._place.store.delete(self._place.path)

    def _try_to_set(self) -> bool:
        try:
            self._etag = self._place.write(_to_json(self._mark), create=True)
        except PathExists:
            mark = self.left()
            if mark is None:
                return False
            if mark.committing:
                raise self._another() from None
            self._change(self._mark)
        return True

    def _change(self, mark: Mark) -> Mark:
        try:
            self._etag = self._place.write(_to_json(mark), if_match=self._etag)
        except Changed:
            raise self._another() from None
        return mark

    def _another(self) -> PublishInProgress:
        return PublishInProgress(
            f"another attempt of {self._mark.publisher} publishes to the same folder at the same time."
        )

    def _read(self) -> Mark | None:
        while True:
            try:
                self._etag = self._place.store.stat(self._place.path).etag
                return read_mark(self._root, self._place.path, self._etag)
            except PathNotFound:
                return None
            except Changed:
                continue

    def _is_ours(self, mark: Mark) -> bool:
        return mark.publisher == self._mark.publisher

    def _is_own(self, mark: Mark) -> bool:
        return self._is_ours(mark) and mark.attempt == self._mark.attempt


def _to_json(mark: Mark) -> bytes:
    return json.dumps(asdict(mark)).encode()
