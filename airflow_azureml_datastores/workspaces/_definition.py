"""What a workspace keeps of a datastore, as JSON, and in what two definitions differ."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from airflow_azureml_datastores.core.datastore import RETIRED, Datastore, UnknownLocation
from airflow_azureml_datastores.core.template import is_unrendered
from airflow_azureml_datastores.errors import InvalidInput, Unsupported
from airflow_azureml_datastores.stores import make_location

# What keys, signatures and passwords look like where they are mistaken for part of a location.
_SECRET = re.compile(
    r"[?&]sig=[^&\s]{16}"  # shared access signature
    r"|(?:AccountKey|SharedAccessKey|SharedAccessSignature)="  # connection string
    r"|[A-Za-z0-9+/]{86}=="  # account key: 64 bytes in base64
    r"|://[^/\s:@]*:[^/\s@]+@"  # URL with a password
    r"|\b(?:password|pwd|client_?secret)\s*="
    r'|(?:password|client_?secret|account_?key|sas_?token)": "[^"]',  # a field of that name
    re.IGNORECASE,
)


def definition_of(datastore: Datastore) -> dict[str, Any]:
    """Everything of a datastore but its name, as JSON values.

    :raises InvalidInput: a field breaks a rule, or is no JSON value.
    """
    datastore.check()
    location = datastore.location
    location.check()
    values = location.values if isinstance(location, UnknownLocation) else location.fields()
    definition = {
        "type": datastore.type,
        "location": dict(values),
        "credential_conn_id": datastore.credential_conn_id,
        "description": datastore.description,
        "tags": dict(datastore.tags),
    }
    try:
        kept: dict[str, Any] = json.loads(json.dumps(definition, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"datastore {datastore.name!r} holds a value that is not JSON: {error}.") from error
    return kept


def check_definition(name: str, definition: Mapping[str, Any]) -> None:
    """Refuse what must not be registered.

    :raises InvalidInput: a field that may be left out is empty, or one holds an unrendered template or what looks like
        a secret.
    :raises Unsupported: the type's service is gone.
    """
    if definition["type"] in RETIRED:
        raise Unsupported(f"datastore {name!r} cannot be registered: {RETIRED[definition['type']]}")
    for field, value in _fields(definition).items():
        text = json.dumps({field: value}, ensure_ascii=False)
        if value == "" and field in ("type", "credential_conn_id"):
            raise InvalidInput(f"datastore {name!r}: {field} is empty.")
        if is_unrendered(text):
            raise InvalidInput(f"datastore {name!r}: {field} is a template that was not rendered: {text}.")
        if looks_secret(text):
            raise InvalidInput(
                f"datastore {name!r}: {field} holds what looks like a secret; put that into an Airflow connection and "
                f"name the connection as credential_conn_id."
            )


def looks_secret(text: str) -> bool:
    """Whether a text holds what looks like a key, a signature or a password."""
    return _SECRET.search(text) is not None


def datastore_of(name: str, definition: Mapping[str, Any]) -> Datastore:
    """The datastore of a definition; one whose location this version cannot build can still be listed and kept."""
    try:
        location = make_location(definition["type"], definition["location"])
    except InvalidInput:
        location = UnknownLocation(unknown_type=definition["type"], values=definition["location"])
    return Datastore(
        name,
        location,
        credential_conn_id=definition["credential_conn_id"],
        description=definition["description"],
        tags=definition["tags"],
    )


def differences(registered: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """The fields in which two definitions differ, for people."""
    have, want = _fields(registered), _fields(asked)
    names = [name for name in {**have, **want} if have.get(name) != want.get(name)]
    return "; ".join(f"{name} is {have.get(name)!r}, not {want.get(name)!r}" for name in names)


def _fields(definition: Mapping[str, Any]) -> dict[str, Any]:
    location = {f"location.{name}": value for name, value in definition["location"].items()}
    return {name: value for name, value in definition.items() if name != "location"} | location
