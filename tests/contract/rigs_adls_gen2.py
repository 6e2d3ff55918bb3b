"""The Data Lake Gen2 store under contract, against the account that ``servers`` finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import ClassVar
from urllib.parse import quote

import pytest

from airflow_azureml_datastores.core.credentials import AccountKey
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.stores.adls_gen2 import AzureDataLakeGen2
from tests.contract.rig import MISSING
from tests.servers.adls import StorageAccount


class AzureDataLakeGen2Rig:
    name: ClassVar[str] = "adls_gen2"
    type: ClassVar[str] = "AzureDataLakeGen2"
    deviations: ClassVar[Mapping[str, str]] = {
        "test_lookalike[carriage return]": "the service takes no control characters, so the plain name is refused too",
    }
    clock_tolerance: ClassVar[timedelta] = timedelta(seconds=2)
    live: ClassVar[str] = "TEST_ADLS_URL"
    crowd: ClassVar[int] = 5200

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._account: StorageAccount = request.getfixturevalue("servers").adls_account
        self.secrets = [self._account.key, quote(self._account.key, safe=""), "sig="]

    @contextmanager
    def new_store(self) -> Iterator[FileStore]:
        with self._account.filesystem() as name, self._open(name) as store:
            yield store

    @contextmanager
    def missing_store(self) -> Iterator[FileStore]:
        with self._open(MISSING) as store:
            yield store

    @contextmanager
    def absent_store(self) -> Iterator[FileStore]:
        with self._account.filesystem(make=False) as name, self._open(name) as store:
            yield store

    def _open(self, filesystem: str) -> FileStore:
        account = self._account
        return AzureDataLakeGen2(account.account, filesystem, endpoint=account.url).open(AccountKey(account.key))


RIGS = [AzureDataLakeGen2Rig]
