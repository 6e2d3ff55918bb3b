"""The two ways in which an Azure ML workspace keeps our datastores: as its own datastores, and as connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.datastore import Datastore
from airflow_azureml_datastores.errors import Unsupported

PREFIX = "airflow_"
"""Starts the names of what ARM has no property for, where it stands in ARM's free texts."""

OnSecret = Callable[[str], None]
"""Is told every secret that comes from the service, before anything else is done with it."""


@dataclass(frozen=True)
class Kept:
    """A datastore as the workspace has it.

    :param properties: all of them; secrets are never among them.
    :param is_default: whether it is the workspace's default.
    :param is_connection: whether it is kept as a connection.
    :param created: when it was registered, in the service's words; "" if it does not say.
    """

    datastore: Datastore
    properties: Mapping[str, Any] = field(repr=False)
    is_default: bool = False
    is_connection: bool = False
    created: str = ""


Held = Literal["same", "other", "unknown"]


class Shelf(Protocol):
    """One of the two ways."""

    def list(self) -> Iterator[Kept]:
        """All datastores that are kept this way."""
        ...

    def find(self, name: str) -> Kept | None:
        """One of them. The service may or may not compare names without regard to case."""
        ...

    def check(self, datastore: Datastore, credential: Credential | None) -> None:
        """Refuse what cannot be kept this way. :raises Unsupported, InvalidInput:"""
        ...

    def put(self, datastore: Datastore, kept: Kept | None, credential: Credential | None) -> tuple[bool, Kept]:
        """Write one, keeping what is not understood of the one before.

        Tells whether there had been none, and what the service now has.

        :param credential: None leaves the one that is kept, if it still fits.
        """
        ...

    def holds(self, kept: Kept, credential: Credential) -> Held:
        """Whether this is the credential that is kept; "unknown" where it may not be read."""
        ...

    def restorer(self, kept: Kept) -> Callable[[], object]:
        """What brings one back that is deleted; its secrets are fetched now. :raises AccessDenied: they cannot be."""
        ...

    def delete(self, name: str) -> None: ...

    def credential(self, kept: Kept) -> Credential | None:
        """The credential that is kept; None if it is none."""
        ...


def mapping(value: object) -> dict[str, Any]:
    """A mapping from the service; anything else is an empty one."""
    return dict(value) if isinstance(value, Mapping) else {}


def texts(value: object) -> dict[str, str]:
    """A mapping of texts from the service; others' numbers become texts, nulls are left out."""
    return {name: str(text) for name, text in mapping(value).items() if text is not None}


def cannot_keep(datastore: Datastore, credential: Credential, kinds: str) -> Unsupported:
    return Unsupported(
        f"datastore {datastore.name!r}: Azure ML cannot keep a {type(credential).__name__} for a {datastore.type}; "
        f"it keeps {kinds}."
    )


def still_fits(datastore: Datastore, kept: Kept | None) -> Kept | None:
    """The one before, if its credential is good for this one: neither the place nor the connection is another."""
    if kept is None:
        return None
    before = kept.datastore
    same = before.location == datastore.location and before.credential_conn_id == datastore.credential_conn_id
    return kept if same else None
