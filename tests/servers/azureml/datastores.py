"""Datastores of a workspace (learn.microsoft.com/rest/api/azureml/datastores)."""

from __future__ import annotations

import copy
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

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
    from tests.servers.azurite import BlobService

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]{0,254}")
REQUIRED = {
    "AzureBlob": ("accountName", "containerName"),
    "AzureFile": ("accountName", "fileShareName"),
    "AzureDataLakeGen1": ("storeName",),
    "AzureDataLakeGen2": ("accountName", "filesystem"),
    "OneLake": ("artifact", "oneLakeWorkspaceName"),
}
CREDENTIALS: dict[str, tuple[str, ...]] = {
    "AccountKey": (),
    "Sas": (),
    "ServicePrincipal": ("clientId", "tenantId"),
    "Certificate": ("clientId", "tenantId", "thumbprint"),
    "None": (),
}
SECRET = {"AccountKey": "key", "Sas": "sasToken", "ServicePrincipal": "clientSecret", "Certificate": "certificate"}


@dataclass
class Datastore:
    """A record as the service keeps it.

    :param properties: everything that was sent but secrets and ``isDefault``.
    :param secrets: what ``listSecrets`` answers; None if there are none.
    """

    name: str
    properties: JSON
    secrets: JSON | None
    system_data: JSON


class Datastores(Area):
    """The datastores of a workspace.

    Names are kept as they were first written, and found without regard to case.

    :ivar default: name of the default one; None once a test has taken it away behind the client's back.
    :ivar page_size: the most that one answer lists, whatever the client asks for.
    :ivar sas_lifetime: seconds; if given, a datastore with a SAS answers ``listSecrets`` with a new one each time that
        expires so soon (a real one if its container is in the workspace's Blob service).
    :ivar expirable: answer ``{"expirableSecret": true}`` with a SAS instead of the account key. That is what
        azure-ai-ml asks for, and what Azure does.
    :ivar secrets_needed: refuse a PUT without secrets; else those of before stay, if the kind is the same. Which of
        the two Azure does has not been tried.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._records: dict[str, Datastore] = {}
        self.default: str | None = None
        self.page_size = 30
        self.sas_lifetime: float | None = None
        self.expirable = False
        self.secrets_needed = False

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._records

    def __getitem__(self, name: str) -> Datastore:
        return self._records[name.lower()]

    @property
    def names(self) -> list[str]:
        return [record.name for record in self._records.values()]

    def plant(self, name: str, properties: Mapping[str, Any]) -> None:
        """Put a record there as the service itself might: nothing is checked, so it may be of a type still to come."""
        kept, secret = _parted(properties)
        kept.pop("isDefault", None)
        self._records[name.lower()] = Datastore(name, kept, secret, system_data(None))

    def remove(self, name: str) -> None:
        """Take a record away behind the client's back; the default is lost with it."""
        del self._records[name.lower()]
        if self.default and self.default.lower() == name.lower():
            self.default = None

    @route("GET", "datastores", "datastores/read")
    def list(self, request: Request) -> Response:
        records = list(self._records.values())
        if "isDefault" in request.query:
            wanted = request.query["isDefault"].lower() == "true"
            records = [record for record in records if self._is_default(record) == wanted]
        if "names" in request.query:
            asked = {name.strip().lower() for name in request.query["names"].split(",")}
            records = [record for record in records if record.name.lower() in asked]
        records.sort(key=lambda record: record.name.lower())
        size = min(self.page_size, int(request.query.get("count", self.page_size)))
        return page(request, [self._shown(record) for record in records], size, skip="skip")

    @route("GET", "datastores/{name}", "datastores/read")
    def get(self, request: Request, name: str) -> Response:
        return Response(200, self._shown(self._find(name)))

    @route("PUT", "datastores/{name}", "datastores/write")
    def put(self, request: Request, name: str) -> Response:
        if not NAME.fullmatch(name):
            raise user_error(
                f"Datastore name '{name}' is invalid: it must match the pattern ^[a-zA-Z0-9][a-zA-Z0-9\\-_]{{0,254}}$."
            )
        properties = request.json().get("properties")
        if not isinstance(properties, dict):
            raise user_error("The request is invalid: the field 'properties' is required.")
        known = self._records.get(name.lower())
        _check(properties)
        kept, secret = _parted(properties)
        default = kept.pop("isDefault", False)
        kind = kept["credentials"]["credentialsType"]
        if secret is None and kind != "None":
            secret = self._kept_secret(known, kind)
        if known and self._is_default(known) and default is not True:
            raise user_error(
                f"The datastore {known.name} is currently the workspace default, so it cannot be updated with "
                f"isDefault set to false. To change the default, update a different datastore with isDefault set to "
                f"true."
            )
        if known is None:
            known = Datastore(name, kept, secret, system_data(request.principal))
            self._records[name.lower()] = known
            return Response(201, self._shown(known))
        if known.properties["datastoreType"] != kept["datastoreType"]:  # a guess
            raise user_error(f"The type of the datastore {known.name} cannot be changed.")
        known.properties, known.secrets = kept, secret
        known.system_data = system_data(request.principal, known.system_data)
        if default:  # on an update only: a new one is never the default at once
            self.default = known.name
        return Response(200, self._shown(known))

    @route("DELETE", "datastores/{name}", "datastores/delete")
    def delete(self, request: Request, name: str) -> Response:
        known = self._records.get(name.lower())
        if known is None:
            return Response(204)
        if self._is_default(known):
            raise user_error(f"The datastore {known.name} is the workspace default and cannot be deleted.")
        del self._records[name.lower()]
        return Response(200)

    @route("POST", "datastores/{name}/listSecrets", "datastores/listSecrets/action")
    def list_secrets(self, request: Request, name: str) -> Response:
        known = self._find(name)
        kind = known.properties["credentials"]["credentialsType"]
        if known.secrets is None:
            raise user_error(f"The datastore {known.name} has no secrets: its credentials are of type {kind}.")
        wish = request.json() if request.content else {}
        if kind == "Sas" and self.sas_lifetime is not None:
            return Response(200, self._sas(known, self.sas_lifetime))
        if kind == "AccountKey" and self.expirable and wish.get("expirableSecret"):
            return Response(200, self._sas(known, 3600 * float(wish.get("expireAfterHours", 1))))
        return Response(200, copy.deepcopy(known.secrets))

    def _find(self, name: str) -> Datastore:
        if name.lower() not in self._records:
            raise not_found(f"Could not find datastore: {name}")
        return self._records[name.lower()]

    def _is_default(self, record: Datastore) -> bool:
        return self.default is not None and record.name.lower() == self.default.lower()

    def _kept_secret(self, known: Datastore | None, kind: str) -> JSON:
        same = known is not None and known.properties["credentials"]["credentialsType"] == kind
        if known is None or known.secrets is None or not same or self.secrets_needed:
            raise user_error(f"The request is invalid: credentials of type {kind} need the field 'secrets'.")
        return known.secrets

    def _shown(self, record: Datastore) -> JSON:
        return {
            "id": f"{self._workspace.path}/datastores/{record.name}",
            "name": record.name,
            "type": "Microsoft.MachineLearningServices/workspaces/datastores",
            "properties": {**copy.deepcopy(record.properties), "isDefault": self._is_default(record)},
            "systemData": record.system_data,
        }

    def _sas(self, record: Datastore, lifetime: float) -> JSON:
        ends = datetime.now(UTC) + timedelta(seconds=lifetime)
        blob, properties = self._workspace.blob, record.properties
        if blob is not None and properties.get("accountName") == blob.account and "containerName" in properties:
            return {"secretsType": "Sas", "sasToken": container_sas(blob, properties["containerName"], ends)}
        text = f"sv=2025-01-05&sr=c&sp=racwdl&se={ends:%Y-%m-%dT%H%%3A%M%%3A%SZ}&sig={secrets.token_hex(16)}"
        return {"secretsType": "Sas", "sasToken": text}


def container_sas(blob: BlobService, container: str, ends: datetime) -> str:
    """A SAS for everything in a container, over http too."""
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    return generate_container_sas(
        blob.account,
        container,
        account_key=blob.key,
        permission=ContainerSasPermissions.from_string("racwdl"),
        expiry=ends,
        start=datetime.now(UTC) - timedelta(minutes=5),
    )


def create_container(blob: BlobService, name: str) -> None:
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.storage.blob import ContainerClient

    with ContainerClient(blob.url, name, credential=AzureNamedKeyCredential(blob.account, blob.key)) as client:
        client.create_container()


def _check(properties: JSON) -> None:
    kind = properties.get("datastoreType")
    if kind not in REQUIRED:
        raise user_error(f"The request is invalid: unknown datastoreType '{kind}'.")
    for name in REQUIRED[kind]:
        if not properties.get(name):
            raise user_error(f"The request is invalid: the field '{name}' is required for the datastoreType {kind}.")
    credentials = properties.get("credentials")
    if not isinstance(credentials, dict) or credentials.get("credentialsType") not in CREDENTIALS:
        raise user_error(f"The request is invalid: the field 'credentials' needs one of {', '.join(CREDENTIALS)}.")
    sort = credentials["credentialsType"]
    if kind == "OneLake" and sort not in ("None", "ServicePrincipal"):
        raise user_error(f"The request is invalid: a OneLake datastore takes no credentials of type {sort}.")
    for name in CREDENTIALS[sort]:
        if not credentials.get(name):
            raise user_error(f"The request is invalid: credentials of type {sort} need the field '{name}'.")
    given = credentials.get("secrets")
    if given is not None and (given.get("secretsType") != sort or not given.get(SECRET.get(sort, ""))):
        raise user_error(f"The request is invalid: secrets of type {sort} need the field '{SECRET.get(sort)}'.")


def _parted(properties: Mapping[str, Any]) -> tuple[JSON, JSON | None]:
    """What is shown, and the secrets."""
    kept = copy.deepcopy(dict(properties))
    kept.setdefault("credentials", {"credentialsType": "None"})
    return kept, kept["credentials"].pop("secrets", None)
