"""A workspace of the stand-in, its state open to the tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import uuid4

from airflow_azureml_datastores.core.uri import WorkspaceId
from tests.servers.azureml.assets import Codes, Data, Environments
from tests.servers.azureml.computes import Computes
from tests.servers.azureml.connections import Connections
from tests.servers.azureml.datastores import Datastores
from tests.servers.azureml.jobs import Jobs
from tests.servers.azureml.web import JSON, Area, Refusal, Request, Response, route, system_data

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

    from tests.servers.azurite import BlobService

PROVIDER = "Microsoft.MachineLearningServices/workspaces"
BLOBSTORE = "workspaceblobstore"


class Workspace(Area):
    """A workspace; use :meth:`tests.servers.azureml.AzureML.new_workspace`.

    :ivar id: where it is in Resource Manager.
    :ivar path: the same as a path: ``/subscriptions/…/workspaces/…``.
    :ivar guid: its ``workspaceId``.
    :ivar tenant: whose tokens it takes.
    :ivar blob: the Blob service of its built-in blob datastores; None if they lead nowhere.
    :ivar container: name of the container of ``workspaceblobstore``; None without ``blob``.
    :ivar datastores: see :class:`.datastores.Datastores`: ``names``, ``[name]``, ``plant``, ``remove``, ``default``,
        ``page_size``, ``sas_lifetime``, ``expirable``.
    :ivar connections: see :class:`.connections.Connections`.
    :ivar data: see :class:`.assets.Data`; ``environments`` and ``codes`` likewise.
    :ivar computes: see :class:`.computes.Computes`.
    :ivar jobs: see :class:`.jobs.Jobs`: ``plays``, ``waits`` and ``finish``, ``runs``, ``all``.
    """

    def __init__(self, id: WorkspaceId, tenant: str, blob: BlobService | None, container: str | None) -> None:
        self.id = id
        self.tenant = tenant
        self.guid = str(uuid4())
        self.path = (
            f"/subscriptions/{id.subscription}/resourceGroups/{id.resource_group}/providers/{PROVIDER}/{id.workspace}"
        )
        self.blob = blob
        self.container = container
        self.storage_account = (
            f"/subscriptions/{id.subscription}/resourceGroups/{id.resource_group}/providers/Microsoft.Storage/"
            f"storageAccounts/{blob.account if blob else 'account'}"
        )
        self.lock = threading.RLock()
        self._denied: dict[str, set[str] | None] = {}
        self.datastores = Datastores(self)
        self.connections = Connections(self)
        self.data = Data(self)
        self.environments = Environments(self)
        self.codes = Codes(self)
        self.computes = Computes(self)
        self.jobs = Jobs(self)
        self._areas: list[Area] = [
            self,
            self.datastores,
            self.connections,
            self.data,
            self.environments,
            self.codes,
            self.computes,
            self.jobs,
        ]

    @cached_property
    def artifacts(self) -> ContainerClient | None:
        """The container of ``workspaceartifactstore``; None without a Blob service."""
        if self.blob is None:
            return None
        from azure.core.credentials import AzureNamedKeyCredential
        from azure.storage.blob import ContainerClient

        key = AzureNamedKeyCredential(self.blob.account, self.blob.key)
        return ContainerClient(self.blob.url, f"{self.container}-artifacts", credential=key)

    def deny(self, action: str, *, client_id: str | None = None) -> None:
        """Take an action from everybody, or from one client.

        :param action: ``Microsoft.MachineLearningServices/workspaces/datastores/listSecrets/action``, or without what
            comes before ``datastores``.
        """
        clients = self._denied.setdefault(self._full(action), set())
        if client_id is None:
            self._denied[self._full(action)] = None
        elif clients is not None:
            clients.add(client_id)

    def allow(self, action: str) -> None:
        """Give an action back to everybody."""
        self._denied.pop(self._full(action), None)

    def _full(self, action: str) -> str:
        known = action.lower().startswith(PROVIDER.lower())
        return (action if known else f"{PROVIDER}/{action}").lower()

    def answer(self, request: Request, path: str) -> Response:
        """Answer a request; ``path`` is what comes after the workspace's own. :raises Refusal:"""
        path = path.strip("/")
        found: tuple[str, Callable[[Request], Response]] | None = None
        for area in self._areas:
            if (match := area.find(request.method, path)) is not None:
                found = match[0].action, match[1]
                break
        if found is None:
            raise Refusal(404, "NotFound", f"No registered resource provider found for {request.method} '{path}'.")
        action, handler = found
        self._check(request, f"{PROVIDER}/{action}" if action else PROVIDER, path)
        with self.lock:
            return handler(request)

    def _check(self, request: Request, action: str, path: str) -> None:
        principal = request.principal
        assert principal is not None
        if action.lower() not in self._denied:
            return
        clients = self._denied[action.lower()]
        if clients is None or principal.client_id in clients:
            scope = f"{self.path}/{path.removesuffix('/listSecrets').removesuffix('/listsecrets')}".rstrip("/")
            raise Refusal(
                403,
                "AuthorizationFailed",
                f"The client '{principal.client_id}' with object id '{principal.object_id}' does not have "
                f"authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. If "
                f"access was recently granted, please refresh your credentials.",
            )

    @route("GET", "", "read")
    def get(self, request: Request) -> Response:
        return Response(200, self._shown(request.base))

    def _shown(self, base: str) -> JSON:
        group = f"/subscriptions/{self.id.subscription}/resourceGroups/{self.id.resource_group}/providers"
        return {
            "id": self.path,
            "name": self.id.workspace,
            "type": PROVIDER,
            "location": "westeurope",
            "kind": "Default",
            "tags": {},
            "identity": {"type": "SystemAssigned", "principalId": str(uuid4()), "tenantId": self.tenant},
            "sku": {"name": "Basic", "tier": "Basic"},
            "properties": {
                "friendlyName": self.id.workspace,
                "description": "",
                "workspaceId": self.guid,
                "tenantId": self.tenant,
                "storageAccount": self.storage_account,
                "keyVault": f"{group}/Microsoft.KeyVault/vaults/vault",
                "applicationInsights": f"{group}/Microsoft.Insights/components/insights",
                "hbiWorkspace": False,
                "provisioningState": "Succeeded",
                "publicNetworkAccess": "Enabled",
                "discoveryUrl": f"{base}/discovery",
                "mlFlowTrackingUri": f"azureml://{base.partition('://')[2]}/mlflow/v1.0{self.path}",
            },
            "systemData": system_data(None),
        }

    def fill(self, kind: str) -> None:
        """Register the four datastores that every workspace has; the first is the default."""
        account = self.blob.account if self.blob else "account"
        endpoint = self.blob.url if self.blob else "core.windows.net"
        protocol = endpoint.partition("://")[0] if "://" in endpoint else "https"
        artifacts = f"{self.container}-artifacts" if self.container else "azureml"
        for name, type_, place in (
            (BLOBSTORE, "AzureBlob", {"containerName": self.container or f"azureml-blobstore-{self.guid}"}),
            ("workspaceartifactstore", "AzureBlob", {"containerName": artifacts}),
            ("workspacefilestore", "AzureFile", {"fileShareName": f"azureml-filestore-{self.guid}"}),
            ("workspaceworkingdirectory", "AzureFile", {"fileShareName": f"code-{self.guid}"}),
        ):
            blob = type_ == "AzureBlob"
            properties = {
                "datastoreType": type_,
                "accountName": account,
                **place,
                "endpoint": endpoint if blob else "core.windows.net",
                "protocol": protocol if blob else "https",
                "serviceDataAccessAuthIdentity": "None",
                "subscriptionId": self.id.subscription,
                "resourceGroup": self.id.resource_group,
                "description": None,
                "tags": {},
                "properties": {},
                "credentials": self._credentials(kind),
            }
            self.datastores.plant(name, properties)
        self.datastores.default = BLOBSTORE

    def _credentials(self, kind: str) -> JSON:
        if kind == "None":
            return {"credentialsType": "None"}
        if kind == "Sas":
            if self.datastores.sas_lifetime is None:
                self.datastores.sas_lifetime = 3600
            return {"credentialsType": "Sas", "secrets": {"secretsType": "Sas", "sasToken": "sv=2025-01-05&sig=none"}}
        key = self.blob.key if self.blob else "a2V5LW9mLWFuLWFjY291bnQtdGhhdC1pcy1ub3QtdGhlcmU="
        return {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": key}}
