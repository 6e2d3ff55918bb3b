"""A file share of Azure Files as a datastore."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Certificate,
    Credential,
    CredentialTypes,
    Identity,
    RenewedSas,
    SasToken,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.datastore import Location, Service
from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import Features, FileStore, ObjectInfo
from airflow_azureml_datastores.errors import Changed, InvalidConnection, Unsupported
from airflow_azureml_datastores.stores._azure import AzureAccess, Patience, describe
from airflow_azureml_datastores.stores._file_commit import Committer, Condition
from airflow_azureml_datastores.stores._file_copying import FileCopier
from airflow_azureml_datastores.stores._file_drafts import Drafts
from airflow_azureml_datastores.stores._file_folders import delete_folder, rename_folder
from airflow_azureml_datastores.stores._file_leases import LEASE_PATIENCE, Leases
from airflow_azureml_datastores.stores._file_listing import list_files
from airflow_azureml_datastores.stores._file_names import check_file_name, check_share_name
from airflow_azureml_datastores.stores._file_reading import read_file, stat_file
from airflow_azureml_datastores.stores._file_rights import make_folder_like
from airflow_azureml_datastores.stores._file_share import FileShare
from airflow_azureml_datastores.stores._file_writing import FileWriter
from airflow_azureml_datastores.stores._storage_account import PUBLIC, StorageAccountLocation


@dataclass(frozen=True)
class AzureFile(StorageAccountLocation):
    """A file share of a storage account.

    :param account_name: the storage account.
    :param file_share_name: the share, one for SMB clients.
    :param endpoint: domain of the cloud, for example ``core.windows.net`` or ``core.usgovcloudapi.net``; or the whole
        URL of the account's Files service (a private endpoint, a custom domain), which is taken as it is.
    :param protocol: ``https`` or ``http``, with a domain.
    :param subscription_id: the account's subscription, for Azure ML Studio; None leaves it as the workspace has it.
    :param resource_group: the account's resource group, likewise.
    :param service_data_access_auth_identity: as what identity Azure ML itself looks at the data: ``None``,
        ``WorkspaceSystemAssignedIdentity`` or ``WorkspaceUserAssignedIdentity``; None leaves it as it is.
    """

    type: ClassVar[str] = "AzureFile"
    service: ClassVar[Service] = "file"
    container_field: ClassVar[str] = "file_share_name"
    takes: ClassVar[CredentialTypes] = (
        AccountKey,
        SasToken,
        RenewedSas,
        ServicePrincipal,
        Certificate,
        Identity,
        AccessToken,
    )
    account_name: str
    file_share_name: str
    endpoint: str = PUBLIC
    protocol: str = "https"
    subscription_id: str | None = field(default=None, repr=False, compare=False)
    resource_group: str | None = field(default=None, repr=False, compare=False)
    service_data_access_auth_identity: str | None = field(default=None, repr=False, compare=False)

    def check_container(self) -> None:
        check_share_name(self.file_share_name)

    def open(self, credential: Credential) -> AzureFileStore:
        return AzureFileStore(self, credential)


class AzureFileStore(FileStore):
    """The files of a share, as objects.

    Names: those that the service keeps as they are (see :mod:`~airflow_azureml_datastores.stores._file_names`). They
    are compared without regard to case.

    Versions: a write goes to a draft in the same folder and takes its place by a rename. A write that names a version
    holds a lease on the file meanwhile, which keeps out all others, SMB clients too. Writers who meet a lease wait; one
    that stays while the file does not change is that of somebody who died, or not ours: it is broken.

    A store does not outlive a fork: open another one in the child.

    :param location: which share.
    :param credential: one of ``AzureFile.takes``.
    :param patience: retries and timeouts.
    :param lease_patience: seconds for which somebody's lease on a file is respected while the file does not change.
    :raises InvalidConnection: the credential is of no use for a file share.
    """

    features = Features(server_side_copy=True, directories=True, case_sensitive=False)

    def __init__(
        self,
        location: AzureFile,
        credential: Credential,
        patience: Patience | None = None,
        *,
        lease_patience: float = LEASE_PATIENCE,
    ) -> None:
        if not isinstance(credential, location.takes):
            raise InvalidConnection(
                f"a file share takes an account key, a SAS token, a service principal, an identity or an access token, "
                f"not {describe(credential)}."
            )
        self._location, self._credential = location, credential
        access = AzureAccess(credential, location.account_name, location.account_url)
        self._share = FileShare(location.account_url, location.container, access, patience or Patience())
        self._leases = Leases(self._share, lease_patience)
        drafts, committer = Drafts(self._share), Committer(self._share, self._leases)
        self._writer = FileWriter(self._share, drafts, committer)
        self._copier = FileCopier(self._share, drafts, committer)

    def __repr__(self) -> str:
        return f"AzureFileStore({self.url!r})"

    @property
    def url(self) -> str:
        return self._share.url

    @property
    def door(self) -> tuple[Location, Credential]:
        return self._location, self._credential

    def check(self) -> None:
        self._share.check_there()

    def create_if_missing(self) -> None:
        """As the roles for files say nothing of shares, an identity needs another one for this."""
        self._share.create()

    def check_path(self, path: str) -> None:
        check_file_name(path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Drafts are not listed, nor is (with a warning) what has a name that cannot be handled.

        The sizes and etags of files that SMB clients have open may be older than those of :meth:`stat`.
        """
        return list_files(self._share, prefix)

    def stat(self, path: str) -> ObjectInfo:
        return stat_file(self._share, path)

    def read(
        self, path: str, *, start: int = 0, length: int | None = None, if_match: str | None = None
    ) -> Iterator[bytes]:
        return read_file(self._share, path, start=start, length=length, if_match=if_match)

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
        """The folder that the file was in stays."""
        check_file_name(path)
        self._leases.delete(path)

    def can_copy_from(self, source: FileStore) -> bool:
        """Inside an account always, unless one SAS would have to do for the other share, too; from another one if its
        key or SAS token lets the service read there."""
        return isinstance(source, AzureFileStore) and self._copier.can_read(source._share)

    def copy_from(
        self, source: FileStore, source_path: str, path: str, *, if_match: str | None = None, create: bool = False
    ) -> str:
        """Where the service turns out not to copy by itself, the bytes pass through here after all."""
        if not isinstance(source, AzureFileStore):
            raise Unsupported(f"{self.url}: the service copies from other file shares only, not from {source.url}.")
        check_file_name(path)
        info = source.stat(source_path)
        if if_match not in (None, info.etag):
            raise Changed(f"{show(source_path)} in {source.url}: it is another version than was asked for.")
        try:
            return self._copier.copy(source._share, info, path, Condition(create))
        except Unsupported:
            content = source.read(source_path, if_match=info.etag)
            return self.write(path, content, size=info.size, create=create)

    def make_directory_like(self, path: str, model: str) -> bool:
        """Rights are NTFS rights; a new folder of ours has them from the one above it."""
        return make_folder_like(self._share, path, model)

    def rename_directory(self, source: str, target: str) -> None:
        """:raises Conflict: an SMB client has something in it open."""
        rename_folder(self._share, source, target)

    def delete_directory(self, path: str) -> None:
        delete_folder(self._share, self._leases, path)

    def close(self) -> None:
        self._share.close()
