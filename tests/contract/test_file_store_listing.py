"""What a listing shows, in which order, page by page."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from airflow_azureml_datastores.core.store import FileStore
from tests.contract.helpers import fill, holds, paths, put
from tests.contract.rig import Rig


def test_empty_store(store: FileStore) -> None:
    assert list(store.list()) == []
    assert list(store.list("any/prefix")) == []


def test_size_and_etag(store: FileStore) -> None:
    etags = {name: put(store, name, b"x" * size) for name, size in (("a/none", 0), ("b", 1), ("c/d/e", 70_000))}
    assert [(info.path, info.size, info.etag) for info in store.list()] == [
        ("a/none", 0, etags["a/none"]),
        ("b", 1, etags["b"]),
        ("c/d/e", 70_000, etags["c/d/e"]),
    ]


def test_listed_as_described(store: FileStore) -> None:
    for name in ("a", "b/c", "d"):
        put(store, name, name.encode())
    assert list(store.list()) == [store.stat(name) for name in ("a", "b/c", "d")]


def test_modified_is_now_with_time_zone(store: FileStore, rig: Rig) -> None:
    before = datetime.now(UTC) - rig.clock_tolerance
    put(store, "a")
    after = datetime.now(UTC) + rig.clock_tolerance
    (info,) = store.list()
    assert info.modified.utcoffset() == timedelta(0)
    assert before <= info.modified <= after


def test_modified_does_not_go_back_on_overwrite(store: FileStore) -> None:
    put(store, "a", b"first")
    first = store.stat("a").modified
    put(store, "a", b"second")
    assert store.stat("a").modified >= first


PREFIXED = ["100%/x", "[a]", "d", "da", "data-old", "data.csv", "data/x", "data/y/z", "database", "day", "e", "*"]


@pytest.mark.parametrize(
    "prefix",
    ["d", "da", "dat", "data", "data/", "data/y", "data/y/", "data/y/z", "data/y/z/", "data-", "day", "daylight", "e/"],
)
def test_prefix_is_text(store: FileStore, prefix: str) -> None:
    """A prefix may end in the middle of a name: ``da`` matches ``data/x`` as well as ``day``."""
    names = [name for name in PREFIXED if holds(store, name)]
    fill(store, names)
    assert paths(store, prefix) == sorted(name for name in names if name.startswith(prefix))


@pytest.mark.parametrize(
    "prefix", ["*", "[a]", "[", "100%", "100%/", "?", "d*", ".", "..", "../", "data//", "/", "data/./"]
)
def test_prefix_is_no_pattern_and_no_path(store: FileStore, prefix: str) -> None:
    names = [name for name in PREFIXED if holds(store, name)]
    fill(store, names)
    assert paths(store, prefix) == sorted(name for name in names if name.startswith(prefix))


def test_order_is_that_of_the_whole_path(store: FileStore) -> None:
    """A slash is a character like any other: ``a-b`` comes before ``a/b``, and ``ab`` after it."""
    names = ["a-b", "a!", "a/b", "a/b-c/d", "a/b.d", "a0", "ab", "B", "z/a", "z-a", "ä", "a/ä", "é/1", "文"]
    fill(store, names)
    assert paths(store) == sorted(names)


def test_prefix_is_compared_with_case(store: FileStore) -> None:
    put(store, "data/x")
    if store.features.case_sensitive:
        assert paths(store, "Data") == []
        assert paths(store, "DATA/x") == []


def test_overwritten_is_listed_once(store: FileStore) -> None:
    for content in (b"one", b"two", b"three"):
        put(store, "a", content)
    (info,) = store.list()
    assert info.size == 5


def test_deleted_is_not_listed(store: FileStore) -> None:
    put(store, "a/b")
    put(store, "a/c")
    store.delete("a/b")
    assert paths(store) == ["a/c"]
    store.delete("a/c")
    assert paths(store) == []


def test_listing_may_be_left_early(store: FileStore) -> None:
    fill(store, ["a", "b/c", "d"])
    listing = store.list()
    assert next(listing).path == "a"
    del listing
    assert paths(store) == ["a", "b/c", "d"]


def test_writing_while_listing(store: FileStore) -> None:
    """What was there from beginning to end is listed once, whatever else comes or goes."""
    there = [f"d{i % 3}/{i:03}" for i in range(60)]
    fill(store, there)
    seen = []
    for number, info in enumerate(store.list()):
        put(store, f"new/{number:03}")
        seen.append(info.path)
        assert number < 1000
    assert sorted(name for name in seen if not name.startswith("new/")) == sorted(there)
    assert len(seen) == len(set(seen))


def crowd(size: int) -> list[str]:
    """Names in many folders, most of them in one."""
    folders = ["abcdefg"[i % 7] if i % 5 == 0 else "c" for i in range(size)]
    return sorted(f"{folder}/{i:05}.txt" if i % 3 else f"{folder}-{i:05}" for i, folder in enumerate(folders))


@pytest.fixture(scope="module")
def names(rig: Rig) -> list[str]:
    return crowd(rig.crowd)


@pytest.fixture(scope="module")
def crowded(rig: Rig, names: list[str]) -> Iterator[FileStore]:
    with rig.new_store() as store:
        fill(store, random.Random(1).sample(names, len(names)))
        yield store


@pytest.mark.xdist_group("contract-crowd")
class TestCrowd:
    def test_all_in_order(self, crowded: FileStore, names: list[str]) -> None:
        assert paths(crowded) == names

    @pytest.mark.parametrize("prefix", ["c", "c/", "c-", "c/00", "zz"])
    def test_prefix(self, crowded: FileStore, names: list[str], prefix: str) -> None:
        assert paths(crowded, prefix) == [name for name in names if name.startswith(prefix)]

    def test_every_entry_is_right(self, crowded: FileStore, names: list[str]) -> None:
        infos = list(crowded.list())
        assert {info.size for info in infos} == {1}
        assert all(info.etag for info in infos)
        assert all(crowded.stat(info.path) == info for info in infos[::500])

    def test_lazily(self, crowded: FileStore, names: list[str]) -> None:
        listing = crowded.list()
        assert iter(listing) is listing
        assert [info.path for info in islice(listing, 20)] == names[:20]
