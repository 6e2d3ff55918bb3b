"""Loading rows into tables of PostgreSQL: binary COPY, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.stores._sql_text import quoted
from airflow_azureml_datastores.stores._table_columns import MOST_DIGITS, Check, TableColumn, has_nul, longer_than
from airflow_azureml_datastores.stores._table_loading import Database

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

_STAGE = "azureml_datastores_stage"
_FEW = 10

_BOOL, _BYTEA, _TEXT, _VARCHAR, _CHAR, _NUMERIC = 16, 17, 25, 1043, 1042, 1700

_COLUMNS = """
select a.attname, a.atttypid::bigint, a.atttypmod, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    a.atthasdef or a.attidentity <> '', a.attgenerated <> '' or a.attidentity = 'a'
from pg_attribute as a where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped order by a.attnum
"""


class PostgreSqlDatabase(Database):
    """A connection of psycopg, inside of its transaction."""

    types = {
        "bool": "boolean", "int8": "smallint", "int16": "smallint", "int32": "integer", "int64": "bigint",
        "uint8": "smallint", "uint16": "integer", "uint32": "bigint", "uint64": "numeric(20, 0)",
        "halffloat": "real", "float": "real", "double": "double precision",
        "decimal": "numeric({}, {})", "long decimal": "numeric({}, {})",
        "date": "date", "time": "time", "timestamp": "timestamp", "timestamptz": "timestamptz",
        "text": "text", "bytes": "bytea", "nested": "jsonb",
    }  # fmt: skip

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def quoted(self, name: str) -> str:
        return quoted(name)

    def mark(self, number: int) -> str:
        return f"${number}"

    def fetch(self, sql: str, *values: Any) -> list[Any]:
        from psycopg import RawCursor

        with RawCursor(self._connection) as cursor:
            cursor.execute(sql.encode(), values or None)
            return cursor.fetchmany(_FEW) if cursor.description else []

    def lock(self, records: str, table: str) -> None:
        self.fetch("select pg_advisory_xact_lock(hashtextextended($1, 0))", f"{records} {table}")

    def lock_rows(self, table: str) -> None:
        self.fetch(f"lock table {table} in share row exclusive mode")

    def columns(self, parts: Sequence[str]) -> list[TableColumn] | None:
        found = self._connection.execute(_COLUMNS, [self.name(parts)]).fetchall()
        return [_column(*row) for row in found] or None

    def stage(self, table: str, columns: Sequence[TableColumn]) -> str:
        defined = ", ".join(f"{quoted(column.name)} {self.type_for(column.type)}" for column in columns)
        self.fetch(f"drop table if exists pg_temp.{_STAGE}")
        self.fetch(f"create temporary table {_STAGE} ({defined}) on commit drop")
        return f"pg_temp.{_STAGE}"

    def needs_stage(self, columns: Sequence[TableColumn]) -> bool:
        return not all(map(_takes_binary, columns))

    def staged(self, column: TableColumn) -> str:
        return f"s.{quoted(column.name)}::{column.declared}"

    def bring(self, table: str, columns: Sequence[TableColumn], batches: Iterator[pa.RecordBatch]) -> None:
        import pyarrow as pa
        from pgpq import ArrowToPostgresBinaryEncoder

        encoder = ArrowToPostgresBinaryEncoder(pa.schema([(column.name, column.type) for column in columns]))
        names = ", ".join(quoted(column.name) for column in columns)
        copying = f"copy {table} ({names}) from stdin (format binary)"
        with self._connection.cursor() as cursor, cursor.copy(copying.encode()) as copy:
            copy.write(encoder.write_header())
            for batch in batches:
                copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())


_BINARY = {
    "boolean", "bytea", "smallint", "integer", "bigint", "real", "double precision", "numeric", "text", "json", "date",
    "character varying", "character", "time without time zone", "timestamp without time zone",
    "timestamp with time zone", "time", "timestamp",
}  # fmt: skip
"""The types that take the binary form of what :func:`_wire` gives for them; to others PostgreSQL casts it."""


def _takes_binary(column: TableColumn) -> bool:
    import pyarrow as pa

    declared = column.declared.partition("(")[0]
    return declared in _BINARY and (declared != "numeric" or pa.types.is_decimal(column.type))


def _column(
    name: str, type_: int, modifier: int, declared: str, not_null: bool, given: bool, generated: bool
) -> TableColumn:
    wire, checks = _wire(type_, modifier)
    return TableColumn(name, wire, declared, not not_null, not_null and not given, not generated, checks)


def _wire(type_: int, modifier: int) -> tuple[pa.DataType, tuple[Check, ...]]:
    """As what values of a type are brought: as text, if there is no form of Arrow's own."""
    import pyarrow as pa

    simple = {
        _BOOL: pa.bool_(),
        _BYTEA: pa.binary(),
        20: pa.int64(),
        21: pa.int16(),
        23: pa.int32(),
        700: pa.float32(),
        701: pa.float64(),
        1082: pa.date32(),
        1083: pa.time64("us"),
        1114: pa.timestamp("us"),
        1184: pa.timestamp("us", "UTC"),
    }
    if type_ in simple:
        return simple[type_], ()
    precision, scale = (modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF
    if type_ == _NUMERIC and modifier >= 0 and precision <= MOST_DIGITS and scale <= precision:
        return pa.decimal128(precision, scale), ()
    if type_ in (_VARCHAR, _CHAR) and modifier >= 4:
        return pa.string(), (has_nul(), longer_than(modifier - 4))
    return pa.string(), (has_nul(),)
