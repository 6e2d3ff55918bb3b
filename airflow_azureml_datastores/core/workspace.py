"""What a workspace can do, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from airflow_azureml_datastores.core.datastore import Datastore

Registered = Literal["created", "updated", "unchanged"]


class Workspace(Protocol):
    """A workspace: it remembers datastores by name and which one is the default.

    Names are compared without regard to case.
    """

    @property
    def name(self) -> str:
        """How the workspace calls itself in messages, for example ``'ml_workspace' (local)``."""
        ...

    def list(self) -> Sequence[Datastore]:
        """All registered datastores, by name."""
        ...

    def get(self, name: str) -> Datastore:
        """One datastore. :raises DatastoreNotFound: there is none of this name; near ones are suggested."""
        ...

    def default(self) -> Datastore:
        """The default datastore."""
        ...

    def set_default(self, name: str) -> Datastore:
        """Make a datastore the default. :raises DatastoreNotFound: there is none of this name."""
        ...

    def register(self, datastore: Datastore, *, overwrite: bool = False) -> Registered:
        """Register a datastore; the same definition again changes nothing.

        :param overwrite: re-point a name that is taken by another definition.
        :raises DatastoreExists: the name is taken by another definition.
        """
        ...

    def unregister(self, name: str) -> Datastore:
        """Forget a datastore and return it; its data stays where it is.

        :raises DatastoreNotFound: there is none of this name.
        :raises DatastoreProtected: it is built in, or the current default.
        """
        ...
