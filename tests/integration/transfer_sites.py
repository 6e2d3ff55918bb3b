"""Where the transfers' tests move files: fresh stores that other processes can open too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory

from airflow_azureml_datastores.core.credentials import AccessToken, AccountKey, Anonymous, Credential
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.stores.adls_gen2 import AzureDataLakeGen2
from airflow_azureml_datastores.stores.azure_blob import AzureBlob
from airflow_azureml_datastores.stores.azure_file import AzureFile
from airflow_azureml_datastores.stores.dbfs import Dbfs
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from tests.servers.azurefiles import AzureFiles
from tests.servers.fixtures import Servers


@dataclass(frozen=True)
class Site:
    """A store that any process can open."""

    location: Location
    credential: Credential

    def open(self) -> FileStore:
        return self.location.open(self.credential)


class Sites:
    """Makes sites, which are gone in the end."""

    def __init__(self, servers: Servers, stack: ExitStack) -> None:
        self._servers, self._stack = servers, stack

    def new(self, kind: str) -> Site:
        """A new, empty store.

        :param kind: ``local``, in memory where the machine has such a folder, ``blob``, ``lake``, ``file``, a share, or
            ``volume`` in Databricks.
        """
        if kind == "local":
            base = "/dev/shm" if os.path.isdir("/dev/shm") else None
            folder = self._stack.enter_context(TemporaryDirectory(dir=base, ignore_cleanup_errors=True))
            return Site(LocalDirectory(folder), Anonymous())
        if kind == "lake":
            account = self._servers.adls_account
            filesystem = self._stack.enter_context(account.filesystem())
            return Site(AzureDataLakeGen2(account.account, filesystem, account.url), AccountKey(account.key))
        if kind == "file":
            files = self._servers.azurefiles
            share = self._stack.enter_context(files.share())
            url = files.plain_url if isinstance(files, AzureFiles) else files.url
            return Site(AzureFile(files.account, share, endpoint=url), AccountKey(files.key))
        if kind == "volume":
            databricks = self._servers.databricks
            path = self._stack.enter_context(databricks.folder())
            return Site(Dbfs(databricks.url, path), AccessToken(databricks.token))
        service = self._servers.azurite
        container = self._stack.enter_context(service.container())
        return Site(AzureBlob(service.account, container, endpoint=service.url), AccountKey(service.key))

    def open(self, kind: str) -> FileStore:
        """The same, opened here."""
        return self._stack.enter_context(self.new(kind).open())


@contextmanager
def make_sites(servers: Servers) -> Iterator[Sites]:
    with ExitStack() as stack:
        yield Sites(servers, stack)
