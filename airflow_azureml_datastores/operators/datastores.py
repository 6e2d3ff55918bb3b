"""Registering datastores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.core.datastore import Datastore, Location
from airflow_azureml_datastores.core.template import flag
from airflow_azureml_datastores.errors import InvalidInput
from airflow_azureml_datastores.operators._base import WorkspaceOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class RegisterDatastoreOperator(WorkspaceOperator):
    """Register a datastore, or re-point one; the same definition again changes nothing.

    :param datastore: its name.
    :param location: where its data is, for example ``AzureBlob(account_name=…, container_name=…)``.
    :param credential_conn_id: id of the Airflow connection with the credential; None uses the worker's identity.
        The workspace remembers the id, not the secret.
    :param description: free text.
    :param tags: free labels.
    :param overwrite: re-point a name that is taken by another definition.
    :param make_default: also make it the workspace's default datastore.
    :param create_if_not_exists: make the container, share or folder where it is missing.
    :param skip_validation: register without looking whether the location is there and lets the credential in.
    :param workspace_conn_id: id of the workspace's connection.

    Returns ``datastore``, ``type``, ``url``, ``default`` and ``result`` (``created``, ``updated`` or ``unchanged``).
    """

    template_fields: Sequence[str] = (
        "datastore",
        "location",
        "credential_conn_id",
        "description",
        "tags",
        "overwrite",
        "make_default",
        "create_if_not_exists",
        "skip_validation",
        "workspace_conn_id",
    )

    def __init__(
        self,
        *,
        datastore: str,
        location: Location,
        credential_conn_id: str | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        overwrite: bool = False,
        make_default: bool = False,
        create_if_not_exists: bool = False,
        skip_validation: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.datastore = datastore
        self.location = location
        self.credential_conn_id = credential_conn_id
        self.description = description
        self.tags = tags
        self.overwrite = overwrite
        self.make_default = make_default
        self.create_if_not_exists = create_if_not_exists
        self.skip_validation = skip_validation

    def execute(self, context: Context) -> dict[str, Any]:
        record = Datastore(
            self.datastore, self.location, self.credential_conn_id or None, self.description, dict(self.tags or {})
        )
        overwrite, make_default = flag("overwrite", self.overwrite), flag("make_default", self.make_default)
        create = flag("create_if_not_exists", self.create_if_not_exists)
        if create and flag("skip_validation", self.skip_validation):
            raise InvalidInput("create_if_not_exists looks at the location; skip_validation=True says not to.")
        with self.workspace_hook() as hook:
            if not flag("skip_validation", self.skip_validation):
                hook.check_location(record, create_if_not_exists=create)
            result = hook.register(record, overwrite=overwrite)
            if make_default:
                hook.set_default(record.name)
            default = hook.get().name
            self.log.info("Datastore %r at %s: %s.", record.name, record.location.url, result)
        return {**describe(record, default), "result": result}


class UnregisterDatastoreOperator(WorkspaceOperator):
    """Forget a datastore; its data stays where it is.

    :param datastore: its name; neither a built-in nor the current default.
    :param missing_ok: whether a name that is not registered is acceptable.
    :param workspace_conn_id: id of the workspace's connection.

    Returns ``datastore`` and ``result`` (``unregistered`` or ``missing``).
    """

    template_fields: Sequence[str] = ("datastore", "missing_ok", "workspace_conn_id")

    def __init__(self, *, datastore: str, missing_ok: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.datastore = datastore
        self.missing_ok = missing_ok

    def execute(self, context: Context) -> dict[str, Any]:
        missing_ok = flag("missing_ok", self.missing_ok)
        with self.workspace_hook() as hook:
            registered = {record.name.casefold() for record in hook.list()}
            if missing_ok and self.datastore.casefold() not in registered:
                self.log.info("Datastore %r is not registered.", self.datastore)
                return {"datastore": self.datastore, "result": "missing"}
            record = hook.unregister(self.datastore)
        self.log.info("Datastore %r is forgotten; its data stays at %s.", record.name, record.location.url)
        return {"datastore": record.name, "result": "unregistered"}


class SetDefaultDatastoreOperator(WorkspaceOperator):
    """Make a datastore the workspace's default: the one that is meant where none is named.

    :param datastore: its name.
    :param workspace_conn_id: id of the workspace's connection.

    Returns ``datastore`` and ``previous``, the default until now.
    """

    template_fields: Sequence[str] = ("datastore", "workspace_conn_id")

    def __init__(self, *, datastore: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.datastore = datastore

    def execute(self, context: Context) -> dict[str, Any]:
        with self.workspace_hook() as hook:
            previous = hook.get().name
            record = hook.set_default(self.datastore)
        self.log.info("The default datastore is %r; it was %r.", record.name, previous)
        return {"datastore": record.name, "previous": previous}


class ListDatastoresOperator(WorkspaceOperator):
    """List a workspace's datastores.

    :param datastore_type: only datastores of this type, for example ``AzureBlob``; None is all.
    :param workspace_conn_id: id of the workspace's connection.

    Returns a list, by name, of ``datastore``, ``type``, ``url``, ``credential_conn_id``, ``built_in`` and ``default``.
    """

    template_fields: Sequence[str] = ("datastore_type", "workspace_conn_id")

    def __init__(self, *, datastore_type: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.datastore_type = datastore_type

    def execute(self, context: Context) -> list[dict[str, Any]]:
        with self.workspace_hook() as hook:
            default = hook.get().name
            rows = [
                describe(record, default) for record in hook.list() if self.datastore_type in (None, "", record.type)
            ]
        for row in rows:
            self.log.info(
                "%s %-24s %-20s %s", "*" if row["default"] else " ", row["datastore"], row["type"], row["url"]
            )
        return rows


def describe(record: Datastore, default: str) -> dict[str, Any]:
    """A datastore as it goes into XCom."""
    return {
        "datastore": record.name,
        "type": record.type,
        "url": record.location.url,
        "credential_conn_id": record.credential_conn_id,
        "built_in": record.built_in,
        "default": record.name.casefold() == default.casefold(),
    }
