"""The hook of a workspace: from a connection to its datastores, open."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from airflow_azureml_datastores.core.credentials import Credential, Identity
from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.core.datastore import Datastore, Location, UnknownLocation, open_files
from airflow_azureml_datastores.core.experiment import Input
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.table_store import TableStore
from airflow_azureml_datastores.core.uri import DataAssetUri, DatastoreUri, JobOutputUri, parse_uri, quote_path
from airflow_azureml_datastores.core.workspace import Registered, Workspace
from airflow_azureml_datastores.errors import DatastoresError, InvalidConnection, InvalidInput, InvalidUri, Unsupported
from airflow_azureml_datastores.hooks._connection_fields import Field, Filled
from airflow_azureml_datastores.hooks._data_places import place_of
from airflow_azureml_datastores.hooks._masking import Mask, masked_by
from airflow_azureml_datastores.hooks.azureml import azureml_workspace
from airflow_azureml_datastores.hooks.connections import SUGGESTED, access_of, secrets_of


class WorkspaceHook(BaseHook):
    """A workspace's datastores: register, find, open.

    The connection's type says which workspace it is, so the same DAG runs against either:
    ``azureml_workspace`` (Azure ML) or ``azureml_local_workspace`` (embedded, on this machine or in PostgreSQL).

    :param workspace_conn_id: id of the workspace's connection.
    """

    conn_name_attr = "workspace_conn_id"
    default_conn_name = "azureml_workspace_default"
    conn_type = "azureml_workspace"
    hook_name = "Azure ML workspace"

    def __init__(self, workspace_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.workspace_conn_id = workspace_conn_id
        self._connections: dict[str, Any] = {}
        self._records: dict[str | None, Datastore] = {}
        self._opened: dict[str, tuple[Datastore, Place]] = {}
        self._tables: dict[str, tuple[Datastore, TableStore]] = {}
        self._closing = ExitStack()
        self._mask: Mask = mask_secret

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace itself.

        :raises InvalidConnection: there is no such connection, or it is not a workspace's.
        """
        connection = self._connection(self.workspace_conn_id, "the workspace", "azureml_local_workspace")
        try:
            connect = WORKSPACES[connection.conn_type]
        except KeyError:
            raise InvalidConnection(
                f"connection {self.workspace_conn_id!r} has type {connection.conn_type!r}, which is no workspace; "
                f"use {' or '.join(sorted(WORKSPACES))}."
            ) from None
        return connect(connection, self._mask)

    def get_conn(self) -> Workspace:
        """The workspace itself."""
        return self.workspace

    @property
    def compute(self) -> str:
        """Where experiments run that name no compute: what the connection says, or else ``local``, the worker."""
        return self._preference("compute") or "local"

    @property
    def environment(self) -> str | None:
        """What jobs run in that name no environment, if the connection says it."""
        return self._preference("environment")

    def _preference(self, name: str) -> str | None:
        connection = self._connection(self.workspace_conn_id, "the workspace", "azureml_local_workspace")
        return Filled(connection).get(Field(name))

    def list(self) -> Sequence[Datastore]:
        """All registered datastores, by name."""
        return self.workspace.list()

    def get(self, datastore: str | None = None) -> Datastore:
        """One datastore; None is the default.

        :raises DatastoreNotFound: there is none of this name; near ones are suggested.
        """
        return self.workspace.default() if datastore is None else self.workspace.get(datastore)

    def set_default(self, datastore: str) -> Datastore:
        """Make a datastore the default.

        :raises DatastoreNotFound: there is none of this name.
        :raises InvalidInput: it is a database, and the default takes what experiments bring and write.
        """
        self._records.clear()
        record = self.workspace.get(datastore)
        if record.location.holds != "files":
            raise InvalidInput(
                f"datastore {record.name!r} is a database, and cannot be the default: that is where the files of "
                f"experiments go."
            )
        return self.workspace.set_default(datastore)

    def register(self, datastore: Datastore, *, overwrite: bool = False) -> Registered:
        """Register a datastore; the same definition again changes nothing.

        Azure ML gets the secret of the datastore's connection, too, for its own computes; an embedded workspace never
        does.

        :param overwrite: re-point a name that is taken by another definition.
        :returns: ``created``, ``updated`` or ``unchanged``.
        :raises DatastoreExists: the name is taken by another definition.
        """
        self._records.clear()
        keeps_secrets = self.workspace.id is not None and datastore.credential_conn_id is not None
        credential = self._door(datastore)[1] if keeps_secrets else None
        return self.workspace.register(datastore, credential=credential, overwrite=overwrite)

    def unregister(self, datastore: str) -> Datastore:
        """Forget a datastore; its data stays where it is.

        :raises DatastoreNotFound: there is none of this name.
        :raises DatastoreProtected: it is built in, or the current default.
        """
        self._records.clear()
        return self.workspace.unregister(datastore)

    def get_data(self, name: str, version: str | None = None) -> DataAsset:
        """A version of a data asset; None is the latest. :raises DataAssetNotFound: there is none."""
        return self.workspace.get_data(name, version)

    def register_data(self, asset: DataAsset) -> DataAsset:
        """Register a version of data, unless the same content is a version already. Returns it with its number."""
        return self.workspace.register_data(asset)

    def pin(self, text: str) -> str:
        """A data asset's latest version by its number, as text: ``azureml:<name>:<version>``; other texts stay.

        :raises InvalidUri: it is malformed.
        :raises DataAssetNotFound: there is no such data asset.
        """
        if not isinstance(text, str) or not text.startswith("azureml:"):
            return text
        match parse_uri(text):
            case DataAssetUri(name, None, "latest"):
                return self.workspace.get_data(name).uri
            case DataAssetUri(label=str()):
                raise InvalidUri(f"{text!r}: the only label of a data asset is 'latest'.")
        return text

    def resolve(self, text: str) -> str:
        """Any of Azure ML's URIs as one of a place in a datastore of this workspace; other texts stay as they are.

        The long form loses this workspace's name, a data asset and a job's output become the place where they are.

        :raises InvalidUri: it is malformed, or of another workspace, or a data asset is in no registered datastore.
        :raises DataAssetNotFound: there is no such data asset.
        :raises Changed: the data asset's path has been registered with other content since.
        :raises NotFound: there is no such job, or it has no such output.
        """
        if not isinstance(text, str) or not text.startswith("azureml:"):
            return text
        match parse_uri(self.pin(text)):
            case DataAssetUri(name, version):
                asset = self.workspace.get_data(name, version)
                return self.resolve(place_of(asset, self.workspace.list))
            case JobOutputUri(job, output, path):
                base = self.resolve(self.workspace.job_output(job, output))
                return f"{base.rstrip('/')}/{quote_path(path)}" if path else base
            case DatastoreUri(workspace=None):
                return text
            case DatastoreUri(workspace=named) as uri:
                if str(named).casefold() != str(self.workspace.id).casefold():
                    raise InvalidUri(
                        f"{text!r} is in the Azure ML workspace {named}, but connection {self.workspace_conn_id!r} "
                        f"leads to {self.workspace.id or self.workspace.name}."
                    )
                return str(replace(uri, workspace=None))

    def resolve_input(self, value: Any) -> Any:
        """What a user gave for an input, with its URI resolved; a mapping without a path or a literal stays."""
        if isinstance(value, Input):
            return replace(value, path=self.resolve(value.path))
        if isinstance(value, Mapping) and isinstance(value.get("path"), str):
            return {**value, "path": self.resolve(value["path"])}
        return self.resolve(value)

    def open(self, datastore: str | None = None) -> Place:
        """The root of a datastore, open; None is the default. It is closed with this hook.

        The workspace is asked once: for this hook a datastore stays what and where it is, though somebody else
        re-points it or makes another one the default. :meth:`aload` asks again.

        :raises DatastoreNotFound: there is none of this name.
        :raises InvalidConnection: its credential's connection is missing, or does not fit.
        """
        if datastore not in self._records:
            self._records[datastore] = self.get(datastore)
        record = self._records[datastore]
        opened = self._opened.get(record.name)
        if opened is None or not _same_door(opened[0], record):
            location, credential = self._door(record)
            opened = record, Place(record.name, self._closing.enter_context(open_files(location, credential)))
            self._opened[record.name] = opened
        return opened[1]

    def open_tables(self, datastore: str) -> TableStore:
        """A datastore that is a database, open. It is closed with this hook.

        :raises DatastoreNotFound: there is none of this name.
        :raises Unsupported: it holds files.
        :raises InvalidConnection: its credential's connection is missing, or does not fit.
        """
        if datastore not in self._records:
            self._records[datastore] = self.get(datastore)
        record = self._records[datastore]
        if record.location.holds != "tables" and not isinstance(record.location, UnknownLocation):
            raise Unsupported(
                f"datastore {record.name!r} is of type {record.type} and holds files, no tables: name a path in it."
            )
        opened = self._tables.get(record.name)
        if opened is None or not _same_door(opened[0], record):
            location, credential = self._door(record)
            store = self._closing.enter_context(location.open(credential))
            assert isinstance(store, TableStore)
            opened = self._tables[record.name] = record, store
        return opened[1]

    async def aload(self, datastores: Iterable[str | None]) -> None:
        """Look up these datastores as they are now, and get the connections that opening them takes, so that a
        triggerer's thread can open them."""
        self._mask = masked_by(asyncio.get_running_loop())
        await self._aload_connection(self.workspace_conn_id)
        self._records.clear()
        for name in dict.fromkeys(datastores):
            record = self._records[name] = await asyncio.to_thread(self.get, name)
            if record.credential_conn_id is not None:
                await self._aload_connection(record.credential_conn_id)

    async def _aload_connection(self, conn_id: str) -> None:
        if conn_id not in self._connections:
            with _missing_connection(conn_id, "a trigger"):
                self._connections[conn_id] = await get_async_connection(conn_id)

    def check(self, datastore: str | None = None) -> None:
        """Find out whether a datastore's location is there and lets its credential in, with one request."""
        location, credential = self._door(self.get(datastore))
        with location.open(credential) as store:
            store.check()

    def check_location(self, datastore: Datastore, *, create_if_not_exists: bool = False) -> None:
        """Find out whether a location is there and lets its credential in, registered or not.

        :param create_if_not_exists: make the container, share or folder where it is missing.
        """
        location, credential = self._door(datastore)
        with location.open(credential) as store:
            if create_if_not_exists:
                store.create_if_missing()
            store.check()

    def close(self) -> None:
        """Close every datastore that this hook has opened."""
        self._records.clear()
        self._opened.clear()
        self._tables.clear()
        self._closing.close()
        if "workspace" in self.__dict__:
            self.workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def test_connection(self) -> tuple[bool, str]:
        """Open the workspace and its default datastore, as the connection form's Test button asks.

        A default datastore of a type that this version cannot open is no failure.
        """
        try:
            with self:
                names, default = [datastore.name for datastore in self.list()], self.get()
                said = f"{self.workspace.name}: {', '.join(names)}; default {default.name}"
                if isinstance(default.location, UnknownLocation):
                    return True, f"{said}, of type {default.location.unknown_type}, which this version cannot open"
                self.check(default.name)
                return True, said
        except DatastoresError as error:
            return False, str(error)

    def _connection(self, conn_id: str, purpose: str, conn_type: str) -> Any:
        if conn_id not in self._connections:
            with _missing_connection(conn_id, purpose, conn_type):
                self._connections[conn_id] = self.get_connection(conn_id)
        return self._connections[conn_id]

    def _door(self, datastore: Datastore) -> tuple[Location, Credential]:
        """Where a datastore is and how to get in, from its credential's connection."""
        if datastore.credential_conn_id is None:
            return datastore.location, self.workspace.credential(datastore) or Identity()
        service = datastore.location.service
        connection = self._connection(
            datastore.credential_conn_id,
            f"the credential of datastore {datastore.name!r}",
            SUGGESTED[service],
        )
        access = access_of(connection, service)
        for secret in secrets_of(access.credential):
            self._mask(secret)
        location = datastore.location
        return location.redirected(access.endpoint) if access.endpoint else location, access.credential


class LocalWorkspaceHook(WorkspaceHook):
    """The hook of connections of type ``azureml_local_workspace``, for Airflow's connection form."""

    conn_type = "azureml_local_workspace"
    hook_name = "Azure ML local workspace"


def _same_door(one: Datastore, other: Datastore) -> bool:
    """Whether two records lead to the same place, by the same connection."""
    return one.location == other.location and one.credential_conn_id == other.credential_conn_id


@contextmanager
def _missing_connection(conn_id: str, purpose: str, conn_type: str = "…") -> Iterator[None]:
    """Say what a connection that is not there is needed for, and how to make it."""
    try:
        yield
    except AirflowNotFoundException:
        raise InvalidConnection(
            f"there is no connection {conn_id!r}, which {purpose} needs. Create it in Admin > Connections, or with: "
            f"airflow connections add {conn_id} --conn-type {conn_type}"
        ) from None


def _local_workspace(connection: Any, mask: Mask) -> Workspace:
    """An embedded workspace: SQLite in its folder, or the PostgreSQL database that the connection's host names."""
    from airflow.configuration import AIRFLOW_HOME

    from airflow_azureml_datastores.workspaces.local import LocalWorkspace

    home = connection.extra_dejson.get("home") or os.path.join(AIRFLOW_HOME, "azureml_workspaces", connection.conn_id)
    return LocalWorkspace(connection.conn_id, Path(home), _database_url(connection, mask))


def _database_url(connection: Any, mask: Mask) -> str | None:
    if not connection.host:
        return None
    if not connection.schema:
        raise InvalidConnection(
            f"connection {connection.conn_id!r} names a PostgreSQL server but no database: fill in 'Database' (schema)."
        )
    if connection.password:
        mask(connection.password)
    from sqlalchemy.engine import URL

    server = {"host": connection.host, "port": connection.port}
    if connection.host.startswith("/"):  # the folder of the server's socket
        server = {"query": {name: str(value) for name, value in server.items() if value}}
    url = URL.create(
        "postgresql+psycopg",
        username=connection.login or None,
        password=connection.password or None,
        database=connection.schema,
        **server,
    )
    return url.render_as_string(hide_password=False)


WORKSPACES: dict[str, Callable[[Any, Mask], Workspace]] = {
    "azureml_local_workspace": _local_workspace,
    "azureml_workspace": azureml_workspace,
}
