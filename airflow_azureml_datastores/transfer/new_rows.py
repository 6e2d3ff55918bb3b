"""Rows that are new to a consumer: which they are, bringing exactly them, and moving the cursor then."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from airflow_azureml_datastores.core.manifest import Manifest
from airflow_azureml_datastores.core.place import OpenDatastore
from airflow_azureml_datastores.core.row_cursor import RowBatch
from airflow_azureml_datastores.core.rows_input import RowsInput
from airflow_azureml_datastores.core.table_store import OpenTables, Query, TableStore
from airflow_azureml_datastores.core.watermark import (
    Mark,
    before,
    kind_of,
    known_kind,
    later,
    mark_to_json,
    parse_mark,
)
from airflow_azureml_datastores.errors import AlreadyTaken, InvalidInput, NoData
from airflow_azureml_datastores.transfer.cursors import STATE_DATASTORE, RowCursorFile
from airflow_azureml_datastores.transfer.row_marks import mark_of
from airflow_azureml_datastores.transfer.row_picking import Picker, Plan, prints_of
from airflow_azureml_datastores.transfer.rows import RowsDelivery


class NewRows:
    """The rows of a database that are new to a consumer.

    :param given: with a watermark and a consumer.
    :param batch: names the run that takes; what it took before is still new to itself.
    :param upto: the greatest watermark that is wanted, with its kind; None is what there is.
    """

    def __init__(
        self,
        open_datastore: OpenDatastore,
        open_tables: OpenTables,
        given: RowsInput,
        batch: str,
        upto: tuple[str, Any] | None = None,
    ) -> None:
        assert given.watermark is not None
        assert given.consumer is not None
        self.given = given
        self.column: str = given.watermark
        self.consumer: str = given.consumer
        self.batch = batch
        self.store: TableStore = open_tables(given.datastore)
        self.query = query_of(self.store, given)
        self._least: int | None = None
        self._upto: Mark | None = None
        if upto is not None:
            self._upto = parse_mark(known_kind(upto[0]), upto[1], "the watermark of the batch")
        self._file = RowCursorFile(open_datastore, self.consumer)
        self._of = f"{self.column!r} of {given.described}"

    def check(self) -> None:
        """:raises InvalidInput: the database refuses the query, or has no such watermark or keys in it."""
        names = dict.fromkeys((self.column, *self.given.keys))
        self.store.check_query(self.store.between(self.query, self.column, only=list(names)))

    @property
    def taken(self) -> bool:
        """Whether this batch has been taken."""
        return self.batch in self._file.load()[0].batches

    def plan(self) -> Plan:
        """What this batch is, as things are now.

        :raises InvalidInput: the consumer has another cursor, or initial or overlap do not fit the watermark.
        """
        cursor, version = self._file.load()
        cursor.check_use(self.consumer, self._of, self.given.keys)
        if (own := cursor.batches.get(self.batch)) is not None:
            return Plan(cursor, version, cursor.kind, own, again=True)
        low = cursor.frontier
        newest, kind = self._newest(low), cursor.kind
        if newest is not None:
            kind = kind_of(newest, self.column)
            if low is None and self.given.initial is not None:
                low = parse_mark(kind, self.given.initial, "initial")
                newest = self._newest(low)
            if cursor.kind not in (None, kind):
                raise InvalidInput(
                    f"the cursor of consumer {self.consumer!r} is at a {cursor.kind}, but {self.column!r} is a {kind} "
                    f"now: name another consumer."
                )
        high = newest if newest is not None else cursor.frontier
        if high is None:
            return Plan(cursor, version, None, RowBatch(None, None, None))
        since = low
        if cursor.frontier is not None and self.given.overlapping:
            since = later(self._before(cursor.frontier), cursor.since)
        window = later(self._before(high), since) if self.given.overlapping else high
        return Plan(cursor, version, kind, RowBatch(low, high, since), window)

    def of_plan(self, plan: Plan) -> Query:
        """The query of what a plan's rows are picked from."""
        if plan.batch.high is None:
            return self.store.none(self.query)
        return self.store.between(self.query, self.column, plan.batch.since, plan.batch.high)

    def picker(self, plan: Plan) -> Picker:
        """What finds a plan's rows."""
        return Picker(plan, self.batch, self.column, self.given.keys)

    def take(self, plan: Plan, picked: Picker, rows: int) -> bool:
        """Move the cursor, unless somebody else has moved it since the plan was made."""
        cursor = plan.cursor.take(
            self.batch,
            replace(plan.batch, late=frozenset(picked.late), rows=rows),
            of=self._of,
            kind=plan.kind,
            keys=self.given.keys,
            since=plan.window,
            seen=picked.seen,
        )
        return self._file.move(plan.version, cursor)

    def count(self, plan: Plan) -> int:
        """How many rows a plan would bring now."""
        if plan.again:
            return plan.batch.rows
        if plan.empty:
            return 0
        low, high = plan.batch.low, plan.batch.high
        found = 0
        if low != high:
            with self.store.read(self.store.count(self.store.between(self.query, self.column, low, high))) as rows:
                found = sum(batch.column(0)[0].as_py() for batch in rows.batches)
        if plan.batch.since != low:
            names = list(dict.fromkeys((self.column, *self.given.keys)))
            late = self.store.between(self.query, self.column, plan.batch.since, low, only=names)
            with self.store.read(late) as rows:
                for batch in rows.batches:
                    prints = prints_of(batch, self.column, self.given.keys)
                    found += sum(version not in plan.cursor.seen for version in prints)
        return found

    def told(self, plan: Plan) -> dict[str, Any]:
        """The plan's bounds, in the form of JSON."""
        low, high = mark_to_json(plan.batch.low), mark_to_json(plan.batch.high)
        return {"column": self.column, "type": plan.kind, "low": low, "high": high}

    def _newest(self, low: Mark | None) -> Any:
        query = self.store.between(self.query, self.column, low, self._upto)
        with self.store.read(self.store.newest(query, self.column)) as rows:
            self._least = _least(rows.schema.types[0])
            for batch in rows.batches:
                for value in batch.column(0):
                    return self._value(value)
        return None

    def _value(self, value: Any) -> Any:
        try:
            return mark_of(value)
        except (ValueError, OverflowError):
            raise InvalidInput(
                f"column {self.column!r} is no watermark while it holds a time beyond the year 9999: leave such rows "
                f"out."
            ) from None

    def _before(self, mark: Mark) -> Mark | None:
        found = before(mark, self.given.overlap, self.column)
        return None if isinstance(found, int) and self._least is not None and found < self._least else found


def _least(type_: Any) -> int | None:
    """The least whole number of an Arrow type, which is also what the database can compare with; None of others."""
    import pyarrow as pa

    if not pa.types.is_integer(type_):
        return None
    return -(2 ** (type_.bit_width - 1)) if pa.types.is_signed_integer(type_) else 0


def query_of(store: TableStore, given: RowsInput) -> Query:
    """The query of an input. :raises InvalidInput: its table's name is none."""
    if given.sql is not None:
        return Query(given.sql, given.parameters)
    return store.table(given.table or "", given.columns)


def check_all_rows(given: RowsInput) -> None:
    """:raises InvalidInput: only new rows are wanted, which a run of an experiment has to take."""
    if given.watermark is not None:
        raise InvalidInput("new rows are taken by a run of an experiment: ingest them, and copy what that brought.")


class NewRowsDelivery:
    """New rows on their way into a folder of their own. Interrupted and begun again, it ends the same.

    :param rows: the delivery, which gets its query from here.
    :param seen: whether a sensor saw rows, so that it is others who have them if there are none.
    """

    def __init__(self, new: NewRows, rows: RowsDelivery, *, seen: bool) -> None:
        self.new = new
        self.rows = rows
        self._others = seen
        self._allow_empty = rows.allow_empty
        rows.batch = new.batch

    def check(self) -> None:
        """Find out what would go wrong, before anything moves.

        :raises InvalidInput: the database refuses the query, something does not fit the watermark or the consumer's
            cursor, or there is a file where the folder should be.
        :raises NoData: there are no new rows; AlreadyTaken if there were.
        """
        self.new.check()
        self.rows.query = self.new.query
        self.rows.check()
        self._begin()

    def _begin(self) -> None:
        self.plan = plan = self.new.plan()
        self.picked = self.new.picker(plan)
        if plan.empty and not plan.again and not self._allow_empty:
            self.rows.discard()
            self._nothing()
        self.rows.query = self.new.of_plan(plan)
        self.rows.pick = self.picked
        self.rows.fresh = not plan.again
        self.rows.allow_empty = self._allow_empty or (plan.again and not plan.batch.rows)
        told = self.new.told(plan)
        self.rows.origin |= {"batch": self.new.batch, "watermark": json.dumps(told, ensure_ascii=False)}

    def deliver(self) -> tuple[Manifest, bool]:
        """Returns what is there in the end, and whether it was there already. The cursor does not move yet.

        :raises NoData: there are no rows; AlreadyTaken if there were.
        """
        try:
            return self.rows.deliver()
        except NoData:
            self._nothing()

    def take(self, delivered: tuple[Manifest, bool]) -> tuple[Manifest, bool]:
        """Move the cursor. If another run was faster, its rows are replaced by those that it left.

        :raises AlreadyTaken: it left none. What was delivered is gone then.
        """
        while not self.plan.again and not self.new.take(self.plan, self.picked, self.rows.rows):
            self.rows.say(f"{self.rows.label}  another run of {self.new.consumer!r} was faster; taking what it left.")
            self._others = True
            self._begin()
            delivered = self.deliver()
        return delivered

    def _nothing(self) -> NoReturn:
        source, consumer = self.rows.source, self.new.consumer
        if self.plan.again:
            raise NoData(
                f"{source} has none of the {self.plan.batch.rows} rows any more that this run of {consumer!r} took; "
                f"pass allow_empty=True to accept."
            )
        if self._others:
            raise AlreadyTaken(
                f"the new rows of {source} have been taken by other runs of {consumer!r}, or changed since."
            )
        raise NoData(f"{source} has no rows that are new to {consumer!r}; pass allow_empty=True to accept.")


@dataclass(frozen=True)
class RowsWatch:
    """What new rows to look for, and for whom.

    :param rows: with a watermark and a consumer.
    :param batch: names the taking run; what it took before is still new to itself.
    :param min_rows: fewer than this are not worth a batch yet.
    """

    rows: RowsInput
    batch: str
    min_rows: int = 1

    @property
    def datastores(self) -> tuple[str, ...]:
        """The datastores that a look opens."""
        return self.rows.datastore, STATE_DATASTORE

    def look(self, open_datastore: OpenDatastore, open_tables: OpenTables) -> tuple[dict[str, Any] | None, str]:
        """The batch, if there are new rows enough. The cursor does not move: that is for whoever takes the batch.

        :returns: the batch (``rows``, ``watermark`` with its bounds, ``consumer``, ``batch`` and the fields of the
            input), or None; and what to tell the person who waits.
        :raises InvalidInput: the database refuses the query, or something does not fit the cursor.
        """
        new = NewRows(open_datastore, open_tables, self.rows, self.batch)
        new.check()
        plan = new.plan()
        rows = new.count(plan)
        told = new.told(plan)
        above = "" if told["low"] is None else f" above {told['low']}"
        said = f"{rows} new rows in {self.rows.described} by {told['column']!r}{above}"
        if not plan.again and rows < max(self.min_rows, 1):
            return None, f"{said}; waiting for {max(self.min_rows, 1)}."
        return {**self.rows.to_fields(), "watermark": told, "batch": self.batch, "rows": rows}, f"{said}."
