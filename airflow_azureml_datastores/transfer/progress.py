"""How far a transfer is, told in words at a steady pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Say = Callable[[str], None]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_BAR = 20


def human_size(size: float) -> str:
    """A number of bytes as people read it, in binary units."""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 100 else f"{size:.1f} {_UNITS[unit]}"


def human_number(number: int) -> str:
    """A whole number, thousands apart: ``1 204``."""
    return f"{number:,}".replace(",", " ")


def human_count(count: int, noun: str = "file") -> str:
    """A count with its noun: ``1 204 files``."""
    return f"{human_number(count)} {noun}{'' if count == 1 else 's'}"


def human_time(seconds: float) -> str:
    """A time as people read it, in its two largest units: ``2 s``, ``3 min 20 s``, ``1 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{human_number(whole // 3600)} h {whole % 3600 // 60} min"


@dataclass
class Progress:
    """Counts what has arrived, from many threads, and says so at most every ``every`` seconds.

    :param label: what is being moved, for example ``[ingest] churn/scheduled__2026-11-22  sales``.
    :param files: how many files will be moved.
    :param size: how many bytes those are.
    :param say: takes a finished line.
    :param every: seconds between lines.
    """

    label: str
    files: int
    size: int
    say: Say
    every: float = 5.0
    files_done: int = field(default=0, init=False)
    bytes_done: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._started = self._said = time.monotonic()

    def moved(self, size: int, files: int = 0) -> None:
        """Count bytes, and files that are complete with them; a negative size takes back a broken attempt."""
        with self._lock:
            self.bytes_done += size
            self.files_done += files
            now = time.monotonic()
            if now - self._said < self.every:
                return
            self._said = now
            line = self._line(now)
        self.say(line)

    @property
    def seconds(self) -> float:
        """Seconds since the transfer began."""
        return time.monotonic() - self._started

    def _line(self, now: float) -> str:
        elapsed = max(now - self._started, 1e-9)
        share = self.bytes_done / self.size if self.size else self.files_done / max(self.files, 1)
        share = min(max(share, 0.0), 1.0)
        filled = int(share * _BAR)
        left = f"{human_time(elapsed / share - elapsed)} left" if share > 0 else "waiting"
        return (
            f"{self.label}  {human_count(self.files)}  {human_size(self.size)}  "
            f"{'█' * filled}{'░' * (_BAR - filled)}  {int(share * 100)} %  "
            f"{human_size(self.bytes_done / elapsed)}/s  {left}"
        )
