"""The record of an unfinished transfer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_azureml_datastores.core.manifest import Entry
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.transfer import journal
from airflow_azureml_datastores.transfer.journal import Journal
from tests.unit.transfer.stores import MemoryStore, contents


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def open_journal(store: MemoryStore) -> Journal:
    return Journal(Place("t", store, "journal/"))


def entry(path: str, size: int = 1, etag: str = "e") -> Entry:
    return Entry(path, size, etag, f"in/{path}", "s")


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("airflow_azureml_datastores.transfer.journal.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_pieces(store: MemoryStore, clock: Clock) -> None:
    """One every two seconds, or after a large file; the rest at the end."""
    kept = open_journal(store)
    for n in range(10):
        kept.add(entry(f"{n}"))
    assert contents(store) == {}
    clock.now += 2.0
    kept.add(entry("10"))
    assert len(contents(store)) == 1
    kept.add(entry("11"))
    kept.add(entry("large", journal._EVERY_BYTES))
    assert len(contents(store)) == 2
    kept.add(entry("12"))
    assert len(open_journal(store).load()) == 13
    kept.flush()
    kept.flush()
    assert len(contents(store)) == 3
    assert open_journal(store).load() == {
        e.path: e for e in [*(entry(f"{n}") for n in range(13)), entry("large", journal._EVERY_BYTES)]
    }


def test_difficult_names(store: MemoryStore) -> None:
    names = ["ü/文", "new\nline", "\u2028\u0085\x1c", '"quoted"', "back\\slash", "tab\t"]
    kept = open_journal(store)
    for name in names:
        kept.add(entry(name))
    kept.flush()
    assert open_journal(store).load().keys() == set(names)


def test_attempts_add_up_and_the_latest_wins(store: MemoryStore) -> None:
    for etag in ("one", "two"):
        kept = open_journal(store)
        kept.add(entry("a", etag=etag))
        kept.add(entry(etag))
        kept.flush()
    assert open_journal(store).load() == {
        "a": entry("a", etag="two"),
        "one": entry("one"),
        "two": entry("two"),
    }


def test_begun_and_cleared(store: MemoryStore) -> None:
    kept = open_journal(store)
    assert not kept.begun()
    kept.begin()
    assert open_journal(store).begun()
    assert open_journal(store).load() == {}
    kept.add(entry("a"))
    kept.flush()
    open_journal(store).clear()
    assert not kept.begun()
    assert contents(store) == {}


def test_from_many_threads(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_EVERY_SECONDS", 0.001)
    kept = open_journal(store)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: kept.add(entry(f"{n}")), range(2000)))
    kept.flush()
    assert len(open_journal(store).load()) == 2000
