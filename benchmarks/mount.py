"""``python -m benchmarks.mount [ROUNDS]``: reading through a mount, ours beside rclone's and beside a download.

The files are read by ``cat``, right after they have become reachable and for the first time; a download counts with the
reading of what it brought. CPU is that of the process that serves, or downloads. As in :mod:`benchmarks.blob` the
rounds are interleaved: trust ratios, not the seconds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from airflow_azureml_datastores.compute._mount_system import is_mounted, unmount
from airflow_azureml_datastores.compute.mount import check_mounts, mount_folder, mount_source
from airflow_azureml_datastores.core.credentials import AccountKey
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.stores.azure_blob import AzureBlob
from airflow_azureml_datastores.transfer.source import find_source
from benchmarks.blob import LARGE, SMALL, Job, _prepare, _service
from benchmarks.blob_clients import KEY

ONE, MANY = "find . -type f -print0 | xargs -0 cat", "find . -type f -print0 | xargs -0 -n 16 -P 16 cat"

JOBS = (
    (Job("read one file of 512 MiB", "download", 1, LARGE), ONE),
    (Job("read 1,000 small files one by one, +10 ms", "download", 1000, SMALL, 0.010), ONE),
    (Job("read 1,000 small files, 16 at once, +10 ms", "download", 1000, SMALL, 0.010), MANY),
)


@dataclass(frozen=True)
class Figures:
    """:param wall: seconds of reading. :param cpu: seconds, user and system, of whoever serves."""

    wall: float
    cpu: float


@contextmanager
def source(url: str, folder: Path, scratch: Path) -> Iterator[None]:
    """Ours, of exactly the files that were found."""
    with AzureBlob("devstoreaccount1", "bench", endpoint=url).open(AccountKey(KEY)) as store:
        found = find_source(lambda _: Place("bench", store), DatastoreUri("bench", "data/"))
        with mount_source(folder, found, scratch=scratch, say=print):
            yield


@contextmanager
def live(url: str, folder: Path, scratch: Path) -> Iterator[None]:
    """Ours, of a folder that may change."""
    with (
        AzureBlob("devstoreaccount1", "bench", endpoint=url).open(AccountKey(KEY)) as store,
        mount_folder(folder, Place("bench", store, "data/"), writable=True, scratch=scratch, say=print),
    ):
        yield


@contextmanager
def rclone(url: str, folder: Path, scratch: Path) -> Iterator[None]:
    """rclone, with its cache on disk."""
    remote = f":azureblob,account=devstoreaccount1,key='{KEY}',endpoint='{url}':bench/data"
    program = str(Path(sys.executable).with_name("rclone"))
    options = ["--vfs-cache-mode=full", f"--cache-dir={scratch}", "--config=/dev/null"]
    with subprocess.Popen([program, "mount", remote, str(folder), *options], stderr=subprocess.DEVNULL) as process:
        try:
            while not is_mounted(str(folder)):
                if process.poll() is not None:
                    raise SystemExit("rclone does not mount.")
                time.sleep(0.01)
            yield
        finally:
            process.terminate()
            process.wait()
            unmount(str(folder), lazy=True)


@contextmanager
def download(url: str, folder: Path, scratch: Path) -> Iterator[None]:
    """Nothing: the job itself downloads first."""
    yield


CLIENTS = {"ro_mount": source, "rw_mount": live, "rclone mount": rclone, "download": download}


def run(rounds: int) -> None:
    """Time every job, and print a table per job."""
    check_mounts()
    for job, command in JOBS:
        with _service(job.latency) as url:
            _prepare(job, url)
            figures: dict[str, list[Figures]] = {name: [] for name in CLIENTS}
            for _ in range(rounds):
                for name, client in CLIENTS.items():
                    figures[name].append(_time(client, command, url, job))
        _print(job, figures)


def _time(client: Callable[..., Iterator[None]], command: str, url: str, job: Job) -> Figures:
    with tempfile.TemporaryDirectory() as base:
        folder, scratch = Path(base).resolve() / "folder", Path(base).resolve() / "scratch"
        folder.mkdir()
        scratch.mkdir()
        with client(url, folder, scratch):
            before, began = _cpu(), time.perf_counter()
            extra = 0.0
            if client is download:
                worker = [sys.executable, "-m", "benchmarks.blob_clients", "ours", "download", url, str(folder)]
                done = subprocess.run(worker, stdout=subprocess.PIPE, text=True, check=True)
                wall, extra = map(float, done.stdout.splitlines()[-1].split()[1:])
                before, began = _cpu(), time.perf_counter() - wall  # without its imports
            read = subprocess.run(f"{command} | wc -c", shell=True, cwd=folder, stdout=subprocess.PIPE, check=True)
            figures = Figures(time.perf_counter() - began, _cpu() - before + extra)
        if int(read.stdout) != job.files * job.size:
            raise SystemExit(f"{client.__name__} gave {int(read.stdout)} bytes at {job.title}.")
        return figures


def _cpu() -> float:
    """CPU seconds of the processes that serve."""
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children() if "blob_stub" not in _line(child))


def _line(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def _print(job: Job, figures: dict[str, list[Figures]]) -> None:
    print(f"\n{job.title} (medians of {len(next(iter(figures.values())))})")
    print(f"{'':22}{'wall s':>9}{'CPU s':>9}{'wall/ro_mount':>15}{'CPU/ro_mount':>14}")
    medians = {
        name: Figures(*(statistics.median(getattr(run, field) for run in runs) for field in ("wall", "cpu")))
        for name, runs in figures.items()
    }
    ours = medians["ro_mount"]
    for name, found in medians.items():
        ratios = f"{found.wall / ours.wall:15.1f}{found.cpu / ours.cpu:14.1f}"
        print(f"{name:22}{found.wall:9.2f}{found.cpu:9.2f}{ratios}", flush=True)


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
