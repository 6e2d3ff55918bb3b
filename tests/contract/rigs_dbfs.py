"""The two stores in a Databricks workspace under contract, against a stand-in or what else ``servers`` finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import ClassVar

import pytest

from airflow_azureml_datastores.core.credentials import AccessToken
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.stores.dbfs import Dbfs
from tests.contract.rig import MISSING
from tests.servers.databricks import DatabricksService

LOOKED_AT_BEFORE = "the service has no conditional writes: if_match is only looked at before"
NO_CONTROL = "the service takes no control characters, so the plain name is refused too"


class DatabricksRig:
    type: ClassVar[str] = "DBFS"
    clock_tolerance: ClassVar[timedelta] = timedelta(seconds=2)
    live: ClassVar[str] = "TEST_DATABRICKS_URL"

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._service: DatabricksService = request.getfixturevalue("servers").databricks
        self.secrets = [self._service.token, "sig="]

    def _open(self, path: str) -> FileStore:
        return Dbfs(self._service.url, path).open(AccessToken(self._service.token))


class VolumeRig(DatabricksRig):
    name: ClassVar[str] = "dbfs_volume"
    crowd: ClassVar[int] = 2000
    deviations: ClassVar[Mapping[str, str]] = {
        "test_compare_and_swap": LOOKED_AT_BEFORE,
        "test_lookalike[carriage return]": NO_CONTROL,
    }

    @contextmanager
    def new_store(self) -> Iterator[FileStore]:
        with self._service.folder() as path, self._open(path) as store:
            yield store

    @contextmanager
    def missing_store(self) -> Iterator[FileStore]:
        schema = self._service.volume.rpartition("/")[0]
        with self._open(f"{schema}/{MISSING}") as store:
            yield store

    @contextmanager
    def absent_store(self) -> Iterator[FileStore]:
        with self._service.folder(make=False) as path, self._open(path) as store:
            yield store


class DbfsRootRig(DatabricksRig):
    name: ClassVar[str] = "dbfs_root"
    crowd: ClassVar[int] = 700
    deviations: ClassVar[Mapping[str, str]] = {
        "test_compare_and_swap": LOOKED_AT_BEFORE,
        "test_lookalike[carriage return]": NO_CONTROL,
    }

    @contextmanager
    def new_store(self) -> Iterator[FileStore]:
        with self._service.dbfs_folder() as path, self._open(path) as store:
            yield store

    @contextmanager
    def missing_store(self) -> Iterator[FileStore]:
        with self._open(f"dbfs:/{MISSING}") as store:
            yield store

    @contextmanager
    def absent_store(self) -> Iterator[FileStore]:
        with self._service.dbfs_folder(make=False) as path, self._open(path) as store:
            yield store


RIGS = [VolumeRig, DbfsRootRig]
