"""The database under an embedded workspace: transactions, and the one place where its errors become ours.

SQLite keeps its rollback journal: WAL would let readers pass a writer, but needs shared memory, which a folder on a
network share does not have, and a workspace is written a few times per DAG run. Whoever meets a lock waits for up to
LOCK_TIMEOUT. Every call uses a connection of its own, so that none is shared with a forked process or left open to a
server that hundreds of workers use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.errors import (
    AccessDenied,
    Conflict,
    DatastoresError,
    InvalidInput,
    MissingExtra,
    Unavailable,
)

if TYPE_CHECKING:
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

LOCK_TIMEOUT = 30
"""Seconds to wait for other writers."""

_CONNECT_TIMEOUT = 10

# Any number does, as long as nobody else takes the same one in this database.
_ADVISORY_LOCK = 0x617A6D6C

# Start of SQLite's error name, or of PostgreSQL's SQLSTATE -> the error, and what it says.
# Sources: https://www.sqlite.org/rescode.html, https://www.postgresql.org/docs/current/errcodes-appendix.html
_ERRORS: tuple[tuple[str, type[DatastoresError], str], ...] = (
    ("SQLITE_BUSY", Unavailable, f"another process has kept it locked for {LOCK_TIMEOUT} seconds"),
    ("SQLITE_LOCKED", Unavailable, "it is locked"),
    ("SQLITE_FULL", Unavailable, "the disk is full"),
    ("SQLITE_IOERR", Unavailable, "the disk or share did not answer properly"),
    ("SQLITE_READONLY", AccessDenied, "it, or its folder, may not be written"),
    ("SQLITE_PERM", AccessDenied, "the file may not be opened"),
    ("SQLITE_CANTOPEN", AccessDenied, "the file cannot be opened; does its folder exist, and may it be written?"),
    ("SQLITE_NOTADB", InvalidInput, "the file is no SQLite database; move it away and a new one is made"),
    ("SQLITE_CORRUPT", InvalidInput, "the file is damaged; restore it, or move it away and a new one is made"),
    ("SQLITE_CONSTRAINT", Conflict, "somebody else changed it"),
    ("SQLITE_ERROR", InvalidInput, "its tables are not those of a workspace"),
    ("42P01", InvalidInput, "its tables are not those of a workspace"),
    ("42703", InvalidInput, "its tables are not those of a workspace"),
    ("42501", AccessDenied, "the user lacks a permission"),
    ("25006", AccessDenied, "it may not be written"),
    ("53", Unavailable, "the server is out of disk, memory or connections"),
    ("55P03", Unavailable, f"another process has kept it locked for {LOCK_TIMEOUT} seconds"),
    ("23", Conflict, "somebody else changed it"),
)


class Transaction:
    """An open transaction."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, **values: Any) -> Sequence[Mapping[str, Any]]:
        """All rows that a query with ``:named`` values gives."""
        return [row._asdict() for row in self._execute(statement, values)]

    def run(self, statement: str, **values: Any) -> None:
        """Execute a statement with ``:named`` values."""
        self._execute(statement, values)

    def has_table(self, name: str) -> bool:
        import sqlalchemy

        return sqlalchemy.inspect(self._connection).has_table(name)

    def _execute(self, statement: str, values: Mapping[str, Any]) -> sqlalchemy.CursorResult[Any]:
        import sqlalchemy

        return self._connection.execute(sqlalchemy.text(statement), values)


class Database:
    """A SQLite file, or a PostgreSQL database.

    :param file: the SQLite file.
    :param url: URL of a PostgreSQL database, to be used in its place: ``postgresql://user:password@host/database``.
    :raises InvalidInput: not such a URL.
    """

    def __init__(self, file: Path, url: str | None = None) -> None:
        self._url = _sqlite_url(file) if url is None else _postgresql_url(url)

    def __str__(self) -> str:
        if self._is_sqlite:
            return f"workspace database {self._url.database}"
        host = self._url.host or self._url.query.get("host", "")
        return f"workspace database postgresql://{host}/{self._url.database or ''}"

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A transaction that sees what is committed, and waits for no writer but at the moment of its commit."""
        with self._transaction(writing=False) as transaction:
            yield transaction

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A transaction that no other writer's can overlap, on any machine: what it reads stays true until it ends."""
        with self._transaction(writing=True) as transaction:
            if not self._is_sqlite:
                transaction.run(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'")
                transaction.run("SELECT pg_advisory_xact_lock(:key)", key=_ADVISORY_LOCK)
            yield transaction

    @contextmanager
    def _transaction(self, *, writing: bool) -> Iterator[Transaction]:
        import sqlalchemy.exc

        try:
            with self._engine.connect() as connection:
                connection = connection.execution_options(azureml_writing=writing)
                with connection.begin():
                    yield Transaction(connection)
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise self._translated(error) from None

    @property
    def _is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        return _sqlite_engine(self._url) if self._is_sqlite else _postgresql_engine(self._url)

    def _translated(self, error: SQLAlchemyError) -> DatastoresError:
        cause = getattr(error, "orig", None)
        code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""
        detail = " ".join(str(cause or type(error).__name__).split())
        for start, kind, meaning in _ERRORS:
            if code.startswith(start):
                return kind(f"{self}: {meaning} ({detail}).")
        # PostgreSQL tells why it did not let us in by its message only.
        if re.search('FATAL: +(password|role ".*" does not exist|no pg_hba.conf|permission)', detail):
            return AccessDenied(f"{self}: {detail}.")
        return Unavailable(f"{self}: {detail}.")


def _sqlite_url(file: Path) -> sqlalchemy.URL:
    import sqlalchemy

    return sqlalchemy.URL.create("sqlite", database=str(file))


def _sqlite_engine(url: sqlalchemy.URL) -> sqlalchemy.Engine:
    import sqlalchemy

    engine = sqlalchemy.create_engine(
        url,
        poolclass=sqlalchemy.NullPool,
        hide_parameters=True,
        connect_args={"timeout": LOCK_TIMEOUT, "isolation_level": None},
    )
    sqlalchemy.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))
    # The driver would begin only before the first write, and then as a reader who may not become a writer:
    # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl
    sqlalchemy.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _begin_sqlite(connection: sqlalchemy.Connection) -> None:
    writing = connection.get_execution_options()["azureml_writing"]
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _postgresql_engine(url: sqlalchemy.URL) -> sqlalchemy.Engine:
    import sqlalchemy

    try:
        return sqlalchemy.create_engine(
            url,
            poolclass=sqlalchemy.NullPool,
            hide_parameters=True,
            isolation_level="READ COMMITTED",
            connect_args={"connect_timeout": _CONNECT_TIMEOUT},
        )
    except ImportError:
        raise MissingExtra("a workspace on PostgreSQL", "postgres") from None


def _postgresql_url(text: str) -> sqlalchemy.URL:
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError

    try:
        url = sqlalchemy.make_url(re.sub("^postgres:", "postgresql:", text))
    except (ArgumentError, ValueError):
        raise InvalidInput(
            "the workspace's database URL is malformed; a password in it has to be percent-encoded."
        ) from None
    if url.get_backend_name() != "postgresql":
        raise InvalidInput(
            f"a workspace's database is PostgreSQL (postgresql://user:password@host/database), not "
            f"{url.get_backend_name()}; leave the URL out for a SQLite file."
        )
    # A password with an unencoded '@' ends up in what is shown.
    if "@" in f"{url.host}{url.database}":
        raise InvalidInput("the workspace's database URL has a second '@'; a password in it has to be percent-encoded.")
    return url.set(drivername="postgresql+psycopg")
