"""Listing folder by folder: as if there were no folders."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import Unavailable
from airflow_azureml_datastores.stores._tree_listing import AHEAD, Entry, FolderInfo, walk


class Tree:
    """Files in memory, listed one folder at a time. Stands in for a service that can be told what to hold."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = list(paths)
        self.asked: list[str] = []

    def entries(self, folder: str) -> list[Entry]:
        self.asked.append(folder)
        below = [path[len(folder) :] for path in self.paths if path.startswith(folder)]
        folders = {rest.partition("/")[0] for rest in below if "/" in rest}
        files = [ObjectInfo(folder + rest, 1, "e", datetime.now(UTC)) for rest in below if "/" not in rest]
        return [*(FolderInfo(folder + name) for name in folders), *files]

    def walk(self, prefix: str = "") -> list[str]:
        return [info.path for info in walk(self.entries, prefix)]


names = st.text("ab-/. é", min_size=1, max_size=8).filter(lambda path: "" not in path.split("/"))


@given(st.sets(names), st.text("ab-/", max_size=4))
def test_is_what_a_flat_list_would_be(paths: set[str], prefix: str) -> None:
    """A name is a file or a folder, never both, as in services that have folders."""
    folders = {path[:at] for path in paths for at, char in enumerate(path) if char == "/"}
    files = paths - folders
    assert Tree(files).walk(prefix) == sorted(path for path in files if path.startswith(prefix))


def test_asks_only_for_what_can_match() -> None:
    tree = Tree(["a/b/c", "a/bc/d", "a/x/y", "z/1"])
    assert tree.walk("a/b") == ["a/b/c", "a/bc/d"]
    assert sorted(tree.asked) == ["a/", "a/b/", "a/bc/"]


def test_is_lazy() -> None:
    tree = Tree(f"{folder:03}/{file}" for folder in range(500) for file in range(3))
    found = walk(tree.entries, "")
    assert [info.path for info in islice(found, 2)] == ["000/0", "000/1"]
    found.close()  # type: ignore[attr-defined]
    assert len(tree.asked) <= 2 + AHEAD


def test_folders_are_asked_for_at_once() -> None:
    """Each waits until as many as may be have come."""
    tree = Tree(f"{folder}/x" for folder in range(AHEAD))
    together = threading.Barrier(AHEAD, timeout=20)

    def entries(folder: str) -> list[Entry]:
        if folder:
            together.wait()
        return tree.entries(folder)

    assert len(list(walk(entries, ""))) == AHEAD


def test_an_error_comes_out() -> None:
    tree = Tree(["a", "b/c"])

    def entries(folder: str) -> list[Entry]:
        if folder:
            raise Unavailable("down")
        return tree.entries(folder)

    with pytest.raises(Unavailable):
        list(walk(entries, ""))
