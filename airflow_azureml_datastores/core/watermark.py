"""Watermarks: the values of a column that tells which rows are newer than others, and their form in JSON."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Context, Decimal, InvalidOperation
from typing import Any, Literal, cast, get_args

from airflow_azureml_datastores.core.duration import seconds
from airflow_azureml_datastores.errors import InvalidInput


@dataclass(frozen=True)
class FineTime:
    """A time finer than ``datetime`` holds, such as one of SQL Server's ``datetime2(7)``.

    :param time: to the microsecond.
    :param nanoseconds: by which it is later: 1 to 999.
    """

    time: datetime
    nanoseconds: int

    def isoformat(self) -> str:
        text = self.time.isoformat(timespec="microseconds")
        return f"{text[:26]}{self.nanoseconds:03}{text[26:]}"


Mark = int | Decimal | date | datetime | FineTime | str
"""A watermark. Those of one column are all of one kind; texts are compared by the database alone."""
Kind = Literal["integer", "decimal", "date", "timestamp", "timestamptz", "text"]
Overlap = float | int | str | timedelta

_EXACT = Context(prec=200)
_FINE = re.compile(r"(.*\.\d{6})(\d{1,3})(\D.*)?")


def kind_of(value: Any, column: str) -> Kind:
    """What kind of watermark a value is. :raises InvalidInput: it is none that can be kept and compared exactly."""
    match value:
        case "NaN" | "Infinity":  # of a numeric that comes as text; nothing would ever be greater
            raise InvalidInput(f"column {column!r} is no watermark while it holds {value}: leave such rows out.")
        case bool() | float():
            pass
        case int():
            return "integer"
        case Decimal():
            return "decimal"
        case datetime():
            return "timestamp" if value.tzinfo is None else "timestamptz"
        case FineTime():
            return kind_of(value.time, column)
        case date():
            return "date"
        case str():
            return "text"
    raise InvalidInput(
        f"column {column!r} is no watermark: it holds {type(value).__name__}, and has to hold whole numbers, decimals, "
        f"dates, timestamps or texts. Cast it in a query."
    )


def parse_mark(kind: Kind, given: Any, name: str) -> Mark:
    """A value as a watermark of a kind: what :func:`mark_to_json` gave, or what a user wrote.

    A time without zone is in UTC where one with a zone is needed; a date is its midnight.

    :param name: what it is, for the message.
    :raises InvalidInput: it is of another kind.
    """
    try:
        match kind:
            case "integer":
                return int(str(given))
            case "decimal":
                found = Decimal(str(given))
                if found.is_finite():
                    return found
            case "date":
                if not isinstance(given, datetime):
                    return given if isinstance(given, date) else date.fromisoformat(str(given))
            case "timestamp" | "timestamptz":
                if not isinstance(given, datetime) and (fine := _FINE.fullmatch(str(given))):
                    time = cast("datetime", parse_mark(kind, fine[1] + (fine[3] or ""), name))
                    nanoseconds = int(fine[2].ljust(3, "0"))
                    return FineTime(time, nanoseconds) if nanoseconds else time
                time = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
                if kind == "timestamptz":
                    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
                if time.tzinfo is None:
                    return time
            case "text":
                if isinstance(given, str):
                    return given
            case _:
                raise ValueError(f"no kind {kind!r}")
    except (ValueError, InvalidOperation):
        pass
    raise InvalidInput(f"{name} is {given!r}, but the watermark is a column of {kind}.")


def mark_to_json(mark: Mark | None) -> int | str | None:
    """A watermark in JSON, exactly: numbers as a number or text, dates and times in ISO form."""
    if isinstance(mark, (date, FineTime)):  # datetime is a date
        return mark.isoformat()
    return str(mark) if isinstance(mark, Decimal) else mark


def later(one: Mark | None, other: Mark | None) -> Mark | None:
    """The greater of two watermarks of one kind; None is less than all."""
    if one is None or other is None:
        return other if one is None else one
    return max(one, other, key=_order)


def _order(mark: Mark) -> Any:
    return (mark.time, mark.nanoseconds) if isinstance(mark, FineTime) else (mark, 0)


def known_kind(text: Any) -> Kind:
    """The kind of this name. :raises ValueError: there is none."""
    if text not in get_args(Kind):
        raise ValueError(f"{text!r} is no kind of watermark")
    return cast("Kind", text)


def check_overlap(overlap: Any) -> None:
    """:raises InvalidInput: it is neither a duration nor a number that is not negative."""
    try:
        seconds(overlap)
    except InvalidInput:
        raise InvalidInput(
            f"the overlap {overlap!r} is neither a duration, such as '1h', nor a number that is not negative."
        ) from None


def before(mark: Mark, overlap: Overlap, column: str) -> Mark | None:
    """The watermark that lies so far before another one; None where there are none so early.

    :param overlap: a number for numbers; for dates and times a duration, on dates rounded up to days.
    :raises InvalidInput: it does not fit the watermark.
    """
    if isinstance(mark, str):
        raise InvalidInput(
            f"overlap needs a watermark that is a number, a date or a time, and {column!r} comes as text: cast it in a "
            f"query, to numeric(38, 9) for example, or leave the overlap out."
        )
    if isinstance(mark, FineTime):
        mark = mark.time
    if isinstance(mark, date):
        width = seconds(overlap)
        if not isinstance(mark, datetime):
            width = math.ceil(width / 86400) * 86400
        try:
            return mark - timedelta(seconds=width)
        except OverflowError:
            return None
    try:
        number = _EXACT.subtract(Decimal(mark), Decimal(str(overlap)))
    except InvalidOperation:
        raise InvalidInput(
            f"the watermark {column!r} is a number, so its overlap is one, too, not {overlap!r}."
        ) from None
    if isinstance(mark, int):
        return math.floor(number)
    return number.quantize(mark, ROUND_FLOOR, _EXACT)
