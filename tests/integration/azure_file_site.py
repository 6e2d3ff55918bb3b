"""A share of a test's own on the stand-in of Azure Files, and ways into it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.fileshare import ShareClient, ShareSasPermissions, generate_share_sas

from airflow_azureml_datastores.core.credentials import AccountKey, Credential, SasToken
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores.azure_file import AzureFile, AzureFileStore
from tests.servers.azurefiles import AzureFiles
from tests.servers.fixtures import Servers

MIB = 1 << 20
QUICK = Patience(retries=2, backoff=0.01, timeout=10)
ALL = {"read": True, "write": True, "list": True, "create": True, "delete": True}


@dataclass
class Site:
    """A share, and ways into it. Faults are planned, and requests looked up, by the share's name."""

    files: AzureFiles
    share: str

    def open(
        self, credential: Credential | None = None, *, share: str = "", url: str = "", **options: Any
    ) -> AzureFileStore:
        """By the account's key over http unless it is said otherwise."""
        location = AzureFile(self.files.account, share or self.share, endpoint=url or self.files.plain_url)
        return AzureFileStore(location, credential or AccountKey(self.files.key), **{"patience": QUICK, **options})

    def sdk(self) -> ShareClient:
        """The SDK's own client: a witness, and somebody else who works on the share."""
        key = AzureNamedKeyCredential(self.files.account, self.files.key)
        return ShareClient(
            self.files.plain_url, self.share, credential=key, allow_trailing_dot=True, allow_source_trailing_dot=True
        )

    def sas(self, *, valid: timedelta = timedelta(hours=1), **permissions: bool) -> SasToken:
        until = datetime.now(UTC) + valid
        allowed = ShareSasPermissions(**(permissions or ALL))
        return SasToken(generate_share_sas(self.files.account, self.share, self.files.key, allowed, until))

    def requests(self, pattern: str = ".") -> list[str]:
        """The requests on the share so far, as ``METHOD path?query`` below it; those of tests' own clients too."""
        seen = self.files.requests(rf"^\w+ /{self.files.account}/{self.share}(/|\?|$)")
        lines = [entry.request.replace(f"/{self.files.account}/{self.share}", "", 1) for entry in seen]
        return [line for line in lines if pattern == "." or pattern in line]

    def match(self, pattern: str) -> str:
        """The regular expression for a fault that strikes this share's requests only: ``METHOD path`` below it."""
        method, _, rest = pattern.partition(" ")
        return rf"^{method} /{self.files.account}/{self.share}{rest}"

    def everything(self, folder: str = "") -> list[str]:
        """The paths of all that is there, drafts and folders (with a slash) too."""
        found = []
        with self.sdk() as client:
            for item in client.list_directories_and_files(folder or None):
                path = f"{folder}/{item.name}" if folder else item.name
                found += [f"{path}/", *self.everything(path)] if item.is_directory else [path]
        return sorted(found)


@contextmanager
def new_site(servers: Servers) -> Iterator[Site]:
    service = servers.azurefiles
    if not isinstance(service, AzureFiles):
        pytest.skip("what a real account would not play along with")
    with service.share() as share:
        yield Site(service, share)


@contextmanager
def warnings_of(log: logging.Logger) -> Iterator[list[str]]:
    """What is written into a log, also where Airflow has switched it off in this process."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    listener, was = Listener(), log.disabled
    log.addHandler(listener)
    log.disabled = False
    try:
        yield said
    finally:
        log.disabled = was
        log.removeHandler(listener)


def put(
    store: FileStore, path: str, content: bytes = b"x", *, create: bool = False, if_match: str | None = None
) -> str:
    return store.write(path, [content], size=len(content), create=create, if_match=if_match)


def get(store: FileStore, path: str, *, if_match: str | None = None) -> bytes:
    return b"".join(store.read(path, if_match=if_match))


def paths(store: FileStore, prefix: str = "") -> list[str]:
    return [info.path for info in store.list(prefix)]
