"""Cursors as files, moved by many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_azureml_datastores.core.cursor import fingerprint
from airflow_azureml_datastores.errors import Changed, InvalidInput, Unavailable
from airflow_azureml_datastores.transfer.cursors import CursorFile, transfer_record
from tests.unit.transfer.stores import MemoryStore, Watched, contents, fill, opener


def prints(*names: str) -> list[bytes]:
    return [fingerprint("s", name, "e1") for name in names]


def test_empty_at_first() -> None:
    store = MemoryStore()
    assert CursorFile(opener(workspaceblobstore=store), "c").load().taken == {}
    assert contents(store) == {}


def test_keeps_what_was_taken() -> None:
    open_datastore = opener(workspaceblobstore=MemoryStore())
    cursor = CursorFile(open_datastore, "c")
    assert cursor.take("one", prints("a", "b")) == set(prints("a", "b"))
    assert cursor.take("two", prints("b", "c")) == set(prints("c"))
    assert cursor.take("two", prints("a")) == set()
    again = CursorFile(open_datastore, "c")
    assert again.load().taken == {"one": set(prints("a", "b")), "two": set(prints("c"))}
    assert CursorFile(open_datastore, "another").load().taken == {}


def test_taking_the_same_again_writes_nothing() -> None:
    store = MemoryStore()
    CursorFile(opener(workspaceblobstore=store), "c").take("one", prints("a", "b"))

    def no_write(call: str, path: str) -> None:
        assert call != "write"

    watched = Watched(store, no_write)
    assert CursorFile(opener(workspaceblobstore=watched), "c").take("one", prints("a")) == set(prints("a"))


def test_many_at_once_take_each_thing_once() -> None:
    """Each of 16 batches wants everything; each thing goes to one of them, and none is lost."""
    open_datastore = opener(workspaceblobstore=MemoryStore())
    wanted = prints(*map(str, range(64)))

    def take(batch: int) -> set[bytes]:
        mine: set[bytes] = set()
        for start in range(0, 64, 8):
            chunk = wanted[(start + batch * 4) % 64 :][:8]
            mine |= CursorFile(open_datastore, "c").take(f"{batch}", chunk)
        return mine

    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(take, range(16)))
    assert sorted(p for each in got for p in each) == sorted(wanted)
    assert CursorFile(open_datastore, "c").load().taken == {f"{i}": each for i, each in enumerate(got) if each}


def test_read_while_it_moves() -> None:
    """Another run moves the cursor between the look and the reading: it is read again."""
    store = MemoryStore()
    CursorFile(opener(workspaceblobstore=store), "c").take("one", prints("a"))
    moved: list[str] = []

    def move(call: str, path: str) -> None:
        if call == "read" and not moved:
            moved.append(path)
            CursorFile(opener(workspaceblobstore=store), "c").take("two", prints("b"))

    cursor = CursorFile(opener(workspaceblobstore=Watched(store, move)), "c").load()
    assert cursor.taken == {"one": set(prints("a")), "two": set(prints("b"))}


def test_lost_answer() -> None:
    """The write took effect, but its answer did not come: taken again, nothing is taken twice."""
    store = MemoryStore()
    CursorFile(opener(workspaceblobstore=store), "c").take("one", prints("a"))
    lost: list[str] = []

    def lose(call: str, path: str) -> None:
        if call == "write" and not lost:
            lost.append(path)
            raise Changed("the client tried again by itself, and met its own write")

    ours = CursorFile(opener(workspaceblobstore=Watched(store, after=lose)), "c").take("two", prints("a", "b"))
    assert ours == set(prints("b"))


def test_other_errors_are_told() -> None:
    def fail(call: str, path: str) -> None:
        raise Unavailable("down")

    with pytest.raises(Unavailable):
        CursorFile(opener(workspaceblobstore=Watched(MemoryStore(), fail)), "c").take("one", prints("a"))


def test_garbage() -> None:
    store = MemoryStore()
    CursorFile(opener(workspaceblobstore=store), "c").take("one", prints("a"))
    (path,) = contents(store)
    fill(store, {path: b"garbage"})
    with pytest.raises(InvalidInput, match=f"azureml://datastores/workspaceblobstore/paths/{path} is not a cursor"):
        CursorFile(opener(workspaceblobstore=store), "c").load()


def test_consumers_and_tasks_have_files_of_their_own() -> None:
    open_datastore = opener(workspaceblobstore=MemoryStore())
    for one, other in (("a/b", "a-b"), ("A", "a"), ("x", "x ")):
        CursorFile(open_datastore, one).take("batch", prints(one))
        assert CursorFile(open_datastore, other).load().taken == {}
        assert transfer_record(open_datastore, one) != transfer_record(open_datastore, other)
