"""Folders that take the place of others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_azureml_datastores.errors import (
    AccessDenied,
    InvalidInput,
    PathNotFound,
    UnsafePath,
)
from airflow_azureml_datastores.stores import _local_listing, _posix
from airflow_azureml_datastores.stores.local_directory import LocalDirectoryStore
from tests.contract.helpers import get, paths, put
from tests.unit.local_directory.conftest import drafts


class TestReplaceDirectory:
    @pytest.fixture(params=["swap", "two renames"], autouse=True)
    def _system(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        if request.param == "two renames":
            monkeypatch.setattr(_posix, "_native_rename", lambda: None)

    def test_content(self, store: LocalDirectoryStore, root: Path) -> None:
        for path in ("target/a", "target/sub/b", "staging/one/a", "staging/one/new/c"):
            put(store, path, path.encode())
        store.replace_directory("staging/one", "target")
        assert paths(store) == ["target/a", "target/new/c"]
        assert get(store, "target/a") == b"staging/one/a"
        assert drafts(root) == []
        assert sorted(os.listdir(root)) == [".datastore", "target"]

    @pytest.mark.parametrize(("staged", "target"), [("a", "a"), ("a", "a/b"), ("a/b", "a")])
    def test_one_inside_the_other(self, store: LocalDirectoryStore, staged: str, target: str) -> None:
        put(store, "a/b/c")
        with pytest.raises(InvalidInput, match="one is inside the other"):
            store.replace_directory(staged, target)
        assert paths(store) == ["a/b/c"]

    def test_root_as_target(self, store: LocalDirectoryStore) -> None:
        put(store, "staged/a")
        with pytest.raises(UnsafePath):
            store.replace_directory("staged", "")

    def test_files_instead_of_folders(self, store: LocalDirectoryStore) -> None:
        put(store, "file")
        put(store, "folder/a")
        with pytest.raises(UnsafePath, match="not a folder"):
            store.replace_directory("folder", "file")
        with pytest.raises(UnsafePath):
            store.replace_directory("folder", "file/below")
        with pytest.raises(PathNotFound):
            store.replace_directory("file", "folder")
        assert paths(store) == ["file", "folder/a"]

    def test_failure_gives_the_staged_folder_back(
        self, store: LocalDirectoryStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(store, "staged/a", b"new")
        put(store, "target/a", b"old")
        rename = os.rename

        def failing(source: str, target: str) -> None:
            if target.endswith("target") and "/.datastore/" in source and not failed:
                failed.append(source)
                raise PermissionError(13, "Permission denied", source)
            rename(source, target)

        failed: list[str] = []
        monkeypatch.setattr(os, "rename", failing)
        monkeypatch.setattr(_posix, "_native_rename", lambda: None)
        with pytest.raises(AccessDenied):
            store.replace_directory("staged", "target")
        assert get(store, "target/a") == b"old"
        assert get(store, "staged/a") == b"new"
        assert drafts(root) == []

    def test_listing_of_the_old_content_goes_on(self, store: LocalDirectoryStore, root: Path) -> None:
        old = [f"target/{folder}/{n}" for folder in "abc" for n in range(3)]
        for path in old:
            put(store, path)
        for prefix in ("", "target/"):
            listing = store.list(prefix)
            seen = [next(listing).path]
            put(store, "staged/new")
            store.replace_directory("staged", "target")
            seen += [info.path for info in listing]
            assert seen == old
            assert paths(store) == ["target/new"]
            assert len(drafts(root)) == 1, "what is being listed is kept"
            for path in old:
                put(store, path.replace("target", "again"))
            store.replace_directory("again", "target")
            assert drafts(root) == [], "and deleted later"

    def test_folder_that_is_replaced_in_the_moment_of_opening_it(
        self, store: LocalDirectoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(store, "target/old1")
        put(store, "target/old2")
        put(store, "staged/new1")
        put(store, "staged/new2")
        replaced: list[bool] = []
        try_lock = _posix.try_lock

        def replace_first(fd: int, *, shared: bool = False) -> bool:
            if not replaced:
                replaced.append(True)
                store.replace_directory("staged", "target")
            return try_lock(fd, shared=shared)

        monkeypatch.setattr(_local_listing, "try_lock", replace_first)
        assert paths(store, "target/") == ["target/new1", "target/new2"]
