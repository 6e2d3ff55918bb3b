"""The Blob store under contract, against Azurite or whatever service ``servers`` finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import ClassVar
from urllib.parse import quote

import pytest

from airflow_azureml_datastores.core.credentials import AccountKey
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.stores.azure_blob import AzureBlob
from tests.contract.rig import MISSING
from tests.servers.azurite import BlobService


class AzureBlobRig:
    name: ClassVar[str] = "azure_blob"
    type: ClassVar[str] = "AzureBlob"
    deviations: ClassVar[Mapping[str, str]] = {
        "test_lookalike[carriage return]": "the service takes no control characters, so the plain name is refused too",
    }
    clock_tolerance: ClassVar[timedelta] = timedelta(seconds=2)
    live: ClassVar[str] = "TEST_AZURITE_URL"
    crowd: ClassVar[int] = 5200

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._service: BlobService = request.getfixturevalue("servers").azurite
        self.secrets = [self._service.key, quote(self._service.key, safe=""), "sig="]

    @contextmanager
    def new_store(self) -> Iterator[FileStore]:
        with self._service.container() as name, self._open(name) as store:
            yield store

    @contextmanager
    def missing_store(self) -> Iterator[FileStore]:
        with self._open(MISSING) as store:
            yield store

    @contextmanager
    def absent_store(self) -> Iterator[FileStore]:
        with self._service.container(make=False) as name, self._open(name) as store:
            yield store

    def _open(self, container: str) -> FileStore:
        service = self._service
        return AzureBlob(service.account, container, endpoint=service.url).open(AccountKey(service.key))


RIGS = [AzureBlobRig]
