"""What the mounts' tests share: a store that is mounted, and a plain folder beside it that gets the same work."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from airflow_azureml_datastores.compute._mount_system import is_mounted
from airflow_azureml_datastores.compute.mount import CACHE, check_mounts, mount_folder, mount_source
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.errors import MissingExtra, Unsupported
from airflow_azureml_datastores.transfer.source import find_source
from tests.integration.transfer_sites import Site

Files = dict[str, bytes]


def require_mounts() -> None:
    """Skip where nothing can be mounted, or fail if ``TEST_REQUIRE`` names ``fuse``."""
    try:
        check_mounts()
    except (Unsupported, MissingExtra) as error:
        if "fuse" in [name.strip() for name in os.environ.get("TEST_REQUIRE", "").split(",")]:
            pytest.fail(f"fuse is required (TEST_REQUIRE), but {error}")
        pytest.skip(str(error))


@dataclass
class Rig:
    """A store and folders to mount it at.

    :param base: folder for mountpoints and scratch.
    """

    site: Site
    store: FileStore
    base: Path
    said: list[str] = field(default_factory=list)

    def put(self, files: Files) -> None:
        for path, content in files.items():
            self.store.write(path, [content], size=len(content))

    def get(self, prefix: str = "") -> Files:
        """All objects below a prefix."""
        return {
            info.path[len(prefix) :]: b"".join(self.store.read(info.path, if_match=info.etag))
            for info in self.store.list(prefix)
        }

    @contextmanager
    def mounted(
        self, prefix: str = "", *, writable: bool = True, cache: int = CACHE, disk: int | None = None
    ) -> Iterator[Path]:
        """The store's folder, mounted; afterwards nothing is left of that.

        :param disk: bytes of the disk for what is read and written; skips where none so small can be had.
        """
        place = Place("lake", self.store, prefix)
        with self._point() as (folder, scratch), _small_disk(scratch, disk) if disk else nullcontext():
            with mount_folder(folder, place, writable=writable, cache=cache, scratch=scratch, say=self.said.append):
                yield folder
            assert_gone(folder)
            assert os.listdir(scratch) == []

    @contextmanager
    def mounted_source(self, path: str, *, pattern: bool = False, cache: int = CACHE) -> Iterator[Path]:
        """A source, mounted."""
        source = find_source(lambda _: Place("lake", self.store), DatastoreUri("lake", path, pattern=pattern))
        with self._point() as (folder, scratch):
            with mount_source(folder, source, cache=cache, scratch=scratch, say=self.said.append):
                yield folder
            assert_gone(folder)
            assert os.listdir(scratch) == []

    @contextmanager
    def _point(self) -> Iterator[tuple[Path, Path]]:
        folder, scratch = (Path(tempfile.mkdtemp(dir=self.base)) for _ in range(2))
        yield folder, scratch


@contextmanager
def make_rig(site: Site) -> Iterator[Rig]:
    with ExitStack() as stack:
        # Not in memory, and not below pytest's folders, whose cleaning up should never meet a mount.
        base = stack.enter_context(tempfile.TemporaryDirectory(prefix="mounts-", ignore_cleanup_errors=True))
        yield Rig(site, stack.enter_context(site.open()), Path(base).resolve())


@contextmanager
def _small_disk(folder: Path, size: int) -> Iterator[None]:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=False)
    if done.returncode:
        pytest.skip("this user may not mount a disk of a size")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def assert_gone(folder: Path) -> None:
    """Nothing is mounted there, and the folder is as empty as before."""
    assert not is_mounted(str(folder))
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    assert os.listdir(folder) == []


def sh(folder: Path, command: str, *, env: dict[str, str] | None = None) -> str:
    """Run a command in a folder; what it wrote to both streams, with its exit code."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PYTHON": sys.executable, "LC_ALL": "C", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    return f"{done.stdout.decode()}[{done.returncode}]"


def tree(folder: Path) -> dict[str, bytes | None]:
    """All files of a folder with their content; folders have none."""
    found: dict[str, bytes | None] = {}
    for path in sorted(folder.rglob("*")):
        found[str(path.relative_to(folder))] = None if path.is_dir() else path.read_bytes()
    return found
