"""Reading a PostgreSQL database: psycopg says what a query gives, DuckDB fetches it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.table_store import Load, Loaded, OpenRows, Query, Rows, Schema
from airflow_azureml_datastores.errors import (
    AccessDenied,
    ContainerNotFound,
    DatastoresError,
    InvalidInput,
    MissingExtra,
    Unavailable,
)
from airflow_azureml_datastores.stores import _duckdb
from airflow_azureml_datastores.stores._database_login import Server
from airflow_azureml_datastores.stores._narrowed_tables import NarrowedTables
from airflow_azureml_datastores.stores._postgresql_loading import PostgreSqlDatabase
from airflow_azureml_datastores.stores._postgresql_login import PostgreSqlLogin
from airflow_azureml_datastores.stores._postgresql_parts import Moment, bounds, partition_column, ranges
from airflow_azureml_datastores.stores._postgresql_types import Column, check_finite
from airflow_azureml_datastores.stores._sql_text import POSTGRESQL, bind, name_parts, quoted, without_end
from airflow_azureml_datastores.stores._table_loading import check_target, create_records, load_rows

if TYPE_CHECKING:
    import duckdb
    import psycopg
    import pyarrow as pa

_ROWS = 65_536
"""Rows of a batch at most."""

_SETTING = "azureml_datastores.p"
"""Values of a query are settings of the session, as a COPY takes no parameters."""


class _Statement(NamedTuple):
    """What PostgreSQL is asked for rows.

    :param settings: the values that stand in its text.
    """

    text: str
    settings: dict[str, Any]


class PostgreSqlStore(NarrowedTables):
    """A PostgreSQL database, open.

    :raises InvalidConnection: the credential is of no use for it.
    """

    datastore_type = "AzurePostgreSql"
    _grammar = POSTGRESQL

    def __init__(self, server: Server, credential: Credential) -> None:
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise MissingExtra("datastores of type AzurePostgreSql", "postgres") from None
        _duckdb.check_installed("postgres", "postgres")
        self._server = server
        self._login = PostgreSqlLogin(server, credential)

    @property
    def url(self) -> str:
        return self._server.url

    def check(self) -> None:
        with self._connected(self._login.parameters()) as connection:
            connection.execute("select 1")

    def table(self, name: str, columns: Sequence[str] = ()) -> Query:
        chosen = ", ".join(map(quoted, columns)) or "*"
        return Query(f"select {chosen} from {'.'.join(map(quoted, name_parts(name)))}")

    def check_query(self, query: Query) -> None:
        with self._connected(self._login.parameters()) as connection:
            self._describe(connection, query)

    @contextmanager
    def read(self, query: Query) -> Iterator[Rows]:
        parameters = self._login.parameters()
        with self._connected(parameters) as connection:
            statement = self._statement(connection, query)
        with self._fetched(statement, parameters) as rows:
            yield rows

    def check_parts(self, query: Query, column: str) -> None:
        with self._connected(self._login.parameters()) as connection:
            partition_column(connection, self._describe(connection, query)[0], column)

    @contextmanager
    def read_in_parts(self, query: Query, column: str, parts: int) -> Iterator[list[OpenRows]]:
        parameters = self._login.parameters()
        sql, values = bind(query, POSTGRESQL, lambda n: f"${n + 1}")
        texts = [None if value is None else _as_text(value) for value in values]
        with self._connected(parameters) as connection:
            moment = Moment(connection)
            found = partition_column(connection, self._describe(connection, query)[0], column)
            met = bounds(connection, without_end(sql, POSTGRESQL), texts, found, parts)
            queries = [self._of(query, "q.*", where, more) for where, more in ranges(column, met)]
            statements = [self._statement(connection, part) for part in queries]
            try:
                yield [partial(self._fetched, statement, parameters, moment) for statement in statements]
            finally:
                if readers := moment.end():
                    self._stop(readers)

    def _stop(self, readers: list[int]) -> None:
        """End connections that read, or wait for what a query gives: from this side that cannot be broken off."""
        with suppress(DatastoresError), self._connected(self._login.parameters()) as connection:
            connection.execute("select pg_terminate_backend(n) from unnest(%s::int[]) as n", [readers])

    @contextmanager
    def _fetched(
        self, statement: _Statement, parameters: Mapping[str, str], moment: Moment | None = None
    ) -> Iterator[Rows]:
        with self._translated(parameters), _duckdb.attached("postgres", parameters) as db:
            db.execute("begin")
            with nullcontext() if moment is None else moment.seen(db):
                self._set(db, statement.settings)
                found = db.execute("select * from postgres_query('db', ?)", [statement.text]).to_arrow_reader(_ROWS)
                yield Rows(found.schema, self._batches(found, parameters))

    def _statement(self, connection: psycopg.Connection[Any], query: Query) -> _Statement:
        columns, types, values = self._describe(connection, query)
        terms = [_term(n, type_, value) for n, (type_, value) in enumerate(zip(types, values, strict=True))]
        bound, _ = bind(query, POSTGRESQL, terms.__getitem__)
        chosen = ", ".join(f"{column.term()} as {quoted(column.name)}" for column in columns)
        text = f"select {chosen} from (\n{without_end(bound, POSTGRESQL)}\n) as q"
        return _Statement(text, {f"{_SETTING}{n}": value for n, value in enumerate(values) if value is not None})

    def _batches(self, reader: pa.RecordBatchReader, parameters: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except (pa.ArrowException, OSError) as error:  # so it hands on what DuckDB says
                self._refused(error, parameters)
            check_finite(batch)
            yield batch

    def _describe(self, connection: psycopg.Connection[Any], query: Query) -> tuple[list[Column], list[str], list[Any]]:
        """The columns that a query gives, the types that its values have to have, and these values."""
        from psycopg import pq

        sql, values = bind(query, POSTGRESQL, lambda n: f"${n + 1}")
        link = connection.pgconn
        prepared = link.prepare(b"", without_end(sql, POSTGRESQL).encode())
        if prepared.status != pq.ExecStatus.COMMAND_OK:
            said = _duckdb.told(InvalidInput(prepared.get_error_message("UTF8")), {})
            raise _class_of(said)(f"{self.url} refuses the query: {said}")
        found = link.describe_prepared(b"")
        oids = [found.param_type(n) for n in range(found.nparams)]
        types = connection.execute(
            "select format_type(t::oid, null) from unnest(%s::bigint[]) with ordinality as x(t, n) order by n",
            [oids],
        ).fetchall()
        columns = [
            Column((found.fname(n) or b"").decode(), found.ftype(n), found.fmod(n)) for n in range(found.nfields)
        ]
        if not columns:
            raise InvalidInput("the query gives no rows: it has to be a SELECT, or a WITH … SELECT.")
        if len(oids) != len(values):
            raise InvalidInput(f"the query has {len(oids)} places for {len(values)} parameters.")
        repeated = [name for name, count in Counter(column.name.lower() for column in columns).items() if count > 1]
        if repeated:
            names = ", ".join(map(repr, repeated))
            raise InvalidInput(f"the query gives several columns of the same name, {names}: name them apart with AS.")
        return columns, [name for (name,) in types], values

    def _set(self, db: duckdb.DuckDBPyConnection, settings: Mapping[str, Any]) -> None:
        """Give the session values, for the transaction."""
        if not settings:
            return
        calls = ", ".join(f"set_config('{name}', ${n + 1}, true) as c{n}" for n, name in enumerate(settings))
        marks = ", ".join("?" for _ in settings)
        db.execute("set pg_use_text_protocol = true")  # the only one that has parameters
        db.execute(
            f"select * from postgres_query('db', ?, params = row({marks}))",
            [f"select {calls}", *map(_as_text, settings.values())],
        ).fetchall()
        db.execute("set pg_use_text_protocol = false")

    def has_table(self, name: str) -> bool:
        with self._database() as db:
            return db.columns(name_parts(name)) is not None

    def check_write(self, load: Load, schema: Schema) -> None:
        with self._database() as db:
            check_target(db, load, schema)

    def write(self, load: Load, rows: OpenRows) -> Loaded:
        with self._database() as db:
            create_records(db, load)
        with rows() as opened, self._database() as db:
            return load_rows(db, load, opened)

    @contextmanager
    def _database(self) -> Iterator[PostgreSqlDatabase]:
        """The database in a transaction."""
        with self._connected(self._login.parameters()) as connection, connection.transaction():
            yield PostgreSqlDatabase(connection)

    @contextmanager
    def _connected(self, parameters: Mapping[str, str]) -> Iterator[psycopg.Connection[Any]]:
        import psycopg
        from psycopg.conninfo import make_conninfo

        try:
            with closing(psycopg.connect(make_conninfo("", **parameters), autocommit=True)) as connection:
                yield connection
        except psycopg.Error as error:
            self._refused(error, parameters)

    @contextmanager
    def _translated(self, parameters: Mapping[str, str]) -> Iterator[None]:
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            self._refused(error, parameters)

    def _refused(self, error: Exception, parameters: Mapping[str, str]) -> NoReturn:
        said = _duckdb.told(error, parameters)
        raise _class_of(said)(f"{self.url}: {said}") from None


# What libpq and the server say; both have no other sign for it when a connection does not come about.
_MEANING: tuple[tuple[str, type[DatastoresError]], ...] = (
    (r'database "[^"]*" does not exist', ContainerNotFound),
    (r"authentication failed|no password supplied|no pg_hba.conf entry|role \S+ does not exist", AccessDenied),
    (r"permission denied|certificate|SSL", AccessDenied),
    (r'could not import the requested snapshot|invalid snapshot|snapshot "[^"]*" does not exist', Unavailable),
    (r"connection to server|unable to connect|could not translate host|server closed|terminating connection"
     r"|connection reset|could not receive|too many clients|starting up|shutting down|timeout expired", Unavailable),
)  # fmt: skip


def _class_of(said: str) -> type[DatastoresError]:
    return next((kind for pattern, kind in _MEANING if re.search(pattern, said, re.IGNORECASE)), InvalidInput)


def _term(number: int, type_: str, value: Any) -> str:
    """What stands for a value in the text."""
    return f"null::{type_}" if value is None else f"current_setting('{_SETTING}{number}')::{type_}"


def _as_text(value: Any) -> str:
    """A value as PostgreSQL reads it. :raises InvalidInput: it has no such form."""
    import psycopg
    from psycopg.adapt import PyFormat, Transformer
    from psycopg.types.json import Jsonb

    given = Jsonb(value) if isinstance(value, dict) else value
    try:
        dumped = Transformer().get_dumper(given, PyFormat.TEXT).dump(given)
    except psycopg.Error:
        raise InvalidInput(f"a {type(value).__name__} cannot be the value of a parameter.") from None
    text = bytes(dumped or b"").decode()
    if "\0" in text:
        raise InvalidInput("the value of a parameter has a NUL character in it, which PostgreSQL cannot hold.")
    return text
