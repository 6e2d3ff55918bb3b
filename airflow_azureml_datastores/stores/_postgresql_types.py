"""PostgreSQL's types as Arrow's: which columns can come as they are, and which as the text that PostgreSQL shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airflow_azureml_datastores.errors import InvalidInput
from airflow_azureml_datastores.stores._sql_text import quoted

if TYPE_CHECKING:
    import pyarrow as pa

# pg_type.oid, which never change: https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat
_AS_THEY_ARE = {
    16: "bool",
    17: "bytea",
    18: "char",
    19: "name",
    20: "int8",
    21: "int2",
    23: "int4",
    25: "text",
    114: "json",
    700: "float4",
    701: "float8",
    1042: "bpchar",
    1043: "varchar",
    1082: "date",
    1083: "time",
    1114: "timestamp",
    1184: "timestamptz",
    2950: "uuid",
    3802: "jsonb",
}
_NUMERIC = 1700
_MOST_DIGITS = 38
"""Of a decimal in Arrow and in Parquet."""


class Column(NamedTuple):
    """A column of a query's result.

    :param type: its oid.
    :param modifier: of the type, such as precision and scale; -1 is none.
    """

    name: str
    type: int
    modifier: int

    def term(self) -> str:
        """How to ask for it, so that it comes whole: as it is, or as text."""
        name = quoted(self.name)
        if self.type in _AS_THEY_ARE:
            return name
        precision, scale = (self.modifier - 4) >> 16 & 0xFFFF, (self.modifier - 4) & 0x7FF
        # A scale below 0 is one above 1023 here.
        if self.type != _NUMERIC or self.modifier < 0 or precision > _MOST_DIGITS or scale > precision:
            return f"{name}::text"
        # DuckDB takes NaN for 0. This lets PostgreSQL fail and show the text instead.
        message = (
            f"column {self.name!r} holds NaN, for which a decimal has no value; cast it to text or float8: ".replace(
                "'", "''"
            )
        )
        nan = f"('{message}' || {name}::text)::int"
        return f"(case when {name} = 'NaN' then {nan} else {name} end)::numeric({precision}, {scale})"


def check_finite(batch: pa.RecordBatch) -> None:
    """:raises InvalidInput: there is a date or time that is infinite, for which Arrow has no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_timestamp(column.type) or pa.types.is_date32(column.type):
            bits = 32 if pa.types.is_date32(column.type) else 64
            ends = pc.min_max(column.view(pa.int32() if bits == 32 else pa.int64())).as_py()
            limit = 2 ** (bits - 1) - 1
            if limit in (ends["max"], -(ends["min"] or 0)):
                raise InvalidInput(
                    f"column {name!r} has a row with 'infinity', for which there is no value outside of PostgreSQL: "
                    f'replace it in the query, or read it as text ("{name}"::text).'
                )
