"""The local directory store under contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest

from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from tests.contract.rig import MISSING


class LocalDirectoryRig:
    name: ClassVar[str] = "local_directory"
    type: ClassVar[str] = "LocalDirectory"
    deviations: ClassVar[Mapping[str, str]] = {}
    clock_tolerance: ClassVar[timedelta] = timedelta(seconds=1)
    live: ClassVar[str] = ""
    crowd: ClassVar[int] = 5200

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.secrets: list[str] = []

    @contextmanager
    def new_store(self) -> Iterator[FileStore]:
        with TemporaryDirectory() as root, LocalDirectory(root).open(Anonymous()) as store:
            yield store

    @contextmanager
    def missing_store(self) -> Iterator[FileStore]:
        with TemporaryDirectory() as parent, LocalDirectory(str(Path(parent, MISSING))).open(Anonymous()) as store:
            yield store

    @contextmanager
    def absent_store(self) -> Iterator[FileStore]:
        with TemporaryDirectory() as parent, LocalDirectory(str(Path(parent, "a", "b"))).open(Anonymous()) as store:
            yield store


RIGS = [LocalDirectoryRig]
