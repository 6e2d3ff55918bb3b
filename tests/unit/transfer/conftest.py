"""Stores of every kind that transfers treat differently."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from tests.unit.transfer.publishing import Rig
from tests.unit.transfer.stores import RENAMING, SWAPPING, MemoryStore


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder in memory where the machine has such: what is written there needs not wait for a disk."""
    with TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        yield Path(folder)


@pytest.fixture
def local(disk: Path) -> Iterator[Callable[[str], FileStore]]:
    """Opens folders of this machine."""
    opened: list[FileStore] = []

    def open_folder(name: str) -> FileStore:
        opened.append(LocalDirectory(str(disk / name)).create().open(Anonymous()))
        return opened[-1]

    yield open_folder
    for store in opened:
        store.close()


OpenFolder = Callable[[str], FileStore]


def marked(local: OpenFolder) -> Rig:
    return Rig(MemoryStore(), "gold/")


def swapped(local: OpenFolder) -> Rig:
    return Rig(MemoryStore(SWAPPING), "gold/")


def renamed(local: OpenFolder) -> Rig:
    return Rig(MemoryStore(RENAMING), "gold/")


def unrenamed(local: OpenFolder) -> Rig:
    """There are folders, but the credential may not say who may use them."""
    store = MemoryStore(RENAMING)
    store.takes_rights = False
    return Rig(store, "gold/")


def folder(local: OpenFolder) -> Rig:
    return Rig(local("t"), "gold/")


def root(local: OpenFolder) -> Rig:
    return Rig(local("t"), "")


@pytest.fixture(params=[marked, swapped, renamed, unrenamed, folder, root])
def rig(request: pytest.FixtureRequest, local: OpenFolder) -> Rig:
    """A place to publish to: in memory (``marked``, ``swapped``, ``renamed``) or on a disk (``folder``, ``root``)."""
    made: Rig = request.param(local)
    return made


@pytest.fixture(params=[marked, unrenamed, root])
def changing(request: pytest.FixtureRequest, local: OpenFolder) -> Rig:
    """A place where a publish changes one file after the other."""
    made: Rig = request.param(local)
    return made


@pytest.fixture
def renaming(local: OpenFolder) -> Rig:
    """A place where a publish is two renames."""
    return renamed(local)


@pytest.fixture(params=[swapped, folder])
def swapping(request: pytest.FixtureRequest, local: OpenFolder) -> Rig:
    """A place where a publish appears in one step."""
    made: Rig = request.param(local)
    return made


@pytest.fixture(params=[marked, swapped, renamed])
def in_memory(request: pytest.FixtureRequest, local: OpenFolder) -> Rig:
    """A place where publishing takes no time."""
    made: Rig = request.param(local)
    return made


@pytest.fixture(params=[folder, root])
def on_disk(request: pytest.FixtureRequest, local: OpenFolder) -> Rig:
    """A place on a real file system."""
    made: Rig = request.param(local)
    return made
