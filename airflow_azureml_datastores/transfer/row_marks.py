"""Watermarks and keys in Arrow's columns, exactly: what has nanoseconds is no ``datetime`` of Python's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.core.watermark import FineTime, Mark

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001


def mark_of(value: pa.Scalar) -> Any:
    """A value of a watermark's column. :raises ValueError, OverflowError: Python has none like it."""
    import pyarrow as pa

    if not pa.types.is_timestamp(value.type) or value.type.unit != "ns" or value.value is None:
        return value.as_py()
    microseconds, nanoseconds = divmod(value.value, 1000)
    time = (_EPOCH + timedelta(microseconds=microseconds)).replace(tzinfo=UTC if value.type.tz else None)
    return FineTime(time, nanoseconds) if nanoseconds else time


def scalar_of(mark: Mark, type_: pa.DataType) -> pa.Scalar:
    """A watermark, to be compared with the values of a column."""
    import pyarrow as pa

    if isinstance(mark, FineTime):
        since = (mark.time.replace(tzinfo=None) - _EPOCH) // timedelta(microseconds=1)
        return pa.scalar(since * 1000 + mark.nanoseconds, pa.int64()).cast(pa.timestamp("ns", type_.tz))
    large = isinstance(mark, int) and mark >= 0 and type_ == pa.uint64()  # all others compare as int64
    return pa.scalar(mark, type_ if large else None)


def values_of(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """The values of a column, times with nanoseconds as numbers of these."""
    import pyarrow as pa

    kinds, type_ = pa.types, column.type
    if (kinds.is_timestamp(type_) or kinds.is_time64(type_)) and type_.unit == "ns":
        column = column.cast(pa.int64())
    found: list[Any] = column.to_pylist()
    return found
