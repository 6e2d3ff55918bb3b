"""The cursor of rows: what it keeps, and in what form."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_azureml_datastores.core.row_cursor import RowBatch, RowCursor, row_fingerprint
from airflow_azureml_datastores.core.watermark import Mark
from airflow_azureml_datastores.errors import InvalidInput

A, B = row_fingerprint([1, 10]), row_fingerprint([2, 20])


def taken(low: Mark | None, high: Mark, kind: Any, name: str = "r1", cursor: RowCursor | None = None) -> RowCursor:
    batch = RowBatch(low, high, low, {A}, 5)
    return (cursor or RowCursor()).take(name, batch, of="'w' of t", kind=kind, keys=["id"], since=low, seen=[A, B])


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("integer", None, 1 << 62),
        ("decimal", Decimal("0.10"), Decimal("0.20")),
        ("timestamptz", None, datetime(2026, 11, 21, 1, 2, 3, 4, UTC)),
    ],
)
def test_comes_back_as_it_was(kind: Any, low: Any, high: Any) -> None:
    cursor = taken(low, high, kind)
    assert RowCursor.from_json(cursor.to_json(), "") == cursor
    assert RowCursor.from_json(RowCursor().to_json(), "") == RowCursor()


def test_the_frontier_is_that_of_the_last_batch_with_rows() -> None:
    assert RowCursor().frontier is None
    cursor = taken(None, 10, "integer")
    cursor = taken(10, 20, "integer", "a", cursor)
    nothing = cursor.take("b", RowBatch(20, 20, 20), of="'w' of t", kind="integer", keys=["id"], since=20, seen=[])
    assert nothing.frontier == 20
    assert list(RowCursor.from_json(nothing.to_json(), "").batches) == ["r1", "a", "b"]


def test_of_an_empty_table() -> None:
    cursor = RowCursor().take("r", RowBatch(None, None, None), of="", kind=None, keys=[], since=None, seen=[])
    assert RowCursor.from_json(cursor.to_json(), "") == cursor
    assert cursor.frontier is None


def test_a_batch_is_taken_once() -> None:
    with pytest.raises(ValueError, match="taken already"):
        taken(10, 20, "integer", cursor=taken(None, 10, "integer"))


def test_fingerprints_tell_versions_apart() -> None:
    values: list[list[Any]] = [[1, 10], [1, 11], ["1", 10], [11, 0], [None, 10], [1, datetime(2026, 1, 1, tzinfo=UTC)]]
    assert len({row_fingerprint(found) for found in values}) == len(values)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version": 2}',
        RowCursor().to_json().replace(b'"seen": ""', b'"seen": "AAA="'),
        RowCursor().to_json().replace(b'"type": null', b'"type": "float"'),
        taken(None, 1, "integer").to_json().replace(b'"high": 1', b'"high": "x"'),
    ],
)
def test_no_cursor(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        RowCursor.from_json(data, "cursor.json")
