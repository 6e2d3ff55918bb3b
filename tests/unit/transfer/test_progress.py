"""How far a transfer is, in words."""

from __future__ import annotations

import threading

import pytest

from airflow_azureml_datastores.transfer.progress import Progress, human_count, human_size, human_time

MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (412 * MIB, "412 MiB"),
        (int(3.1 * 1024 * MIB), "3.1 GiB"),
        (5 << 60, "5120 PiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 files"), (1, "1 file"), (1204, "1 204 files")])
def test_counts(count: int, text: str) -> None:
    assert human_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (2, "2 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3900, "1 h 5 min")]
)
def test_times(seconds: float, text: str) -> None:
    assert human_time(seconds) == text


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("airflow_azureml_datastores.transfer.progress.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_line(clock: Clock) -> None:
    said: list[str] = []
    told = Progress("[ingest] churn/scheduled__2026-11-22  sales", 1204, 3171 * MIB, said.append)
    clock.now += 6
    told.moved(2472 * MIB, files=900)
    assert said == [
        "[ingest] churn/scheduled__2026-11-22  sales  1 204 files  3.1 GiB  ███████████████░░░░░  77 %  412 MiB/s  "
        "2 s left"
    ]


def test_at_a_steady_pace(clock: Clock) -> None:
    said: list[str] = []
    told = Progress("x", 100, 100, said.append)
    for _ in range(100):
        clock.now += 0.5
        told.moved(1, files=1)
    assert len(said) == 10


def test_nothing_moved_yet(clock: Clock) -> None:
    said: list[str] = []
    told = Progress("x", 2, 100, said.append)
    clock.now += 10
    told.moved(0)
    assert said == ["x  2 files  100 B  ░░░░░░░░░░░░░░░░░░░░  0 %  0 B/s  waiting"]


def test_files_count_where_there_are_no_bytes(clock: Clock) -> None:
    said: list[str] = []
    told = Progress("x", 4, 0, said.append)
    clock.now += 10
    told.moved(0, files=1)
    assert "█████░░░░░░░░░░░░░░░  25 %" in said[0]


def test_a_broken_attempt_is_taken_back(clock: Clock) -> None:
    said: list[str] = []
    told = Progress("x", 1, 100, said.append)
    told.moved(60)
    told.moved(-60)
    clock.now += 10
    told.moved(50)
    assert "50 %" in said[0]


def test_from_many_threads() -> None:
    told = Progress("x", 1, 1, lambda line: None, every=0.0)

    def move() -> None:
        for _ in range(1000):
            told.moved(1, files=1)

    threads = [threading.Thread(target=move) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (told.bytes_done, told.files_done) == (8000, 8000)
