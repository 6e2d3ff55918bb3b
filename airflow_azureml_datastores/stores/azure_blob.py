"""A container of Azure Blob Storage as a datastore."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.store import Features
from airflow_azureml_datastores.stores._azure import AzureAccess, Patience
from airflow_azureml_datastores.stores._blob_container import BlobContainer
from airflow_azureml_datastores.stores._blob_names import check_container_name
from airflow_azureml_datastores.stores._blob_store import BlobStore
from airflow_azureml_datastores.stores._storage_account import PUBLIC, StorageAccountLocation


@dataclass(frozen=True)
class AzureBlob(StorageAccountLocation):
    """A container of a storage account.

    :param account_name: the storage account.
    :param container_name: the container.
    :param endpoint: domain of the cloud, for example ``core.windows.net`` or ``core.usgovcloudapi.net``; or the whole
        URL of the account's Blob service (a private endpoint, a custom domain, Azurite), which is taken as it is.
    :param protocol: ``https`` or ``http``, with a domain.
    :param subscription_id: the account's subscription, for Azure ML Studio; None leaves it as the workspace has it.
    :param resource_group: the account's resource group, likewise.
    :param service_data_access_auth_identity: as what identity Azure ML itself looks at the data: ``None``,
        ``WorkspaceSystemAssignedIdentity`` or ``WorkspaceUserAssignedIdentity``; None leaves it as it is.
    """

    type: ClassVar[str] = "AzureBlob"
    container_field: ClassVar[str] = "container_name"
    account_name: str
    container_name: str
    endpoint: str = PUBLIC
    protocol: str = "https"
    subscription_id: str | None = field(default=None, repr=False, compare=False)
    resource_group: str | None = field(default=None, repr=False, compare=False)
    service_data_access_auth_identity: str | None = field(default=None, repr=False, compare=False)

    def check_container(self) -> None:
        check_container_name(self.container_name)

    def open(self, credential: Credential) -> AzureBlobStore:
        return AzureBlobStore(self, credential)


class AzureBlobStore(BlobStore):
    """The blobs of a container, as objects.

    Listings come in the service's own order: that of UTF-16 code units, which is that of code points but for characters
    beyond U+FFFF; with a hierarchical namespace it is folder by folder. Directories of such an account are no objects.

    :param location: which container.
    :param credential: anything but a :class:`Login`.
    :param patience: retries and timeouts.
    :raises InvalidConnection: the credential is of no use for a storage account.
    """

    features = Features(server_side_copy=True, any_name=True)

    def __init__(self, location: AzureBlob, credential: Credential, patience: Patience | None = None) -> None:
        access = AzureAccess(credential, location.account_name, location.account_url)
        container = BlobContainer(location.account_url, location.container_name, access, patience or Patience())
        super().__init__(location, credential, container)
