"""Watermarks in Arrow's columns."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_azureml_datastores.core.watermark import FineTime, kind_of, mark_to_json, parse_mark
from airflow_azureml_datastores.transfer.row_marks import mark_of, scalar_of, values_of

NANOSECONDS = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-2000, 2000)


@given(NANOSECONDS, st.sampled_from([None, "UTC"]))
def test_nanoseconds_come_back_exactly(value: int, zone: str | None) -> None:
    """Through JSON, too."""
    type_ = pa.timestamp("ns", zone)
    mark = mark_of(pa.scalar(value, pa.int64()).cast(type_))
    again = parse_mark(kind_of(mark, "w"), mark_to_json(mark), "w")
    assert scalar_of(again, type_).cast(type_).value == value


def test_nanoseconds_need_no_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    column = pa.array([1_001, 2_000, None], pa.int64()).cast(pa.timestamp("ns", "UTC"))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    found = [mark_of(value) for value in column]
    assert found == [FineTime(epoch.replace(microsecond=1), 1), epoch.replace(microsecond=2), None]
    assert values_of(column) == [1_001, 2_000, None]
    assert pc.greater(column, scalar_of(found[0], column.type)).to_pylist() == [False, True, None]


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (pa.uint64(), [0, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]),
        (pa.int16(), [-5, 0, 5]),
        (pa.decimal128(38, 10), [Decimal("0.0000000001"), Decimal(1), Decimal("1" + "0" * 27)]),
        (pa.timestamp("us"), [datetime(1, 1, 1), datetime(2026, 11, 21), datetime(9999, 12, 31)]),  # noqa: DTZ001
    ],
    ids=str,
)
def test_above(type_: pa.DataType, values: list[Any]) -> None:
    column = pa.array(values, type_)
    for at, value in enumerate(column):
        above = pc.greater(column, scalar_of(mark_of(value), type_)).to_pylist()
        assert above == [other > at for other in range(len(values))]
