"""An item of Microsoft Fabric's OneLake as a datastore."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self
from urllib.parse import quote, urlsplit

from airflow_azureml_datastores.core.arm import ArmDatastore, ArmForm
from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    Certificate,
    Credential,
    CredentialTypes,
    Identity,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.datastore import Location, Service
from airflow_azureml_datastores.core.paths import check_relative
from airflow_azureml_datastores.core.store import Features, ObjectInfo
from airflow_azureml_datastores.errors import (
    ContainerNotFound,
    InvalidConnection,
    InvalidInput,
    InvalidName,
    UnsafePath,
    Unsupported,
)
from airflow_azureml_datastores.stores._azure import AzureAccess, Patience
from airflow_azureml_datastores.stores._data_lake_store import DataLakeContainer, DataLakeStore
from airflow_azureml_datastores.stores._storage_account import account_of, url_of_service

PUBLIC = "onelake.dfs.fabric.microsoft.com"

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_EXTENSIONS = {"LakeHouse": ".Lakehouse"}
_MANAGED = 2
"""Levels that are Fabric's: https://learn.microsoft.com/fabric/onelake/onelake-api-parity#managed-onelake-folders"""


@dataclass(frozen=True)
class OneLake(Location):
    """An item of a Fabric workspace, or a folder in one.

    Fabric itself manages a workspace, its items and the folders right below these, such as ``Files`` and ``Tables``.
    With ``artifact_name="Sales/Files"`` paths are below ``Files``; with ``"Sales"`` each path has to name the folder
    first, ``Files/…``.

    :param one_lake_workspace_name: the Fabric workspace, by name or GUID.
    :param artifact_name: the item, by name or GUID, and perhaps a folder in it. A name without an extension is that of
        an item of ``artifact_type``.
    :param artifact_type: what the item is; Azure ML knows only ``LakeHouse``.
    :param endpoint: host, or whole URL, of OneLake's dfs endpoint.
    :param service_data_access_auth_identity: as what identity Azure ML itself looks at the data: ``None``,
        ``WorkspaceSystemAssignedIdentity`` or ``WorkspaceUserAssignedIdentity``; None leaves it as it is.
    """

    type: ClassVar[str] = "OneLake"
    service: ClassVar[Service] = "dfs"
    takes: ClassVar[CredentialTypes] = (ServicePrincipal, Certificate, Identity, AccessToken)
    one_lake_workspace_name: str
    artifact_name: str
    artifact_type: str = "LakeHouse"
    endpoint: str = PUBLIC
    service_data_access_auth_identity: str | None = field(default=None, repr=False, compare=False)

    def check(self) -> None:
        workspace, artifact = self.one_lake_workspace_name, self.artifact_name
        if not isinstance(workspace, str) or not workspace or re.search(r"[/\\?#\x00-\x1f]", workspace):
            raise InvalidName(f"{workspace!r} is no name of a Fabric workspace.")
        if not isinstance(artifact, str):
            raise InvalidName(f"the artifact_name of a OneLake is a text, not {artifact!r}.")
        try:
            check_relative(artifact)
        except UnsafePath as error:
            raise InvalidName(f"{artifact!r} is no item of Fabric: {error}") from None
        if self.artifact_type not in _EXTENSIONS:
            raise InvalidInput(
                f"the artifact_type {self.artifact_type!r} is unknown; Azure ML knows {', '.join(_EXTENSIONS)}."
            )
        if not urlsplit(self.account_url).hostname or urlsplit(self.account_url).query:
            raise InvalidName(f"the endpoint of a OneLake is a host such as {PUBLIC!r}, or an https URL.")

    def open(self, credential: Credential) -> OneLakeStore:
        return OneLakeStore(self, credential)

    @classmethod
    def default_endpoint(cls) -> str:
        return f"`https://{PUBLIC}`"

    def redirected(self, endpoint: str) -> Self:
        """:raises InvalidConnection: the endpoint is that of a storage account."""
        account, host = account_of(endpoint), urlsplit(endpoint).hostname or ""
        if account is not None and not account.endswith("onelake") and ".fabric." not in host:
            raise InvalidConnection(
                f"the connection is for the storage account {account!r}, but the datastore is in OneLake: name a "
                f"connection without an account's URL."
            )
        return replace(self, endpoint=endpoint)

    def completed(self, registered: Location) -> Self:
        if self.service_data_access_auth_identity is not None or not isinstance(registered, OneLake):
            return self
        return replace(self, service_data_access_auth_identity=registered.service_data_access_auth_identity)

    def to_arm(self) -> ArmDatastore:
        artifact = {"artifactType": self.artifact_type, "artifactName": self.artifact_name}
        properties = {
            "artifact": artifact,
            "oneLakeWorkspaceName": self.one_lake_workspace_name,
            "endpoint": self.endpoint,
        }
        if self.service_data_access_auth_identity is not None:
            properties["serviceDataAccessAuthIdentity"] = self.service_data_access_auth_identity
        return ArmDatastore(properties)

    @classmethod
    def from_arm(cls, form: ArmForm) -> Self:
        if not isinstance(form, ArmDatastore):
            raise Unsupported("a OneLake is a datastore of an Azure ML workspace, and no connection.")
        artifact = form.properties.get("artifact")
        values: dict[str, Any] = {
            "one_lake_workspace_name": form.properties.get("oneLakeWorkspaceName"),
            "artifact_name": artifact.get("artifactName") if isinstance(artifact, dict) else None,
            "artifact_type": artifact.get("artifactType") if isinstance(artifact, dict) else None,
            "endpoint": form.properties.get("endpoint") or PUBLIC,
        }
        for name, value in values.items():
            if not isinstance(value, str):
                raise InvalidInput(f"the {name} of a OneLake is a text, not {value!r}.")
        return cls(**values, service_data_access_auth_identity=form.properties.get("serviceDataAccessAuthIdentity"))

    @property
    def account_url(self) -> str:
        """URL of OneLake's dfs endpoint, without a trailing slash."""
        return (self.endpoint if "://" in self.endpoint else f"https://{self.endpoint}").rstrip("/")

    @property
    def folder(self) -> str:
        """The item, as its path in the workspace has it, and the folder in it."""
        item, slash, folder = self.artifact_name.partition("/")
        if "." not in item and not _GUID.fullmatch(item):
            item += _EXTENSIONS[self.artifact_type]
        return item + slash + folder

    @property
    def url(self) -> str:
        return f"{self.account_url}/{quote(self.one_lake_workspace_name)}/{quote(self.folder)}"


class _ItemContainer(DataLakeContainer):
    """A workspace's files, from an item or a folder in it on."""

    def check_name(self, path: str) -> None:
        super().check_name(path)
        if (self.root + path).count("/") < _MANAGED:
            raise UnsafePath(
                f"{self.errors.subject(path)} is Fabric's to manage: data goes below a folder of the item, such as "
                f"{'Files/' + path!r}."
            )


class OneLakeStore(DataLakeStore):
    """The files of an item, as objects.

    Fabric decides who may do what, so there are no access control lists to look at or to set.

    :param location: which item.
    :param credential: an application or an identity of Entra ID, or a token: OneLake has no keys and no SAS tokens.
    :param patience: retries and timeouts.
    :raises InvalidConnection: it is of another kind.
    """

    features = Features(server_side_copy=True, directories=True)

    def __init__(self, location: OneLake, credential: Credential, patience: Patience | None = None) -> None:
        if not isinstance(credential, location.takes):
            raise InvalidConnection(
                f"OneLake takes a service principal, a certificate, an identity or an access token of Entra ID, but no "
                f"{type(credential).__name__}: it has no account keys, no SAS tokens and no public access."
            )
        access = AzureAccess(credential, "onelake", location.account_url)
        workspace = location.one_lake_workspace_name
        container = _ItemContainer(
            url_of_service(location.account_url, "blob"),
            workspace,
            access,
            patience or Patience(),
            dfs_url=f"{location.account_url}/{workspace}",
            root=f"{location.folder}/",
            shown=location.url,
        )
        super().__init__(location, credential, container)

    def check(self) -> None:
        if not self._container.directories.is_directory(""):
            raise ContainerNotFound(
                f"{self.url}: there is no such item, or no such folder in it, that the credential may see."
            )

    def create_if_missing(self) -> None:
        raise Unsupported(f"{self.url} cannot be made from here: workspaces and items are made in Fabric.")

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """As the port says. An item that is not there looks like an empty one: so an empty list is checked."""
        empty = True
        for info in super().list(prefix):
            empty = False
            yield info
        if empty:
            self.check()

    def make_directory_like(self, path: str, model: str) -> bool:
        """As the port says: Fabric gives rights to items, not to folders."""
        self.check_path(path)
        self._container.directories.make(path)
        return True
