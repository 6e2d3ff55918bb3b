"""Loading rows into tables of SQL Server: JSON that the server takes apart, in one transaction, with any driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.stores._azure_sql_types import Declared
from airflow_azureml_datastores.stores._sql_text import quoted
from airflow_azureml_datastores.stores._table_columns import (
    Check,
    TableColumn,
    finer_than_100_ns,
    longer_than,
    longer_than_utf16,
    not_finite,
    not_in_code_page,
    outside_of,
)
from airflow_azureml_datastores.stores._table_loading import Database
from airflow_azureml_datastores.stores._value_texts import (
    hexadecimal,
    json_rows,
    json_strings,
    plain_decimals,
    quoted_texts,
    slices,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import pyodbc

_STAGE = "#azureml_datastores_stage"
_FEW = 10
_ROWS = 10_000
"""Of one statement."""
_BYTES = 8 << 20
"""Of one statement, about."""

_UTF8 = 65001
_KEY = 400
"""Length of keys in a table that is made: an index takes 900 bytes in all."""

_COLUMNS = """
select c.*, t.name as type_name from sys.columns as c left join sys.types as t on t.user_type_id = c.system_type_id
where c.object_id = object_id(?) order by c.column_id
"""


class AzureSqlDatabase(Database):
    """A connection of pyodbc, inside of its transaction."""

    hold = " with (updlock, holdlock)"
    types = {
        "bool": "bit", "int8": "smallint", "int16": "smallint", "int32": "int", "int64": "bigint",
        "uint8": "tinyint", "uint16": "int", "uint32": "bigint", "uint64": "decimal(20, 0)",
        "halffloat": "real", "float": "real", "double": "float", "decimal": "decimal({}, {})",
        "date": "date", "time": "time(7)", "timestamp": "datetime2({})", "timestamptz": "datetimeoffset({})",
        "text": "nvarchar(max)", "bytes": "varbinary(max)", "nested": "nvarchar(max)",
        "key text": f"nvarchar({_KEY})", "key bytes": f"varbinary({_KEY})", "key nested": f"nvarchar({_KEY})",
    }  # fmt: skip

    def __init__(self, connection: pyodbc.Connection) -> None:
        self._connection = connection

    def quoted(self, name: str) -> str:
        return quoted(name, "[]")

    def fetch(self, sql: str, *values: Any) -> list[Any]:
        cursor = self._connection.execute(sql, *values)
        found = [tuple(row) for row in cursor.fetchmany(_FEW)] if cursor.description else []
        while cursor.nextset():  # an error of a trigger comes after the count of the rows that it is about
            pass
        cursor.close()
        return found

    def lock(self, records: str, table: str) -> None:
        if self.fetch("select object_id(?)", records) != [(None,)]:
            self.fetch(f"select max(sequence) from {records}{self.hold} where table_name = ?", table)

    def columns(self, parts: Sequence[str]) -> list[TableColumn] | None:
        found = self._connection.execute(_COLUMNS, self.name(parts)).fetchall()
        return [_column(row, self._code_page(row.type_name, row.collation_name)) for row in found] or None

    def _code_page(self, kind: str | None, collation: str | None) -> int | None:
        """Of the texts in a column; None if it holds any character."""
        if collation is None or kind not in ("char", "varchar", "text"):
            return None
        if collation.upper().endswith("_UTF8"):
            return _UTF8
        ((found,),) = self.fetch("select cast(collationproperty(?, 'CodePage') as int)", collation)
        return None if found is None else int(found)

    def text(self, length: int) -> str:
        return f"nvarchar({length})"

    def stage(self, table: str, columns: Sequence[TableColumn]) -> str:
        """Its texts would have the collation of tempdb: not be compared, or lose letters of another code page."""
        self.fetch(f"drop table if exists {_STAGE}")
        defined = ", ".join(
            f"{self.quoted(c.name)} {c.declared}{f' collate {c.collation}' if c.collation else ''} null"
            for c in columns
        )
        self.fetch(f"create table {_STAGE} ({defined})")
        return _STAGE

    def update(self, table: str, stage: str, columns: Sequence[TableColumn], same: str) -> str:
        return f"update t set {self.sets(columns)} from {table} as t{self.hold} inner join {stage} as s on {same}"

    def bring(self, table: str, columns: Sequence[TableColumn], batches: Iterator[pa.RecordBatch]) -> None:
        names = [self.quoted(column.name) for column in columns]
        forms = [_json_form(column) for column in columns]
        named = list(zip(names, forms, strict=True))
        values = ", ".join(f"convert(varbinary(max), {n}, 2)" if form.binary else n for n, form in named)
        given = ", ".join(f"{name} {form.type} '$[{n}]'" for n, (name, form) in enumerate(named))
        rows = f"openjson(cast(? as nvarchar(max))) with ({given})"  # pyodbc sends a long text as ntext
        sql = f"insert into {table} ({', '.join(names)}) select {values} from {rows}"
        for batch in batches:
            for few in slices(batch, _ROWS, _BYTES):
                self.fetch(
                    sql, json_rows([form.texts(column) for form, column in zip(forms, few.columns, strict=True)])
                )


@dataclass(frozen=True)
class _JsonForm:
    """How a column's values are written in JSON.

    :param type: as which the server takes them out of it.
    :param texts: makes JSON of them.
    :param binary: whether they are hexadecimal there.
    """

    type: str
    texts: Callable[[pa.Array], pa.Array]
    binary: bool = False


def _json_form(column: TableColumn) -> _JsonForm:
    """The type is wide enough to bend nothing: the server takes a text as nvarchar(max), or it would cut it off."""
    import pyarrow as pa

    kinds, type_ = pa.types, column.type
    if kinds.is_binary(type_):
        return _JsonForm("nvarchar(max)", lambda array: quoted_texts(hexadecimal(array)), True)
    if kinds.is_string(type_):
        return _JsonForm("uniqueidentifier" if column.declared == "uniqueidentifier" else "nvarchar(max)", json_strings)
    if kinds.is_decimal(type_):
        type_of_json = f"decimal({type_.precision}, {type_.scale})"
        return _JsonForm(type_of_json, lambda array: quoted_texts(plain_decimals(array)))
    if kinds.is_timestamp(type_):
        return _JsonForm("datetimeoffset(7)" if type_.tz else "datetime2(7)", _times)
    if kinds.is_time(type_):
        return _JsonForm("time(7)", _times)
    if kinds.is_date(type_):
        return _JsonForm("date", lambda array: quoted_texts(array.cast(pa.string())))
    return _JsonForm(column.declared, lambda array: array.cast(pa.string()))  # numbers, true and false


def _times(array: pa.Array) -> pa.Array:
    """Times as ISO texts with at most seven digits of a second's fraction."""
    import pyarrow as pa
    import pyarrow.compute as pc

    type_ = array.type
    zone = "+00:00" if pa.types.is_timestamp(type_) and type_.tz else ""
    texts = pc.cast(pc.cast(array, pa.timestamp(type_.unit)) if zone else array, pa.string())
    if type_.unit == "ns":
        texts = pc.utf8_slice_codeunits(texts, 0, -2)
    return quoted_texts(texts, zone)


def _column(found: Any, code_page: int | None) -> TableColumn:
    """:param found: a row of ``_COLUMNS``."""
    import pyarrow as pa

    kind = found.type_name or "sql_variant"
    declared = _declared(kind, found.max_length, found.precision, found.scale)
    own = found.is_identity or found.is_computed or kind in ("timestamp", "rowversion")
    writable = not own and not getattr(found, "generated_always_type", 0)  # of temporal and ledger tables
    needed = not found.is_nullable and not found.default_object_id and writable
    wire = Declared.parse(declared).arrow() or pa.string()
    finer = wire if wire in (pa.timestamp("ns"), pa.timestamp("ns", "UTC"), pa.time64("ns")) else None
    if finer is not None:
        wire = pa.time64("us") if pa.types.is_time(finer) else pa.timestamp("us", finer.tz)
    checks = tuple(_checks(kind, wire, found.max_length, code_page))
    return TableColumn(
        found.name, wire, declared, found.is_nullable, needed, writable, checks, finer, found.collation_name
    )


def _declared(kind: str, length: int, precision: int, scale: int) -> str:
    if kind in ("decimal", "numeric"):
        return f"{kind}({precision}, {scale})"
    if kind in ("datetime2", "datetimeoffset", "time"):
        return f"{kind}({scale})"
    if kind in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
        units = length // 2 if kind.startswith("n") and length > 0 else length
        return f"{kind}({'max' if units < 0 else units})"
    return kind


def _checks(kind: str, wire: pa.DataType, length: int, code_page: int | None) -> Iterator[Check]:
    import pyarrow as pa

    if pa.types.is_floating(wire):
        yield not_finite()
    if kind == "datetime":
        yield outside_of(datetime(1753, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 997000))  # noqa: DTZ001
    if kind == "smalldatetime":
        yield outside_of(datetime(1900, 1, 1), datetime(2079, 6, 6, 23, 59, 29))  # noqa: DTZ001
    if kind in ("datetime2", "datetimeoffset", "time"):
        yield finer_than_100_ns()
    if kind in ("char", "varchar", "text") and code_page is not None:
        if length > 0:
            yield longer_than(length)
        yield not_in_code_page("utf-8" if code_page == _UTF8 else f"cp{code_page}", length)
    if kind in ("nchar", "nvarchar") and length > 0:
        yield longer_than_utf16(length // 2)
    if kind in ("binary", "varbinary") and length > 0:
        yield longer_than(length, "bytes")
