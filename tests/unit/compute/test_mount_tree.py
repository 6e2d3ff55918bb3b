"""What a mount knows of a store, and for how long it takes it for true."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_azureml_datastores.compute import _mount_tree
from airflow_azureml_datastores.compute._mount_tree import Folder, LiveTree, SourceTree
from airflow_azureml_datastores.core.store import ObjectInfo, Version
from airflow_azureml_datastores.errors import PathNotFound, UnsafePath
from airflow_azureml_datastores.stores.local_directory import LocalDirectoryStore


class Counted(LocalDirectoryStore):
    """A store that counts what it is asked."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.asked: list[str] = []
        self.meanwhile: Callable[[], object] | None = None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self.asked.append(f"list {prefix}")
        found = [*super().list(prefix)]
        if self.meanwhile is not None:
            self.meanwhile()
        return iter(found)

    def stat(self, path: str) -> ObjectInfo:
        self.asked.append(f"stat {path}")
        return super().stat(path)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_mount_tree, "time", clock)
    return clock


@pytest.fixture
def store(tmp_path: Path) -> Counted:
    store = Counted(str(tmp_path))
    for path in ("in/a", "in/sub/b", "in/sub/deep/c", "other"):
        store.write(path, [b"x"])
    return store


@pytest.fixture
def tree(store: Counted, clock: Clock) -> LiveTree:
    return LiveTree(store, "in/", print)


def size(tree: LiveTree, path: str) -> int | None:
    found = tree.find(path)
    assert isinstance(found, ObjectInfo)
    return found.size


def test_one_listing_serves_all_below(tree: LiveTree, store: Counted) -> None:
    assert sorted(tree.entries("")) == ["a", "sub"]
    assert sorted(tree.entries("sub")) == ["b", "deep"]
    assert sorted(tree.entries("sub/deep")) == ["c"]
    assert size(tree, "sub/deep/c") == 1
    assert isinstance(tree.find("sub/deep"), Folder)
    assert tree.find("missing") is None
    assert tree.find("a/below") is None
    assert store.asked == ["list in/"]


def test_without_a_listing_it_asks_for_what_is_wanted(tree: LiveTree, store: Counted) -> None:
    assert isinstance(tree.find("sub"), Folder)
    assert size(tree, "sub/b") == 1
    assert tree.find("sub/missing") is None
    assert store.asked == [
        "stat in/sub",
        "list in/sub/",
        "stat in/sub/b",
        "stat in/sub/missing",
        "list in/sub/missing/",
    ]


def test_what_others_do_shows_when_the_trust_ends(tree: LiveTree, store: Counted, clock: Clock) -> None:
    tree.entries("")
    store.write("in/a", [b"longer"])
    store.write("in/new", [b"n"])
    store.delete("in/sub/b")
    assert (size(tree, "a"), tree.find("new"), size(tree, "sub/b")) == (1, None, 1)
    clock.now += _mount_tree.TRUST
    assert (size(tree, "a"), size(tree, "new"), tree.find("sub/b")) == (6, 1, None)
    assert sorted(tree.entries("")) == ["a", "new", "sub"]


def test_a_folder_that_others_removed(tree: LiveTree, store: Counted, clock: Clock) -> None:
    tree.entries("")
    store.delete("in/sub/deep/c")
    clock.now += _mount_tree.TRUST
    assert tree.find("sub/deep") is None
    with pytest.raises(PathNotFound):
        tree.entries("sub/deep")
    assert sorted(tree.entries("sub")) == ["b"]


def test_a_long_listing_is_trusted_for_longer(tree: LiveTree, store: Counted, clock: Clock) -> None:
    def pass_time() -> None:
        clock.now += 30

    store.meanwhile = pass_time
    tree.entries("")
    clock.now += 250
    assert size(tree, "sub/b") == 1
    assert store.asked == ["list in/"]


def test_what_was_done_here_shows_at_once(tree: LiveTree, store: Counted) -> None:
    tree.entries("")
    info = ObjectInfo("in/sub/new", 5, "etag", datetime.now(UTC))
    tree.put("sub/new", info)
    tree.remove("sub/b")
    tree.make("made")
    assert tree.find("sub/new") == info
    assert sorted(tree.entries("sub")) == ["deep", "new"]
    assert sorted(tree.entries("")) == ["a", "made", "sub"]
    tree.move("sub/deep", "made/deep")
    assert isinstance(tree.find("made/deep"), Folder)
    assert sorted(tree.entries("sub")) == ["new"]
    tree.drop("made/deep")
    tree.drop("made")
    assert sorted(tree.entries("")) == ["a", "sub"]


def test_a_folder_stays_when_its_last_file_goes(tree: LiveTree, store: Counted, clock: Clock) -> None:
    store.delete("in/sub/deep/c")
    tree.remove("sub/deep/c")
    clock.now += _mount_tree.TRUST
    assert tree.entries("sub/deep") == {}
    assert sorted(tree.entries("sub")) == ["b", "deep"]
    tree.drop("sub/deep")
    assert tree.find("sub/deep") is None


def test_what_is_done_during_a_listing_is_not_lost(tree: LiveTree, store: Counted) -> None:
    def change() -> None:
        tree.put("new", ObjectInfo("in/new", 3, "etag", datetime.now(UTC)))
        tree.remove("a")

    store.meanwhile = lambda: in_another_thread(change)
    assert sorted(tree.entries("")) == ["new", "sub"]
    assert tree.find("a") is None


def in_another_thread(do: Callable[[], object]) -> None:
    thread = threading.Thread(target=do)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_a_file_found_outdated_is_asked_for_again(tree: LiveTree, store: Counted) -> None:
    tree.entries("")
    store.write("in/a", [b"longer"])
    tree.forget("a")
    assert size(tree, "a") == 6


@pytest.mark.parametrize("path", ["../x", "a//b", "/a", "n" * 256])
def test_a_source_with_a_name_that_no_file_can_have(path: str) -> None:
    with pytest.raises(UnsafePath):
        SourceTree({path: Version(path, 1, "e")}, datetime.now(UTC))


def test_a_source_of_many_files() -> None:
    files: dict[str, Any] = {f"{n % 100}/{n % 7}/{n}": Version(f"in/{n}", n, "e") for n in range(10_000)}
    tree = SourceTree(files, datetime.now(UTC))
    assert len(tree.entries("")) == 100
    found = tree.find("55/1/155")
    assert isinstance(found, ObjectInfo)
    assert (found.path, found.size) == ("in/155", 155)
    assert tree.find("55/2/155") is None
