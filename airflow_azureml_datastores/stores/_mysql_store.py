"""Reading a MySQL database: a statement is prepared, and its rows are decoded as they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.table_store import Load, Loaded, OpenRows, Query, Rows, Schema
from airflow_azureml_datastores.errors import InvalidInput, MissingExtra
from airflow_azureml_datastores.stores._database_login import Server
from airflow_azureml_datastores.stores._mysql_loading import MySqlDatabase
from airflow_azureml_datastores.stores._mysql_login import MySqlLogin
from airflow_azureml_datastores.stores._narrowed_tables import NarrowedTables
from airflow_azureml_datastores.stores._sql_text import MYSQL, bind, name_parts, quoted, without_end
from airflow_azureml_datastores.stores._table_loading import check_target, create_records, load_rows

if TYPE_CHECKING:
    import pyarrow as pa
    import pymysql

    from airflow_azureml_datastores.stores._mysql_statement import Statement

_SESSION = (
    # A server drops a client that takes no rows for a minute; uploads may take longer.
    "set session time_zone = '+00:00', net_write_timeout = 28800, "
    "sql_mode = replace(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '')",
    # For this transaction, and for one that a procedure may begin after it.
    "set session transaction isolation level repeatable read, read only",
    "start transaction with consistent snapshot, read only",
)


class MySqlStore(NarrowedTables):
    """A MySQL database, open.

    :raises InvalidConnection: the credential is of no use for it.
    """

    datastore_type = "AzureMySql"
    _grammar = MYSQL
    _quotes = "``"

    def __init__(self, server: Server, credential: Credential) -> None:
        if not all(map(find_spec, ("numpy", "pyarrow", "pymysql"))):
            raise MissingExtra("datastores of type AzureMySql", "mysql")
        self._server = server
        self._login = MySqlLogin(server, credential)

    @property
    def url(self) -> str:
        return self._server.url

    def check(self) -> None:
        with self._login.connected() as connection:
            connection.query("select 1")

    def table(self, name: str, columns: Sequence[str] = ()) -> Query:
        chosen = ", ".join(_quoted(column) for column in columns) or "*"
        return Query(f"select {chosen} from {'.'.join(map(_quoted, name_parts(name)))}")

    def check_query(self, query: Query) -> None:
        with self._connected() as connection:
            self._prepare(connection, query)

    @contextmanager
    def read(self, query: Query) -> Iterator[Rows]:
        with self._connected() as connection:
            prepared, values = self._prepare(connection, query)
            schema, batches = prepared.run(values)
            yield Rows(schema, self._translated(batches))

    def has_table(self, name: str) -> bool:
        with self._loading() as db:
            return db.columns(name_parts(name)) is not None

    def check_write(self, load: Load, schema: Schema) -> None:
        with self._loading() as db:
            check_target(db, load, schema)

    def write(self, load: Load, rows: OpenRows) -> Loaded:
        with self._loading() as db:
            create_records(db, load)
            with rows() as opened, db.made(load, opened.schema), db.transaction():
                return load_rows(db, load, opened)

    @contextmanager
    def _loading(self) -> Iterator[MySqlDatabase]:
        with self._login.connected(loads=True) as connection:
            yield MySqlDatabase(connection)

    @contextmanager
    def _connected(self) -> Iterator[pymysql.Connection[Any]]:
        with self._login.connected() as connection:
            for statement in _SESSION:
                connection.query(statement)
            yield connection

    def _translated(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with self._login.translated():
            yield from batches

    def _prepare(self, connection: pymysql.Connection[Any], query: Query) -> tuple[Statement, list[Any]]:
        from airflow_azureml_datastores.stores._mysql_statement import Statement

        sql, values = bind(query, MYSQL, lambda n: "?")
        prepared = Statement(connection, without_end(sql, MYSQL))
        if not prepared.columns:
            raise InvalidInput("the query gives no rows: it has to be a SELECT, or a WITH … SELECT.")
        if prepared.places != len(values):
            raise InvalidInput(f"the query has {prepared.places} places for {len(values)} parameters.")
        repeated = [name for name, n in Counter(column.name.lower() for column in prepared.columns).items() if n > 1]
        if repeated:
            names = ", ".join(map(repr, repeated))
            raise InvalidInput(f"the query gives several columns of the same name, {names}: name them apart with AS.")
        return prepared, values


def _quoted(name: str) -> str:
    return quoted(name, "``")
