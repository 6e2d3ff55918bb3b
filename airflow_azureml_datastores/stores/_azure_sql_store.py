"""A SQL Server database, by pyodbc; its rows by mssql-python where that can be."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.table_store import Load, Loaded, OpenRows, Query, Rows, Schema
from airflow_azureml_datastores.core.watermark import FineTime
from airflow_azureml_datastores.errors import InvalidInput
from airflow_azureml_datastores.stores import _azure_sql_arrow as arrow
from airflow_azureml_datastores.stores import _odbc
from airflow_azureml_datastores.stores._azure_sql_loading import AzureSqlDatabase as Loading
from airflow_azureml_datastores.stores._azure_sql_login import AzureSqlLogin
from airflow_azureml_datastores.stores._azure_sql_types import (
    OFFSET,
    TIME,
    TIMESTAMP,
    ResultColumn,
    as_value,
    declaration,
    described,
    nanoseconds,
    nanoseconds_of_day,
    result_columns,
    time_text,
)
from airflow_azureml_datastores.stores._narrowed_tables import NarrowedTables
from airflow_azureml_datastores.stores._sql_text import T_SQL, bind, name_parts, quoted
from airflow_azureml_datastores.stores._table_loading import check_target, create_records, load_rows

if TYPE_CHECKING:
    import pyarrow as pa
    import pyodbc

T = TypeVar("T")
log = logging.getLogger(__name__)

_BATCH = 16 << 20
"""Bytes that a batch should have."""
_MOST_ROWS = 65_536
_FIRST_ROWS = 1_000

_NO_PROCEDURE = 2812
"""What SQL Server has known since 2012, some that speak its protocol do not: there the query itself is run."""
_IS_THERE_ALREADY = 2714
"""There is an object of this name: somebody else was faster."""

# Words of Transact-SQL, which may follow a number without a space.
_WORD = re.compile(r"0x[0-9a-f]*|\d+(?:\.\d*)?(?:e[+-]?\d*)?|(?P<word>[^\W\d][\w@$#]*)", re.IGNORECASE)

# What a query may not say, as a transaction of SQL Server cannot be made one that only reads. All are reserved words.
_CHANGES = re.compile(
    r"insert|update|delete|merge|into|exec|execute|create|alter|drop|truncate|grant|revoke|deny|begin|commit|rollback"
    r"|save|use|set|declare|backup|restore|kill|shutdown|reconfigure|waitfor|bulk|dbcc|openquery|openrowset"
    r"|opendatasource|if|while|goto|return|print|raiserror|checkpoint|setuser|revert|deallocate|updatetext|writetext",
    re.IGNORECASE,
)
_READS_AFTER_ALL = re.compile(r"\bmerge(?=\s+(?:join|union)\b)|\buse(?=\s+(?:hint|plan)\b)", re.IGNORECASE)
_ESCAPES = re.compile(r"\{[\s?=]*call\b|next\s+value\s+for\b", re.IGNORECASE)


_ALONE = re.compile(r"\b(?:order|option|for)\b", re.IGNORECASE)


class AzureSqlStore(NarrowedTables):
    """A SQL Server database, open.

    :raises MissingExtra: there is no driver.
    :raises InvalidConnection: the credential is of no use for it, or for the driver.
    """

    datastore_type = "AzureSqlDatabase"
    _grammar = T_SQL
    _quotes = "[]"
    _first = "select top (1) {column} from {rows} order by {column} desc"
    _count = "count_big(*)"
    _with_in_front = True

    def __init__(self, server: _odbc.OdbcServer, credential: Credential) -> None:
        self._server = server
        self._login = AzureSqlLogin(server.host, credential, known_only=server.enforce_ssl)
        self._driver = _odbc.find_driver(server.driver)
        _odbc.check_driver(server, self._driver, token=self._login.by_token)

    @property
    def url(self) -> str:
        return self._server.url

    def check(self) -> None:
        self._unit(lambda connection: connection.execute("select 1").fetchall(), reading=True)

    def table(self, name: str, columns: Sequence[str] = ()) -> Query:
        chosen = ", ".join(quoted(column, "[]") for column in columns) or "*"
        return Query(f"select {chosen} from {'.'.join(quoted(part, '[]') for part in name_parts(name))}")

    def check_query(self, query: Query) -> None:
        query = _plain(query)
        self._unit(lambda connection: self._describe(connection, query), reading=True)

    @contextmanager
    def read(self, query: Query) -> Iterator[Rows]:
        import pyarrow as pa

        query = _plain(query)
        columns, first, batches = self._again(lambda: self._begin(query))
        with closing(batches):
            yield Rows(pa.schema([(column.name, column.type) for column in columns]), self._told(first, batches))

    def has_table(self, name: str) -> bool:
        parts = name_parts(name)
        return self._unit(lambda connection: Loading(connection).columns(parts) is not None)

    def check_write(self, load: Load, schema: Schema) -> None:
        self._unit(lambda connection: check_target(Loading(connection), load, schema))

    def write(self, load: Load, rows: OpenRows) -> Loaded:
        self._transaction(lambda db: create_records(db, load), also=_IS_THERE_ALREADY)

        def work(db: Loading) -> Loaded:
            with rows() as opened:
                return load_rows(db, load, opened)

        return self._transaction(work)

    def _comparable(self, value: Any) -> Any:
        """Times as texts, of which the server makes the column's own type.

        What drivers bind has no seventh digit of a second, and does not equal a ``datetime``, which is so many 300ths.
        """
        return time_text(value) if isinstance(value, (datetime, FineTime)) else value

    def _transaction(self, work: Callable[[Loading], T], also: int | None = None) -> T:
        """Do something in one transaction; again as a whole, if need be."""

        def unit(connection: pyodbc.Connection) -> T:
            connection.execute("set xact_abort on")
            connection.autocommit = False
            done = work(Loading(connection))
            connection.commit()
            return done

        return self._unit(unit, also=also)

    def _unit(self, work: Callable[[pyodbc.Connection], T], *, reading: bool = False, also: int | None = None) -> T:
        def once() -> T:
            with closing(self._connect(reading=reading)) as connection:
                return work(connection)

        return self._again(once, also)

    def _again(self, work: Callable[[], T], also: int | None = None) -> T:
        import pyodbc

        try:
            return _odbc.again_if_transient(work, also)
        except pyodbc.Error as error:
            raise _odbc.translated(error, self.url) from None

    def _connect(self, *, reading: bool) -> pyodbc.Connection:
        return _odbc.connect(self._server, self._driver, self._login.values(), self._login.token(), reading=reading)

    def _describe(self, connection: pyodbc.Connection, query: Query) -> list[ResultColumn]:
        """The columns that a query gives."""
        import pyodbc

        named, values = bind(query, T_SQL, lambda n: f"@P{n + 1}")
        _check_reads(named)
        declared = ", ".join(f"@P{n} {declaration(value)}" for n, value in enumerate(values, 1))
        describing = f"exec sys.sp_describe_first_result_set @tsql = {_literal(named)}, @params = {_literal(declared)}"
        try:
            cursor = connection.execute(describing)
        except pyodbc.Error as error:
            if _odbc.number_of(error) != _NO_PROCEDURE:
                raise
            cursor = connection.execute(f"declare {declared}; {named}" if values else named)  # with NULLs
            columns = described(cursor.description or [])
            cursor.close()
        else:
            found = cursor.fetchall() if cursor.description else []
            names = [entry[0] for entry in cursor.description or []]
            rows = [dict(zip(names, row, strict=True)) for row in found]
            # Those of the CLR, such as geography, are none of the system's.
            columns = [
                (row["name"], row["system_type_name"] or row.get("user_type_name") or "a type of its own")
                for row in rows
                if not row["is_hidden"]
            ]
        if not columns:
            raise InvalidInput("the query gives no rows: it has to be a SELECT, or a WITH … SELECT.")
        return result_columns(columns)

    def _begin(self, query: Query) -> tuple[list[ResultColumn], pa.RecordBatch | None, Generator[pa.RecordBatch]]:
        """Columns, first rows and the others."""
        with ExitStack() as stack:
            connection = stack.enter_context(closing(self._connect(reading=True)))
            columns, isolation = self._describe(connection, query), self._one_moment(connection)
            if (begun := self._in_arrow(query, columns, isolation)) is not None:
                return columns, *begun
            stack.pop_all()  # it is closed with the rows
            batches = _batches(self._in_rows(connection, query, columns, isolation))
            return columns, next(batches, None), batches

    def _in_arrow(
        self, query: Query, columns: list[ResultColumn], isolation: str
    ) -> tuple[pa.RecordBatch | None, Generator[pa.RecordBatch]] | None:
        """First rows and the others, by mssql-python; None if it cannot read the query."""
        import pyarrow as pa
        import pyodbc

        if not arrow.can_read(self._server, self._driver):
            return None
        if more := arrow.digits(columns):
            if _stands_alone(query.sql):
                return None
            query = self._of(query, ", ".join(["q.*", *more]), "1 = 1")
        batches = _batches(arrow.opened(self._server, self._login, columns, isolation, _bound(query)))
        try:
            return next(batches, None), batches
        except (pyodbc.Error, ImportError, pa.ArrowException) as error:
            log.info("Read by pyodbc, as mssql-python cannot: %s", _odbc.told(error))
            return None

    @contextmanager
    def _in_rows(
        self, connection: pyodbc.Connection, query: Query, columns: Sequence[ResultColumn], isolation: str
    ) -> Iterator[arrow.Fetch]:
        """The same as ``opened`` of :mod:`_azure_sql_arrow`, by pyodbc. The connection is closed at the end."""
        import pyarrow as pa
        import pyodbc

        names = [column.name for column in columns]
        with closing(connection):
            connection.execute(f"set transaction isolation level {isolation}")
            connection.autocommit = False
            if any(column.declared.name in ("datetime2", "time") and column.declared.scale > 6 for column in columns):
                connection.add_output_converter(TIMESTAMP, nanoseconds)
                connection.add_output_converter(TIME, nanoseconds_of_day)
            connection.add_output_converter(OFFSET, nanoseconds)
            cursor = connection.execute(*_bound(query))

            def fetch(count: int) -> pa.RecordBatch:
                try:
                    rows = cursor.fetchmany(count)
                except UnicodeDecodeError as error:
                    raise InvalidInput(f"a text of the query holds half a character: {error}.") from None
                values = list(zip(*rows, strict=True)) or [()] * len(columns)
                arrays = [column.array(found) for column, found in zip(columns, values, strict=True)]
                if len(rows) < count:
                    _odbc.check_ended(cursor)
                return pa.RecordBatch.from_arrays(arrays, names)

            try:
                yield fetch
            finally:
                with suppress(pyodbc.Error):  # it is lost, and so is what would be rolled back
                    connection.rollback()

    def _one_moment(self, connection: pyodbc.Connection) -> str:
        """The isolation in which a query sees one moment: without locks where the database has it.

        By its name, as Azure has another number for it than DB_ID():
        https://learn.microsoft.com/sql/t-sql/functions/db-id-transact-sql#remarks
        """
        sql = "select snapshot_isolation_state from sys.databases where name = db_name()"
        return "snapshot" if [state for (state,) in connection.execute(sql).fetchall()] == [1] else "serializable"

    def _told(self, first: pa.RecordBatch | None, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyodbc

        if first is None:
            return
        yield first
        try:
            yield from batches
        except pyodbc.Error as error:
            raise _odbc.translated(error, self.url) from None


def _batches(opened: AbstractContextManager[arrow.Fetch]) -> Generator[pa.RecordBatch]:
    """Batches of about the same size."""
    with opened as fetch:
        count = _FIRST_ROWS
        while (batch := fetch(count)).num_rows:
            yield batch
            if batch.num_rows < count:
                break
            count = max(min(count * _BATCH // max(batch.nbytes, 1), count * 4, _MOST_ROWS), 1)


def _bound(query: Query) -> arrow.Bound:
    sql, values = bind(query, T_SQL, lambda n: "?")
    return sql, [as_value(value) for value in values]


def _stands_alone(sql: str) -> bool:
    """Whether a query cannot be a table of another one, or would lose its order there."""
    plain = T_SQL.sub(lambda found: " " if found["skip"] is not None else found[0], sql)
    return _ALONE.search(plain) is not None


def _literal(sql: str) -> str:
    """A statement, to be described, as a text in another one."""
    return "N'" + sql.replace("'", "''") + "'"


def _plain(query: Query) -> Query:
    """Without the comments that others read otherwise: drivers know none in each other, and not all a lone CR."""

    def replace(found: re.Match[str]) -> str:
        text, rest = found["skip"] or "", found.string[found.end() : found.end() + 2]
        nested = text.startswith("/*") and "/*" in text[2:]
        return " " if nested or (text.startswith("--") and rest.startswith("\r") and rest != "\r\n") else found[0]

    return Query(T_SQL.sub(replace, query.sql), query.parameters)


def _check_reads(sql: str) -> None:
    """:raises InvalidInput: the text may be more than one that reads."""
    plain = T_SQL.sub(lambda found: " " if found["skip"] is not None else found[0], sql)
    if open_ := re.search(r"""['"\[]|/\*""", plain):
        raise InvalidInput(f"the query has a string, a quoted name or a comment without an end, after {open_[0]}")
    first = re.search(r"[^\s(;]+", plain)
    if first is None or first[0].lower() not in ("select", "with"):
        told = f"{first[0][:40]!r}" if first else "nothing"
        raise InvalidInput(
            f"the query gives no rows: it has to be a SELECT, or a WITH … SELECT, and begins with {told}."
        )
    words = [found["word"] for found in _WORD.finditer(_READS_AFTER_ALL.sub(" ", plain)) if found["word"]]
    changing = [word for word in words if _CHANGES.fullmatch(word)]
    changing += [found[0] for found in _ESCAPES.finditer(plain)]
    if changing:
        raise InvalidInput(
            f"a query only reads, and this one says {changing[0].upper()}: it has to be one SELECT, or WITH … SELECT. "
            f"A column of this name goes in brackets."
        )
    if ";" in plain.strip("; \t\r\n"):
        raise InvalidInput("a query is one statement, and this one has another one after a semicolon.")
