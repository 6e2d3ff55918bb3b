"""A client's job in a process of its own: what it takes, and how that compares."""

from __future__ import annotations

import contextlib
import resource
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Figures:
    """:param wall: seconds. :param cpu: seconds, user and system. :param rss: peak resident memory, MiB."""

    wall: float
    cpu: float
    rss: float


def measure(command: Sequence[str], what: str) -> Figures:
    """Run a client, which prints ``seconds``, wall and CPU, in its last line. :raises SystemExit: it failed."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        memory = _PeakMemory(process.pid)
        output, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"{what} failed:\n{errors[-2000:]}")
    _, wall, cpu = output.splitlines()[-1].split()
    return Figures(float(wall), float(cpu), memory.mebibytes())


def timed(client: Iterator[None]) -> None:
    """Run a client of this process from where it is ready, and print what :func:`measure` reads."""
    next(client)
    wall, used = time.perf_counter(), _cpu()
    for _ in client:
        pass
    print("seconds", time.perf_counter() - wall, _cpu() - used)


def _cpu() -> float:
    """Of this process and of those that it started and that have ended; a server is none of them."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in found)


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


def show(title: str, figures: Mapping[str, Sequence[Figures]]) -> None:
    """Print medians, and their ratio to those of the client ``ours``."""
    print(f"\n{title} (without imports, medians of {len(next(iter(figures.values())))})")
    print(f"{'':22}{'wall s':>9}{'CPU s':>9}{'RSS MiB':>9}{'wall/ours':>11}{'CPU/ours':>10}")
    medians = {
        client: Figures(*(statistics.median(getattr(run, name) for run in runs) for name in ("wall", "cpu", "rss")))
        for client, runs in figures.items()
    }
    ours = medians["ours"]
    for client, found in medians.items():
        ratios = f"{found.wall / ours.wall:11.1f}{found.cpu / ours.cpu:10.1f}"
        print(f"{client:22}{found.wall:9.2f}{found.cpu:9.2f}{found.rss:9.0f}{ratios}", flush=True)
