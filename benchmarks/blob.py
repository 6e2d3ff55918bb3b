"""Blob transfers: this provider beside the official hook, the SDK and rclone, in one run.

Each client does each job in a process of its own; the rounds are interleaved, so that a slow moment of the machine hits
all alike. What is told are medians and their ratio to ours: trust CPU and ratios, not the seconds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.blob_clients import CLIENTS

SMALL, LARGE = 4 * 1024, 512 * 1024 * 1024


@dataclass(frozen=True)
class Job:
    """:param verb: ``upload``, ``download`` or ``list``.
    :param files: how many of ``size`` bytes.
    :param latency: seconds that the service adds to each request.
    """

    title: str
    verb: str
    files: int
    size: int
    latency: float = 0.0
    clients: tuple[str, ...] = tuple(CLIENTS)


JOBS = (
    Job("small files up, +10 ms", "upload", 1000, SMALL, 0.010),
    Job("small files down, +10 ms", "download", 1000, SMALL, 0.010),
    Job("one 512 MiB file up", "upload", 1, LARGE),
    Job("one 512 MiB file down", "download", 1, LARGE),
    Job("list 50,000", "list", 50_000, SMALL),
)


@dataclass(frozen=True)
class Figures:
    """:param wall: seconds. :param cpu: seconds, user and system. :param rss: peak resident memory, MiB."""

    wall: float
    cpu: float
    rss: float


def run(rounds: int) -> None:
    """Time every job, and print a table per job."""
    for job in JOBS:
        with _service(job.latency) as url, tempfile.TemporaryDirectory() as scratch:
            _prepare(job, url)
            figures: dict[str, list[Figures]] = {client: [] for client in job.clients}
            for _ in range(rounds):
                for client in job.clients:
                    figures[client].append(_time(client, job, url, Path(scratch)))
        _print(job, figures)


@contextmanager
def _service(latency: float) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.blob_stub", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/devstoreaccount1"
        finally:
            process.terminate()


def _prepare(job: Job, url: str) -> None:
    """Fill the service for jobs that read."""
    if job.verb == "upload":
        return
    import http.client

    host, _, account = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host)
    body = bytes(job.size)
    for number in range(job.files):
        connection.request("PUT", f"/{account}/bench/data/part-{number:06d}.bin", body)
        connection.getresponse().read()


def _time(client: str, job: Job, url: str, scratch: Path) -> Figures:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    if job.verb == "upload":
        _fill(folder, job)
    command = [sys.executable, "-m", "benchmarks.blob_clients", client, job.verb, url, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        memory = _PeakMemory(process.pid)
        output, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"{client} failed at {job.title}:\n{errors[-2000:]}")
    if job.verb == "download":
        arrived = [path.stat().st_size for path in folder.rglob("part-*.bin")]
        if (len(arrived), sum(arrived)) != (job.files, job.files * job.size):
            raise SystemExit(f"{client} delivered {len(arrived)} files, {sum(arrived)} bytes at {job.title}.")
    shutil.rmtree(folder)
    _, wall, cpu = output.splitlines()[-1].split()
    return Figures(float(wall), float(cpu), memory.mebibytes())


def _fill(folder: Path, job: Job) -> None:
    chunk = os.urandom(min(job.size, 1 << 20))
    for number in range(job.files):
        with (folder / f"part-{number:06d}.bin").open("wb") as file:
            for _ in range(job.size // len(chunk)):
                file.write(chunk)


class _PeakMemory:
    """Watches the resident memory of a process and those that it starts."""

    def __init__(self, pid: int) -> None:
        self._process, self._peak = psutil.Process(pid), 0
        self._watch = threading.Thread(target=self._run, daemon=True)
        self._watch.start()

    def _run(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
                family = [self._process, *self._process.children(recursive=True)]
                self._peak = max(self._peak, sum(member.memory_info().rss for member in family))
                time.sleep(0.02)

    def mebibytes(self) -> float:
        """The highest seen; short peaks may be missed."""
        self._watch.join()
        return self._peak / (1 << 20)


def _print(job: Job, figures: dict[str, list[Figures]]) -> None:
    print(f"\n{job.title} (without imports, medians of {len(next(iter(figures.values())))})")
    print(f"{'':22}{'wall s':>9}{'CPU s':>9}{'RSS MiB':>9}{'wall/ours':>11}{'CPU/ours':>10}")
    medians = {
        client: Figures(*(statistics.median(getattr(run, name) for run in runs) for name in ("wall", "cpu", "rss")))
        for client, runs in figures.items()
    }
    ours = medians["ours"]
    for client, found in medians.items():
        ratios = f"{found.wall / ours.wall:11.1f}{found.cpu / ours.cpu:10.1f}"
        print(f"{client:22}{found.wall:9.2f}{found.cpu:9.2f}{found.rss:9.0f}{ratios}", flush=True)
