"""What is particular to folders on disk; the contract suite covers the rest."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_azureml_datastores.core.credentials import AccountKey, Anonymous, Credential, Identity, Login, SasToken
from airflow_azureml_datastores.errors import (
    AccessDenied,
    Changed,
    ContainerNotFound,
    InvalidConnection,
    InvalidInput,
    PathExists,
    PathNotFound,
    Unavailable,
    UnsafePath,
)
from airflow_azureml_datastores.stores import _local_backstage, _local_listing, _posix, local_directory, make_location
from airflow_azureml_datastores.stores.local_directory import LocalDirectory, LocalDirectoryStore
from tests.contract.helpers import get, paths, put


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> LocalDirectoryStore:
    return LocalDirectory(str(root)).create().open(Anonymous())


def drafts(root: Path) -> list[str]:
    return os.listdir(root / ".datastore" / "tmp")


class TestLocation:
    @pytest.mark.parametrize("path", ["", "data", "./data", "~/data", "a\0b", "/a\0b", Path("/data"), None])
    def test_path_must_be_absolute(self, path: str) -> None:
        with pytest.raises(InvalidInput, match="absolute path"):
            LocalDirectory(path)

    def test_template_is_checked_when_it_is_rendered(self) -> None:
        assert LocalDirectory("{{ var.value.root }}").path.startswith("{{")

    def test_url(self) -> None:
        assert LocalDirectory("/data/my sales").url == "file:///data/my%20sales"
        assert LocalDirectory("/data/my sales").open(Anonymous()).url == "file:///data/my%20sales"

    def test_survives_as_fields(self) -> None:
        location = LocalDirectory("/data/sales")
        assert make_location("LocalDirectory", location.fields()) == location

    @pytest.mark.parametrize("credential", [Anonymous(), Identity(), Identity("managed", client_id="x")])
    def test_credentials_that_say_nothing(self, credential: Credential) -> None:
        LocalDirectory("/data").open(credential)

    @pytest.mark.parametrize("credential", [AccountKey("secret"), SasToken("secret"), Login("me", "secret")])
    def test_credentials_that_say_something(self, credential: Credential) -> None:
        with pytest.raises(InvalidConnection, match="takes no credential") as caught:
            LocalDirectory("/data").open(credential)
        assert "secret" not in str(caught.value)

    def test_create(self, tmp_path: Path) -> None:
        location = LocalDirectory(str(tmp_path / "a" / "b"))
        assert location.create().create() == location
        location.open(Anonymous()).check()

    def test_create_over_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("a")
        with pytest.raises(PathExists):
            LocalDirectory(str(tmp_path / "a")).create()


class TestRoot:
    def test_is_never_created_by_the_way(self, root: Path) -> None:
        store = LocalDirectory(str(root)).open(Anonymous())
        for call in (lambda: put(store, "a/b"), lambda: store.delete("a"), lambda: store.replace_directory("a", "b")):
            with pytest.raises(ContainerNotFound, match=str(root)):
                call()
        assert not root.exists()

    def test_that_is_a_file(self, root: Path) -> None:
        root.write_text("no folder")
        store = LocalDirectory(str(root)).open(Anonymous())
        for call in (store.check, lambda: paths(store), lambda: get(store, "a"), lambda: put(store, "a")):
            with pytest.raises(ContainerNotFound, match=str(root)):
                call()

    def test_that_vanishes(self, store: LocalDirectoryStore, root: Path, tmp_path: Path) -> None:
        put(store, "a/b")
        root.rename(tmp_path / "elsewhere")
        with pytest.raises(ContainerNotFound):
            put(store, "a/c")
        with pytest.raises(ContainerNotFound):
            get(store, "a/b")

    def test_that_is_a_link(self, store: LocalDirectoryStore, root: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(root)
        other = LocalDirectory(str(tmp_path / "link")).open(Anonymous())
        put(other, "a/b", b"content")
        assert get(store, "a/b") == b"content"
        assert paths(other) == ["a/b"]

    def test_reading_leaves_nothing_there(self, store: LocalDirectoryStore, root: Path) -> None:
        (root / "a").write_text("a")
        store.check()
        assert paths(store) == ["a"]
        assert get(store, "a") == b"a"
        store.delete("missing")
        assert os.listdir(root) == ["a"]

    def test_of_another_store_inside(self, store: LocalDirectoryStore, root: Path) -> None:
        inner = LocalDirectory(str(root / "inner")).create().open(Anonymous())
        put(inner, "a")
        put(inner, "b")
        inner.delete("b")
        assert paths(store) == ["inner/a"]


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


class TestVersions:
    def test_other_programs_files(self, store: LocalDirectoryStore, root: Path) -> None:
        """Each content has its etag, even when size and modification time are made the same."""
        file = root / "a"
        etags = []
        for content in ("one", "two"):
            file.write_text(content)
            os.utime(file, (1_000_000_000, 1_000_000_000))
            etags.append(store.stat("a").etag)
            assert store.stat("a").etag == etags[-1]
        (root / "b").write_text("six")
        os.utime(root / "b", (1_000_000_000, 1_000_000_000))
        (root / "b").replace(file)
        etags.append(store.stat("a").etag)
        assert len(set(etags)) == 3

    def test_other_program_writes_while_we_read(self, store: LocalDirectoryStore, root: Path) -> None:
        put(store, "a", bytes(3 << 20))
        for tamper in (lambda file: file.write(b"x"), lambda file: file.truncate(1 << 20)):
            reader = store.read("a")
            next(reader)
            with (root / "a").open("r+b") as file:
                tamper(file)
            with pytest.raises(Changed):
                list(reader)

    def test_time_is_that_of_the_write(self, store: LocalDirectoryStore, root: Path) -> None:
        """To the nanosecond: the kernel's own stands still for a tick, in which two versions could look the same."""
        for _ in range(30):
            before = time.time_ns()
            put(store, "a")
            assert before <= (root / "a").stat().st_mtime_ns <= time.time_ns()

    def test_source_that_changes_while_being_copied(
        self, store: LocalDirectoryStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(store, "a", b"first")
        copy_content = _posix.copy_content

        def copy_and_tamper(source: int, target: int) -> None:
            copy_content(source, target)
            (root / "a").write_text("second")

        monkeypatch.setattr(local_directory, "copy_content", copy_and_tamper)
        with pytest.raises(Changed):
            store.copy_from(store, "a", "b")
        assert paths(store) == ["a"]

    def test_other_program_is_faster(
        self, store: LocalDirectoryStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Creating is one step for the system as well: what appears after the last look is not overwritten."""

        def overtaken(source: str, target: str) -> None:
            Path(target).write_text("theirs")
            _posix.rename_new(source, target)

        monkeypatch.setattr(local_directory, "rename_new", overtaken)
        with pytest.raises(PathExists):
            put(store, "a", b"ours", create=True)
        assert get(store, "a") == b"theirs"

    def test_announced_size(self, store: LocalDirectoryStore, root: Path) -> None:
        for size in (2, 4):
            with pytest.raises(InvalidInput, match="3 came"):
                store.write("a", [b"abc"], size=size)
        assert paths(store) == drafts(root) == []

    def test_negative_range(self, store: LocalDirectoryStore) -> None:
        put(store, "a")
        for start, length in ((-1, None), (0, -1)):
            with pytest.raises(InvalidInput, match="negative"):
                get(store, "a", start=start, length=length)

    def test_what_cannot_succeed_asks_for_no_content(self, store: LocalDirectoryStore, root: Path) -> None:
        put(store, "a")
        put(store, "folder/b")

        def untouched() -> Iterator[bytes]:
            raise AssertionError("the content was asked for")
            yield b""

        with pytest.raises(PathExists):
            store.write("a", untouched(), create=True)
        with pytest.raises(Changed):
            store.write("a", untouched(), if_match="other")
        with pytest.raises(UnsafePath, match="is a folder"):
            store.write("folder", untouched())
        with pytest.raises(UnsafePath, match="is a file"):
            store.write("a/b/c", untouched())
        assert drafts(root) == []

    def test_rights_follow_the_umask(self, store: LocalDirectoryStore, root: Path) -> None:
        before = os.umask(0o027)
        try:
            put(store, "folder/a")
        finally:
            os.umask(before)
        assert (root / "folder/a").stat().st_mode & 0o777 == 0o640
        assert (root / "folder").stat().st_mode & 0o777 == 0o750

    def test_nothing_is_left_open(self, store: LocalDirectoryStore) -> None:
        put(store, "a/b", bytes(3 << 20))
        put(store, "a/c")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            next(store.read("a/b"))
            next(store.list())
            next(store.list("a/c"))
            with pytest.raises(Changed):
                get(store, "a/b", if_match="other")
            with pytest.raises(PathExists):
                put(store, "a/b", create=True)
        assert len(os.listdir("/proc/self/fd")) == before

    def test_medium_that_is_full(self, store: LocalDirectoryStore, root: Path) -> None:
        """The system's limit on file sizes stands in for a full disk: it too refuses in the middle of a write."""
        old = put(store, "a", b"old")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
        try:
            with pytest.raises(Unavailable, match="too large"):
                store.write("a", [bytes(300_000)] * 10)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert get(store, "a", if_match=old) == b"old"
        assert drafts(root) == []

    def test_on_the_medium_before_it_is_visible(
        self, store: LocalDirectoryStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No test can pull the plug: this one looks at the order of what makes it harmless."""
        put(store, "first")
        done: list[str] = []
        sync, replace = _posix.os.fsync, _posix.os.replace

        def seen_sync(fd: int) -> None:
            path = os.readlink(f"/proc/self/fd/{fd}")
            done.append(
                "sync draft" if "/tmp/" in path.removeprefix(str(root)) else f"sync {os.path.relpath(path, root)}"
            )
            sync(fd)

        def seen_replace(source: str, target: str) -> None:
            replace(source, target)
            done.append("rename")

        monkeypatch.setattr(os, "fsync", seen_sync)
        monkeypatch.setattr(os, "replace", seen_replace)
        put(store, "new/folder/a")
        assert done[:2] == ["sync draft", "rename"]
        assert sorted(done[2:]) == ["sync .", "sync new", "sync new/folder"]
        done.clear()
        store.delete("new/folder/a")
        assert done == ["sync ."]


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


class TestLeftovers:
    def test_old_drafts_are_removed(self, store: LocalDirectoryStore, root: Path) -> None:
        put(store, "a")
        tmp = root / ".datastore" / "tmp"
        (tmp / "young").write_text("")
        (tmp / "old").write_text("")
        (tmp / "replaced").mkdir()
        (tmp / "replaced" / "file").write_text("")
        day = _local_backstage.STALE_AFTER
        for name, age in (("young", day - 60), ("old", day + 60)):
            past = os.stat(tmp).st_mtime - age
            os.utime(tmp / name, (past, past))
        put(LocalDirectoryStore(str(root)), "b")
        assert drafts(root) == ["young"]

    def test_draft_of_a_live_writer_is_kept(self, store: LocalDirectoryStore, root: Path) -> None:
        def slowly() -> Iterator[bytes]:
            yield b"first"
            (draft,) = (root / ".datastore" / "tmp").iterdir()
            os.utime(draft, (0, 0))
            put(LocalDirectoryStore(str(root)), "b")
            assert draft.exists()
            yield b" second"

        store.write("a", slowly())
        assert get(store, "a") == b"first second"

    def test_reserved_folder_that_somebody_removed(self, store: LocalDirectoryStore, root: Path) -> None:
        put(store, "a")
        (root / ".datastore" / "lock").unlink()
        (root / ".datastore" / "tmp").rmdir()
        (root / ".datastore").rmdir()
        put(store, "b")
        store.delete("a")
        assert paths(store) == ["b"]


def test_plain_folder_is_left_as_it_was_but_for_the_files(tmp_path: Path) -> None:
    with LocalDirectory(str(tmp_path)).open_plain() as store:
        store.write("a/b.txt", [b"x"])
        assert (tmp_path / ".datastore").is_dir()
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == ["a", "a/b.txt"]


def test_plain_folder_that_others_write_to_at_the_same_time(tmp_path: Path) -> None:
    location = LocalDirectory(str(tmp_path))

    def write(number: int) -> None:
        with location.open_plain() as store:
            store.write(f"{number}.txt", [b"x"], create=True)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"{n}.txt" for n in range(200))
