"""What a mount shows, what it keeps to itself, and what becomes of it when things go wrong."""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_azureml_datastores.compute._mount_system import is_mounted
from airflow_azureml_datastores.compute.mount import mount_folder, mount_source
from airflow_azureml_datastores.core.credentials import RenewedSas
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.errors import InvalidInput, TransferIncomplete, Unavailable, UnsafePath, Unsupported
from airflow_azureml_datastores.stores.azure_blob import AzureBlob
from airflow_azureml_datastores.stores.local_directory import LocalDirectoryStore
from airflow_azureml_datastores.transfer.source import find_source
from tests.integration.mounts import Files, Rig, assert_gone, make_rig, require_mounts, sh
from tests.integration.transfer_sites import Site, Sites, make_sites
from tests.servers.fault import Answer, FaultProxy
from tests.servers.fixtures import Servers

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mounts")]

MIB = 1 << 20

FILES: Files = {"in/a.txt": b"one\ntwo\n", "in/sub/b.txt": b"bee", "other/c.txt": b"see"}


@pytest.fixture(scope="module")
def sites(servers: Servers) -> Iterator[Sites]:
    require_mounts()
    with make_sites(servers) as made:
        yield made


@pytest.fixture
def rig(sites: Sites) -> Iterator[Rig]:
    """On this machine's disk, as a mount is there sooner; most of what is tested has nothing to do with the store."""
    with make_rig(sites.new("local")) as made:
        made.put(FILES)
        yield made


@pytest.fixture
def blob(sites: Sites) -> Iterator[Rig]:
    with make_rig(sites.new("blob")) as made:
        made.put(FILES)
        yield made


@pytest.fixture
def proxied(sites: Sites) -> Iterator[tuple[Rig, FaultProxy]]:
    """A rig whose mounts reach the service through a proxy; the rig itself does not."""
    site = sites.new("blob")
    assert isinstance(site.location, AzureBlob)
    with FaultProxy(site.location.endpoint) as proxy, make_rig(site) as made:
        made.put(FILES)
        through = Site(replace(site.location, endpoint=proxy.url), site.credential)
        with through.open() as store:
            yield Rig(through, store, made.base), proxy


def errno_of(do: Callable[[], object]) -> int | None:
    try:
        do()
    except OSError as error:
        return error.errno
    return None


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def the_mounts_process() -> int:
    """Of the only mount that this process has now."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [pid for file in children for pid in file.read_text().split()]
    (found,) = [pid for pid in pids if b"_mount_process.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return int(found)


class TestSource:
    def test_exactly_its_files(self, rig: Rig) -> None:
        rig.put({"in/_SUCCESS": b"", "in/_manifest.json": b"{}"})
        with rig.mounted_source("in/") as folder:
            rig.put({"in/later.txt": b"late", "in/sub/later.txt": b"late"})
            assert sh(folder, "find . | sort; cat a.txt sub/b.txt; cat later.txt 2>&1") == (
                ".\n./a.txt\n./sub\n./sub/b.txt\none\ntwo\nbeecat: later.txt: No such file or directory\n[1]"
            )

    def test_a_pattern_and_a_file(self, rig: Rig) -> None:
        with rig.mounted_source("in/**/b*", pattern=True) as folder:
            assert sh(folder, "find . -type f -exec cat {} +") == "bee[0]"
        with rig.mounted_source("in/a.txt") as folder:
            assert os.listdir(folder) == ["a.txt"]

    def test_nothing_can_be_written(self, rig: Rig) -> None:
        with rig.mounted_source("in/") as folder:
            for do in (
                lambda: (folder / "a.txt").write_text("x"),
                lambda: (folder / "new").touch(),
                lambda: (folder / "a.txt").unlink(),
                lambda: (folder / "a.txt").rename(folder / "b.txt"),
                lambda: (folder / "d").mkdir(),
                lambda: (folder / "sub").rmdir(),
                lambda: os.truncate(folder / "a.txt", 0),
            ):
                assert errno_of(do) == errno.EROFS
        assert rig.get() == FILES

    def test_a_file_that_has_changed_since_is_not_read(self, blob: Rig) -> None:
        with blob.mounted_source("in/") as folder:
            blob.put({"in/a.txt": b"ONE\nTWO\n"})
            blob.store.delete("in/sub/b.txt")
            for name in ("a.txt", "sub/b.txt"):
                assert errno_of((folder / name).read_bytes) == errno.ESTALE
        assert [re.sub(":.*", "", said) for said in blob.said] == [
            "[mount] 'a.txt' has changed since the run found it",
            "[mount] 'sub/b.txt' has changed since the run found it",
        ]

    def test_what_was_read_stays_as_it_was(self, rig: Rig) -> None:
        with rig.mounted_source("in/") as folder:
            before = (folder / "a.txt").read_bytes()
            rig.put({"in/a.txt": b"ONE\nTWO\n"})
            assert (folder / "a.txt").read_bytes() == before == b"one\ntwo\n"

    def test_an_empty_one(self, rig: Rig) -> None:
        with rig.mounted_source("nothing/") as folder:
            assert os.listdir(folder) == []

    def test_a_file_that_is_a_folder_too(self, blob: Rig) -> None:
        blob.put({"in/sub": b"file"})
        with pytest.raises(UnsafePath, match="'sub' is a file and a folder"), blob.mounted_source("in/"):
            raise AssertionError


class TestFolder:
    def test_what_others_did(self, blob: Rig) -> None:
        """A file that others changed while it was open is not given in two versions."""
        blob.put({"in/large": b"a" * 9 * MIB})
        with blob.mounted("in/") as folder:
            blob.put({"in/new.txt": b"new"})
            assert (folder / "new.txt").read_text() == "new"
            with (folder / "large").open("rb", buffering=0) as file:
                assert file.read(MIB) == b"a" * MIB
                blob.put({"in/large": b"b" * 9 * MIB})
                file.seek(8 * MIB)
                assert errno_of(lambda: file.read(MIB)) == errno.ESTALE
            assert (folder / "large").read_bytes() == b"b" * 9 * MIB
        assert "'large' has changed since it was opened" in blob.said[0]

    def test_others_see_a_file_once_it_is_closed_or_synced(self, rig: Rig) -> None:
        with rig.mounted("in/") as folder:
            with (folder / "new.txt").open("w") as file:
                file.write("first")
                file.flush()
                assert "new.txt" not in rig.get("in/")
                os.fsync(file.fileno())
                assert rig.get("in/")["new.txt"] == b"first"
                file.write(" second")
            assert rig.get("in/")["new.txt"] == b"first second"

    def test_nobodys_change_is_overwritten_by_another(self, blob: Rig) -> None:
        with pytest.raises(TransferIncomplete, match=r"1 file .*'a.txt': .*in/a.txt"), blob.mounted("in/") as folder:  # noqa: PT012
            file = (folder / "a.txt").open("a")
            file.write("three")
            file.flush()
            blob.put({"in/a.txt": b"theirs"})
            assert errno_of(file.close) == errno.ESTALE
        assert blob.get("in/")["a.txt"] == b"theirs"

    def test_what_is_replaced_whole_is_replaced(self, rig: Rig) -> None:
        with rig.mounted("in/") as folder, (folder / "a.txt").open("w") as file:
            file.write("mine")
            rig.put({"in/a.txt": b"theirs"})
        assert rig.get("in/")["a.txt"] == b"mine"

    def test_who_creates_a_file_alone_creates_it(self, blob: Rig) -> None:
        with pytest.raises(TransferIncomplete), blob.mounted("in/") as folder:  # noqa: PT012
            file = (folder / "lock").open("x")
            file.write("mine")
            blob.put({"in/lock": b"theirs"})
            assert errno_of(file.close) == errno.EEXIST
        assert blob.get("in/")["lock"] == b"theirs"

    def test_a_failed_write_that_was_made_good(self, rig: Rig) -> None:
        with rig.mounted("in/") as folder:
            file = (folder / "lock").open("x")
            file.write("mine")
            rig.put({"in/lock": b"theirs"})
            assert errno_of(file.close) == errno.EEXIST
            (folder / "lock").write_text("in the end")
        assert rig.get("in/")["lock"] == b"in the end"

    def test_staged_files_are_not_there(self, rig: Rig) -> None:
        rig.put({".staging/x": b"x", "_manifest.json": b"{}"})
        with rig.mounted() as folder:
            assert sorted(os.listdir(folder)) == ["_manifest.json", "in", "other"]
            assert errno_of((folder / ".staging/x").read_bytes) == errno.ENOENT
            assert errno_of((folder / ".staging").mkdir) == errno.EACCES
            assert errno_of((folder / ".staging").touch) == errno.EACCES
            assert errno_of(lambda: (folder / "in").rename(folder / ".staging")) == errno.EACCES
        with rig.mounted(".staging/") as folder:  # but to whoever names them
            assert os.listdir(folder) == ["x"]

    def test_names_that_no_file_can_have(self, blob: Rig) -> None:
        blob.put({"odd//x": b"", "odd/" + "n" * 300: b"", "odd/file": b"f", "odd/file/below": b"b", "made/": b""})
        with blob.mounted() as folder:
            assert sorted(os.listdir(folder)) == ["in", "made", "odd", "other"]
            assert os.listdir(folder / "odd") == ["file"]
            assert (folder / "odd/file/below").read_text() == "b"
            assert os.listdir(folder / "made") == []
        (said,) = blob.said
        assert said.startswith("[mount] 3 objects in")

    @pytest.mark.parametrize("name", ["back\\slash", "dot.", "tab\t", os.fsdecode(b"latin-\xe4")])
    def test_names_that_no_object_can_have(self, blob: Rig, name: str) -> None:
        with blob.mounted() as folder:
            assert errno_of((folder / name).touch) == errno.EINVAL
            assert errno_of((folder / name).mkdir) == errno.EINVAL
            assert errno_of(lambda: (folder / "in/a.txt").rename(folder / name)) == errno.EINVAL
            assert errno_of((folder / name).read_bytes) in (errno.EINVAL, errno.ENOENT)
        assert blob.get() == FILES

    def test_links_are_refused(self, rig: Rig) -> None:
        with rig.mounted() as folder:
            assert errno_of(lambda: (folder / "link").symlink_to("in")) == errno.EPERM
            assert errno_of(lambda: (folder / "link").hardlink_to(folder / "in/a.txt")) == errno.EPERM
            assert errno_of(lambda: os.mkfifo(folder / "fifo")) == errno.EPERM

    def test_files_cannot_be_exchanged(self, rig: Rig) -> None:
        import ctypes

        exchange = 2
        with rig.mounted() as folder:
            done = ctypes.CDLL(None, use_errno=True).renameat2(
                -100, bytes(folder / "in/a.txt"), -100, bytes(folder / "other/c.txt"), exchange
            )
            assert (done, ctypes.get_errno()) == (-1, errno.EINVAL)
        assert rig.get() == FILES

    def test_read_only(self, rig: Rig) -> None:
        with rig.mounted("in/", writable=False) as folder:
            assert sh(folder, "cat a.txt; touch x 2>/dev/null") == "one\ntwo\n[1]"
            rig.put({"in/x": b"x"})
            assert (folder / "x").read_bytes() == b"x"

    def test_folders_last_as_long_as_the_mount(self, rig: Rig) -> None:
        with rig.mounted("in/") as folder:
            (folder / "sub/b.txt").unlink()
            (folder / "empty").mkdir()
            assert sorted(os.listdir(folder)) == ["a.txt", "empty", "sub"]
        with rig.mounted("in/") as folder:
            assert os.listdir(folder) == ["a.txt"]

    def test_there_need_not_be_anything(self, rig: Rig) -> None:
        with rig.mounted("new/place/") as folder:
            assert os.listdir(folder) == []
            (folder / "x").write_text("x")
        assert rig.get("new/place/") == {"x": b"x"}

    def test_several_at_once(self, rig: Rig, blob: Rig) -> None:
        with blob.mounted("in/") as one, rig.mounted("new/") as two, blob.mounted_source("other/") as three:
            assert sh(one, f"cp -r . {two}/in && cp {three}/c.txt {two} && cp {two}/c.txt .") == "[0]"
        assert rig.get("new/") == {"in/a.txt": b"one\ntwo\n", "in/sub/b.txt": b"bee", "c.txt": b"see"}
        assert blob.get("in/")["c.txt"] == b"see"


class TestCache:
    def test_it_is_bounded(self, proxied: tuple[Rig, FaultProxy]) -> None:
        rig, _ = proxied
        content = random.Random(7).randbytes(40 * MIB)
        rig.put({"in/large": content})
        most, area = 0, bytearray(MIB)
        with rig.mounted("in/", cache=8 * MIB) as folder, (folder / "large").open("rb", buffering=0) as file:
            for start in [*range(0, 40 * MIB, MIB), *range(39 * MIB, 0, -7 * MIB)]:
                assert os.pread(file.fileno(), 1000, start) == content[start : start + 1000]
                assert os.preadv(file.fileno(), [area], start) == MIB
                assert area == content[start : start + MIB]
                held = sum(path.stat().st_size for path in rig.base.glob("*/azureml-mount-*/*") if path.exists())
                most = max(most, held)
        assert 4 * MIB <= most <= 8 * MIB

    def test_it_leaves_room_on_a_small_disk(self, blob: Rig) -> None:
        blob.put({"in/large": bytes(40 * MIB)})
        with blob.mounted("in/", disk=24 * MIB) as folder:
            assert sh(folder, "cat large | wc -c; head -c 8000000 /dev/zero > new; wc -c < new") == (
                f"{40 * MIB}\n8000000\n[0]"
            )
        assert blob.store.stat("in/new").size == 8_000_000

    def test_only_what_is_wanted_is_fetched(self, proxied: tuple[Rig, FaultProxy]) -> None:
        rig, proxy = proxied
        rig.put({"in/large": bytes(64 * MIB)})
        with rig.mounted_source("in/large") as folder, (folder / "large").open("rb", buffering=0) as file:
            before = len(proxy.requests("GET .*/large"))
            for start in (50 * MIB, 50 * MIB + 1000, 20 * MIB):
                file.seek(start)
                assert file.read(100) == bytes(100)
            assert len(proxy.requests("GET .*/large")) - before <= 4  # the kernel reads a little ahead

    def test_what_is_in_it_is_not_asked_for_again(self, proxied: tuple[Rig, FaultProxy]) -> None:
        rig, proxy = proxied
        rig.put({f"many/{n}": b"%d" % n for n in range(30)})
        with rig.mounted_source("many/") as folder:
            assert "[0]" in sh(folder, "cat *")
            before = len(proxy.seen)
            assert "[0]" in sh(folder, "cat * && find . -type f -size +0 && md5sum *")
            assert len(proxy.seen) == before

    def test_listed_once_and_read_with_one_request_each(self, proxied: tuple[Rig, FaultProxy]) -> None:
        rig, proxy = proxied
        rig.put({f"in/{n % 10}/{n}": b"%d" % n for n in range(50)})
        with rig.mounted("in/", writable=False) as folder:
            before = len(proxy.seen)
            assert sh(folder, "find . -type f | xargs cat | wc -c").endswith("[0]")
            requests = [seen.request for seen in proxy.seen[before:]]
            assert len([request for request in requests if "comp=list" in request]) == 1
            assert len(requests) == 51 + 2  # the two of in/a.txt and in/sub/b.txt

    def test_what_was_written_is_not_fetched(self, proxied: tuple[Rig, FaultProxy]) -> None:
        rig, proxy = proxied
        with rig.mounted("in/") as folder:
            assert sh(folder, "head -c 3000000 /dev/zero > x; md5sum x > /dev/null; echo more >> x; tail -c 5 x") == (
                "more\n[0]"
            )
        assert not proxy.requests("GET .*in/x$")


class TestTrouble:
    def test_the_store_refuses_what_is_written(self, proxied: tuple[Rig, FaultProxy]) -> None:
        rig, proxy = proxied
        proxy.plan(Answer("PUT .*/in/refused", 403, "AuthorizationPermissionMismatch", times=1000))
        with pytest.raises(TransferIncomplete) as raised, rig.mounted("in/") as folder:  # noqa: PT012
            done = sh(folder, "cp a.txt refused; echo $?; cp a.txt fine; echo $?; ls")
            assert done == ("cp: failed to close 'refused': Permission denied\n1\n0\na.txt\nfine\nsub\n[0]")
        assert "1 file written to the mount of azureml://datastores/lake/paths/in/" in str(raised.value)
        assert "'refused': " in str(raised.value)
        assert "in/refused could not be written" in rig.said[0]
        assert rig.get("in/")["fine"] == FILES["in/a.txt"]

    def test_what_the_block_raises_comes_first(self, proxied: tuple[Rig, FaultProxy]) -> None:
        rig, proxy = proxied
        proxy.plan(Answer("PUT .*/in/refused", 403, "AuthorizationPermissionMismatch", times=1000))
        points = []
        with pytest.raises(ZeroDivisionError), rig.mounted("in/") as folder:  # noqa: PT012
            points.append(folder)
            assert errno_of(lambda: (folder / "refused").write_text("x")) == errno.EACCES
            raise ZeroDivisionError
        assert_gone(points[0])
        assert "in/refused could not be written" in rig.said[0]

    def test_the_store_refuses_what_is_read(self, proxied: tuple[Rig, FaultProxy]) -> None:
        rig, proxy = proxied
        with rig.mounted("in/") as folder:
            proxy.plan(Answer("GET .*/in/a.txt", 403, "AuthorizationFailure", times=2))
            assert errno_of((folder / "a.txt").read_bytes) == errno.EACCES
            until(lambda: errno_of((folder / "a.txt").read_bytes) is None)

    def test_a_busy_store_is_asked_again(self, proxied: tuple[Rig, FaultProxy]) -> None:
        rig, proxy = proxied
        with rig.mounted("in/") as folder:
            proxy.plan(Answer("GET .*/in/a.txt", 503), Answer("PUT .*/in/x", 503))
            assert sh(folder, "cat a.txt > x && cat x") == "one\ntwo\n[0]"
        assert rig.said == []

    def test_a_folder_is_moved_whole_or_not_at_all(self, proxied: tuple[Rig, FaultProxy]) -> None:
        rig, proxy = proxied
        rig.put({f"in/sub/{n}": b"%d" % n for n in range(20)})
        before = rig.get()
        proxy.plan(Answer("PUT .*/in/moved/13", 403, "AuthorizationPermissionMismatch", times=10))
        with rig.mounted("in/") as folder:
            assert errno_of(lambda: (folder / "sub").rename(folder / "moved")) == errno.EACCES
            assert sorted(os.listdir(folder)) == ["a.txt", "sub"]
        assert rig.get() == before

    def test_a_file_that_is_open_stays_if_another_cannot_take_its_place(self, proxied: tuple[Rig, FaultProxy]) -> None:
        rig, proxy = proxied
        before = rig.get()
        with rig.mounted() as folder, (folder / "other/c.txt").open("rb") as left:
            proxy.plan(Answer("PUT .*/other/c.txt", 403, "AuthorizationPermissionMismatch"))
            assert errno_of(lambda: (folder / "in/a.txt").replace(folder / "other/c.txt")) == errno.EACCES
            assert rig.get() == before
            until(lambda: errno_of((folder / "other/c.txt").read_bytes) is None)  # the system remembers names for 1 s
            assert (folder / "other/c.txt").read_bytes() == left.read() == b"see"
            (folder / "other/c.txt").unlink()
            proxy.plan(Answer("PUT .*/other/c.txt", 403, "AuthorizationPermissionMismatch"))
            assert errno_of(lambda: (folder / "in/a.txt").replace(folder / "other/c.txt")) == errno.EACCES
            assert os.listdir(folder / "other") == []
            (folder / "in/a.txt").replace(folder / "other/c.txt")
        assert rig.get() == {"other/c.txt": before["in/a.txt"], "in/sub/b.txt": before["in/sub/b.txt"]}

    def test_an_open_file_that_is_lost_as_no_other_could_take_its_place_is_told(
        self, proxied: tuple[Rig, FaultProxy]
    ) -> None:
        rig, proxy = proxied

        def replace_it() -> None:
            with rig.mounted() as folder, (folder / "other/c.txt").open("rb"):
                proxy.plan(Answer("PUT .*/other/c.txt", 403, "AuthorizationPermissionMismatch", times=99))
                assert errno_of(lambda: (folder / "in/a.txt").replace(folder / "other/c.txt")) == errno.EACCES

        with pytest.raises(TransferIncomplete, match=r"1 file .* 'other/c\.txt'"):
            replace_it()

    def test_the_mounts_process_is_killed(self, rig: Rig) -> None:
        points = []
        with pytest.raises(Unavailable, match="ended early"), rig.mounted("in/") as folder:  # noqa: PT012
            points.append(folder)
            process = the_mounts_process()
            os.kill(process, signal.SIGKILL)
            until(lambda: errno_of((folder / "a.txt").read_bytes) == errno.ENOTCONN)
            assert errno_of(lambda: (folder / "new").write_text("not to a folder below")) == errno.ENOTCONN
        assert_gone(points[0])
        assert not Path(f"/proc/{process}").exists()

    def test_somebody_else_unmounts_it(self, rig: Rig) -> None:
        points = []
        with pytest.raises(Unavailable, match="ended early"), rig.mounted("in/") as folder:  # noqa: PT012
            points.append(folder)
            subprocess.run(["umount", folder], check=True)
            (folder / "lost").write_text("into the folder below")
        assert os.listdir(points[0]) == ["lost"]

    def test_it_is_in_use_when_it_ends(self, rig: Rig) -> None:
        with rig.mounted("in/") as folder:
            file = (folder / "a.txt").open("a")
            file.write("three\n")
            file.flush()
        assert errno_of(file.close) in (errno.ENOTCONN, errno.ECONNABORTED)
        assert "still used" in rig.said[0]
        assert rig.get("in/")["a.txt"] == b"one\ntwo\nthree\n"

    def test_the_folder_is_not_empty(self, rig: Rig, tmp_path: Path) -> None:
        (tmp_path / "x").touch()
        with (
            pytest.raises(InvalidInput, match="at an empty folder only"),
            mount_folder(tmp_path, Place("lake", rig.store), say=print),
        ):
            raise AssertionError

    def test_the_system_refuses(self, rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FUSE_LIBRARY_PATH", "/nowhere/libfuse.so")
        with (
            pytest.raises(Unsupported, match=r"cannot be mounted: .*Use mode 'download'"),
            mount_folder(tmp_path, Place("lake", rig.store), say=print),
        ):
            raise AssertionError
        assert_gone(tmp_path)

    def test_a_store_that_works_in_this_process_only(self, rig: Rig, tmp_path: Path) -> None:
        class Here(LocalDirectoryStore):
            door = FileStore.door

        here = Here(rig.site.location.path)  # type: ignore[attr-defined]
        source = find_source(lambda _: Place("lake", here), DatastoreUri("lake", "in/"))
        with pytest.raises(Unsupported, match="another process"), mount_source(tmp_path, source, say=print):
            raise AssertionError

    def test_a_terminated_worker(self, rig: Rig) -> None:
        """An error that a signal's handler raises, anywhere in the block."""

        class Terminated(Exception):
            pass

        def terminate(*_: object) -> None:
            raise Terminated

        previous = signal.signal(signal.SIGUSR1, terminate)
        points = []
        try:
            with pytest.raises(Terminated), rig.mounted("in/") as folder:  # noqa: PT012
                points.append(folder)
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
                while True:
                    (folder / "a.txt").read_bytes()
        finally:
            signal.signal(signal.SIGUSR1, previous)
        assert_gone(points[0])


WORKER = """
import os, sys, time
from pathlib import Path
from airflow_azureml_datastores.compute.mount import mount_folder
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.core.credentials import Anonymous
root, folder, scratch, then = sys.argv[1:]
with LocalDirectory(root).open(Anonymous()) as store, mount_folder(
    Path(folder), Place("lake", store, ""), writable=True, scratch=Path(scratch), say=print
):
    (Path(folder) / "closed").write_text("closed")
    left = (Path(folder) / "open").open("w")
    left.write("open"); left.flush()
    print("mounted", flush=True)
    exec(then)
    time.sleep(600)
"""


@contextmanager
def worker(rig: Rig, then: str = "") -> Iterator[tuple[subprocess.Popen[str], Path, Path]]:
    """Another process with a mount. :param then: Python that it runs in there."""
    folder, scratch = rig.base / "folder", rig.base / "scratch"
    folder.mkdir()
    scratch.mkdir()
    root = rig.site.location.path  # type: ignore[attr-defined]
    command = [sys.executable, "-c", WORKER, root, str(folder), str(scratch), then]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mounted\n"
        try:
            yield process, folder, scratch
        finally:
            process.kill()


class TestWorkerKilled:
    def test_nothing_is_left(self, rig: Rig) -> None:
        """A signal to the mount's own process, as to all of a container, does not end it."""
        with worker(rig) as (process, folder, scratch):
            (server,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(int(server), signal.SIGTERM)
            assert (folder / "closed").read_text() == "closed"
            process.kill()
            process.wait()
            until(lambda: not is_mounted(str(folder)))
            until(lambda: not Path(f"/proc/{server}").exists() or "Z" in Path(f"/proc/{server}/stat").read_text())
            assert_gone(folder)
            until(lambda: not list(scratch.glob("*/*")))
        assert rig.get()["closed"] == b"closed"

    def test_a_process_forked_from_it_does_not_keep_the_mount(self, rig: Rig) -> None:
        with worker(rig, "if os.fork() == 0: print(os.getpid(), flush=True); time.sleep(600)") as (process, folder, _):
            assert process.stdout is not None
            child = int(process.stdout.readline())
            try:
                process.kill()
                process.wait()
                until(lambda: not is_mounted(str(folder)))
                os.kill(child, 0)
            finally:
                os.kill(child, signal.SIGKILL)


class TestSecrets:
    def test_they_are_in_no_ones_sight(self, blob: Rig) -> None:
        key = blob.site.credential.key  # type: ignore[union-attr]
        with blob.mounted("in/"):
            process = Path(f"/proc/{the_mounts_process()}")
            for file in ("cmdline", "environ"):
                assert key.encode() not in (process / file).read_bytes()
            assert key not in Path("/proc/self/mountinfo").read_text()

    def test_airflows_variables_stay_here(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_LAKE", "wasb://a:s3cret@b")
        with rig.mounted("in/"):
            assert b"s3cret" not in Path(f"/proc/{the_mounts_process()}/environ").read_bytes()

    def test_a_sas_is_renewed_by_the_worker(self, blob: Rig, sites: Sites) -> None:
        from datetime import UTC, datetime, timedelta

        from azure.storage.blob import ContainerSasPermissions, generate_container_sas

        asked = []
        location = blob.site.location
        assert isinstance(location, AzureBlob)

        def renew() -> str:
            asked.append(threading.get_ident())
            return generate_container_sas(
                location.account_name,
                location.container_name,
                account_key=blob.site.credential.key,  # type: ignore[union-attr]
                permission=ContainerSasPermissions(read=True, write=True, list=True, delete=True),
                expiry=datetime.now(UTC) + timedelta(hours=1),
            )

        site = Site(location, RenewedSas(renew))
        with site.open() as store:
            through = Rig(site, store, blob.base)
            with through.mounted("in/") as folder:
                asked.clear()
                assert sh(folder, "cat a.txt > copy; cat copy") == "one\ntwo\n[0]"
                assert asked
                signature = re.search("sig=([^&]+)", renew())
                assert signature
                assert signature[1].encode() not in Path(f"/proc/{the_mounts_process()}/cmdline").read_bytes()
