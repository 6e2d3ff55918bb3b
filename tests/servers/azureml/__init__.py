"""A stand-in for Azure ML on the wire: Resource Manager's calls, Entra ID's tokens, jobs with a life.

It knows what https://learn.microsoft.com/rest/api/azureml, the service's own error texts as users quote them, and
azure-ai-ml say of Azure ML. Nothing of it has been compared with Azure itself; where a rule is a guess, its place says
so.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import trustme

from airflow_azureml_datastores.core.uri import WorkspaceId
from tests.servers.azureml.azure_hosts import NAMES as AZURE_NAMES
from tests.servers.azureml.datastores import create_container
from tests.servers.azureml.entra import Entra, Principal
from tests.servers.azureml.faults import ArmError, LoseResponse, Meanwhile, quota_exceeded, throttled
from tests.servers.azureml.front import Front, Seen
from tests.servers.azureml.server import serve
from tests.servers.azureml.web import Refusal
from tests.servers.azureml.workspace import Workspace

if TYPE_CHECKING:
    from tests.servers.azurite import BlobService
    from tests.servers.fault import Fault

__all__ = [
    "ArmError",
    "AzureML",
    "LoseResponse",
    "Meanwhile",
    "Principal",
    "Refusal",
    "Seen",
    "Workspace",
    "quota_exceeded",
    "run_azureml",
    "throttled",
]


class AzureML:
    """The stand-in as tests see it. One serves the whole session; each test makes workspaces of its own::

        workspace = servers.azureml.new_workspace(blob=servers.azurite)
        workspace.id                       # core.uri.WorkspaceId
        workspace.datastores["sales"].properties, .secrets
        workspace.deny("datastores/listSecrets/action")
        servers.azureml.plan(throttled(r"GET .*/datastores"))
        [seen.request for seen in servers.azureml.requests(r"PUT", workspace)]

    **From a client**: Resource Manager is at ``url`` (https), and the client has to trust ``ca``: set
    ``REQUESTS_CA_BUNDLE`` to it (azure-core, azure-identity and azure-ai-ml all honour it), or pass
    ``connection_verify=ca``. azure-ai-ml finds it by ``AZUREML_DEV_URL_MFE=url``. All of that, and a token from
    ``token()``, may be handed to other processes.

    **Tokens** for ``https://management.azure.com/.default`` come from ``token()``, or from azure-identity's own
    credentials, which take ``authority=login_url, disable_instance_discovery=True``: ``ClientSecretCredential`` with a
    :class:`Principal` from ``new_app(secret=…)``, ``CertificateCredential`` with one from ``new_app(certificate=PEM)``,
    ``WorkloadIdentityCredential`` with one from ``new_app(federated="the token in the file")``. For managed identities
    set the variables of ``identity_environment`` and make one with ``new_app(managed=True)``. Everybody may do
    everything in every workspace of their tenant that it does not ``deny``.

    :ivar url: of Resource Manager and of run history, without a trailing slash.
    :ivar plain_url: the same over http, where managed identities get their tokens.
    :ivar ca: path of the PEM of the certificate authority.
    :ivar login_url: the authority, to which ``/<tenant>`` is added.
    :ivar tenant: of workspaces and applications unless told otherwise.
    :ivar tester: the application that ``token()`` speaks for; it has a ``secret``.
    """

    def __init__(self, front: Front, url: str, plain_url: str, ca: Path) -> None:
        self._front = front
        self._entra = front.entra
        self.url = url
        self.plain_url = plain_url
        self.ca = ca
        self.login_url = url
        self.tenant = self._entra.tenant
        self.tester = self._entra.tester

    def new_workspace(
        self,
        name: str = "",
        *,
        blob: BlobService | None = None,
        credentials: Literal["AccountKey", "Sas", "None"] = "AccountKey",
        tenant: str = "",
        beside: Workspace | None = None,
    ) -> Workspace:
        """A workspace with the four datastores that every one has.

        :param name: "" is a new one.
        :param blob: ``workspaceblobstore`` and ``workspaceartifactstore`` are new containers in it; their ``endpoint``
            is its whole URL, where Azure has a domain.
        :param credentials: of the four datastores.
        :param tenant: "" is that of ``token()``; another one is made known.
        :param beside: a workspace whose subscription and resource group it shares; None is new ones.
        """
        id = WorkspaceId(
            beside.id.subscription if beside else str(uuid4()),
            beside.id.resource_group if beside else f"group-{uuid4().hex[:8]}",
            name or f"workspace-{uuid4().hex[:8]}",
        )
        self._entra.tenants.add(tenant or self.tenant)
        container = f"azureml-blobstore-{uuid4()}"[:48] if blob else None
        workspace = Workspace(id, tenant or self.tenant, blob, container)
        workspace.fill(credentials)
        if blob is not None:
            for name_ in ("workspaceblobstore", "workspaceartifactstore"):
                create_container(blob, workspace.datastores[name_].properties["containerName"])
        self._front.add(workspace)
        return workspace

    def new_app(self, name: str = "app", **fields: Any) -> Principal:
        """An application or managed identity: ``secret``, ``expired``, ``certificate``, ``federated``, ``managed``,
        ``tenant``; see :class:`Principal`."""
        return self._entra.register(name, **fields)

    def token(
        self,
        principal: Principal | None = None,
        *,
        audience: str = "https://management.azure.com",
        expires_in: float = 3600,
    ) -> str:
        """A bearer token, of ``tester`` unless another one is named; seconds below 0 give an expired one."""
        return self._entra.token(principal or self.tester, audience, expires_in)

    @property
    def identity_environment(self) -> dict[str, str]:
        """The variables by which azure-identity finds the managed identity endpoint."""
        return {"IDENTITY_ENDPOINT": f"{self.plain_url}/msi/token", "IDENTITY_HEADER": self._entra.header}

    @property
    def azure_environment(self) -> dict[str, str]:
        """The variables with which clients take this for Azure itself, by its own host names and through a proxy: no
        authority, no address has to be given then. Other hosts are refused, so nothing gets out."""
        return {
            "HTTPS_PROXY": self.plain_url,
            "NO_PROXY": "127.0.0.1,localhost",
            "REQUESTS_CA_BUNDLE": str(self.ca),
        }

    def plan(self, *faults: Fault) -> None:
        """Let things go wrong: :func:`throttled`, :func:`quota_exceeded`, :class:`ArmError`, ``LoseResponse``, and
        ``Meanwhile`` (something happens, or time passes, before the request is answered). ``match`` is searched in
        ``METHOD /path?query``: name the workspace in it, as other tests use the same server."""
        self._front.plan.add(*faults)

    def clear_plan(self) -> None:
        """Forget the faults that have not struck."""
        self._front.plan.clear()

    @property
    def seen(self) -> list[Seen]:
        """All requests since the server started."""
        return list(self._front.seen)

    def requests(self, pattern: str, workspace: Workspace | None = None) -> list[Seen]:
        """The requests so far in which this regular expression is found; of one workspace, if it is given."""
        return [
            seen
            for seen in self.seen
            if re.search(pattern, seen.request)
            and (workspace is None or workspace.id.workspace.lower() in seen.request.lower())
        ]


@contextmanager
def run_azureml() -> Iterator[AzureML]:
    """Run the stand-in on free loopback ports, in threads of this process."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost", *AZURE_NAMES).configure_cert(tls)
    front = Front(Entra())
    with TemporaryDirectory(prefix="azureml-") as folder, serve(front, tls) as url, serve(front, None) as plain_url:
        ca = Path(folder, "ca.pem")
        authority.cert_pem.write_to_path(ca)
        yield AzureML(front, url, plain_url, ca)
