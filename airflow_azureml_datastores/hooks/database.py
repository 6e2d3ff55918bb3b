"""The hook of a datastore that is a database: what a task does with its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from types import TracebackType
from typing import Any, ClassVar, Self

from airflow.sdk import BaseHook

from airflow_azureml_datastores.core.table_store import Query, Rows, TableStore
from airflow_azureml_datastores.errors import DatastoresError, InvalidInput
from airflow_azureml_datastores.hooks.workspace import WorkspaceHook


class DatabaseHook(BaseHook):
    """The rows of a datastore that is a database.

    :param datastore: its name.
    :param workspace_conn_id: id of the workspace's connection.
    """

    datastore_type: ClassVar[str | None] = None

    def __init__(self, datastore: str, workspace_conn_id: str = WorkspaceHook.default_conn_name) -> None:
        super().__init__()
        self.datastore = datastore
        self.workspace_hook = WorkspaceHook(workspace_conn_id)

    @cached_property
    def store(self) -> TableStore:
        """The database, open.

        :raises DatastoreNotFound: there is no datastore of this name.
        :raises InvalidInput: it is of another type than this hook is for.
        :raises Unsupported: it holds files.
        """
        record = self.workspace_hook.get(self.datastore)
        if self.datastore_type not in (None, record.type):
            raise InvalidInput(
                f"datastore {record.name!r} is of type {record.type}, but {type(self).__name__} is for "
                f"{self.datastore_type}; DatabaseHook takes any database."
            )
        return self.workspace_hook.open_tables(record.name)

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

    def test_connection(self) -> tuple[bool, str]:
        """Find out whether the database is there and lets its credential in, and tell a person."""
        try:
            self.store.check()
        except DatastoresError as error:
            return False, str(error)
        return True, f"{self.datastore}: {self.store.url}"

    def close(self) -> None:
        """Close the database."""
        self.__dict__.pop("store", None)
        self.workspace_hook.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AzurePostgreSqlHook(DatabaseHook):
    """The rows of a datastore of type ``AzurePostgreSql``."""

    datastore_type = "AzurePostgreSql"
