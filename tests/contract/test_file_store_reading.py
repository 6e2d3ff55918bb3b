"""Reading: whole or in part, one version only."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import Changed, PathNotFound
from tests.contract.helpers import MIB, get, put

CONTENT = random.Random(2).randbytes(100_000)


def test_empty_object(store: FileStore) -> None:
    put(store, "empty", b"")
    assert get(store, "empty") == b""
    assert get(store, "empty", start=0, length=10) == b""
    assert get(store, "empty", start=5) == b""
    assert store.stat("empty").size == 0


@pytest.mark.parametrize(
    ("start", "length"),
    [
        (0, None),
        (0, 1),
        (0, 100_000),
        (0, 100_001),
        (1, None),
        (1, 10),
        (99_999, 1),
        (99_999, 5),
        (50_000, 1_000_000_000),
        (0, 0),
        (500, 0),
        (100_000, None),
        (100_000, 1),
        (100_001, None),
        (1_000_000, 10),
    ],
)
def test_range(store: FileStore, start: int, length: int | None) -> None:
    put(store, "a", CONTENT)
    end = None if length is None else start + length
    assert get(store, "a", start=start, length=length) == CONTENT[start:end]


def test_range_of_something_big(store: FileStore) -> None:
    content = random.Random(3).randbytes(20 * MIB)
    put(store, "big", content)
    assert get(store, "big", start=7 * MIB + 3, length=9 * MIB + 1) == content[7 * MIB + 3 : 16 * MIB + 4]


def test_chunks_are_not_too_big(store: FileStore) -> None:
    put(store, "big", bytes(20 * MIB))
    sizes = [len(chunk) for chunk in store.read("big")]
    assert sum(sizes) == 20 * MIB
    assert max(sizes) <= 8 * MIB


@pytest.mark.parametrize("size", [0, 10, 20 * MIB])
def test_if_match(store: FileStore, size: int) -> None:
    etag = put(store, "a", bytes(size))
    assert get(store, "a", if_match=etag) == bytes(size)


@pytest.mark.parametrize("size", [0, 10, 20 * MIB])
def test_if_match_of_another_version(store: FileStore, size: int) -> None:
    old = put(store, "a", bytes(size))
    put(store, "a", bytes(size))
    with pytest.raises(Changed):
        get(store, "a", if_match=old)


def test_if_match_of_a_range(store: FileStore) -> None:
    old = put(store, "a", b"old old")
    new = put(store, "a", b"new new")
    assert get(store, "a", start=4, length=2, if_match=new) == b"ne"
    with pytest.raises(Changed):
        get(store, "a", start=4, length=2, if_match=old)


def test_if_match_survives_other_calls(store: FileStore) -> None:
    """Nothing but writing the object makes it another version."""
    etag = put(store, "a/b", b"x")
    put(store, "a/c")
    store.delete("a/c")
    get(store, "a/b")
    assert store.stat("a/b").etag == etag
    assert get(store, "a/b", if_match=etag) == b"x"


@pytest.mark.parametrize("path", ["missing", "folder", "folder/missing", "folder/file/missing", "no/such/folder"])
def test_missing(store: FileStore, path: str) -> None:
    """A folder is no object. The error is one that callers who do not know this package would catch."""
    put(store, "folder/file")
    for call in (lambda: store.stat(path), lambda: get(store, path), lambda: get(store, path, if_match="x")):
        with pytest.raises(FileNotFoundError) as caught:
            call()
        assert isinstance(caught.value, PathNotFound)
        assert path in str(caught.value)


def test_missing_after_delete(store: FileStore) -> None:
    put(store, "a")
    store.delete("a")
    with pytest.raises(PathNotFound):
        store.stat("a")


def test_reader_closed_early(store: FileStore) -> None:
    put(store, "big", bytes(20 * MIB))
    for _ in range(20):
        reader = store.read("big")
        assert next(reader)
        del reader
    store.delete("big")
    put(store, "big", b"small")
    assert get(store, "big") == b"small"


def test_many_readers_at_once(store: FileStore) -> None:
    content = random.Random(4).randbytes(9 * MIB)
    put(store, "a", content)
    with ThreadPoolExecutor(8) as pool:
        for result in [pool.submit(get, store, "a") for _ in range(8)]:
            assert result.result() == content


def test_readers_while_overwriting(store: FileStore) -> None:
    """Each reader gets one version whole, or is told that it changed."""

    def version(number: int) -> bytes:
        return bytes([number]) * (9 * MIB + number)

    put(store, "a", version(0))
    whole = 0
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [put(store, "a", version(number)) for number in range(1, 7)])
        while not writing.done() or not whole:
            try:
                content = get(store, "a")
            except Changed:
                continue
            assert content == version(content[0])
            whole += 1
        writing.result()
    assert get(store, "a") == version(6)


def test_slow_reader_gets_one_version(store: FileStore) -> None:
    put(store, "a", b"1" * (20 * MIB))
    reader = store.read("a")
    parts = [next(reader)]
    put(store, "a", b"2" * (20 * MIB))
    with suppress(Changed):
        parts.extend(reader)
        assert b"".join(parts) == b"1" * (20 * MIB)


def test_deleted_while_reading(store: FileStore) -> None:
    put(store, "a", b"1" * (20 * MIB))
    reader = store.read("a")
    parts = [next(reader)]
    store.delete("a")
    with suppress(Changed, PathNotFound):
        parts.extend(reader)
        assert b"".join(parts) == b"1" * (20 * MIB)
