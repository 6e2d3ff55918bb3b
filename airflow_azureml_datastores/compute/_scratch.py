"""Folders of this machine that live as long as a run, and no longer than its process."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from airflow_azureml_datastores.compute._mount_system import is_mounted, unmount

_PREFIX = "azureml-run-"


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder of one's own, which vanishes on leaving; so do those that killed processes have left beside it.

    A folder belongs to whoever holds its ``flock``, which ends with the process.

    :param parent: where to make it; None is the system's folder for temporary files.
    """
    parent = Path(parent or tempfile.gettempdir()).resolve()
    _sweep(parent)
    folder, lock = _make(parent)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def _make(parent: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        with suppress(FileNotFoundError):  # swept before it could be locked
            lock = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # the file system has no such locks: then nobody can sweep either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _sweep(parent: Path) -> None:
    """Remove the folders whose process is gone."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    for path in _mounts(folder):  # nobody has unmounted them if their processes were killed, too
                        unmount(path, lazy=True)
                    _remove(folder)
            finally:
                os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a folder, but never what is in a datastore that is still mounted in it."""
    if _mounts(folder):
        return
    shutil.rmtree(folder, ignore_errors=True)
    for path, _, _ in os.walk(folder):  # what is left may be read-only
        with suppress(OSError):
            os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _mounts(folder: Path) -> list[str]:
    """Where in a run's folder datastores are mounted."""
    paths = [str(path) for kind in ("inputs", "outputs") for path in (folder / kind).glob("*")]
    return [path for path in paths if is_mounted(path)]
