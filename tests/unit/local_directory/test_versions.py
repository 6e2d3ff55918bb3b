"""What a write promises, and what other programs can do to it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_azureml_datastores.errors import (
    Changed,
    InvalidInput,
    PathExists,
    Unavailable,
    UnsafePath,
)
from airflow_azureml_datastores.stores import _local_backstage, _posix, local_directory
from airflow_azureml_datastores.stores.local_directory import LocalDirectory, LocalDirectoryStore
from tests.contract.helpers import get, paths, put
from tests.unit.local_directory.conftest import drafts


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
