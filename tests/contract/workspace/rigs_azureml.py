"""A workspace of Azure ML under contract: on the stand-in, and on a real one that the environment names.

The real one takes AZUREML_LIVE_SUBSCRIPTION, AZUREML_LIVE_RESOURCE_GROUP and AZUREML_LIVE_WORKSPACE, and whatever
DefaultAzureCredential finds; AZUREML_LIVE_CLOUD, or AZUREML_LIVE_RESOURCE_MANAGER (a URL) and AZUREML_LIVE_AUTHORITY (a
host), where it is not in the public cloud. It need not be empty: what the tests register is removed again, the default
is restored, and tests that would re-point a built-in datastore are left out. Nobody else may work on it meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from airflow_azureml_datastores.core.credentials import AccessToken, Credential, Identity
from airflow_azureml_datastores.core.datastore import Datastore, Location
from airflow_azureml_datastores.core.uri import WorkspaceId
from airflow_azureml_datastores.stores.azure_blob import AzureBlob
from airflow_azureml_datastores.stores.azure_file import AzureFile
from airflow_azureml_datastores.workspaces._arm import DATA, ArmClient, segment
from airflow_azureml_datastores.workspaces.azureml import BUILT_IN, AzureMLWorkspace
from tests.servers.azureml import AzureML

_NO_SUCH_TYPE = "Azure ML takes the types that it has, and no others"
# tests/integration/test_azureml_workspace.py shows that it is so.
_NO_CONDITIONS = "Azure Resource Manager has no conditional PUT: the last one wins"

DEVIATIONS = {
    "test_unknown_type_survives": _NO_SUCH_TYPE,
    "test_other_definition[type and tags]": _NO_SUCH_TYPE,
}
RACES = {
    "test_different_definitions": _NO_CONDITIONS,
}


@dataclass(frozen=True)
class AzureMLSite:
    """Where a workspace is, and how to get there."""

    id: WorkspaceId
    credential: Credential
    closing: ExitStack
    resource_manager: str | None = None
    cloud: str = "AzurePublicCloud"
    names: Sequence[str] = BUILT_IN

    def open(self) -> AzureMLWorkspace:
        workspace = AzureMLWorkspace(
            "lab", self.id, self.credential, cloud=self.cloud, resource_manager=self.resource_manager
        )
        self.closing.callback(workspace.close)
        return workspace

    def location(self, number: int) -> Location:
        return AzureBlob("contosoairflow", f"data-{number}")

    def elsewhere(self, datastore: Datastore) -> Location:
        location = datastore.location
        return replace(location, file_share_name="elsewhere") if isinstance(location, AzureFile) else self.location(99)


@contextmanager
def trusting(server: AzureML) -> Iterator[None]:
    """Have the clients of this process trust the stand-in's certificate."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(server.ca))
        yield


class StandInRig:
    name: ClassVar[str] = "azureml"
    deviations: ClassVar[Mapping[str, str]] = DEVIATIONS
    left_out: ClassVar[Mapping[str, str]] = RACES

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._server: AzureML = request.getfixturevalue("servers").azureml

    @contextmanager
    def new_site(self) -> Iterator[AzureMLSite]:
        workspace = self._server.new_workspace()
        with trusting(self._server), ExitStack() as closing:
            yield AzureMLSite(workspace.id, AccessToken(self._server.token()), closing, self._server.url)


class LiveRig:
    name: ClassVar[str] = "live"
    deviations: ClassVar[Mapping[str, str]] = DEVIATIONS
    left_out: ClassVar[Mapping[str, str]] = {
        **RACES,
        "test_default": "a real workspace's default may be another one",
        "test_stays_when_re_pointed": "a real workspace's built-in datastores are in use",
        "test_built_in_is_protected": "a real workspace's built-in datastores are in use",
    }

    def __init__(self, request: pytest.FixtureRequest) -> None:
        pass

    @contextmanager
    def new_site(self) -> Iterator[AzureMLSite]:
        id = WorkspaceId(
            *(os.environ[f"AZUREML_LIVE_{name}"] for name in ("SUBSCRIPTION", "RESOURCE_GROUP", "WORKSPACE"))
        )
        credential = Identity(authority=os.environ.get("AZUREML_LIVE_AUTHORITY"))
        manager = os.environ.get("AZUREML_LIVE_RESOURCE_MANAGER")
        cloud = os.environ.get("AZUREML_LIVE_CLOUD", "AzurePublicCloud")
        with ExitStack() as closing:
            site = AzureMLSite(id, credential, closing, manager, cloud)
            workspace = site.open()
            names = [datastore.name for datastore in workspace.list()]
            closing.callback(_restore, workspace, names, workspace.default().name)
            arm = ArmClient("the live workspace", id, credential, cloud=cloud, resource_manager=manager)
            closing.callback(arm.close)
            closing.callback(_remove_data, arm, {item["name"] for item in arm.pages("data", DATA)})
            yield replace(site, names=names)


def _restore(workspace: AzureMLWorkspace, names: Sequence[str], default: str) -> None:
    workspace.set_default(default)
    for datastore in workspace.list():
        if datastore.name not in names:
            workspace.unregister(datastore.name)


def _remove_data(arm: ArmClient, names: set[str]) -> None:
    for item in list(arm.pages("data", DATA)):
        if item["name"] not in names:
            arm.delete(f"data/{segment(item['name'])}", DATA)


RIGS = [StandInRig, *([LiveRig] if os.environ.get("AZUREML_LIVE_WORKSPACE") else [])]
