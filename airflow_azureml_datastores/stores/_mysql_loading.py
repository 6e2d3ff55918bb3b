"""Loading rows into tables of MySQL: as files, or else by statements of many rows each, in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.core.table_store import Load
from airflow_azureml_datastores.errors import InvalidInput, InvalidName, Unavailable
from airflow_azureml_datastores.stores._mysql_load_data import LoadData, plain_texts
from airflow_azureml_datastores.stores._sql_text import name_parts, quoted
from airflow_azureml_datastores.stores._table_columns import (
    MOST_DIGITS,
    Check,
    TableColumn,
    longer_than,
    not_finite,
    outside_of,
)
from airflow_azureml_datastores.stores._table_loading import Database, create_table
from airflow_azureml_datastores.stores._value_texts import joined, slices

if TYPE_CHECKING:
    import pyarrow as pa
    import pymysql

_STAGE = "`azureml_datastores_stage`"
_MARK = "\0"
"""Stands for a value in a statement; no name has it."""
_FEW = 10
_BYTES = 2 << 20
"""Of one statement, about: a server may take no more than 4 MiB."""
_ROWS = 8_192
"""Whose texts are made at once, as they take memory."""
_WAITING = 24 * 3600
"""Seconds that a load waits for another one of the same table."""
_KEY = 255
"""Length of keys in a table that is made."""

_SESSION = (
    # What does not fit is an error, and in a text nothing is special but a quote.
    "set session sql_mode = "
    "'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION,NO_BACKSLASH_ESCAPES'",
    "set session time_zone = '+00:00'",
    "set session sql_notes = 0",  # what is not worth a warning is not counted as one
    "set session transaction isolation level repeatable read",
)

_COLUMNS = f"""
select c.column_name, c.data_type, c.column_type, c.is_nullable, c.column_default, c.character_maximum_length,
    c.character_octet_length, c.numeric_precision, c.numeric_scale, c.extra, c.generation_expression, t.engine
from information_schema.columns as c
join information_schema.tables as t on t.table_schema = c.table_schema and t.table_name = c.table_name
where c.table_schema = coalesce({_MARK}, database()) and c.table_name = {_MARK} order by c.ordinal_position
"""


class MySqlDatabase(Database):
    """A connection of PyMySQL. Making a table ends a transaction, and so comes before one (:meth:`made`)."""

    types = {
        "bool": "bool", "int8": "tinyint", "int16": "smallint", "int32": "int", "int64": "bigint",
        "uint8": "tinyint unsigned", "uint16": "smallint unsigned", "uint32": "int unsigned",
        "uint64": "bigint unsigned", "halffloat": "float", "float": "float", "double": "double",
        "decimal": "decimal({}, {})", "date": "date", "time": "time(6)", "timestamp": "datetime(6)",
        "timestamptz": "timestamp(6)", "text": "longtext character set utf8mb4", "bytes": "longblob", "nested": "json",
        "key text": f"varchar({_KEY}) character set utf8mb4", "key bytes": f"varbinary({_KEY})",
    }  # fmt: skip

    def __init__(self, connection: pymysql.Connection[Any]) -> None:
        self._connection = connection
        for statement in _SESSION:
            self.fetch(statement)

    def mark(self, number: int) -> str:
        return _MARK

    def quoted(self, name: str) -> str:
        return quoted(name, "``")

    def fetch(self, sql: str, *values: Any) -> list[Any]:
        return self._all(sql, *values)[:_FEW]

    def _all(self, sql: str, *values: Any) -> list[Any]:
        first, *rest = sql.split(_MARK)
        text = first + "".join(
            self._connection.escape(value, self._connection.encoders) + piece
            for value, piece in zip(values, rest, strict=True)
        )
        with self._connection.cursor() as cursor:
            cursor.execute(text)
            return list(cursor.fetchall()) if cursor.description else []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is done in it is committed at its end; an error leaves nothing of it, as the connection is closed."""
        self.fetch("begin")
        yield
        self.fetch("commit")

    @contextmanager
    def made(self, load: Load, schema: pa.Schema) -> Iterator[None]:
        """The table of a load, made if need be; if then nothing comes of the load, it goes again."""
        parts = name_parts(load.table)
        if self.columns(parts) is not None:
            yield
            return
        create_table(self, load, schema)
        try:
            yield
        except BaseException:
            self.fetch("rollback")
            if not self.fetch(f"select 1 from {self.name(parts)} limit 1"):
                self.fetch(f"drop table {self.name(parts)}")
            raise

    def lock(self, records: str, table: str) -> None:
        ((database,),) = self.fetch("select database()")
        name = hashlib.sha256(f"{database} {records} {table}".encode()).hexdigest()
        ((taken,),) = self.fetch(f"select get_lock({_MARK}, {_WAITING})", name)
        if taken != 1:
            raise Unavailable(f"another load into {table} has not ended in {_WAITING} seconds.")

    def columns(self, parts: Sequence[str]) -> list[TableColumn] | None:
        if len(parts) > 2:
            raise InvalidName(f"{'.'.join(parts)!r} is no name of a table: write table, or database.table.")
        found = self._all(_COLUMNS, parts[0] if len(parts) > 1 else None, parts[-1])
        for *_, engine in found:
            if engine is not None and engine.lower() != "innodb":
                raise InvalidInput(
                    f"table {'.'.join(parts)} is of the engine {engine}, which has no transactions: use InnoDB."
                )
        return [_column(*row[:-1]) for row in found] or None

    def text(self, length: int) -> str:
        return f"varchar({length}) character set utf8mb4"

    def stage(self, table: str, columns: Sequence[TableColumn]) -> str:
        names = ", ".join(self.quoted(column.name) for column in columns)
        self.fetch(f"drop temporary table if exists {_STAGE}")
        self.fetch(f"create temporary table {_STAGE} as select {names} from {table} where 1 = 0")
        return _STAGE

    def update(self, table: str, stage: str, columns: Sequence[TableColumn], same: str) -> str:
        return f"update {table} as t inner join {stage} as s on {same} set {self.sets(columns, 't.')}"

    def bring(self, table: str, columns: Sequence[TableColumn], batches: Iterator[pa.RecordBatch]) -> None:
        names = [self.quoted(column.name) for column in columns]
        loading: LoadData | None = LoadData(self._connection, table, columns, names)
        try:
            for batch in batches:
                for rows in slices(batch, _ROWS, _BYTES):
                    if loading is None or not loading.send(rows):
                        loading = None  # the server takes none
                        for values in _statements(rows):
                            self._connection.query(f"insert into {table} ({', '.join(names)}) values {values}")
        finally:
            if loading is not None:
                loading.finish()


def _statements(batch: pa.RecordBatch) -> Iterator[str]:
    """The rows as literals, so many at once as one statement should have."""
    import numpy as np
    import pyarrow.compute as pc

    values = pc.binary_join_element_wise(*map(_literals, batch.columns), ",")
    ends, first = np.cumsum(pc.binary_length(values)), 0
    while first < len(values):
        before = ends[first - 1] if first else 0
        stop = max(int(np.searchsorted(ends, before + _BYTES, "right")), first + 1)
        yield f"({joined(values.slice(first, stop - first), '),(')})"
        first = stop


def _literals(array: pa.Array) -> pa.Array:
    """Values as literals: in a text only a quote is special, as the session has NO_BACKSLASH_ESCAPES."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kinds, type_ = pa.types, array.type
    texts = plain_texts(array)
    if kinds.is_binary(type_):
        texts = pc.binary_join_element_wise("x'", texts, "'", "")
    if kinds.is_string(type_):
        texts = pc.replace_substring(texts, "'", "''")
    if kinds.is_string(type_) or kinds.is_temporal(type_):
        texts = pc.binary_join_element_wise("'", texts, "'", "")
    return pc.fill_null(texts, "NULL")


def _column(
    name: str,
    kind: str,
    declared: str,
    nullable: str,
    default: str | None,
    characters: int | None,
    octets: int | None,
    precision: int | None,
    scale: int | None,
    extra: str,
    generated: str | None,
) -> TableColumn:
    wire, checks = _wire(kind, declared.lower(), characters, octets, precision, scale)
    writable = not generated and "generated" not in extra.lower().replace("default_generated", "")
    needed = nullable == "NO" and default is None and "auto_increment" not in extra.lower()
    return TableColumn(name, wire, declared, nullable == "YES", needed and writable, writable, checks)


def _wire(
    kind: str, declared: str, characters: int | None, octets: int | None, precision: int | None, scale: int | None
) -> tuple[pa.DataType, tuple[Check, ...]]:
    """As what values of a type are brought."""
    import pyarrow as pa

    whole = {"tinyint": 8, "smallint": 16, "mediumint": 32, "int": 32, "bigint": 64}
    if kind in whole:
        return pa.type_for_alias(f"{'u' * ('unsigned' in declared)}int{whole[kind]}"), ()
    if kind == "decimal" and precision is not None and precision <= MOST_DIGITS:
        return pa.decimal128(precision, scale or 0), ()
    if kind in ("float", "double"):
        return (pa.float32() if kind == "float" else pa.float64()), (not_finite(),)
    if kind == "bit":
        return (pa.bool_() if precision == 1 else pa.uint64()), ()
    if kind == "timestamp":
        zone = pa.timestamp("us", "UTC")
        return zone, (
            outside_of(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), datetime(2038, 1, 19, 3, 14, 7, tzinfo=UTC)),
        )
    if kind in ("date", "datetime", "year"):
        return {"date": pa.date32(), "datetime": pa.timestamp("us"), "year": pa.int16()}[kind], ()
    if kind in ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"):
        return pa.binary(), (longer_than(octets, "bytes"),) if octets else ()
    if kind in ("char", "varchar") and characters is not None:
        return pa.string(), (longer_than(characters),)
    return pa.string(), ()  # the strict server says what does not fit
