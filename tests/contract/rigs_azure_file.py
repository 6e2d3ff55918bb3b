"""The store of file shares under contract, against the stand-in or whatever service ``servers`` finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import ClassVar
from urllib.parse import quote

import pytest

from airflow_azureml_datastores.core.credentials import AccountKey
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.stores.azure_file import AzureFile
from tests.contract.rig import MISSING
from tests.servers.azurefiles import AzureFiles, FileService


class AzureFileRig:
    name: ClassVar[str] = "azure_file"
    type: ClassVar[str] = "AzureFile"
    deviations: ClassVar[Mapping[str, str]] = {
        "test_lookalike[carriage return]": "the service takes no control characters, so the plain name is refused too",
    }
    clock_tolerance: ClassVar[timedelta] = timedelta(seconds=2)
    live: ClassVar[str] = "TEST_AZUREFILES_URL"
    crowd: ClassVar[int] = 1000

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._service: FileService = request.getfixturevalue("servers").azurefiles
        self.secrets = [self._service.key, quote(self._service.key, safe=""), "sig="]

    @contextmanager
    def new_store(self) -> Iterator[FileStore]:
        with self._service.share() as name, self._open(name) as store:
            yield store

    @contextmanager
    def missing_store(self) -> Iterator[FileStore]:
        with self._open(MISSING) as store:
            yield store

    @contextmanager
    def absent_store(self) -> Iterator[FileStore]:
        with self._service.share(make=False) as name, self._open(name) as store:
            yield store

    def _open(self, share: str) -> FileStore:
        service = self._service
        url = service.plain_url if isinstance(service, AzureFiles) else service.url
        return AzureFile(service.account, share, endpoint=url).open(AccountKey(service.key))


RIGS = [AzureFileRig]
