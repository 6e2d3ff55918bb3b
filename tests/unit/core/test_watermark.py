"""Watermarks come back from JSON as they were, and what does not fit is refused."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_azureml_datastores.core.watermark import (
    FineTime,
    Mark,
    before,
    check_overlap,
    kind_of,
    later,
    mark_to_json,
    parse_mark,
)
from airflow_azureml_datastores.errors import InvalidInput

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MIDDLE = {"min_value": datetime(2, 1, 1), "max_value": datetime(9998, 1, 1)}  # noqa: DTZ001
MARKS = st.one_of(
    st.integers(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.dates(),
    st.datetimes(),
    st.datetimes(**MIDDLE, timezones=ZONES),
    st.builds(FineTime, st.datetimes() | st.datetimes(**MIDDLE, timezones=ZONES), st.integers(1, 999)),
    st.text().filter(lambda text: text not in ("NaN", "Infinity")),
)


@given(MARKS)
def test_come_back_exactly(mark: Mark) -> None:
    kind = kind_of(mark, "w")
    again = parse_mark(kind, json.loads(json.dumps(mark_to_json(mark))), "w")
    assert again == mark
    assert kind_of(again, "w") == kind


@pytest.mark.parametrize("value", [True, 1.5, b"x", None, timedelta(1), "NaN"])
def test_no_watermark(value: Any) -> None:
    with pytest.raises(InvalidInput, match="column 'w' is no watermark"):
        kind_of(value, "w")


@pytest.mark.parametrize(
    ("kind", "text", "mark"),
    [
        ("integer", "5", 5),
        ("decimal", 1.5, Decimal("1.5")),
        ("date", "2026-11-21", date(2026, 11, 21)),
        ("timestamp", "2026-11-21", datetime(2026, 11, 21)),  # noqa: DTZ001
        ("timestamptz", "2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("timestamptz", "2026-11-21T01:00+01:00", datetime(2026, 11, 21, tzinfo=UTC)),
        ("text", "x", "x"),
        ("timestamp", "2026-11-21 00:00:00.0000012", FineTime(datetime(2026, 11, 21, microsecond=1), 200)),  # noqa: DTZ001
        ("timestamp", "2026-11-21T00:00:00.0000010", datetime(2026, 11, 21, microsecond=1)),  # noqa: DTZ001
        ("timestamptz", "2026-11-21T01:00:00.123456789+01:00",
         FineTime(datetime(2026, 11, 21, microsecond=123456, tzinfo=UTC), 789)),
    ],
)  # fmt: skip
def test_as_users_write_them(kind: Any, text: Any, mark: Mark) -> None:
    assert parse_mark(kind, text, "initial") == mark


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "1.5"),
        ("integer", True),
        ("decimal", "NaN"),
        ("date", "yesterday"),
        ("date", datetime(2026, 11, 21, tzinfo=UTC)),
        ("timestamp", "2026-11-21T00:00Z"),
        ("text", 5),
    ],
)
def test_of_another_kind(kind: Any, text: Any) -> None:
    with pytest.raises(InvalidInput, match="initial is"):
        parse_mark(kind, text, "initial")


@pytest.mark.parametrize(
    ("mark", "overlap", "found"),
    [
        (10, 3, 7),
        (10, "2.5", 7),
        (Decimal("10.00"), 2.555, Decimal("7.44")),
        (Decimal("1" + "0" * 27 + ".0000000001"), 0, Decimal("1" + "0" * 27 + ".0000000001")),
        (date(2026, 11, 21), "1h", date(2026, 11, 20)),
        (date(2026, 11, 21), "2d", date(2026, 11, 19)),
        (
            datetime(2026, 11, 21, tzinfo=UTC),
            timedelta(microseconds=1),
            datetime(2026, 11, 20, 23, 59, 59, 999999, UTC),
        ),
        (date(1, 1, 1), "1d", None),
        (FineTime(datetime(2026, 11, 21), 5), 1, datetime(2026, 11, 20, 23, 59, 59)),  # noqa: DTZ001
    ],
)
def test_before(mark: Mark, overlap: Any, found: Mark | None) -> None:
    assert before(mark, overlap, "w") == found


@pytest.mark.parametrize(("mark", "overlap"), [(1, "1h"), ("a", 1), (1, timedelta(1)), (Decimal(1), "1h")])
def test_an_overlap_of_another_kind(mark: Mark, overlap: Any) -> None:
    with pytest.raises(InvalidInput, match="'w'"):
        before(mark, overlap, "w")


@pytest.mark.parametrize("overlap", [-1, "soon", "-1h", None, True, float("inf")])
def test_no_overlap(overlap: Any) -> None:
    with pytest.raises(InvalidInput, match="neither a duration"):
        check_overlap(overlap)


def test_later() -> None:
    time = datetime(2026, 11, 21, tzinfo=UTC)
    ascending = [None, time, FineTime(time, 1), FineTime(time, 2), time + timedelta(microseconds=1)]
    for at, one in enumerate(ascending):
        for other in ascending[: at + 1]:
            assert later(one, other) == later(other, one) == one
