"""The hook of a datastore that is a database: what a task does with its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any
from uuid import uuid4

from airflow_azureml_datastores.core.table_store import Load, Loaded, Query, Rows, TableStore, WriteMode
from airflow_azureml_datastores.hooks._one_datastore import OneDatastoreHook
from airflow_azureml_datastores.hooks.workspace import WorkspaceHook

_BATCH = 65_536
"""Rows."""


class DatabaseHook(OneDatastoreHook):
    """The rows of a datastore that is a database.

    :param datastore: its name.
    :param workspace_conn_id: id of the workspace's connection.
    """

    _opened = "store"

    def __init__(self, datastore: str, workspace_conn_id: str = WorkspaceHook.default_conn_name) -> None:
        super().__init__(datastore, workspace_conn_id)

    @cached_property
    def store(self) -> TableStore:
        """The database, open.

        :raises DatastoreNotFound: there is no datastore of this name.
        :raises InvalidInput: it is of another type than this hook is for.
        :raises Unsupported: it holds files.
        """
        return self.workspace_hook.open_tables(self._name())

    def get_conn(self) -> TableStore:
        """The database, open."""
        return self.store

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> AbstractContextManager[Rows]:
        """Run a query; inside of ``with``, its schema and its Arrow record batches, one after the other.

        :param sql: a SELECT in the database's dialect; ``?`` or ``:name`` stand for values.
        :param parameters: the values: a sequence for ``?``, a mapping for ``:name``.
        :raises InvalidInput: the database refuses it.
        """
        return self.store.read(Query(sql, parameters))

    def table(self, name: str, columns: Sequence[str] = ()) -> AbstractContextManager[Rows]:
        """The same of a whole table.

        :param name: as ``table`` or ``schema.table``.
        :param columns: only these; none are all.
        """
        return self.store.read(self.store.table(name, columns))

    def load(
        self,
        table: str,
        rows: Any,
        mode: WriteMode = "fail",
        *,
        keys: Sequence[str] = (),
        create_if_missing: bool = False,
        load_id: str | None = None,
    ) -> Loaded:
        """Bring rows into a table: all of them or none, in one transaction.

        :param table: as ``table`` or ``schema.table``.
        :param rows: a ``pyarrow.Table``.
        :param mode: ``fail`` (if the table has rows), ``append``, ``overwrite`` or ``upsert``.
        :param keys: the columns that tell rows apart, for ``upsert``.
        :param create_if_missing: make a table that is not there, with types from the data.
        :param load_id: names this load, so that it is done once however often it is tried; None is always another one.
        :raises PathNotFound: there is no such table, and not ``create_if_missing``.
        :raises PathExists: mode ``fail`` and the table has rows.
        :raises InvalidInput: columns or a value do not fit; nothing has changed.
        """
        load = Load(table, mode, keys, create_if_missing, load_id or f"hook-{uuid4()}")

        @contextmanager
        def opened() -> Iterator[Rows]:
            yield Rows(rows.schema, iter(rows.to_batches(max_chunksize=_BATCH)))

        return self.store.write(load, opened)


class AzureMySqlHook(DatabaseHook):
    """The rows of a datastore of type ``AzureMySql``."""

    datastore_type = "AzureMySql"


class AzurePostgreSqlHook(DatabaseHook):
    """The rows of a datastore of type ``AzurePostgreSql``."""

    datastore_type = "AzurePostgreSql"


class AzureSqlDatabaseHook(DatabaseHook):
    """The rows of a datastore of type ``AzureSqlDatabase``."""

    datastore_type = "AzureSqlDatabase"
