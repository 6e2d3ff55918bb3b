from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_azureml_datastores.core.duration import seconds
from airflow_azureml_datastores.errors import InvalidInput


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (1.5, 1.5),
        ("30", 30),
        ("30s", 30),
        (" 5 m ", 300),
        ("1.5h", 5400),
        ("2d", 172800),
        (timedelta(minutes=2), 120),
    ],
)
def test_durations(value: float | str | timedelta, expected: float) -> None:
    assert seconds(value) == expected


@pytest.mark.parametrize(
    "value", ["", "s", "soon", "-1s", "5 weeks", "1e3", -1, True, None, [], float("nan"), float("inf"), timedelta(-1)]
)
def test_no_durations(value: object) -> None:
    with pytest.raises(InvalidInput, match="is not a duration: write seconds, or for example '30s'"):
        seconds(value)  # type: ignore[arg-type]
