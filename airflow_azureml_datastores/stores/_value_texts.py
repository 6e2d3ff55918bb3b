"""Values as texts in a statement, a column at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def slices(batch: pa.RecordBatch, rows: int, size: int) -> Iterator[pa.RecordBatch]:
    """At most so many rows at once, and about so many bytes."""
    wide = max(batch.nbytes // max(batch.num_rows, 1), 1)
    count = max(min(rows, size // wide), 1)
    for start in range(0, batch.num_rows, count):
        yield batch.slice(start, count)


def plain_decimals(array: pa.Array) -> pa.Array:
    """Decimals with all their digits, in a column of texts.

    Arrow itself writes small ones with an exponent, which databases take for a float, or not at all.

    :param array: decimal128 with a scale of 0 or more.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    scale = array.type.scale
    whole = pa.Array.from_buffers(pa.decimal128(38, 0), len(array), array.buffers(), offset=array.offset)
    digits = pc.cast(whole, pa.string())
    if scale == 0:
        return digits
    sign = pc.if_else(pc.starts_with(digits, "-"), "-", "")
    digits = pc.utf8_lpad(pc.utf8_ltrim(digits, "-"), scale + 1, "0")
    before = pc.utf8_slice_codeunits(digits, 0, -scale)
    after = pc.utf8_slice_codeunits(digits, -scale)
    return pc.binary_join_element_wise(pc.binary_join_element_wise(sign, before, ""), after, ".")


def hexadecimal(array: pa.Array) -> pa.Array:
    """Bytes as hexadecimal digits."""
    import pyarrow as pa

    return pa.array([None if value is None else value.hex() for value in array.to_pylist()], pa.string())


def quoted_texts(array: pa.Array, end: str = "") -> pa.Array:
    """Texts that hold nothing special, in double quotes.

    :param end: goes at the end of each.
    """
    import pyarrow.compute as pc

    return pc.binary_join_element_wise('"', array, f'{end}"', "")


def json_strings(array: pa.Array) -> pa.Array:
    """Texts as strings of JSON: https://www.rfc-editor.org/rfc/rfc8259#section-7"""
    import pyarrow.compute as pc

    if pc.any(pc.match_substring_regex(array, r'["\\\x00-\x1f]')).as_py():
        for special in ("\\", '"', *map(chr, range(0x20))):  # a backslash first, as it comes with the others
            if pc.any(pc.match_substring(array, special)).as_py():
                array = pc.replace_substring(array, special, f"\\u{ord(special):04x}")
    return quoted_texts(array)


def json_rows(columns: Sequence[pa.Array]) -> str:
    """An array of JSON with an array for each row.

    :param columns: the values of each column, each in JSON; what is NULL there is null.
    """
    import pyarrow.compute as pc

    rows = pc.binary_join_element_wise(*(pc.fill_null(column, "null") for column in columns), ",")
    return f"[[{joined(rows, '],[')}]]"


def joined(array: pa.Array, between: str) -> str:
    """All texts as one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return str(pc.binary_join(pa.ListArray.from_arrays([0, len(array)], array), between)[0].as_py())
