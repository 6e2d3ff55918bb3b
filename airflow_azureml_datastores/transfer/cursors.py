"""Where cursors are kept: a file per consumer on the workspace's own blob datastore, changed by compare-and-swap.

``workspaceblobstore`` is in every workspace, cannot be unregistered, and stays where it is when the default changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from airflow_azureml_datastores.core.cursor import Cursor
from airflow_azureml_datastores.core.datastore import BUILT_IN
from airflow_azureml_datastores.core.experiment import unique_slug
from airflow_azureml_datastores.core.place import OpenDatastore, Place
from airflow_azureml_datastores.core.row_cursor import RowCursor
from airflow_azureml_datastores.errors import Changed, PathExists, PathNotFound

T = TypeVar("T")

STATE_DATASTORE = BUILT_IN[0]
_STATE = "airflow/"


def state_place(open_datastore: OpenDatastore, path: str) -> Place:
    """A place for the provider's own records in a workspace."""
    return open_datastore(STATE_DATASTORE).at(_STATE + path)


class CursorFile:
    """The cursor of one consumer."""

    def __init__(self, open_datastore: OpenDatastore, consumer: str) -> None:
        self._place = state_place(open_datastore, f"cursors/{unique_slug(consumer)}.json")

    def load(self) -> Cursor:
        """The cursor as it is now; empty if the consumer has taken nothing yet."""
        return _again_if_others_move_it(self._load)[0]

    def take(self, batch: str, prints: Iterable[bytes]) -> Set[bytes]:
        """Take versions for a batch, durably. Returns those that are now the batch's; other batches have the rest.

        Taking the same for the same batch again changes nothing.
        """
        wanted = frozenset(prints)
        return _again_if_others_move_it(lambda: self._take_once(batch, wanted))

    def give_back(self, batch: str) -> None:
        """Let go of everything that a batch has taken, durably; of one that has nothing is no error."""
        _again_if_others_move_it(lambda: self._give_back_once(batch))

    def _give_back_once(self, batch: str) -> None:
        cursor, etag = self._load()
        left = cursor.give_back(batch)
        if left != cursor:
            self._place.write(left.to_json(), if_match=etag)

    def _take_once(self, batch: str, wanted: frozenset[bytes]) -> Set[bytes]:
        cursor, etag = self._load()
        moved, ours = cursor.take(batch, wanted)
        if moved != cursor:
            self._place.write(moved.to_json(), create=etag is None, if_match=etag)
        return ours

    def _load(self) -> tuple[Cursor, str | None]:
        found = _read(self._place)
        return (Cursor(), None) if found is None else (Cursor.from_json(found[0], self._place.uri), found[1])


class RowCursorFile:
    """The cursor of one consumer of rows."""

    def __init__(self, open_datastore: OpenDatastore, consumer: str) -> None:
        self._place = state_place(open_datastore, f"cursors/{unique_slug(consumer)}.rows.json")

    def load(self) -> tuple[RowCursor, str | None]:
        """The cursor as it is now, empty if the consumer has taken nothing yet, and its version."""
        return _again_if_others_move_it(self._load)

    def move(self, version: str | None, cursor: RowCursor) -> bool:
        """Put another cursor in the place of the one of this version, durably. False if it is not there any more."""
        try:
            self._place.write(cursor.to_json(), create=version is None, if_match=version)
        except (Changed, PathExists):
            return self.load()[0] == cursor  # of a write that was sent twice, the second is the one that is answered
        return True

    def _load(self) -> tuple[RowCursor, str | None]:
        found = _read(self._place)
        return (RowCursor(), None) if found is None else (RowCursor.from_json(found[0], self._place.uri), found[1])


def _read(place: Place) -> tuple[bytes, str] | None:
    """A record and its version; None if it is not there. :raises Changed: somebody writes it."""
    try:
        etag = place.store.stat(place.path).etag
        return b"".join(place.store.read(place.path, if_match=etag)), etag
    except PathNotFound:
        return None


def _again_if_others_move_it(do: Callable[[], T]) -> T:
    retry = Retrying(
        retry=retry_if_exception_type((Changed, PathExists)),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        stop=stop_after_delay(120),
        reraise=True,
    )
    return retry(do)


def transfer_record(open_datastore: OpenDatastore, task: str) -> Place:
    """The folder in which a task's copy to a shared place is remembered.

    :param task: names the task instance, the same in every try.
    """
    return state_place(open_datastore, f"transfers/{unique_slug(task)}/")
