"""A container of Azure Blob Storage as a datastore."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar, Self
from urllib.parse import urlsplit

from airflow_azureml_datastores.core.arm import ArmDatastore, ArmForm
from airflow_azureml_datastores.core.credentials import AccountKey, Credential, RenewedSas, SasToken
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import Features, FileStore, ObjectInfo
from airflow_azureml_datastores.errors import (
    Changed,
    InvalidConnection,
    InvalidInput,
    InvalidName,
    PathNotFound,
    Unsupported,
)
from airflow_azureml_datastores.stores._azure import AzureAccess, Patience
from airflow_azureml_datastores.stores._blob_container import BlobContainer
from airflow_azureml_datastores.stores._blob_copying import BlobCopier
from airflow_azureml_datastores.stores._blob_names import (
    account_of,
    can_start_a_name,
    check_account_name,
    check_blob_name,
    check_container_name,
    domain_of,
)
from airflow_azureml_datastores.stores._blob_reading import read_blob, stat_blob
from airflow_azureml_datastores.stores._blob_writing import BlobWriter, Condition

_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*", re.IGNORECASE)


@dataclass(frozen=True)
class AzureBlob(Location):
    """A container of a storage account.

    :param account_name: the storage account.
    :param container_name: the container.
    :param endpoint: domain of the cloud, for example ``core.windows.net`` or ``core.usgovcloudapi.net``; or the whole
        URL of the account's Blob service (a private endpoint, a custom domain, Azurite), which is taken as it is.
    :param protocol: ``https`` or ``http``, with a domain.
    """

    type: ClassVar[str] = "AzureBlob"
    account_name: str
    container_name: str
    endpoint: str = "core.windows.net"
    protocol: str = "https"

    def check(self) -> None:
        check_container_name(self.container_name)
        if self._has_url:
            parts = urlsplit(self.endpoint)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
                raise InvalidName("the endpoint of an AzureBlob is a domain, or an http(s) URL without query and user.")
            if not self.account_name:
                raise InvalidName("an AzureBlob needs the name of its storage account.")
            return
        check_account_name(self.account_name)
        if not _HOST.fullmatch(self.endpoint):
            raise InvalidName(f"{self.endpoint!r} is neither a domain such as 'core.windows.net' nor a URL.")
        if self.protocol not in ("https", "http"):
            raise InvalidName(f"the protocol of an AzureBlob is 'https' or 'http', not {self.protocol!r}.")

    def open(self, credential: Credential) -> AzureBlobStore:
        return AzureBlobStore(self, credential)

    def redirected(self, endpoint: str) -> Self:
        """:raises InvalidConnection: the endpoint is another account's, so that its credential would not fit."""
        account = account_of(endpoint)
        if account not in (None, self.account_name):
            raise InvalidConnection(
                f"the connection is for the storage account {account!r}, but the datastore is in "
                f"{self.account_name!r}: name another connection, or register the datastore with the other account."
            )
        return replace(self, endpoint=endpoint)

    def to_arm(self) -> ArmDatastore:
        """ARM's ``endpoint`` is a domain; a URL stands beside it, and is what counts here."""
        properties = {"accountName": self.account_name, "containerName": self.container_name, "protocol": self.protocol}
        if not self._has_url:
            return ArmDatastore({**properties, "endpoint": self.endpoint})
        return ArmDatastore({**properties, "endpoint": domain_of(self.endpoint)}, {"endpoint": self.endpoint})

    @classmethod
    def from_arm(cls, form: ArmForm) -> Self:
        if not isinstance(form, ArmDatastore):
            raise Unsupported("an AzureBlob is a datastore of an Azure ML workspace, and no connection.")
        given = dict(form.properties)
        given["endpoint"] = form.ours.get("endpoint") or given.get("endpoint") or cls.endpoint
        given["protocol"] = given.get("protocol") or cls.protocol
        for name in ("accountName", "containerName", "endpoint", "protocol"):
            if not isinstance(given.get(name), str):
                raise InvalidInput(f"the {name} of an AzureBlob is a text, not {given.get(name)!r}.")
        return cls(given["accountName"], given["containerName"], given["endpoint"], given["protocol"])

    @property
    def account_url(self) -> str:
        """URL of the account's Blob service, without a trailing slash."""
        if self._has_url:
            return self.endpoint.rstrip("/")
        return f"{self.protocol}://{self.account_name}.blob.{self.endpoint}"

    @property
    def url(self) -> str:
        return f"{self.account_url}/{self.container_name}"

    @property
    def _has_url(self) -> bool:
        return "://" in self.endpoint


class AzureBlobStore(FileStore):
    """The blobs of a container, as objects.

    Names: those that the service keeps as they are (see :mod:`~airflow_azureml_datastores.stores._blob_names`).
    Listings come in the service's own order: that of UTF-16 code units, which is that of code points but for characters
    beyond U+FFFF; with a hierarchical namespace it is folder by folder. Directories of such an account are no objects.

    A store does not outlive a fork: open another one in the child.

    Two processes that upload to the same big blob at once disturb each other: all but the first to finish fail with
    :class:`Changed`. Threads that share a store take turns.

    :param location: which container.
    :param credential: anything but a :class:`Login`.
    :param patience: retries and timeouts.
    :raises InvalidConnection: the credential is of no use for a storage account.
    """

    features = Features(server_side_copy=True, any_name=True)

    def __init__(self, location: AzureBlob, credential: Credential, patience: Patience | None = None) -> None:
        self._door = location, credential
        access = AzureAccess(credential, location.account_name, location.account_url)
        self._container = BlobContainer(location.account_url, location.container_name, access, patience or Patience())
        self._writer = BlobWriter(self._container)
        self._copier = BlobCopier(self._container)

    def __repr__(self) -> str:
        return f"AzureBlobStore({self.url!r})"

    @property
    def url(self) -> str:
        return self._container.url

    @property
    def door(self) -> tuple[Location, Credential]:
        return self._door

    def check(self) -> None:
        """List one blob: what every credential that is of use here may do, unlike asking for the container."""
        with self._container.errors.translated():
            next(self._container.listing.pages("", size=1))

    def check_path(self, path: str) -> None:
        check_blob_name(path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        if not can_start_a_name(prefix):
            return
        with self._container.errors.translated():
            for page in self._container.listing.pages(prefix):
                yield from page.blobs

    def stat(self, path: str) -> ObjectInfo:
        return stat_blob(self._container, path)

    def read(
        self, path: str, *, start: int = 0, length: int | None = None, if_match: str | None = None
    ) -> Iterator[bytes]:
        return read_blob(self._container, path, start=start, length=length, if_match=if_match)

    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        size: int | None = None,
        create: bool = False,
        if_match: str | None = None,
    ) -> str:
        return self._writer.write(path, chunks, size, Condition(create, if_match))

    def delete(self, path: str) -> None:
        self._container.check_name(path)
        with suppress(PathNotFound), self._container.errors.translated(path):
            self._container.blob(path).delete_blob()

    def can_copy_from(self, source: FileStore) -> bool:
        """Inside an account always; from another one if its key or SAS token lets the service read there."""
        if not isinstance(source, AzureBlobStore) or not self._copier.works:
            return False
        here, there = self._container, source._container
        if here.account_url == there.account_url:
            return True
        ends = [urlsplit(container.account_url) for container in (here, there)]
        reachable = ends[0].netloc == ends[1].netloc or all(end.scheme == "https" for end in ends)
        return reachable and isinstance(there.access.credential, AccountKey | SasToken | RenewedSas)

    def copy_from(
        self, source: FileStore, source_path: str, path: str, *, if_match: str | None = None, create: bool = False
    ) -> str:
        """Where the service turns out not to copy by itself, the bytes pass through here after all."""
        if not isinstance(source, AzureBlobStore):
            raise Unsupported(f"{self.url}: the service copies from other blob containers only, not from {source.url}.")
        self._container.check_name(path)
        info = source.stat(source_path)
        if if_match not in (None, info.etag):
            raise Changed(f"{show(source_path)} in {source.url}: it is another version than was asked for.")
        try:
            return self._copier.copy(source._container, info, path, Condition(create))
        except Unsupported:
            content = source.read(source_path, if_match=info.etag)
            return self.write(path, content, size=info.size, create=create)

    def close(self) -> None:
        self._container.close()
