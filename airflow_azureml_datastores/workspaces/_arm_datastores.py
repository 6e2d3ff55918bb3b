"""Datastores that Azure ML has as datastores.

https://learn.microsoft.com/rest/api/azureml/datastores
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow_azureml_datastores.core.arm import ArmDatastore
from airflow_azureml_datastores.core.credentials import AccessToken, Credential
from airflow_azureml_datastores.core.datastore import Datastore, Location, UnknownLocation
from airflow_azureml_datastores.errors import AccessDenied, Conflict, InvalidInput, Unsupported
from airflow_azureml_datastores.stores import LOCATIONS, location_class
from airflow_azureml_datastores.workspaces import _arm_credentials as credentials
from airflow_azureml_datastores.workspaces._arm import DATASTORES, ArmClient, segment
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

# What every type has: it says nothing of where the data is.
_COMMON = frozenset({"credentials", "datastoreType", "description", "isDefault", "properties", "tags"})
_CONN_ID = f"{PREFIX}credential_conn_id"


class ArmDatastores:
    """Datastores that Azure ML has as datastores.

    A PUT replaces the whole, so it sends all that was there, and the secrets with it. The specification does not say
    whether a service that gets ``credentials`` without secrets keeps those it has. So they are fetched and sent along;
    where they may not be read, ``credentials`` goes without them, which is the best that can be done.
    """

    def __init__(self, arm: ArmClient, on_secret: OnSecret) -> None:
        self._arm = arm
        self._on_secret = on_secret

    @property
    def own_credential(self) -> Credential | None:
        """The workspace's, for storage: a bare token is for Azure Resource Manager alone."""
        return None if isinstance(self._arm.credential, AccessToken) else self._arm.credential

    def list(self) -> Iterator[Kept]:
        return map(decode, self._arm.pages("datastores", DATASTORES))

    def default(self) -> Kept | None:
        answers = map(decode, self._arm.pages("datastores", DATASTORES, isDefault="true"))
        return next((kept for kept in answers if kept.is_default), None)

    def find(self, name: str) -> Kept | None:
        answer = self._arm.find(f"datastores/{segment(name)}", DATASTORES)
        return decode(answer) if answer else None

    def check(self, datastore: Datastore, credential: Credential | None) -> None:
        if credential is not None and credentials.to_arm(credential) is None:
            raise cannot_keep(datastore, credential, "account keys, SAS tokens, service principals and certificates")
        encode(datastore, None, credentials.NONE)

    def put(self, datastore: Datastore, kept: Kept | None, credential: Credential | None) -> tuple[bool, Kept]:
        given = credentials.to_arm(credential) if credential is not None else None
        before = still_fits(datastore, kept)
        body = encode(datastore, kept, given or (self._complete(before) if before else credentials.NONE))
        return self._put(datastore.name, body)

    def make_default(self, kept: Kept) -> bool:
        """Make it the default; tells whether it had gone, so that this made it anew.

        The schema marks ``isDefault`` read-only, but a PUT of what is there already takes it (azapi#694).
        """
        properties = {**kept.properties, "credentials": self._complete(kept), "isDefault": True}
        made, now = self._put(kept.datastore.name, {"properties": properties})
        return made and now.created != kept.created

    def restorer(self, kept: Kept) -> Callable[[], object]:
        credentials = dict(kept.properties["credentials"])
        if credentials.get("credentialsType") != "None":
            credentials["secrets"] = self._secrets(kept.datastore.name)
        properties = {**kept.properties, "credentials": credentials, "isDefault": False}
        return lambda: self._put(kept.datastore.name, {"properties": properties})

    def holds(self, kept: Kept, credential: Credential) -> Held:
        asked = credentials.to_arm(credential) or {}
        if credentials.public_part(asked) != credentials.public_part(kept.properties["credentials"]):
            return "other"
        if "secrets" not in asked:
            return "same"
        secrets = self._readable_secrets(kept)
        if secrets is None:
            return "unknown"
        return "same" if secrets == asked["secrets"] else "other"

    def delete(self, name: str) -> None:
        self._arm.delete(f"datastores/{segment(name)}", DATASTORES)

    def credential(self, kept: Kept) -> Credential | None:
        name, kind = kept.datastore.name, kept.properties["credentials"].get("credentialsType")
        if kind == "None":
            return self.own_credential

        def renew() -> str:
            with self._named(name):
                return credentials.sas_token(self._secrets(name))

        with self._named(name):
            return credentials.from_arm(kept.properties["credentials"], self._secrets(name), renew)

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Have errors say whose credential it is."""
        try:
            yield
        except (InvalidInput, Unsupported) as error:
            raise type(error)(f"datastore {name!r} in workspace {self._arm.name}: {error}") from None

    def _put(self, name: str, body: Mapping[str, Any]) -> tuple[bool, Kept]:
        # As azure-ai-ml does: whether the storage lets somebody in is another question.
        created, answer = self._arm.upsert(f"datastores/{segment(name)}", body, DATASTORES, skipValidation="true")
        return created, decode(answer)

    def _complete(self, kept: Kept) -> dict[str, Any]:
        """The ``credentials`` that are kept, with their secrets if those can be had."""
        public = {name: value for name, value in kept.properties["credentials"].items() if name != "secrets"}
        secrets = None if public.get("credentialsType") == "None" else self._readable_secrets(kept)
        return {**public, "secrets": secrets} if secrets else public

    def _readable_secrets(self, kept: Kept) -> dict[str, Any] | None:
        """The secrets that are kept; None if they cannot be had, or others are given out in their place."""
        try:
            secrets = self._secrets(kept.datastore.name)
        except (AccessDenied, Conflict, InvalidInput):  # denied, or switched off where the storage is
            return None
        return secrets if secrets.get("secretsType") == kept.properties["credentials"].get("credentialsType") else None

    def _secrets(self, name: str) -> dict[str, Any]:
        answer = self._arm.post(f"datastores/{segment(name)}/listSecrets", DATASTORES)
        for secret in secrets_in(answer):
            self._on_secret(secret)
        return {name: value for name, value in answer.items() if value is not None}


def encode(datastore: Datastore, kept: Kept | None, credentials: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a PUT: the datastore, and what is not understood of the one before.

    :raises Unsupported: ARM has no datastores of this type.
    :raises InvalidInput: a value of an unknown type has the name of something that every type has.
    """
    form = _form(datastore)
    before = dict(kept.properties) if kept else {}
    free = texts(before.get("properties"))
    free = {name: text for name, text in free.items() if not name.startswith(PREFIX)}
    free |= {PREFIX + name: text for name, text in form.ours.items()}
    if datastore.credential_conn_id is not None:
        free[_CONN_ID] = datastore.credential_conn_id
    properties = {
        **_not_understood(datastore, kept),
        **form.properties,
        "datastoreType": datastore.type,
        "description": datastore.description,
        "tags": dict(datastore.tags),
        "properties": free,
        "credentials": dict(credentials),
    }
    if kept and kept.is_default:
        properties["isDefault"] = True
    return {"properties": properties}


def decode(answer: Mapping[str, Any]) -> Kept:
    """A datastore as ARM answers it; one whose location this version cannot build can still be listed and kept."""
    properties = mapping(answer.get("properties"))
    credentials = mapping(properties.get("credentials")) or {"credentialsType": "None"}
    credentials.pop("secrets", None)
    properties["credentials"] = credentials
    free = texts(properties.get("properties"))
    datastore = Datastore(
        str(answer.get("name")),
        _location(properties, free),
        credential_conn_id=free.get(_CONN_ID),
        description=str(properties.get("description") or ""),
        tags=texts(properties.get("tags")),
    )
    created = mapping(answer.get("systemData")).get("createdAt")
    return Kept(datastore, properties, properties.get("isDefault") is True, created=str(created or ""))


def _location(properties: Mapping[str, Any], free: Mapping[str, str]) -> Location:
    type_name = str(properties.get("datastoreType"))
    where = {name: value for name, value in properties.items() if name not in _COMMON}
    if type_name in LOCATIONS:
        ours = {name.removeprefix(PREFIX): text for name, text in free.items() if name.startswith(PREFIX)}
        try:
            return location_class(type_name).from_arm(ArmDatastore(where, ours))
        except (InvalidInput, Unsupported):
            pass
    return UnknownLocation(unknown_type=type_name, values=where)


def _form(datastore: Datastore) -> ArmDatastore:
    location = datastore.location
    if isinstance(location, UnknownLocation):
        if clash := sorted(_COMMON & set(location.values)):
            raise InvalidInput(f"datastore {datastore.name!r}: its type has no value {clash[0]!r} of its own.")
        return ArmDatastore(location.values)
    form = location.to_arm()
    if not isinstance(form, ArmDatastore):
        raise Unsupported(f"an Azure ML workspace has no datastores of type {datastore.type}.")
    return form


def _not_understood(datastore: Datastore, kept: Kept | None) -> dict[str, Any]:
    """What the one before has that is neither common nor its location's, where that still means the same."""
    if kept is None or kept.datastore.type != datastore.type or isinstance(kept.datastore.location, UnknownLocation):
        return {}
    dropped = _COMMON | set(_form(kept.datastore).properties)
    return {name: value for name, value in kept.properties.items() if name not in dropped}
