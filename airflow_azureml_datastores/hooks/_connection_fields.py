"""The fields of an Airflow connection: how they are called, and what they hold."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_azureml_datastores.errors import InvalidConnection


class ConnectionLike(Protocol):
    """What is read of a connection: ``airflow.sdk.Connection`` and the database's model both have it."""

    conn_id: Any
    conn_type: Any
    host: Any
    login: Any
    password: Any
    port: Any
    extra: Any


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a connection.

    :param key: ``login``, ``password``, ``host``, or the name of an extra.
    :param label: as Airflow's connection form shows it; None for an extra that has no field of its own there.
    :param flag: holds yes or no: a text like ``false`` counts as not filled in.
    :param also: another name that the extra may have, as in the official provider's connections.
    :param extra: it is an extra, although a field has the same name.
    """

    key: str
    label: str | None = None
    flag: bool = False
    also: str | None = None
    extra: bool = False

    @property
    def is_extra(self) -> bool:
        return self.extra or self.key not in ("login", "password", "host")

    def __str__(self) -> str:
        key = f"extra {self.key!r}" if self.is_extra else self.key
        return f"{self.label!r} ({key})" if self.label else f"{key} (under 'Extra Fields JSON')"


class Filled:
    """What is filled in of a connection.

    :raises InvalidConnection: its extra is no JSON object.
    """

    def __init__(self, connection: ConnectionLike) -> None:
        self.name = f"connection {connection.conn_id!r} (type {connection.conn_type!r})"
        self._connection = connection
        try:
            self._extra = json.loads(connection.extra) if connection.extra else {}
        except ValueError:
            raise InvalidConnection(f"{self.name}: its extra is not JSON.") from None
        if not isinstance(self._extra, dict):
            raise InvalidConnection(f"{self.name}: its extra is not a JSON object.")

    def get(self, wanted: Field) -> str | None:
        """The field's text, stripped, an extra of another type as JSON; None if it is empty."""
        if wanted.is_extra:
            # Connections written before Airflow 2.3 have their extras under prefixed names.
            prefixed = f"extra__{self._connection.conn_type}__{wanted.key}"
            value = self._extra.get(wanted.key, self._extra.get(prefixed)) or self._extra.get(wanted.also)
        else:
            value = getattr(self._connection, wanted.key)
        text = value.strip() if isinstance(value, str) else json.dumps(value) if value else ""
        if wanted.flag and text.lower() in ("false", "no", "0"):
            return None
        return text or None

    def get_endpoint(self, wanted: Field) -> str:
        """The text of a field that names a server, completed with the connection's port."""
        text, port = self.get(wanted) or "", self._connection.port
        return f"{text}:{port}" if wanted.key == "host" and port and re.fullmatch("(.+://)?[^/:]+", text) else text
