"""A filesystem of Azure Data Lake Storage Gen2 as a datastore."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.datastore import Service
from airflow_azureml_datastores.core.store import Features
from airflow_azureml_datastores.stores._azure import AzureAccess, Patience
from airflow_azureml_datastores.stores._blob_names import check_container_name
from airflow_azureml_datastores.stores._data_lake_store import DataLakeContainer, DataLakeStore
from airflow_azureml_datastores.stores._storage_account import PUBLIC, StorageAccountLocation, url_of_service


@dataclass(frozen=True)
class AzureDataLakeGen2(StorageAccountLocation):
    """A filesystem (container) of a storage account with a hierarchical namespace.

    :param account_name: the storage account.
    :param filesystem: the filesystem.
    :param endpoint: domain of the cloud, for example ``core.windows.net`` or ``core.usgovcloudapi.net``; or the whole
        URL of the account's dfs endpoint (a private endpoint, a custom domain). The Blob endpoint is where that URL
        leads with ``.blob.`` for ``.dfs.``, or the same.
    :param protocol: ``https`` or ``http``, with a domain.
    :param subscription_id: the account's subscription, for Azure ML Studio; None leaves it as the workspace has it.
    :param resource_group: the account's resource group, likewise.
    :param service_data_access_auth_identity: as what identity Azure ML itself looks at the data: ``None``,
        ``WorkspaceSystemAssignedIdentity`` or ``WorkspaceUserAssignedIdentity``; None leaves it as it is.
    """

    type: ClassVar[str] = "AzureDataLakeGen2"
    service: ClassVar[Service] = "dfs"
    container_field: ClassVar[str] = "filesystem"
    account_name: str
    filesystem: str
    endpoint: str = PUBLIC
    protocol: str = "https"
    subscription_id: str | None = field(default=None, repr=False, compare=False)
    resource_group: str | None = field(default=None, repr=False, compare=False)
    service_data_access_auth_identity: str | None = field(default=None, repr=False, compare=False)

    def check_container(self) -> None:
        check_container_name(self.filesystem)

    def open(self, credential: Credential) -> AzureDataLakeGen2Store:
        return AzureDataLakeGen2Store(self, credential)


class AzureDataLakeGen2Store(DataLakeStore):
    """The files of a filesystem, as objects. Directories and access control lists are left as they are.

    :param location: which filesystem.
    :param credential: anything but a :class:`Login`.
    :param patience: retries and timeouts.
    :raises InvalidConnection: the credential is of no use for a storage account.
    """

    features = Features(server_side_copy=True, directories=True)

    def __init__(self, location: AzureDataLakeGen2, credential: Credential, patience: Patience | None = None) -> None:
        access = AzureAccess(credential, location.account_name, location.account_url)
        container = DataLakeContainer(
            url_of_service(location.account_url, "blob"),
            location.filesystem,
            access,
            patience or Patience(),
            dfs_url=location.url,
            shown=location.url,
        )
        super().__init__(location, credential, container)
