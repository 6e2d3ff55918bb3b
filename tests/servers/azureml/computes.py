"""Computes of a workspace (learn.microsoft.com/rest/api/azureml/compute)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.servers.azureml.web import JSON, Area, Refusal, Request, Response, page, route, system_data

if TYPE_CHECKING:
    from tests.servers.azureml.workspace import Workspace


class Computes(Area):
    """:ivar types: name -> ``computeType``; at first there is one cluster, ``cpu-cluster``."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.types = {"cpu-cluster": "AmlCompute"}

    @route("GET", "computes", "computes/read")
    def list(self, request: Request) -> Response:
        return page(request, [self._shown(name) for name in sorted(self.types)], 30)

    @route("GET", "computes/{name}", "computes/read")
    def get(self, request: Request, name: str) -> Response:
        if name not in self.types:
            raise Refusal(
                404,
                "ResourceNotFound",
                f"The Resource 'Microsoft.MachineLearningServices/workspaces/{self._workspace.id.workspace}/computes/"
                f"{name}' under resource group '{self._workspace.id.resource_group}' was not found. For more details "
                f"please go to https://aka.ms/ARMResourceNotFoundFix",
            )
        return Response(200, self._shown(name))

    def _shown(self, name: str) -> JSON:
        return {
            "id": f"{self._workspace.path}/computes/{name}",
            "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces/computes",
            "location": "westeurope",
            "properties": {
                "computeType": self.types[name],
                "computeLocation": "westeurope",
                "provisioningState": "Succeeded",
                "properties": {"vmSize": "STANDARD_DS3_V2", "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 4}},
            },
            "systemData": system_data(None),
        }
