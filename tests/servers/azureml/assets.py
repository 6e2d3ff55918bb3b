"""Versioned things of a workspace: data, environments and code (learn.microsoft.com/rest/api/azureml/data-versions)."""

from __future__ import annotations

import copy
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar
from uuid import uuid4

from tests.servers.azureml.datastores import container_sas, create_container
from tests.servers.azureml.web import (
    JSON,
    Area,
    Request,
    Response,
    not_found,
    page,
    route,
    system_data,
    user_error,
)

if TYPE_CHECKING:
    from tests.servers.azureml.workspace import Workspace

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_.]{0,254}")
VERSION = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_.]{0,29}|[0-9a-f\-]{36}|[0-9a-f]{32,64}")


class Assets(Area):
    """Containers with versions, of one kind.

    :ivar versions: name -> version -> what was sent as ``properties``, in the order they were made.
    :ivar containers: name -> the container's own properties.
    :ivar page_size: the most that one answer lists.
    """

    kind: ClassVar[str]
    fixed: ClassVar[tuple[str, ...]]
    """Properties that an update may not change."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.versions: dict[str, dict[str, JSON]] = {}
        self.containers: dict[str, JSON] = {}
        self._made: dict[tuple[str, str], JSON] = {}
        self.page_size = 30

    def _list_containers(self, request: Request) -> Response:
        names = [name for name in sorted(self.versions) if _in_view(request, self.containers[name])]
        return page(request, [self._container(name) for name in names], self.page_size)

    def _get_container(self, request: Request, name: str) -> Response:
        if name not in self.versions:
            raise not_found(f"No {self.kind} asset {name} was found in workspace {self._workspace.id.workspace}.")
        return Response(200, self._container(name))

    def _put_container(self, request: Request, name: str) -> Response:
        properties = self._checked(request, name, "1")
        new = name not in self.versions
        self.versions.setdefault(name, {})
        self.containers[name] = {**self.containers.get(name, {}), **properties}
        return Response(201 if new else 200, self._container(name))

    def _list_versions(self, request: Request, name: str) -> Response:
        if name not in self.versions:
            raise not_found(f"No {self.kind} asset {name} was found in workspace {self._workspace.id.workspace}.")
        found = [
            self._version(name, version)
            for version, properties in reversed(self.versions[name].items())
            if _in_view(request, properties) and self._wanted(request, properties)
        ]
        order = request.query.get("$orderBy", "")
        if order.lower().startswith("createdtime asc"):
            found.reverse()
        size = min(self.page_size, int(request.query.get("$top", self.page_size)))
        return page(request, found, size)

    def _get_version(self, request: Request, name: str, version: str) -> Response:
        if version not in self.versions.get(name, {}):
            raise not_found(
                f"No {self.kind} asset {name}:{version} was found in workspace {self._workspace.id.workspace}."
            )
        return Response(200, self._version(name, version))

    def _put_version(self, request: Request, name: str, version: str) -> Response:
        properties = self._checked(request, name, version)
        known = self.versions.get(name, {}).get(version)
        for field in self.fixed if known else ():
            if known and properties.get(field) != known.get(field):
                raise user_error(
                    f"A {self.kind} version with this name and version already exists. The asset's {field} is "
                    f"immutable: '{known.get(field)}' cannot be changed to '{properties.get(field)}'.",
                    inner="Immutable",
                )
        self.versions.setdefault(name, {})[version] = properties
        self.containers.setdefault(name, {"isArchived": False})
        self._made[name, version] = system_data(request.principal, self._made.get((name, version)))
        return Response(200 if known else 201, self._version(name, version))

    def _checked(self, request: Request, name: str, version: str) -> JSON:
        if not NAME.fullmatch(name) or not VERSION.fullmatch(version):
            raise user_error(f"Asset name '{name}' or version '{version}' is invalid.")
        properties = request.json().get("properties")
        if not isinstance(properties, dict):
            raise user_error("The request is invalid: the field 'properties' is required.")
        return copy.deepcopy(properties)

    def _wanted(self, request: Request, properties: JSON) -> bool:
        tags = request.query.get("$tags")
        return not tags or all(
            (properties.get("tags") or {}).get(key) == value
            for key, _, value in (part.partition("=") for part in tags.split(","))
        )

    def _container(self, name: str) -> JSON:
        versions = [version for version, properties in self.versions[name].items() if not properties.get("isArchived")]
        numbers = [int(version) for version in self.versions[name] if version.isdecimal()]
        properties = {"isArchived": False, "tags": {}, "properties": {}, **self.containers[name]}
        properties["latestVersion"] = versions[-1] if versions else None
        properties["nextVersion"] = str(max(numbers, default=0) + 1)
        return self._resource(f"{self.kind}/{name}", name, self.kind, properties, system_data(None))

    def _version(self, name: str, version: str) -> JSON:
        properties = {"isArchived": False, "isAnonymous": False, "tags": {}, "properties": {}}
        given = {field: value for field, value in self.versions[name][version].items() if value is not None}
        path = f"{self.kind}/{name}/versions/{version}"
        return self._resource(
            path, version, f"{self.kind}/versions", {**properties, **given}, self._made[name, version]
        )

    def _resource(self, path: str, name: str, kind: str, properties: JSON, made: JSON) -> JSON:
        return {
            "id": f"{self._workspace.path}/{path}",
            "name": name,
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind}",
            "properties": copy.deepcopy(properties),
            "systemData": made,
        }


def _in_view(request: Request, properties: JSON) -> bool:
    view = request.query.get("listViewType", "ActiveOnly")
    archived = bool(properties.get("isArchived"))
    return view == "All" or archived == (view == "ArchivedOnly")


class Data(Assets):
    """Data assets. The latest version is the one made last that is not archived."""

    kind = "data"
    fixed = ("dataUri", "dataType")

    def plant(self, name: str, version: str, properties: JSON) -> None:
        """Put a version there, unchecked."""
        self.versions.setdefault(name, {})[version] = copy.deepcopy(properties)
        self.containers.setdefault(name, {"isArchived": False, "dataType": properties["dataType"]})
        self._made[name, version] = system_data(None)

    @route("GET", "data", "data/read")
    def list_containers(self, request: Request) -> Response:
        return self._list_containers(request)

    @route("GET", "data/{name}", "data/read")
    def get_container(self, request: Request, name: str) -> Response:
        return self._get_container(request, name)

    @route("PUT", "data/{name}", "data/write")
    def put_container(self, request: Request, name: str) -> Response:
        return self._put_container(request, name)

    @route("DELETE", "data/{name}", "data/delete")
    def delete_container(self, request: Request, name: str) -> Response:
        self.containers.pop(name, None)
        return Response(200 if self.versions.pop(name, None) is not None else 204)

    @route("GET", "data/{name}/versions", "data/versions/read")
    def list_versions(self, request: Request, name: str) -> Response:
        return self._list_versions(request, name)

    @route("GET", "data/{name}/versions/{version}", "data/versions/read")
    def get_version(self, request: Request, name: str, version: str) -> Response:
        return self._get_version(request, name, version)

    @route("PUT", "data/{name}/versions/{version}", "data/versions/write")
    def put_version(self, request: Request, name: str, version: str) -> Response:
        sent = request.json().get("properties") or {}
        if sent.get("dataType") not in ("uri_file", "uri_folder", "mltable"):
            raise user_error(f"The request is invalid: unknown dataType '{sent.get('dataType')}'.")
        if not sent.get("dataUri"):
            raise user_error("The request is invalid: the field 'dataUri' is required.")
        kind = self.containers.get(name, {}).get("dataType", sent["dataType"])
        if kind != sent["dataType"]:
            raise user_error(
                f"The data asset {name} holds the type {kind}: a version of {sent['dataType']} is refused."
            )
        response = self._put_version(request, name, version)
        self.containers[name]["dataType"] = kind
        return response

    @route("DELETE", "data/{name}/versions/{version}", "data/versions/delete")
    def delete_version(self, request: Request, name: str, version: str) -> Response:
        return Response(200 if self.versions.get(name, {}).pop(version, None) else 204)


class Environments(Assets):
    """Environments; ``workspace.environments.versions`` may be filled by tests."""

    kind = "environments"
    fixed = ("image", "condaFile", "build")

    @route("GET", "environments", "environments/read")
    def list_containers(self, request: Request) -> Response:
        return self._list_containers(request)

    @route("GET", "environments/{name}", "environments/read")
    def get_container(self, request: Request, name: str) -> Response:
        return self._get_container(request, name)

    @route("GET", "environments/{name}/versions", "environments/versions/read")
    def list_versions(self, request: Request, name: str) -> Response:
        return self._list_versions(request, name)

    @route("GET", "environments/{name}/versions/{version}", "environments/versions/read")
    def get_version(self, request: Request, name: str, version: str) -> Response:
        return self._get_version(request, name, version)

    @route("PUT", "environments/{name}/versions/{version}", "environments/versions/write")
    def put_version(self, request: Request, name: str, version: str) -> Response:
        return self._put_version(request, name, version)


class Codes(Assets):
    """Code folders. Each is uploaded, with a SAS, to a container of its own in the workspace's Blob service."""

    kind = "codes"
    fixed = ("codeUri",)

    @route("GET", "codes/{name}/versions", "codes/versions/read")
    def list_versions(self, request: Request, name: str) -> Response:
        """Finds code by the digest of its content, whatever its name: a second upload is spared so."""
        if "hash" in request.query:
            wanted = request.query["hash"]
            found = [
                self._version(known, version)
                for known, versions in self.versions.items()
                for version, properties in versions.items()
                if (properties.get("properties") or {}).get("hash_sha256") == wanted
            ]
            return page(request, found, self.page_size)
        return self._list_versions(request, name)

    @route("GET", "codes/{name}/versions/{version}", "codes/versions/read")
    def get_version(self, request: Request, name: str, version: str) -> Response:
        return self._get_version(request, name, version)

    @route("PUT", "codes/{name}/versions/{version}", "codes/versions/write")
    def put_version(self, request: Request, name: str, version: str) -> Response:
        return self._put_version(request, name, version)

    @route("POST", "codes/{name}/versions/{version}/startPendingUpload", "codes/versions/write")
    def start_pending_upload(self, request: Request, name: str, version: str) -> Response:
        blob = self._workspace.blob
        if blob is None:
            raise user_error("This workspace has no Blob service that code could be uploaded to.")
        container = f"code-{uuid4().hex}"
        create_container(blob, container)
        sas = container_sas(blob, container, datetime.now(UTC) + timedelta(hours=1))
        return Response(
            200,
            {
                "pendingUploadId": str(uuid4()),
                "pendingUploadType": "TemporaryBlobReference",
                "blobReferenceForConsumption": {
                    "blobUri": f"{blob.url}/{container}",
                    "storageAccountArmId": self._workspace.storage_account,
                    "credential": {"credentialType": "SAS", "sasUri": f"{blob.url}/{container}?{sas}"},
                },
            },
        )
