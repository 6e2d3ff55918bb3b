"""Writing: whole or not at all, under conditions, by many at once; and deleting."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import Changed, DatastoresError, PathExists, Unavailable
from tests.contract.helpers import MIB, at_once, attempt, get, paths, put


def test_etag_is_the_one_that_is_seen(store: FileStore) -> None:
    etag = put(store, "a/b", b"content")
    assert etag
    assert not etag.startswith(('"', "W/"))
    assert store.stat("a/b").etag == etag
    assert [info.etag for info in store.list()] == [etag]


def test_etag_is_new_on_every_write(store: FileStore) -> None:
    """Also for the same content, size and moment."""
    etags = for_a_second(lambda: put(store, "a", b"same"))
    assert len(set(etags)) == len(etags)


def test_etag_is_new_after_delete(store: FileStore) -> None:
    def come_and_go() -> str:
        etag = put(store, "a", b"same", create=True)
        store.delete("a")
        return etag

    etags = for_a_second(come_and_go)
    assert len(set(etags)) == len(etags)


def for_a_second(write: Callable[[], str]) -> list[str]:
    """What a write returns, again and again: 3 times at least, 30 at most."""
    end, etags = time.monotonic() + 1, [write() for _ in range(3)]
    while len(etags) < 30 and time.monotonic() < end:
        etags.append(write())
    return etags


def test_etag_is_stable(store: FileStore) -> None:
    put(store, "a")
    put(store, "b")
    assert len({store.stat("a").etag for _ in range(3)} | {info.etag for info in store.list("a")}) == 1


@pytest.mark.parametrize("sizes", [(10, 3), (3, 10), (0, 5), (5, 0), (9 * MIB, 100), (100, 9 * MIB)])
def test_overwrite(store: FileStore, sizes: tuple[int, int]) -> None:
    """Nothing of a longer version stays behind a shorter one."""
    old, new = (random.Random(size).randbytes(size) for size in sizes)
    put(store, "a", old)
    put(store, "a", new)
    assert get(store, "a") == new
    assert store.stat("a").size == len(new)


@pytest.mark.parametrize(
    "chunks", [[], [b""], [b"", b""], [b"", b"a", b"", b"bc", b""], [b"%d," % i for i in range(5000)]], ids=len
)
def test_chunks_are_joined(store: FileStore, chunks: list[bytes]) -> None:
    store.write("a", iter(chunks))
    assert get(store, "a") == b"".join(chunks)


@pytest.mark.parametrize("size", [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 17 * MIB])
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_sizes_around_parts(store: FileStore, size: int, known: bool) -> None:
    content = random.Random(size).randbytes(size)
    store.write("a", iter([content]), size=size if known else None)
    assert store.stat("a").size == size
    assert hashlib.sha256(get(store, "a")).digest() == hashlib.sha256(content).digest()


def test_big_object_of_odd_chunks(store: FileStore) -> None:
    """40 MiB of unknown length, in chunks of no particular size, consumed once."""
    digest = hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        source, left = random.Random(5), 40 * MIB
        while left:
            chunk = source.randbytes(min(left, source.randint(1, 3 * MIB)))
            left -= len(chunk)
            digest.update(chunk)
            yield chunk

    etag = store.write("big", chunks())
    found = hashlib.sha256()
    for chunk in store.read("big", if_match=etag):
        found.update(chunk)
    assert found.digest() == digest.digest()
    assert store.stat("big").size == 40 * MIB


SOURCE_ERRORS: list[Exception] = [
    RuntimeError("the source broke"),
    PermissionError(13, "the source broke"),
    Unavailable("the source broke"),
]


@pytest.mark.parametrize("error", SOURCE_ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("sent", [0, 1000, 20 * MIB])
def test_source_that_fails(store: FileStore, sent: int, error: Exception) -> None:
    """Its very error comes out, and nothing is to be seen of the attempt."""
    with pytest.raises(type(error)) as caught:
        store.write("a", broken_source(sent, error))
    assert caught.value is error
    assert paths(store) == []


@pytest.mark.parametrize("sent", [0, 1000, 20 * MIB])
def test_source_that_fails_leaves_the_old_version(store: FileStore, sent: int) -> None:
    old = put(store, "a", b"old")
    with pytest.raises(RuntimeError):
        store.write("a", broken_source(sent, RuntimeError("the source broke")), size=sent + 1000)
    assert get(store, "a", if_match=old) == b"old"


def broken_source(sent: int, error: Exception) -> Iterator[bytes]:
    for start in range(0, sent, MIB):
        yield bytes(min(MIB, sent - start))
    raise error


def test_not_seen_until_written(store: FileStore) -> None:
    old = put(store, "a", b"old")
    seen: list[bytes] = []

    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            yield bytes(5 * MIB)
            seen.append(get(store, "a", if_match=old))
            assert paths(store) == ["a"]

    store.write("a", chunks())
    assert seen == [b"old"] * 3
    assert get(store, "a") == bytes(15 * MIB)


@pytest.mark.parametrize("size", [0, 10, 20 * MIB])
def test_create(store: FileStore, size: int) -> None:
    etag = put(store, "a/b", bytes(size), create=True)
    assert store.stat("a/b").etag == etag
    assert get(store, "a/b") == bytes(size)


@pytest.mark.parametrize("size", [0, 10, 20 * MIB])
def test_create_over_something(store: FileStore, size: int) -> None:
    etag = put(store, "a", b"there")
    with pytest.raises(PathExists) as caught:
        put(store, "a", bytes(size), create=True)
    assert isinstance(caught.value, FileExistsError)
    assert get(store, "a", if_match=etag) == b"there"


def test_create_after_delete(store: FileStore) -> None:
    put(store, "a")
    store.delete("a")
    put(store, "a", b"again", create=True)
    assert get(store, "a") == b"again"


def test_creators_at_once(store: FileStore) -> None:
    """Of many who create the same object exactly one succeeds."""
    for path in ("a", "b", "c/d", "c/e", "f/g/h"):
        outcomes = at_once([attempt(partial(put, store, path, b"%d" % name, create=True)) for name in range(8)])
        won = {name: outcome for name, outcome in enumerate(outcomes) if isinstance(outcome, str)}
        assert len(won) == 1
        assert {type(outcome) for outcome in outcomes if not isinstance(outcome, str)} == {PathExists}
        ((name, etag),) = won.items()
        assert get(store, path, if_match=etag) == b"%d" % name


def test_big_creators_at_once(store: FileStore) -> None:
    outcomes = at_once(
        [attempt(lambda fill=n: put(store, "a", bytes([fill]) * (9 * MIB), create=True)) for n in range(4)]
    )
    (winner,) = (name for name, outcome in enumerate(outcomes) if isinstance(outcome, str))
    assert get(store, "a") == bytes([winner]) * (9 * MIB)


@pytest.mark.parametrize("size", [0, 10, 20 * MIB])
def test_if_match(store: FileStore, size: int) -> None:
    old = put(store, "a", b"old")
    new = put(store, "a", bytes(size), if_match=old)
    assert new != old
    assert get(store, "a", if_match=new) == bytes(size)


@pytest.mark.parametrize("size", [0, 10, 20 * MIB])
def test_if_match_of_another_version(store: FileStore, size: int) -> None:
    old = put(store, "a", b"old")
    new = put(store, "a", b"new")
    with pytest.raises(Changed):
        put(store, "a", bytes(size), if_match=old)
    assert get(store, "a", if_match=new) == b"new"


def test_if_match_of_what_is_gone(store: FileStore) -> None:
    old = put(store, "a", b"old")
    store.delete("a")
    with pytest.raises(Changed):
        put(store, "a", b"new", if_match=old)
    assert paths(store) == []


def test_if_match_of_another_object(store: FileStore) -> None:
    put(store, "a", b"same")
    other = put(store, "b", b"same")
    with pytest.raises(Changed):
        put(store, "a", b"new", if_match=other)


def test_compare_and_swap(store: FileStore) -> None:
    """Nothing is lost between many who count up the same object, by a stroke each."""
    put(store, "counter", b"")

    def count_up() -> None:
        for _ in range(6):
            while True:
                etag = store.stat("counter").etag
                try:
                    put(store, "counter", get(store, "counter", if_match=etag) + b"|", if_match=etag)
                    break
                except Changed:
                    continue

    at_once([count_up] * 5)
    assert get(store, "counter") == b"|" * 30


@pytest.mark.parametrize("size", [1000, 9 * MIB])
def test_writers_at_once(store: FileStore, size: int) -> None:
    """One of the contents stays, whole, and it has the etag that its writer was given."""
    etags = at_once([lambda fill=n: put(store, "a/b", bytes([fill]) * (size + fill)) for n in range(6)])
    assert len(set(etags)) == 6
    content = get(store, "a/b")
    assert content == bytes([content[0]]) * (size + content[0])
    assert store.stat("a/b").etag == etags[content[0]]


def test_threads_share_a_store(store: FileStore) -> None:
    def work(thread: int) -> list[str]:
        for number in range(8):
            path = f"t{thread}/{number % 4}/file {number}"
            etag = put(store, path, path.encode())
            assert store.stat(path).etag == etag
            assert get(store, path) == path.encode()
            if number % 2:
                store.delete(path)
        return paths(store, f"t{thread}/")

    found = at_once([lambda thread=thread: work(thread) for thread in range(16)])
    assert found == [[f"t{t}/{n % 4}/file {n}" for n in (0, 4, 2, 6)] for t in range(16)]
    assert len(paths(store)) == 64


def test_writers_and_deleters_in_one_folder(store: FileStore) -> None:
    """A folder that empties and fills all the time loses no object."""

    def come_and_go(name: str) -> None:
        for number in range(20):
            put(store, f"folder/sub/{name}", b"|" * number)
            assert get(store, f"folder/sub/{name}") == b"|" * number
            store.delete(f"folder/sub/{name}")

    at_once([lambda name=name: come_and_go(name) for name in "abcdef"])
    assert paths(store) == []


def test_delete(store: FileStore) -> None:
    put(store, "a/b")
    put(store, "a/b2", b"stays")
    store.delete("a/b")
    assert paths(store) == ["a/b2"]
    assert get(store, "a/b2") == b"stays"


@pytest.mark.parametrize("path", ["missing", "a", "a/", "a/missing", "a/b/missing", "no/such/folder"])
def test_delete_of_nothing(store: FileStore, path: str) -> None:
    """No error where there is nothing, and a folder is nothing."""
    put(store, "a/b")
    try:
        store.check_path(path)
    except DatastoresError:
        pytest.skip("the store cannot hold this name")
    store.delete(path)
    store.delete(path)
    assert paths(store) == ["a/b"]


def test_delete_by_many(store: FileStore) -> None:
    put(store, "a/b/c")
    at_once([lambda: store.delete("a/b/c")] * 8)
    assert paths(store) == []
