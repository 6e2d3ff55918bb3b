"""The OneLake store under contract, against a stand-in: with tokens, as OneLake takes nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import ClassVar
from unittest import mock
from uuid import uuid4

import pytest

from airflow_azureml_datastores.core.credentials import AccessToken
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.stores.one_lake import OneLake
from tests.contract.rig import MISSING
from tests.servers.adls import DataLake


class OneLakeRig:
    name: ClassVar[str] = "one_lake"
    type: ClassVar[str] = "OneLake"
    deviations: ClassVar[Mapping[str, str]] = {
        "test_lookalike[carriage return]": "the service takes no control characters, so the plain name is refused too",
    }
    clock_tolerance: ClassVar[timedelta] = timedelta(seconds=2)

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._lake: DataLake = request.getfixturevalue("servers").adls
        self._token = self._lake.token()
        self.secrets = [self._token]

    @contextmanager
    def new_store(self) -> Iterator[FileStore]:
        workspace = self._lake.onelake.new_workspace(f"workspace {uuid4().hex}", ["Sales.Lakehouse"])
        with self._open(workspace.name) as store:
            yield store

    @contextmanager
    def missing_store(self) -> Iterator[FileStore]:
        with self._open(MISSING) as store:
            yield store

    @contextmanager
    def absent_store(self) -> Iterator[FileStore]:
        raise NotImplementedError("workspaces and items are made in Fabric")

    @contextmanager
    def _open(self, workspace: str) -> Iterator[FileStore]:
        location = OneLake(workspace, "Sales/Files", endpoint=self._lake.url(self._lake.onelake))
        with (
            mock.patch.dict(os.environ, REQUESTS_CA_BUNDLE=str(self._lake.ca)),
            location.open(AccessToken(self._token)) as store,
        ):
            yield store


RIGS = [OneLakeRig]
