"""Versions made of a time in whole seconds and a size, and how a store keeps its own apart."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_azureml_datastores.errors import PathExists
from airflow_azureml_datastores.stores._dbfs_versions import Seconds, describe_file, seconds_of


def test_an_etag_is_that_of_one_file_only() -> None:
    one, other = describe_file("a", 5, 1_800_000_000.9), describe_file("b", 5, 1_800_000_000)
    assert one.modified == other.modified
    assert one.etag != other.etag
    assert one.etag == describe_file("a", 5, 1_800_000_000).etag
    assert len({one.etag, describe_file("a", 6, 1_800_000_000).etag, describe_file("a", 5, 1_800_000_001).etag}) == 3


def test_dates() -> None:
    assert seconds_of("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777
    assert abs(seconds_of(None) - time.time()) < 5


def when(seconds: Seconds, path: str, size: int) -> float:
    with seconds.alone(path, size):
        return time.monotonic()


def test_writes_of_one_size_are_a_second_apart() -> None:
    seconds = Seconds()
    at = [when(seconds, "a", 5) for _ in range(3)]
    assert [later - earlier >= 1 for earlier, later in itertools.pairwise(at)] == [True, True]


def test_other_sizes_and_files_wait_for_nobody() -> None:
    seconds = Seconds()
    began = time.monotonic()
    for number in range(200):
        when(seconds, "a", number)
        when(seconds, f"b{number}", 5)
    assert time.monotonic() - began < 1


def test_what_was_not_written_delays_nobody() -> None:
    seconds = Seconds()
    began = time.monotonic()
    for _ in range(5):
        with pytest.raises(PathExists), seconds.alone("a", 5):
            raise PathExists("it was there")
    assert time.monotonic() - began < 1


def test_what_may_have_been_written_counts() -> None:
    seconds = Seconds()
    began = time.monotonic()
    with pytest.raises(ConnectionError), seconds.alone("a", 5):
        raise ConnectionError("who knows")
    assert when(seconds, "a", 5) - began >= 1


def test_threads_take_turns() -> None:
    seconds = Seconds()
    barrier = threading.Barrier(3)

    def write() -> float:
        barrier.wait()
        return when(seconds, "a", 5)

    with ThreadPoolExecutor(3) as pool:
        at = sorted(done.result() for done in [pool.submit(write) for _ in range(3)])
    assert [later - earlier >= 1 for earlier, later in itertools.pairwise(at)] == [True, True]


def test_old_writes_are_forgotten() -> None:
    seconds = Seconds()
    for number in range(100):
        when(seconds, f"a{number}", 5)
    time.sleep(1.1)
    when(seconds, "b", 5)
    assert list(seconds._written) == [("b", 5)]
    assert len(seconds._turns) == 0
