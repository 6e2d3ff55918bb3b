"""Which entries of a folder are objects, under which names, and who may see them."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.errors import (
    AccessDenied,
    UnsafePath,
)
from airflow_azureml_datastores.stores.local_directory import LocalDirectory, LocalDirectoryStore
from tests.contract.helpers import get, paths, put


class TestNames:
    @pytest.mark.parametrize(
        "path", [".datastore", ".datastore/lock", ".datastore/tmp/x", ".DataStore/x", "a/.datastore/b", "a/.datastore"]
    )
    def test_reserved(self, store: LocalDirectoryStore, path: str) -> None:
        put(store, "a/b")
        for call in (
            lambda: put(store, path),
            lambda: get(store, path),
            lambda: store.delete(path),
            lambda: store.replace_directory("z", path),
            lambda: store.replace_directory(path, "c"),
        ):
            with pytest.raises(UnsafePath, match=r"\.datastore"):
                call()
        assert paths(store) == ["a/b"]
        assert paths(store, ".datastore/") == paths(store, ".d") == []

    @settings(max_examples=150, deadline=None)
    @given(st.text(max_size=20) | st.text(st.sampled_from("/\\.:C ~%\0\nä\ud800"), max_size=8))
    def test_held_exactly_or_refused(self, path: str) -> None:
        with TemporaryDirectory() as parent:
            store = LocalDirectory(f"{parent}/root").create().open(Anonymous())
            try:
                put(store, path, b"content")
            except UnsafePath:
                assert paths(store) == []
            else:
                assert paths(store) == [path]
                assert get(store, path) == b"content"
            assert os.listdir(parent) == ["root"]

    @pytest.mark.parametrize("name", [b"caf\xe9", b"caf\xe9/file", b"..\\up", b"C:x", b"\\\\host\\share"])
    def test_name_that_no_path_can_have(
        self, store: LocalDirectoryStore, root: Path, name: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is left out, by name, and its neighbours are listed."""
        put(store, "before")
        put(store, "zz/after")
        odd = os.path.join(os.fsencode(root), name)
        os.makedirs(os.path.dirname(odd), exist_ok=True)
        with open(odd, "wb"):
            pass
        with caplog.at_level(logging.WARNING):
            assert paths(store) == ["before", "zz/after"]
        (record,) = caplog.records
        assert repr(os.fsdecode(name).partition("/")[0]) in record.getMessage()

    def test_folders_nested_too_deeply(
        self, store: LocalDirectoryStore, root: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        deepest_allowed = "a" + "/a" * 252 + "/b"
        put(store, deepest_allowed)
        put(store, "zz")
        too_deep = root.joinpath(*"a" * 300)
        too_deep.mkdir(parents=True)
        (too_deep / "file").write_text("too deep")
        with caplog.at_level(logging.WARNING):
            assert paths(store) == [deepest_allowed, "zz"]
        assert "nested deeper than 254 folders" in caplog.text

    def test_paths_too_long_for_the_system(self, store: LocalDirectoryStore, root: Path) -> None:
        """Such files can be made step by step; they are left out like other names that cannot be used."""
        put(store, "zz")
        here = os.open(root, os.O_RDONLY)
        for _ in range(20):
            os.mkdir("x" * 250, dir_fd=here)
            below = os.open("x" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
            os.close(os.open("file", os.O_CREAT, dir_fd=here))
        os.close(here)
        found = paths(store)
        assert found[-1] == "zz"
        assert 10 < len(found) < 20
        assert [store.stat(path).path for path in found] == found


class TestOtherEntries:
    def test_special_files(self, store: LocalDirectoryStore, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(store, "a")
        os.mkfifo(root / "pipe")
        monkeypatch.chdir(root)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
            assert paths(store) == ["a"]
            for name in ("pipe", "socket"):
                for call in (store.stat, store.delete, lambda name: get(store, name), lambda name: put(store, name)):
                    with pytest.raises(UnsafePath, match="special file"):
                        call(name)
        assert (root / "pipe").is_fifo()

    def test_empty_folders(self, store: LocalDirectoryStore, root: Path) -> None:
        (root / "empty" / "folder").mkdir(parents=True)
        (root / "other").mkdir()
        assert paths(store) == []
        put(store, "other", b"an object now")
        assert paths(store) == ["other"]

    def test_folder_that_other_programs_keep_removing(
        self, store: LocalDirectoryStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mkdir, removed = os.mkdir, []

        def made_and_removed(path: str, mode: int = 0o777) -> None:
            mkdir(path, mode)
            if path.endswith("folder") and len(removed) < 5:
                os.rmdir(path)
                removed.append(path)

        monkeypatch.setattr(os, "mkdir", made_and_removed)
        put(store, "some/folder/a", b"content")
        assert len(removed) == 5
        assert get(store, "some/folder/a") == b"content"

    def test_deleting_leaves_no_folders(self, store: LocalDirectoryStore, root: Path) -> None:
        put(store, "a/b/c/d")
        put(store, "a/e")
        store.delete("a/b/c/d")
        assert sorted(os.listdir(root / "a")) == ["e"]
        store.delete("a/e")
        assert os.listdir(root) == [".datastore"]

    def test_file_that_goes_while_it_is_listed(self, store: LocalDirectoryStore, root: Path) -> None:
        for name in "abc":
            put(store, name)
        listing = store.list()
        assert next(listing).path == "a"
        (root / "b").unlink()
        assert [info.path for info in listing] == ["c"]


class TestPermissions:
    @pytest.fixture
    def open_root(self) -> Iterator[Path]:
        with TemporaryDirectory() as root:
            os.chmod(root, 0o777)
            yield Path(root)

    @contextlib.contextmanager
    def as_nobody(self) -> Iterator[None]:
        """Root may do everything: take its rights away for a moment."""
        if os.geteuid():
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    def test_folder_that_cannot_be_listed(self, open_root: Path) -> None:
        """It is an error, as leaving it out would look like its content were gone."""
        store = LocalDirectory(str(open_root)).open(Anonymous())
        put(store, "a")
        put(store, "locked/b")
        os.chmod(open_root / "locked", 0)
        with self.as_nobody():
            listing = store.list()
            assert next(listing).path == "a"
            with pytest.raises(AccessDenied, match="locked/"):
                next(listing)
            with pytest.raises(AccessDenied):
                get(store, "locked/b")
        os.chmod(open_root / "locked", 0o755)

    def test_root_that_cannot_be_listed(self, open_root: Path) -> None:
        os.chmod(open_root, 0)
        store = LocalDirectory(str(open_root)).open(Anonymous())
        with self.as_nobody():
            for call in (store.check, lambda: paths(store), lambda: put(store, "a"), lambda: store.stat("a")):
                with pytest.raises(AccessDenied):
                    call()
        os.chmod(open_root, 0o755)

    def test_root_that_cannot_be_written(self, open_root: Path) -> None:
        (open_root / "a").write_text("content")
        os.chmod(open_root, 0o555)
        store = LocalDirectory(str(open_root)).open(Anonymous())
        with self.as_nobody():
            assert get(store, "a") == b"content"
            assert paths(store) == ["a"]
            for call in (lambda: put(store, "b"), lambda: store.delete("a")):
                with pytest.raises(AccessDenied):
                    call()
        os.chmod(open_root, 0o755)
