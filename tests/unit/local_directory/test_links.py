"""Symbolic links: followed inside the root, never out of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_azureml_datastores.errors import (
    UnsafePath,
)
from airflow_azureml_datastores.stores.local_directory import LocalDirectoryStore
from tests.contract.helpers import get, paths, put


class TestLinks:
    @pytest.fixture
    def outside(self, tmp_path: Path) -> Path:
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "file").write_text("outside")
        return tmp_path / "outside"

    def test_folder_outside(self, store: LocalDirectoryStore, root: Path, outside: Path) -> None:
        put(store, "a")
        (root / "link").symlink_to(outside)
        for call in (
            lambda: put(store, "link/new"),
            lambda: put(store, "link/file"),
            lambda: put(store, "link/sub/new"),
            lambda: store.stat("link/file"),
            lambda: get(store, "link/file"),
            lambda: store.delete("link/file"),
            lambda: store.copy_from(store, "a", "link/copy"),
            lambda: store.copy_from(store, "link/file", "copy"),
            lambda: put(store, "link"),
        ):
            with pytest.raises(UnsafePath, match="symbolic link"):
                call()
        assert paths(store) == ["a"]
        assert paths(store, "link/") == []
        assert os.listdir(outside) == ["file"]

    def test_file_outside(self, store: LocalDirectoryStore, root: Path, outside: Path) -> None:
        (root / "link").symlink_to(outside / "file")
        for call in (lambda: put(store, "link"), lambda: get(store, "link"), lambda: store.delete("link")):
            with pytest.raises(UnsafePath, match="symbolic link"):
                call()
        assert paths(store) == []
        assert (outside / "file").read_text() == "outside"

    def test_file_inside(self, store: LocalDirectoryStore, root: Path) -> None:
        """It is read like the file it leads to; writing puts a file in the link's place."""
        put(store, "real/a", b"content")
        (root / "link").symlink_to("real/a")
        assert paths(store) == ["link", "real/a"]
        assert get(store, "link") == b"content"
        assert store.stat("link").size == 7
        put(store, "link", b"new", if_match=store.stat("link").etag)
        assert get(store, "real/a") == b"content"
        assert get(store, "link") == b"new"

    def test_folder_inside(self, store: LocalDirectoryStore, root: Path) -> None:
        put(store, "real/a", b"content")
        (root / "link").symlink_to("real")
        assert paths(store) == ["link/a", "real/a"]
        assert paths(store, "link/") == ["link/a"]
        put(store, "link/sub/b", b"through")
        assert get(store, "real/sub/b") == b"through"
        store.delete("link/sub/b")
        assert paths(store) == ["link/a", "real/a"]

    def test_deleting_a_link(self, store: LocalDirectoryStore, root: Path) -> None:
        put(store, "real", b"content")
        (root / "link").symlink_to("real")
        store.delete("link")
        assert paths(store) == ["real"]

    def test_order_of_a_linked_folder(self, store: LocalDirectoryStore, root: Path) -> None:
        put(store, "real/x")
        put(store, "a-b")
        put(store, "ab")
        (root / "a").symlink_to("real")
        assert paths(store) == ["a-b", "a/x", "ab", "real/x"]

    def test_to_the_reserved_folder(self, store: LocalDirectoryStore, root: Path) -> None:
        put(store, "a")
        (root / "link").symlink_to(".datastore")
        assert paths(store) == ["a"]
        with pytest.raises(UnsafePath):
            put(store, "link/lock")

    @pytest.mark.parametrize("target", ["link", "nowhere", "a/nowhere"])
    def test_to_nowhere(self, store: LocalDirectoryStore, root: Path, target: str) -> None:
        put(store, "a")
        (root / "link").symlink_to(target)
        assert paths(store) == ["a"]
        assert paths(store, "link/") == []

    def test_loops_end(self, store: LocalDirectoryStore, root: Path) -> None:
        put(store, "x/file")
        put(store, "y/z/file")
        (root / "self").symlink_to(".")
        (root / "x" / "up").symlink_to("..")
        (root / "x" / "over").symlink_to("../y")
        (root / "y" / "z" / "over").symlink_to("../../x")
        found = paths(store)
        assert {"x/file", "x/over/z/file", "y/z/file", "y/z/over/file"} == set(found)
        assert found == sorted(found)
        assert paths(store, "self/x/") == []
