"""Rows of a database as an input, all of them or those that are new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal, get_args

from airflow_azureml_datastores.core.template import Templated, flag, whole_number
from airflow_azureml_datastores.core.watermark import Overlap, check_overlap
from airflow_azureml_datastores.errors import InvalidInput

RowsFormat = Literal["parquet", "csv"]

_PARTITIONS = range(2, 17)


@dataclass(frozen=True)
class RowsInput(Templated):
    """Rows of a datastore that is a database. An ingest makes files of them. Made by :meth:`Input.query` and
    :meth:`Input.table`.

    :param datastore: the database.
    :param sql: a SELECT in its dialect; ``?`` or ``:name`` stand for values.
    :param table: a table in place of that, as ``table`` or ``schema.table``.
    :param parameters: the values: a sequence for ``?``, a mapping for ``:name``. They never become a part of the text.
    :param columns: only these of the table; none are all.
    :param format: of the files: ``parquet`` or ``csv``.
    :param allow_empty: whether no rows are acceptable.
    :param watermark: a column, of whole numbers, decimals, dates or timestamps, that is greater in newer rows: only
        those rows are taken that are above what the consumer has taken already. Rows where it is NULL never are.
    :param overlap: how far below that late rows are looked for: a number for numbers, a duration (``1h``) for dates
        and timestamps.
    :param keys: the columns that tell rows apart; needed for an overlap, and kept with the cursor.
    :param initial: a watermark above which the consumer's very first batch begins; None takes all.
    :param consumer: who takes; None is the task and the input's name.
    :param partition: a column of whole numbers, decimals, dates or timestamps, ranges of which are read side by side.
    :param partitions: how many, 2 to 16.
    """

    datastore: str
    sql: str | None = None
    table: str | None = None
    parameters: Sequence[Any] | Mapping[str, Any] = ()
    columns: Sequence[str] = ()
    format: RowsFormat = "parquet"
    allow_empty: bool = False
    watermark: str | None = None
    overlap: Overlap = 0
    keys: Sequence[str] = ()
    initial: Any = None
    consumer: str | None = None
    partition: str | None = None
    partitions: int | None = None

    def check(self) -> None:
        given = [text for text in (self.sql, self.table) if text is not None]
        if len(given) != 1 or not isinstance(given[0], str) or not given[0].strip():
            raise InvalidInput("rows are those of one query (sql) or of one table; give one of the two, as a text.")
        if not isinstance(self.datastore, str) or not self.datastore:
            raise InvalidInput("rows need the name of the datastore that they are in.")
        if isinstance(self.parameters, str | bytes) or not isinstance(self.parameters, Sequence | Mapping):
            raise InvalidInput(
                f"a query's parameters are a sequence for '?', or a mapping for ':name', not {self.parameters!r}."
            )
        if self.format not in get_args(RowsFormat):
            raise InvalidInput(
                f"the format {self.format!r} is unknown; choose one of {', '.join(get_args(RowsFormat))}."
            )
        object.__setattr__(self, "allow_empty", flag("allow_empty", self.allow_empty))
        self._check_watermark()
        self._check_partitions()

    def _check_watermark(self) -> None:
        keys = self.keys
        if isinstance(keys, str) or not isinstance(keys, Sequence) or not all(isinstance(k, str) and k for k in keys):
            raise InvalidInput(f"keys are a list of columns' names, not {keys!r}.")
        if self.watermark is None:
            given = {"overlap": self.overlapping, "keys": keys, "initial": self.initial, "consumer": self.consumer}
            for name, value in given.items():
                if value is not None and value is not False and value not in ((), []):
                    raise InvalidInput(f"{name} is for rows that are new: name the column that tells them, watermark=.")
            return
        if not isinstance(self.watermark, str) or not self.watermark:
            raise InvalidInput(f"a watermark is the name of a column, not {self.watermark!r}.")
        check_overlap(self.overlap)
        if self.overlapping and not keys:
            raise InvalidInput("an overlap needs keys=[…], the columns that tell rows apart.")
        if not (self.consumer is None or (isinstance(self.consumer, str) and self.consumer)):
            raise InvalidInput(f"a consumer is a name, not {self.consumer!r}.")
        for name in (self.watermark, *keys):
            if self.columns and name not in self.columns:
                raise InvalidInput(f"the column {name!r} is needed to tell which rows are new: add it to columns.")

    def _check_partitions(self) -> None:
        if self.partition is None and self.partitions is None:
            return
        if self.partition is None or self.partitions is None:
            raise InvalidInput("rows are read side by side with both: partition, a column, and partitions, how many.")
        if not isinstance(self.partition, str) or not self.partition:
            raise InvalidInput(f"a partition is the name of a column, not {self.partition!r}.")
        object.__setattr__(self, "partitions", whole_number("partitions", self.partitions))
        if self.partitions not in _PARTITIONS:
            raise InvalidInput(f"partitions are {_PARTITIONS[0]} to {_PARTITIONS[-1]}, not {self.partitions}.")
        if self.columns and self.partition not in self.columns:
            raise InvalidInput(f"the column {self.partition!r} is needed to read its ranges: add it to columns.")

    @property
    def overlapping(self) -> bool:
        """Whether late rows are looked for."""
        return self.overlap not in (0, "0") and self.overlap != timedelta(0)

    @property
    def described(self) -> str:
        """Where the rows are from, for people."""
        what = f"table {self.table}" if self.table else "a query"
        return f"{what} of datastore {self.datastore!r}"

    def to_fields(self) -> dict[str, Any]:
        """The fields that say something, as values that other tasks can be given."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        found = {name: value for name, value in given.items() if value is not None}
        if isinstance(self.overlap, timedelta):
            found["overlap"] = f"{self.overlap.total_seconds()}s"
        for name in ("parameters", "columns", "keys"):
            found[name] = dict(found[name]) if isinstance(found[name], Mapping) else list(found[name])
            if not found[name]:
                del found[name]
        return found


@dataclass(frozen=True)
class RowsBatch:
    """New rows that a sensor found: what they are rows of, whose they are, and how far they went then.

    :param rows: with a watermark and a consumer.
    :param batch: names the run that takes them.
    :param kind: of the watermark.
    :param high: the greatest watermark that the sensor saw, as in JSON.
    """

    rows: RowsInput
    batch: str
    kind: Any
    high: int | str

    @classmethod
    def from_result(cls, value: Mapping[str, Any]) -> RowsBatch:
        """Parse what a sensor returned. :raises InvalidInput: it is something else."""
        try:
            told = value["watermark"]
            known = {field.name for field in fields(RowsInput)} - {"watermark"}
            given = {name: held for name, held in value.items() if name in known}
            rows = RowsInput(**given, watermark=told["column"])
            rows.check()
            return cls(rows, value["batch"], told["type"], told["high"])
        except (KeyError, TypeError) as error:
            raise InvalidInput(f"a batch of new rows is what a NewRowsSensor returned; this lacks {error}.") from error


def is_rows_batch(value: Any) -> bool:
    """Whether a value is what a sensor of new rows returned."""
    return isinstance(value, Mapping) and "watermark" in value and "batch" in value and "manifest" not in value
