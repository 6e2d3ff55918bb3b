"""Files of a Databricks workspace as a datastore."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self
from urllib.parse import urlsplit

from airflow_azureml_datastores.core.arm import ArmConnection, ArmForm
from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    Certificate,
    Credential,
    CredentialTypes,
    DatabricksOAuth,
    Identity,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.datastore import Location, Service
from airflow_azureml_datastores.errors import InvalidConnection, InvalidInput, Unsupported
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores._databricks_login import DOMAINS, is_loopback
from airflow_azureml_datastores.stores._dbfs_names import parse_root
from airflow_azureml_datastores.stores._dbfs_root import DbfsRootStore
from airflow_azureml_datastores.stores._dbfs_store import DbfsStore
from airflow_azureml_datastores.stores._dbfs_volume import VolumeStore

_CATEGORY = "Databricks"


@dataclass(frozen=True)
class Dbfs(Location):
    """A volume of Unity Catalog, or a folder of the DBFS root in a workspace that still has one.

    :param workspace_url: the address of the workspace, ``https://adb-….azuredatabricks.net``, with nothing behind it.
    :param path: ``/Volumes/<catalog>/<schema>/<volume>``, or ``dbfs:/``, or a folder of either.
    """

    type: ClassVar[str] = "DBFS"
    service: ClassVar[Service] = "databricks"
    takes: ClassVar[CredentialTypes] = (AccessToken, DatabricksOAuth, ServicePrincipal, Certificate, Identity)
    workspace_url: str
    path: str

    def check(self) -> None:
        if not isinstance(self.workspace_url, str):
            raise InvalidInput(f"the workspace_url of a Dbfs is a text, not {self.workspace_url!r}.")
        try:
            parts = urlsplit(self.workspace_url)
            whole = parts.hostname and (parts.port is None or parts.port)
        except ValueError:
            raise InvalidInput(f"{self.workspace_url!r} is no URL.") from None
        if not whole or parts.scheme not in ("https", "http"):
            raise InvalidInput(
                f"the workspace_url of a Dbfs is the address of the workspace, https://adb-….azuredatabricks.net, not "
                f"{self.workspace_url!r}."
            )
        if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
            raise InvalidInput(f"the workspace_url of a Dbfs is scheme and host only: {self.address!r}.")
        if parts.scheme == "http" and not is_loopback(self.workspace_url):
            raise InvalidInput(f"{self.workspace_url!r} is not https, and tokens may only travel over that.")
        parse_root(self.path)

    def open(self, credential: Credential) -> DbfsStore:
        in_dbfs_root, root = parse_root(self.path)
        store = DbfsRootStore if in_dbfs_root else VolumeStore
        return store(self, self.address, root, credential, Patience())

    @property
    def address(self) -> str:
        """The address of the workspace, in the one way to write it."""
        parts = urlsplit(self.workspace_url)
        host = parts.netloc.rpartition("@")[2].lower().removesuffix(":443" if parts.scheme == "https" else ":80")
        return f"{parts.scheme}://{host}"

    @property
    def url(self) -> str:
        in_dbfs_root, root = parse_root(self.path)
        return f"{self.address}{f'/dbfs{root}' if in_dbfs_root else root}"

    def redirected(self, endpoint: str) -> Self:
        """The connection's host is where its token goes: a private link, an emulator.

        :raises InvalidConnection: it is another workspace's, or no address of a workspace.
        """
        try:
            moved = replace(self, workspace_url=endpoint)
        except InvalidInput as error:
            raise InvalidConnection(f"the connection's host cannot be used: {error}") from None
        hosts = {urlsplit(location.address).hostname or "" for location in (self, moved)}
        if len(hosts) > 1 and all(host.endswith(DOMAINS) for host in hosts):
            raise InvalidConnection(
                f"the connection is for the workspace {moved.address}, but the datastore is in {self.address}: name "
                f"another connection, or register the datastore with the other workspace."
            )
        return moved

    def to_arm(self) -> ArmConnection:
        return ArmConnection(_CATEGORY, self.workspace_url, {"path": self.path})

    @classmethod
    def from_arm(cls, form: ArmForm) -> Self:
        """A connection of others counts if its metadata have a ``path``."""
        if not isinstance(form, ArmConnection) or form.category != _CATEGORY:
            raise Unsupported(f"a Dbfs is a {_CATEGORY} connection of an Azure ML workspace.")
        if "path" not in form.metadata:
            raise InvalidInput(f"a {_CATEGORY} connection without a 'path' among its metadata is no datastore.")
        return cls(form.target, form.metadata["path"])
