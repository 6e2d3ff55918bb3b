"""The OneLake store under contract, with tokens, as OneLake takes nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import ClassVar
from unittest import mock
from uuid import uuid4

import pytest

from airflow_azureml_datastores.core.credentials import AccessToken, Identity
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.stores.one_lake import OneLake
from tests.contract.rig import MISSING
from tests.servers.adls import FabricItem


class OneLakeRig:
    name: ClassVar[str] = "one_lake"
    type: ClassVar[str] = "OneLake"
    deviations: ClassVar[Mapping[str, str]] = {
        "test_lookalike[carriage return]": "the service takes no control characters, so the plain name is refused too",
    }
    clock_tolerance: ClassVar[timedelta] = timedelta(seconds=2)
    live: ClassVar[str] = "TEST_ONELAKE_WORKSPACE"
    crowd: ClassVar[int] = 5200

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._item: FabricItem = request.getfixturevalue("servers").onelake
        self.secrets = [self._item.token] if self._item.token else []

    @contextmanager
    def new_store(self) -> Iterator[FileStore]:
        """In a folder of its own, as items are made in Fabric only."""
        folder = f"test-{uuid4().hex}"
        with self._open(self._item.workspace, self._item.artifact) as around:
            around.make_directory_like(folder, "")
            try:
                with self._open(self._item.workspace, f"{self._item.artifact}/{folder}") as store:
                    yield store
            finally:
                around.delete_directory(folder)

    @contextmanager
    def missing_store(self) -> Iterator[FileStore]:
        with self._open(MISSING, self._item.artifact) as store:
            yield store

    def absent_store(self) -> AbstractContextManager[FileStore]:
        raise NotImplementedError("workspaces and items are made in Fabric")

    @contextmanager
    def _open(self, workspace: str, artifact: str) -> Iterator[FileStore]:
        item = self._item
        trusting = mock.patch.dict(os.environ, REQUESTS_CA_BUNDLE=str(item.ca)) if item.ca else nullcontext()
        credential = AccessToken(item.token) if item.token else Identity()
        with trusting, OneLake(workspace, artifact, endpoint=item.url).open(credential) as store:
            yield store


RIGS = [OneLakeRig]
