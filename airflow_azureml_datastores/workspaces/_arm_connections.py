"""Datastores of the types that Azure ML has no datastores for, kept as connections of the workspace.

https://learn.microsoft.com/rest/api/azureml/workspace-connections
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_azureml_datastores.core.arm import ArmConnection
from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Anonymous,
    Credential,
    DatabricksOAuth,
    Identity,
    Login,
    SasToken,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.datastore import Datastore, Location, UnknownLocation
from airflow_azureml_datastores.errors import AccessDenied, InvalidInput, InvalidName, Unsupported
from airflow_azureml_datastores.stores import LOCATIONS, location_class
from airflow_azureml_datastores.workspaces._arm import CONNECTIONS, ArmClient, segment
from airflow_azureml_datastores.workspaces._arm_errors import secrets_in
from airflow_azureml_datastores.workspaces._arm_shelf import (
    PREFIX,
    Held,
    Kept,
    OnSecret,
    cannot_keep,
    mapping,
    still_fits,
    texts,
)

# The service's rule for a connection's name; a datastore's may be longer.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}")

_TYPE, _CONN_ID, _DESCRIPTION, _TAGS = (
    f"{PREFIX}{name}" for name in ("type", "credential_conn_id", "description", "tags")
)
# What only the service sets.
_READ_ONLY = frozenset({"createdByWorkspaceArmId", "group"})


class ArmConnections:
    """Datastores that are connections of the workspace.

    Ours are known by their metadata. Those that others made are datastores, too, where one of our types understands
    their category. A PUT replaces the whole and the secrets with it: they are fetched and sent along; where they may
    not be read, the service gets a connection without, and keeps what it then keeps.
    """

    def __init__(self, arm: ArmClient, on_secret: OnSecret) -> None:
        self._arm = arm
        self._on_secret = on_secret

    def list(self) -> Iterator[Kept]:
        for answer in self._arm.pages("connections", CONNECTIONS):
            kept = decode(answer)
            if kept is not None:
                yield kept

    def find(self, name: str) -> Kept | None:
        if not _NAME.fullmatch(name):
            return None
        answer = self._arm.find(f"connections/{segment(name)}", CONNECTIONS)
        return decode(answer) if answer else None

    def check(self, datastore: Datastore, credential: Credential | None) -> None:
        if not _NAME.fullmatch(datastore.name):
            raise InvalidName(
                f"{datastore.name!r} is no name for a datastore of type {datastore.type} in Azure ML, where it is kept "
                f"as a connection: 3 to 33 letters, digits, '-' or '_', starting with a letter or digit."
            )
        _form(datastore)
        if credential is not None and _to_arm(credential) is None:
            raise cannot_keep(datastore, credential, "logins, service principals, keys, SAS and access tokens")

    def put(self, datastore: Datastore, kept: Kept | None, credential: Credential | None) -> tuple[bool, Kept]:
        """:raises InvalidName: a connection that is no datastore has this name."""
        given = _to_arm(credential) if credential is not None else None
        if given is None:
            before = still_fits(datastore, kept)
            given = self._complete(before) if before else {"authType": "None"}
        there = self._arm.find(f"connections/{segment(datastore.name)}", CONNECTIONS) if kept is None else None
        if there and decode(there) is None:
            raise InvalidName(
                f"{datastore.name!r} is the name of a connection in workspace {self._arm.name} that is no datastore; "
                f"choose another name."
            )
        body = encode(datastore, kept, given)
        answer = decode(self._arm.put(f"connections/{segment(datastore.name)}", body, CONNECTIONS))
        if answer is None:
            raise InvalidInput(f"{self._arm.name}: the service did not take the metadata of {datastore.name!r}.")
        return kept is None, answer

    def restorer(self, kept: Kept) -> Callable[[], object]:
        properties = {name: value for name, value in kept.properties.items() if name not in _READ_ONLY}
        if properties.get("authType", "None") != "None":
            properties["credentials"] = self._secrets(kept.datastore.name)
        path = f"connections/{segment(kept.datastore.name)}"
        return lambda: self._arm.put(path, {"properties": properties}, CONNECTIONS)

    def holds(self, kept: Kept, credential: Credential) -> Held:
        asked = _to_arm(credential) or {}
        if asked.get("authType") != kept.properties.get("authType", "None"):
            return "other"
        if "credentials" not in asked:
            return "same"
        try:
            held = self._secrets(kept.datastore.name)
        except AccessDenied:
            return "unknown"
        return "same" if held == asked["credentials"] else "other"

    def delete(self, name: str) -> None:
        self._arm.delete(f"connections/{segment(name)}", CONNECTIONS)

    def credential(self, kept: Kept) -> Credential | None:
        kind, name = kept.properties.get("authType", "None"), kept.datastore.name
        if kind == "None":
            return None
        return _from_arm(str(kind), self._secrets(name), f"datastore {name!r} in workspace {self._arm.name}")

    def _complete(self, kept: Kept) -> dict[str, Any]:
        kind = kept.properties.get("authType", "None")
        if kind == "None":
            return {"authType": "None"}
        try:
            return {"authType": kind, "credentials": self._secrets(kept.datastore.name)}
        except AccessDenied:
            return {"authType": kind}

    def _secrets(self, name: str) -> dict[str, Any]:
        answer = self._arm.post(f"connections/{segment(name)}/listsecrets", CONNECTIONS)
        for secret in secrets_in(answer):
            self._on_secret(secret)
        credentials = mapping(mapping(answer.get("properties")).get("credentials"))
        return {name: value for name, value in credentials.items() if value is not None}


def encode(datastore: Datastore, kept: Kept | None, auth: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a PUT: the datastore, and what is not understood of the one before.

    :param auth: ``authType`` and ``credentials``.
    """
    form = _form(datastore)
    same_type = kept is not None and kept.datastore.type == datastore.type
    before = {name: value for name, value in (kept.properties if kept else {}).items() if name not in _READ_ONLY}
    metadata = texts(before.get("metadata")) if same_type else {}
    ours = set(_form(kept.datastore).metadata) if kept and same_type else set()
    metadata = {name: text for name, text in metadata.items() if name not in ours and not name.startswith(PREFIX)}
    metadata |= {**form.metadata, _TYPE: datastore.type, _TAGS: json.dumps(dict(datastore.tags), ensure_ascii=False)}
    metadata[_DESCRIPTION] = datastore.description
    if datastore.credential_conn_id is not None:
        metadata[_CONN_ID] = datastore.credential_conn_id
    before.pop("credentials", None)
    properties = {
        "isSharedToAll": True,
        **before,
        "category": form.category,
        "target": form.target,
        "metadata": metadata,
        **auth,
    }
    return {"properties": properties}


def decode(answer: Mapping[str, Any]) -> Kept | None:
    """A connection as ARM answers it, if it is a datastore."""
    properties = mapping(answer.get("properties"))
    properties.pop("credentials", None)
    metadata = texts(properties.get("metadata"))
    location = _location(properties, metadata)
    if location is None:
        return None
    datastore = Datastore(
        str(answer.get("name")),
        location,
        credential_conn_id=metadata.get(_CONN_ID),
        description=metadata.get(_DESCRIPTION, ""),
        tags=_tags(metadata.get(_TAGS, "{}")),
    )
    return Kept(datastore, properties, is_connection=True)


def _location(properties: Mapping[str, Any], metadata: Mapping[str, str]) -> Location | None:
    category, target = str(properties.get("category")), str(properties.get("target") or "")
    theirs = {name: text for name, text in metadata.items() if not name.startswith(PREFIX)}
    form = ArmConnection(category, target, theirs)
    ours = metadata.get(_TYPE)
    for name in LOCATIONS if ours is None else [ours] if ours in LOCATIONS else []:
        try:
            return location_class(name).from_arm(form)
        except (InvalidInput, Unsupported):
            continue
    if ours is None:
        return None
    return UnknownLocation(unknown_type=ours, values={"category": category, "target": target, "metadata": theirs})


def _tags(text: str) -> dict[str, str]:
    try:
        return texts(json.loads(text))
    except ValueError:
        return {}


def _form(datastore: Datastore) -> ArmConnection:
    form = datastore.location.to_arm()
    if not isinstance(form, ArmConnection):
        raise Unsupported(f"an Azure ML workspace keeps datastores of type {datastore.type} as datastores.")
    return form


def _to_arm(credential: Credential) -> dict[str, Any] | None:
    """A credential as ``authType`` and ``credentials`` of a connection; None if ARM has no such kind."""
    match credential:
        case Identity() | Anonymous():
            return {"authType": "None"}
        case Login(username, password):
            return {"authType": "UsernamePassword", "credentials": {"username": username, "password": password}}
        case AccountKey(key):
            return {"authType": "AccountKey", "credentials": {"key": key}}
        case SasToken(token):
            return {"authType": "SAS", "credentials": {"sas": token.strip().lstrip("?")}}
        case AccessToken(token):
            return {"authType": "PAT", "credentials": {"pat": token}}
        case ServicePrincipal(tenant, client, secret):
            application = {"tenantId": tenant, "clientId": client, "clientSecret": secret}
            return {"authType": "ServicePrincipal", "credentials": application}
        case DatabricksOAuth(client, secret):
            return {"authType": "OAuth2", "credentials": {"clientId": client, "clientSecret": secret}}
        case _:
            return None


def _from_arm(kind: str, values: Mapping[str, Any], subject: str) -> Credential:
    def text(name: str) -> str:
        value = values.get(name)
        if not isinstance(value, str) or not value:
            raise InvalidInput(f"{subject}: its credential has no {name}.")
        return value

    match kind:
        case "UsernamePassword":
            return Login(text("username"), text("password"))
        case "AccountKey":
            return AccountKey(text("key"))
        case "SAS":
            return SasToken(text("sas"))
        case "PAT":
            return AccessToken(text("pat"))
        case "ServicePrincipal":
            return ServicePrincipal(text("tenantId"), text("clientId"), text("clientSecret"))
        case "OAuth2":
            return DatabricksOAuth(text("clientId"), text("clientSecret"))
        case "ManagedIdentity":
            return Identity("managed", client_id=values.get("clientId"))
        case _:
            raise Unsupported(f"{subject}: its credential is of a kind that is not known here ({kind!r}).")
