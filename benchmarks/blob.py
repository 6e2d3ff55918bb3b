"""Blob transfers: this provider beside the official hook, the SDK and rclone, in one run.

Each client does each job in a process of its own; the rounds are interleaved, so that a slow moment of the machine hits
all alike. What is told are medians and their ratio to ours: trust CPU and ratios, not the seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.blob_clients import CLIENTS
from benchmarks.measure import Figures, measure, show

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


def run(rounds: int) -> None:
    """Time every job, and print a table per job."""
    for job in JOBS:
        with _service(job.latency) as url, tempfile.TemporaryDirectory() as scratch:
            _prepare(job, url)
            figures: dict[str, list[Figures]] = {client: [] for client in job.clients}
            for _ in range(rounds):
                for client in job.clients:
                    figures[client].append(_time(client, job, url, Path(scratch)))
        show(job.title, figures)


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
    figures = measure(command, f"{client} at {job.title}")
    if job.verb == "download":
        arrived = [path.stat().st_size for path in folder.rglob("part-*.bin")]
        if (len(arrived), sum(arrived)) != (job.files, job.files * job.size):
            raise SystemExit(f"{client} delivered {len(arrived)} files, {sum(arrived)} bytes at {job.title}.")
    shutil.rmtree(folder)
    return figures


def _fill(folder: Path, job: Job) -> None:
    chunk = os.urandom(min(job.size, 1 << 20))
    for number in range(job.files):
        with (folder / f"part-{number:06d}.bin").open("wb") as file:
            for _ in range(job.size // len(chunk)):
                file.write(chunk)
