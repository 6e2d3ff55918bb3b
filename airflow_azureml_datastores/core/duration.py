"""Durations as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

from airflow_azureml_datastores.errors import InvalidInput

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: float | str | timedelta) -> float:
    """A duration in seconds.

    :param value: seconds, a ``timedelta``, or a text such as ``30s``, ``5m``, ``1.5h``, ``2d``.
    :raises InvalidInput: it is none of these, or negative.
    """
    found: float | None = None
    if isinstance(value, timedelta):
        found = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    elif isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", value)):
        found = float(match[1]) * _UNITS[match[2] or "s"]
    if found is None or not 0 <= found < float("inf"):
        raise InvalidInput(f"{value!r} is not a duration: write seconds, or for example '30s', '5m', '1h'.")
    return found
