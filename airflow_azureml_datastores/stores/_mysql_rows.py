"""Rows as a MySQL server sends them for a prepared statement, as Arrow: a column at a time, not a value at a time.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from struct import Struct, unpack_from
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.stores._mysql_types import Column

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Bytes = npt.NDArray[np.uint8]

_LARGEST = 0xFFFFFF
"""Bytes of a packet; one of so many goes on in the next."""
_HEAD = Struct("<I")
_CHUNK = 1 << 18
_BLOCK = 1 << 20
"""Bytes of rows that become a batch, if they are not more than this many rows:"""
_ROWS = 65_536
_SLACK = bytes(16)
"""Behind the last row, so that what would be the bytes of a NULL there can be looked at, too."""


def row_batches(
    receive: Callable[[int], bytes], columns: Sequence[Column], schema: pa.Schema, ended: Callable[[bytes], None]
) -> Iterator[pa.RecordBatch]:
    """The rows that follow the description of a result.

    :param receive: gives the bytes that are there, at most so many; it waits for the first, and raises if none comes.
    :param ended: is told the packet after the last row.
    :raises InvalidInput: a value is there that Arrow has no place for.
    """
    buffer, position = bytearray(), 0
    starts: list[int] = []
    last = b""
    while not last:
        buffer += receive(_CHUNK)
        position = _walk(buffer, position, starts)
        if starts and buffer[starts[-1]] != 0:  # with which every row begins
            last = bytes(buffer[starts.pop() : position])
        if last or position >= _BLOCK:
            block = bytes(buffer[:position]) + _SLACK
            del buffer[:position]
            for first in range(0, len(starts), _ROWS):
                yield _decode(block, starts[first : first + _ROWS], columns, schema)
            starts, position = [], 0
    ended(last)


def _walk(buffer: bytearray, position: int, starts: list[int]) -> int:
    """Note where the contents of whole packets begin. Returns where the first one is that is not whole."""
    head, note = _HEAD.unpack_from, starts.append  # as this is all that is done for each row by itself
    end = len(buffer)
    while position + 4 <= end:
        size = head(buffer, position)[0] & _LARGEST
        stop = position + 4 + size
        if size == _LARGEST:
            stop = _join(buffer, position)
            end = len(buffer)
        if stop > end:
            break
        note(position + 4)
        position = stop
    return position


def _join(buffer: bytearray, position: int) -> int:
    """Make one of a packet and those in which it goes on. Returns where it ends, or would, if not all is there."""
    heads = [position]
    size = _LARGEST
    while size == _LARGEST:
        heads.append(heads[-1] + 4 + size)
        if heads[-1] + 4 > len(buffer):
            return len(buffer) + 1
        size = _HEAD.unpack_from(buffer, heads[-1])[0] & _LARGEST
    stop = heads[-1] + 4 + size
    if stop > len(buffer):
        return stop
    for head in reversed(heads[1:]):
        del buffer[head : head + 4]
    return stop - 4 * (len(heads) - 1)


def _decode(block: bytes, starts: Sequence[int], columns: Sequence[Column], schema: pa.Schema) -> pa.RecordBatch:
    import numpy as np
    import pyarrow as pa

    raw = np.frombuffer(block, np.uint8)
    rows = np.array(starts, np.int64)
    at = rows + 1 + (len(columns) + 9) // 8  # behind the bits that say which are NULL
    arrays = []
    for number, column in enumerate(columns, start=2):
        bit = raw[rows + (1 + number // 8)] & (1 << number % 8)
        null = bit.astype(bool) if bit.any() else None
        array, taken = _COLUMNS[column.form](raw, at, null, column)
        arrays.append(array)
        at = at + _where_there(taken, null)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _where_there(values: Any, null: Any) -> Any:
    """0 in place of what is NULL.

    :param null: true where it is; None if nothing is.
    """
    import numpy as np

    return values if null is None else np.where(null, 0, values)


def _number(raw: Bytes, at: Any, null: Any, column: Column) -> tuple[pa.Array, Any]:
    import numpy as np
    import pyarrow as pa

    dtype = np.dtype(column.arrow.to_pandas_dtype())
    values = _anywhere(raw, dtype)[at]
    return pa.array(values, column.arrow, mask=null), dtype.itemsize


def _moment(raw: Bytes, at: Any, null: Any, column: Column) -> tuple[pa.Array, Any]:
    """A date, and the time after it if that is not 0, and the microseconds if these are not."""
    import numpy as np
    import pyarrow as pa

    size = _where_there(raw[at], null)
    year, month, day = _anywhere(raw, np.dtype("<u2"))[at + 1], raw[at + 3], raw[at + 4]
    if not (size.all() and year.all() and month.all() and day.all()):
        wrong = (size == 0) | (year == 0) | (month == 0) | (day == 0)
        column.check_dates(wrong if null is None else wrong & ~null)
    months = _where_there((year.astype(np.int64) - 1970) * 12 + month - 1, null)
    days = months.astype("M8[M]").astype("M8[D]").astype(np.int64) + day - 1
    if pa.types.is_date32(column.arrow):
        return pa.array(days.astype(np.int32), mask=null).cast(column.arrow), size + 1
    seconds = raw[at + 5].astype(np.int64) * 3600 + raw[at + 6].astype(np.int64) * 60 + raw[at + 7]
    total = (days * 86_400 + np.where(size > 4, seconds, 0)) * 1_000_000
    if (size > 7).any():
        total += np.where(size > 7, _anywhere(raw, np.dtype("<u4"))[at + 8], 0)
    return pa.array(total, mask=null).cast(column.arrow), size + 1


def _elapsed(raw: Bytes, at: Any, null: Any, column: Column) -> tuple[pa.Array, Any]:
    """MySQL's TIME, which may be negative, and longer than a day, as MySQL shows it."""
    import numpy as np
    import pyarrow as pa

    size = _where_there(raw[at], null)
    places = column.scale if column.scale <= 6 else 6

    def shown(place: int, size: int) -> str:
        negative, days, hours, minutes, seconds, micros = (0,) * 6
        if size:
            negative, days, hours, minutes, seconds = unpack_from("<BIBBB", raw.data, place + 1)
        if size > 8:
            (micros,) = unpack_from("<I", raw.data, place + 9)
        fraction = f".{micros:06}"[: places + 1] if places else ""
        return f"{'-' * negative}{days * 24 + hours:02}:{minutes:02}:{seconds:02}{fraction}"

    values = map(shown, at.tolist(), size.tolist())
    return pa.array(np.array(list(values), object), pa.string(), mask=null), size + 1


def _text(raw: Bytes, at: Any, null: Any, column: Column) -> tuple[pa.Array, Any]:
    import numpy as np
    import pyarrow as pa

    head, length = _lengths(raw, at, null)
    # As an array whose every other value lies between two of the column.
    bounds = np.empty(2 * len(at), np.int32)
    bounds[0::2] = begin = at + _where_there(head, null)
    bounds[1::2] = begin + length
    wide = pa.Array.from_buffers(pa.binary(), len(bounds) - 1, [None, pa.py_buffer(bounds), pa.py_buffer(raw)])
    chosen = pa.array(np.arange(0, len(bounds), 2), mask=null)
    return column.from_binary(wide.take(chosen)), head + length


def _bits(raw: Bytes, at: Any, null: Any, column: Column) -> tuple[pa.Array, Any]:
    import numpy as np
    import pyarrow as pa

    head, length = _lengths(raw, at, null)
    values = np.zeros(len(at), np.uint64)
    for place in range(int(length.max(initial=0))):
        more = values << np.uint64(8) | raw[np.minimum(at + head + place, len(raw) - 1)]
        values = np.where(place < length, more, values)
    return pa.array(values, mask=null).cast(column.arrow), head + length


def _lengths(raw: Bytes, at: Any, null: Any) -> tuple[Any, Any]:
    """Bytes that tell how long a text is, and how long it is."""
    import numpy as np

    first = _where_there(raw[at], null)
    head, length = np.ones(len(at), np.int64), first.astype(np.int64)
    if (first > 250).any():
        for mark, width in ((252, 2), (253, 3), (254, 8)):
            found = np.flatnonzero(first == mark)
            head[found] = 1 + width
            length[found] = _anywhere(raw, np.dtype("<i8"))[at[found] + 1] & ((1 << 8 * min(width, 7)) - 1)
    return head, length


def _anywhere(raw: Bytes, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The number that begins at each byte."""
    import numpy as np

    return np.ndarray((len(raw) - dtype.itemsize + 1,), dtype, raw.data, strides=(1,))


_COLUMNS: dict[str, Callable[[Bytes, Any, Any, Column], tuple[Any, Any]]] = {
    "number": _number,
    "moment": _moment,
    "elapsed": _elapsed,
    "text": _text,
    "bits": _bits,
}
