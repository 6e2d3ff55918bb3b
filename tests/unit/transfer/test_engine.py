"""Moves run at once: within their budget, whole or not at all, and stopped by the first error."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import xxhash

from airflow_azureml_datastores.core.manifest import Entry
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import FileStore, ObjectInfo, Version
from airflow_azureml_datastores.errors import AccessDenied, Changed, PathExists, PathNotFound, Unavailable
from airflow_azureml_datastores.transfer import engine
from airflow_azureml_datastores.transfer.engine import ByteBudget, delete_all, run_moves
from airflow_azureml_datastores.transfer.plan import Move
from airflow_azureml_datastores.transfer.progress import Progress
from tests.unit.transfer.stores import STREAMING, MemoryStore, Watched, contents, fill

KIB = 1024


@pytest.fixture
def source() -> MemoryStore:
    return MemoryStore(STREAMING, chunk=KIB)


@pytest.fixture
def target() -> MemoryStore:
    return MemoryStore(STREAMING)


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_WAIT", 0.001)


def moves_of(store: FileStore) -> list[Move]:
    return [Move(info.version, info.path) for info in store.list()]


def run(source: FileStore, target: FileStore, moves: list[Move] | None = None, **options: Any) -> list[Entry]:
    entries: list[Entry] = []
    moves = moves_of(source) if moves is None else moves
    progress = Progress("[test]", len(moves), sum(m.source.size for m in moves), lambda line: None)
    run_moves(source, Place("t", target, "to/"), moves, arrived=entries.append, progress=progress, **options)
    assert (progress.files_done, progress.bytes_done) == (len(moves), sum(m.source.size for m in moves))
    return entries


def test_delivers_and_digests(source: MemoryStore, target: MemoryStore) -> None:
    files = {"a": b"", "ü/ %20/#?": b"x" * 5000, "a//b": b"y", "trail/": b"z"}
    fill(source, files)
    entries = {entry.path: entry for entry in run(source, target)}
    assert contents(target, "to/") == files
    for path, content in files.items():
        entry = entries[path]
        assert entry.digest == f"xxh128:{xxhash.xxh3_128_hexdigest(content)}"
        assert entry.taken == source.stat(path).version
        assert entry.delivered("to/") == target.stat(f"to/{path}").version


def test_copies_inside_the_service_where_it_can() -> None:
    store = MemoryStore()
    fill(store, {"a": b"content"})

    def no_bytes(call: str, path: str) -> None:
        assert call not in ("read", "write")

    (entry,) = run(Watched(store, no_bytes), Watched(store, no_bytes))
    assert contents(store, "to/") == {"a": b"content"}
    assert entry.digest == ""


def test_nothing_to_do(source: MemoryStore, target: MemoryStore) -> None:
    assert run(source, target) == []


def test_at_most_so_many_threads(source: MemoryStore, target: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WORKERS", 3)
    fill(source, {f"{i}": b"x" for i in range(50)})
    names = set()
    run(source, Watched(target, lambda call, path: names.add(threading.current_thread().name)))
    assert 1 <= len(names) <= 3


class TestMemory:
    def test_within_the_budget(self, source: MemoryStore, target: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """However many files and however large: those in flight hold no more than the budget."""
        monkeypatch.setattr(engine, "MEMORY", 64 * KIB)
        monkeypatch.setattr(engine, "_FILE_SHARE", 32 * KIB)
        fill(source, {f"big{i}": b"b" * (200 * KIB) for i in range(4)})
        fill(source, {f"mid{i}": b"m" * (20 * KIB) for i in range(20)})
        fill(source, {f"small{i}": b"s" * KIB for i in range(200)})
        held, peak, lock = 0, 0, threading.Lock()

        class Counting(Watched):
            def write(self, path: str, chunks: Iterable[bytes], *, size: int | None = None, **options: Any) -> str:
                nonlocal held, peak
                assert size is not None
                with lock:
                    held += min(size, 32 * KIB)
                    peak = max(peak, held)
                time.sleep(0.0005)  # lets others pile up
                try:
                    return super().write(path, chunks, size=size, **options)
                finally:
                    with lock:
                        held -= min(size, 32 * KIB)

        run(source, Counting(target))
        assert 32 * KIB < peak <= 64 * KIB

    def test_a_file_larger_than_the_budget_still_goes(self) -> None:
        budget = ByteBudget(10)
        with budget.held(100):
            pass
        with budget.held(10):
            pass


class TestErrors:
    def test_the_first_one_in_time_is_raised(
        self, source: MemoryStore, target: MemoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not that of the first worker: what comes after the first error may be its consequence."""
        monkeypatch.setattr(engine, "WORKERS", 2)
        fill(source, {"first": b"x", "second": b"x"})
        begun, failed = threading.Event(), threading.Event()

        def fail(call: str, path: str) -> None:
            if path == "to/second":
                assert begun.wait(10)
                failed.set()
                raise AccessDenied("the cause")
            if path == "to/first":
                begun.set()
                assert failed.wait(10)
                time.sleep(0.05)
                raise AccessDenied("a consequence")

        with pytest.raises(AccessDenied, match="the cause"):
            run(source, Watched(target, fail))

    def test_nothing_is_begun_after_it(
        self, source: MemoryStore, target: MemoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "WORKERS", 4)
        fill(source, {f"{i:03}": b"x" for i in range(200)})
        begun: list[str] = []

        def fail(call: str, path: str) -> None:
            begun.append(path)
            if len(begun) == 10:
                raise AccessDenied("no")

        with pytest.raises(AccessDenied, match="no"):
            run(source, Watched(target, fail))
        assert len(begun) <= 10 + 3

    def test_nor_by_those_who_wait_for_memory(self, target: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not even a copy inside the service, which could not be broken off any more."""
        monkeypatch.setattr(engine, "MEMORY", 100)
        store = MemoryStore()
        fill(store, {f"{i}": b"x" * 100 for i in range(10)})
        begun: list[str] = []

        def fail(call: str, path: str) -> None:
            begun.append(path)
            while threading.active_count() < 10:
                time.sleep(0.001)
            raise AccessDenied("no")

        with pytest.raises(AccessDenied, match="no"):
            run(store, Watched(store, fail))
        assert len(begun) == 1

    def test_breaks_off_those_in_flight(self, target: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        source = MemoryStore(STREAMING, chunk=KIB)
        fill(source, {"long": b"x" * (1000 * KIB), "short": b"x"})
        under_way = threading.Event()
        chunks: list[str] = []

        def slow(call: str, path: str) -> None:
            if call == "chunk" and path == "long":
                under_way.set()
                chunks.append(path)
                time.sleep(0.001)

        def fail(call: str, path: str) -> None:
            if path == "to/short":
                assert under_way.wait(10)
                raise AccessDenied("no")

        with pytest.raises(AccessDenied, match="no"):
            run(Watched(source, slow), Watched(target, fail))
        assert len(chunks) < 1000
        assert contents(target) == {}

    def test_one_that_notes_what_arrived_fails(self, source: MemoryStore, target: MemoryStore) -> None:
        fill(source, {"a": b"x"})

        def arrived(entry: Entry) -> None:
            raise Unavailable("the journal")

        with pytest.raises(Unavailable, match="the journal"):
            run_moves(
                source,
                Place("t", target),
                moves_of(source),
                arrived=arrived,
                progress=Progress("", 1, 1, lambda line: None),
            )


class TestRetries:
    def test_unavailable_is_tried_again_from_the_beginning(self, source: MemoryStore, target: MemoryStore) -> None:
        content = bytes(range(256)) * 40
        fill(source, {"a": content})
        failures = iter([5, 2, 0])
        left = next(failures)

        def fail(call: str, path: str) -> None:
            nonlocal left
            if call == "chunk":
                left -= 1
                if left == 0:
                    left = next(failures)
                    raise Unavailable("for a moment")

        (entry,) = run(Watched(source, fail), target)
        assert contents(target, "to/") == {"a": content}
        assert entry.digest == f"xxh128:{xxhash.xxh3_128_hexdigest(content)}"

    def test_but_not_for_ever(self, source: MemoryStore, target: MemoryStore) -> None:
        fill(source, {"a": b"x"})
        tries: list[str] = []

        def fail(call: str, path: str) -> None:
            tries.append(call)
            raise Unavailable("down")

        with pytest.raises(Unavailable, match="down"):
            run(source, Watched(target, fail))
        assert len(tries) == engine._ATTEMPTS

    def test_another_error_is_not(self, source: MemoryStore, target: MemoryStore) -> None:
        fill(source, {"a": b"x"})
        tries: list[str] = []

        def fail(call: str, path: str) -> None:
            tries.append(call)
            raise AccessDenied("no")

        with pytest.raises(AccessDenied):
            run(source, Watched(target, fail))
        assert len(tries) == 1

    def test_waiting_ends_when_another_file_fails(
        self, source: MemoryStore, target: MemoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "_WAIT", 1000.0)
        fill(source, {"waits": b"x", "fails": b"x"})
        waiting = threading.Event()
        tries: list[str] = []

        def fail(call: str, path: str) -> None:
            if path == "to/waits":
                tries.append(path)
                waiting.set()
                raise Unavailable("for a moment")
            assert waiting.wait(10)
            raise AccessDenied("no")

        started = time.monotonic()
        with pytest.raises(AccessDenied):
            run(source, Watched(target, fail))
        assert time.monotonic() - started < 5
        assert len(tries) == 1


class Lying(Watched):
    """A source that gives other bytes than it listed.

    :param content: gives the chunks that are read.
    """

    def __init__(self, inner: FileStore, content: Callable[[], Iterator[bytes]]) -> None:
        super().__init__(inner)
        self._content = content

    def read(self, path: str, **options: Any) -> Iterator[bytes]:
        return self._content()


class TestWrongSize:
    def test_too_short(self, source: MemoryStore, target: MemoryStore) -> None:
        fill(source, {"a": b"x" * 100})
        with pytest.raises(Changed, match="99 bytes where 100"):
            run(Lying(source, lambda: iter([b"x" * 99])), target)
        assert contents(target) == {}

    def test_too_long(self, source: MemoryStore, target: MemoryStore) -> None:
        """Without an end, too: a file that is written to faster than it is read."""
        fill(source, {"a": b"x" * 100})

        def endless() -> Iterator[bytes]:
            while True:
                yield b"x" * 60

        with pytest.raises(Changed, match="more than the 100"):
            run(Lying(source, endless), target)
        assert contents(target) == {}


def test_the_version_that_was_listed_or_none(source: MemoryStore, target: MemoryStore) -> None:
    fill(source, {"a": b"old"})
    moves = moves_of(source)
    fill(source, {"a": b"new"})
    with pytest.raises(Changed):
        run(source, target, moves)
    source.delete("a")
    with pytest.raises(PathNotFound):
        run(source, target, moves)
    assert contents(target) == {}


class TestCreate:
    def test_replaces_nothing(self, source: MemoryStore, target: MemoryStore) -> None:
        fill(source, {"a": b"new"})
        fill(target, {"to/a": b"old"})
        with pytest.raises(PathExists):
            run(source, target, create=True)
        run(source, target)
        assert contents(target, "to/") == {"a": b"new"}

    def test_but_what_an_earlier_attempt_delivered(self, source: MemoryStore, target: MemoryStore) -> None:
        fill(source, {"a": b"new"})
        fill(target, {"to/a": b"old"})
        run(source, target, [Move(source.stat("a").version, "a", replaces=True)], create=True)
        assert contents(target, "to/") == {"a": b"new"}


def test_interrupted_from_outside(source: MemoryStore, target: MemoryStore) -> None:
    """A signal handler that raises in the main thread, as Airflow's time-outs do, ends the transfer at once."""
    source = MemoryStore(STREAMING, chunk=1)
    fill(source, {f"{i}": b"x" * 100_000 for i in range(40)})
    chunks = 0

    def slow(call: str, path: str) -> None:
        nonlocal chunks
        if call == "chunk":
            chunks += 1
            if chunks == 100:
                os.kill(os.getpid(), signal.SIGALRM)
            time.sleep(0.001)

    class TimedOut(Exception):
        pass

    def handler(number: int, frame: object) -> None:
        raise TimedOut

    earlier = signal.signal(signal.SIGALRM, handler)
    started = time.monotonic()
    try:
        with pytest.raises(TimedOut):
            run(Watched(source, slow), target)
    finally:
        signal.signal(signal.SIGALRM, earlier)
    for thread in threading.enumerate():
        if thread.name.startswith("transfer") and thread.is_alive():
            thread.join(5)
    assert time.monotonic() - started < 5
    assert contents(target) == {}


def test_delete_all(target: MemoryStore) -> None:
    fill(target, {f"{i}": b"x" for i in range(100)} | {"keep": b"x"})
    delete_all(target, [f"{i}" for i in range(100)])
    delete_all(target, [])
    assert contents(target) == {"keep": b"x"}


def test_listed_sizes_are_enough(source: MemoryStore, target: MemoryStore) -> None:
    """One request per file and side: no look at what the listing has told already."""
    fill(source, {f"{i}": b"x" for i in range(5)})
    moves = [Move(Version(i.path, i.size, i.etag), i.path) for i in source.list()]
    calls: list[str] = []
    watched_source = Watched(source, lambda call, path: calls.append(call))
    watched_target = Watched(target, lambda call, path: calls.append(call))
    run(watched_source, watched_target, moves)
    assert sorted(calls) == sorted(["read", "chunk", "write"] * 5)


def test_info_is_a_version() -> None:
    store = MemoryStore()
    fill(store, {"a": b"x"})
    info: ObjectInfo = store.stat("a")
    assert info.version == Version("a", 1, info.etag)
