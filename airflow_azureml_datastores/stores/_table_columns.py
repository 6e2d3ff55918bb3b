"""Columns of a table that rows are brought into, and rows made to fit them: what a database would bend is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from airflow_azureml_datastores.core.table_store import Load
from airflow_azureml_datastores.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

MOST_DIGITS = 38
"""Of a decimal that is brought as one."""
_SHOWN = 100
"""Characters of a value that a message shows."""


@dataclass(frozen=True, slots=True)
class Check:
    """What a value of a column may not be.

    :param problem: reads on after the value.
    :param found: which values of an array are so.
    """

    problem: str
    found: Callable[[pa.Array], pa.BooleanArray]


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column as the database has it.

    :param type: the Arrow type as which its values are brought.
    :param declared: its type as the database calls it.
    :param nullable: whether it takes NULL.
    :param required: whether rows have to give a value, as there is no default.
    :param writable: whether rows can give a value at all.
    :param checks: what else its values may not be.
    :param finer: the type in place of ``type`` for times that come in nanoseconds, if it takes more than microseconds.
    :param collation: of its texts, where a column that holds the same has to be given it.
    """

    name: str
    type: pa.DataType
    declared: str
    nullable: bool = True
    required: bool = False
    writable: bool = True
    checks: tuple[Check, ...] = ()
    finer: pa.DataType | None = None
    collation: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A column of the data and the column of the table that it goes to."""

    source: str
    column: TableColumn


def match(columns: Sequence[TableColumn], schema: pa.Schema, load: Load) -> list[Match]:
    """Find for every column of the data the one of its name in the table, if need be without regard to case.

    :raises InvalidInput: there is none, or two; it has a type that cannot be brought there; or one that is needed is
        not in the data.
    """
    table = f"table {load.table}"
    found = [Match(name, _for(schema.field(name).type, _named(name, columns, table))) for name in schema.names]
    for pair in found:
        others = [other.source for other in found if other.column.name == pair.column.name]
        if len(others) > 1:
            raise InvalidInput(
                f"the columns {' and '.join(map(repr, others))} of the data are the same one in {table}."
            )
        if not pair.column.writable:
            raise InvalidInput(
                f"column {pair.column.name!r} of {table} is filled by the database: leave it out of the data."
            )
        _check_type(schema.field(pair.source).type, pair.column)
    given = {pair.column.name for pair in found}
    missing = [column.name for column in columns if column.required and column.name not in given]
    if missing:
        names = ", ".join(map(repr, missing))
        raise InvalidInput(f"the data has no column {names}, which {table} has to be given (NOT NULL, no default).")
    keys = {_named(key, columns, table).name for key in load.keys}
    if not keys <= given:
        raise InvalidInput(f"the data has no column {', '.join(map(repr, sorted(keys - given)))}, which is a key.")
    return [Match(p.source, replace(p.column, nullable=False)) if p.column.name in keys else p for p in found]


def _for(given: pa.DataType, column: TableColumn) -> TableColumn:
    import pyarrow as pa

    if column.finer is not None and (pa.types.is_timestamp(given) or pa.types.is_time(given)) and given.unit == "ns":
        return replace(column, type=column.finer)
    return column


def _named(name: str, columns: Sequence[TableColumn], table: str) -> TableColumn:
    for same in (str, str.casefold):
        found = [column for column in columns if same(column.name) == same(name)]
        if len(found) == 1:
            return found[0]
    names = ", ".join(column.name for column in columns)
    raise InvalidInput(f"{table} has no column {name!r}; it has: {names}.")


def fit(batch: pa.RecordBatch, matches: Sequence[Match], first_row: int) -> pa.RecordBatch:
    """The same rows in the table's columns and types.

    :param first_row: number of the batch's first row in the data, from 1.
    :raises InvalidInput: a value does not fit; named with its column and row.
    """
    import pyarrow as pa

    arrays = [_fitted(batch.column(batch.schema.get_field_index(m.source)), m.column, first_row) for m in matches]
    return pa.RecordBatch.from_arrays(arrays, [m.column.name for m in matches])


def _fitted(given: pa.Array, column: TableColumn, first_row: int) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if given.null_count and not column.nullable:
        at = pc.index(given.is_null(), True).as_py()
        raise InvalidInput(
            f"column {column.name!r} takes no NULL, but row {first_row + at} has one; nothing was loaded."
        )
    try:
        array = _cast(given, column.type)
    except pa.ArrowInvalid:
        at = _first_bad(given, column.type)
        _refuse(given, at, column, first_row, f"is no {column.declared}")
    for check in column.checks:
        if pc.any(mask := check.found(array)).as_py():
            _refuse(given, pc.index(mask, True).as_py(), column, first_row, check.problem)
    return array


def _refuse(array: pa.Array, at: int, column: TableColumn, first_row: int, problem: str) -> NoReturn:
    raise InvalidInput(
        f"column {column.name!r}, row {first_row + at}: {_shown(array, at)} {problem}; nothing was loaded."
    )


def _shown(array: pa.Array, at: int) -> str:
    import pyarrow as pa

    value = array[at]
    text = str(value) if pa.types.is_temporal(array.type) else repr(value.as_py())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _first_bad(array: pa.Array, type_: pa.DataType) -> int:
    """The first value that cannot be cast."""
    import pyarrow as pa

    low, high = 0, len(array)  # all before low can be cast, and one before high cannot
    while high - low > 1:
        middle = (low + high) // 2
        try:
            _cast(array[low:middle], type_)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _check_type(given: pa.DataType, column: TableColumn) -> None:
    import pyarrow as pa

    try:
        _cast(pa.nulls(0, given), column.type)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError):
        raise InvalidInput(
            f"column {column.name!r} is {column.declared} in the table, and {given} in the data, which it cannot take."
        ) from None


def _cast(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """An array as another type, with no value changed but for the digits that a decimal or float has no place for.

    Times without a zone are taken as UTC; lists, structs and maps become JSON.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    given = array.type
    if isinstance(given, pa.BaseExtensionType):
        array, given = array.storage, given.storage_type
    if pa.types.is_dictionary(given):
        array, given = array.dictionary_decode(), given.value_type
    if given == type_:
        return array
    if pa.types.is_nested(given) and pa.types.is_string(type_):
        values = array.to_pylist()
        return pa.array([None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in values], type_)
    if pa.types.is_temporal(given) != pa.types.is_temporal(type_) and not any(map(is_text, (given, type_))):
        raise pa.ArrowNotImplementedError(f"{given} is no {type_}")
    if pa.types.is_boolean(type_) and pa.types.is_integer(given):
        return pc.cast(pc.cast(array, pa.string()), type_)  # 0 and 1 only
    if is_text(given) and not is_text(type_):
        return _parsed(array, type_)
    if pa.types.is_float32(type_) and pa.types.is_float64(given):
        cast = pc.cast(array, type_, safe=False)
        if pc.any(pc.and_(pc.is_inf(cast), pc.is_finite(array))).as_py():
            raise pa.ArrowInvalid("a number is too great")
        return cast
    if pa.types.is_date(type_) and pa.types.is_timestamp(given):
        return pc.cast(pc.cast(array, pa.timestamp(given.unit)), type_)
    if pa.types.is_timestamp(type_) and type_.tz and pa.types.is_date(given):
        array = pc.cast(array, pa.timestamp("us"))
    return pc.cast(array, type_)


def is_text(type_: pa.DataType) -> bool:
    """Whether it is one of texts, or of nothing but NULL."""
    import pyarrow as pa

    return type_ in (pa.string(), pa.large_string(), pa.string_view(), pa.null())


def _parsed(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """What texts say."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_time(type_):
        whole = pc.binary_join_element_wise("1970-01-01 ", array, "")
        return pc.cast(pc.cast(whole, pa.timestamp(type_.unit)), type_)
    if pa.types.is_timestamp(type_) and type_.tz:
        done = pc.match_substring_regex(array, r"^\d+-\d+-\d+$|(Z|[+-]\d\d:?(\d\d)?)$")
        array = pc.if_else(done, array, pc.binary_join_element_wise(array, "", "Z"))
    if pa.types.is_timestamp(type_) and not type_.tz:
        array = pc.replace_substring_regex(array, r"[zZ]$|[+]00:?(00)?$", "")
    return pc.cast(array, type_)


def longer_than(count: int, unit: str = "characters") -> Check:
    """Texts, or bytes, that are too long."""

    def found(array: pa.Array) -> pa.BooleanArray:
        import pyarrow as pa
        import pyarrow.compute as pc

        measure = pc.binary_length if pa.types.is_binary(array.type) else pc.utf8_length
        return pc.fill_null(pc.greater(measure(array), count), False)

    return Check(f"is longer than the {count} {unit} that the column takes", found)


def not_finite() -> Check:
    """NaN and infinity, for databases whose floats have no such value."""

    def found(array: pa.Array) -> pa.BooleanArray:
        import pyarrow.compute as pc

        return pc.invert(pc.fill_null(pc.is_finite(array), True))

    return Check("is no number that the database can hold", found)


def has_nul() -> Check:
    """Texts with a NUL character, for databases that cannot hold it."""

    def found(array: pa.Array) -> pa.BooleanArray:
        import pyarrow.compute as pc

        return pc.fill_null(pc.match_substring(array, "\0"), False)

    return Check("has a NUL character in it, which the database cannot hold", found)


def longer_than_utf16(count: int) -> Check:
    """Texts that are too long where a character outside of the BMP counts as two."""

    def found(array: pa.Array) -> pa.BooleanArray:
        import pyarrow as pa
        import pyarrow.compute as pc

        if not pc.any(pc.greater(pc.binary_length(array), count)).as_py():
            return pa.array([False] * len(array))
        return pa.array([v is not None and len(v.encode("utf-16-le")) > 2 * count for v in array.to_pylist()])

    return Check(f"is longer than the {count} characters that the column takes", found)


def not_in_code_page(codec: str, length: int) -> Check:
    """Texts that would lose characters in a column of a code page, or are too long in it.

    :param length: bytes; -1 is any.
    """

    def fits(text: str | None) -> bool:
        try:
            return text is None or not 0 <= length < len(text.encode(codec))
        except UnicodeEncodeError:
            return False

    def found(array: pa.Array) -> pa.BooleanArray:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pc.all(pc.string_is_ascii(array)).as_py():  # it is the same in all of them
            return pc.greater(pc.binary_length(array), length if length >= 0 else (1 << 31) - 1)
        return pa.array([not fits(text) for text in array.to_pylist()], pa.bool_())

    limit = "" if length < 0 else f" in {length} bytes"
    return Check(f"cannot be held{limit} by the column, whose code page is {codec.removeprefix('cp')}", found)


def outside_of(low: datetime, high: datetime) -> Check:
    """Times that a type has no value for."""

    def found(array: pa.Array) -> pa.BooleanArray:
        import pyarrow as pa
        import pyarrow.compute as pc

        ends = pa.scalar(low, array.type), pa.scalar(high, array.type)
        return pc.fill_null(pc.or_(pc.less(array, ends[0]), pc.greater(array, ends[1])), False)

    return Check(f"is outside of {low} to {high}", found)


def finer_than_100_ns() -> Check:
    """Times with more digits than seven of a second's fraction."""

    def found(array: pa.Array) -> pa.BooleanArray:
        import numpy as np
        import pyarrow as pa

        if array.type.unit != "ns":
            return pa.array([False] * len(array), pa.bool_())
        counted = array.view(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        return pa.array(np.mod(counted, 100) != 0)

    return Check("has more than seven digits of a second's fraction", found)
