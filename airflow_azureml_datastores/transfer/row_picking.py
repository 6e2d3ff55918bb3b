"""What a batch of new rows is to be, and picking its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.core.row_cursor import RowBatch, RowCursor, row_fingerprint
from airflow_azureml_datastores.core.watermark import Kind, Mark
from airflow_azureml_datastores.transfer.row_marks import scalar_of, values_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Plan:
    """What a batch is to be.

    :param cursor: as it was when the plan was made, in this version.
    :param batch: without ``late`` and ``rows`` unless it was taken before.
    :param window: the rows above this, up to the batch's end, are to be known again; None is all.
    :param again: whether the batch was taken before.
    """

    cursor: RowCursor
    version: str | None
    kind: Kind | None
    batch: RowBatch
    window: Mark | None = None
    again: bool = False

    @property
    def empty(self) -> bool:
        """Whether there cannot be any row in it."""
        return self.batch.high is None or self.batch.since == self.batch.high


class Picker:
    """Picks a batch's rows from those of its query, in which there are also rows that are others'.

    Call it with all tables, in any order; then it knows which rows were late, and which are to be known again.
    """

    def __init__(self, plan: Plan, batch: str, column: str, keys: Sequence[str]) -> None:
        self.late: set[bytes] = set()
        self.seen: set[bytes] = set()
        self._plan = plan
        self._column = column
        self._keys = keys
        self._others = plan.cursor.late_of_others(batch)

    def __call__(self, table: pa.Table) -> pa.Table:
        if not self._keys:
            return table
        return self._again(table) if self._plan.again else self._first(table)

    def _first(self, table: pa.Table) -> pa.Table:
        import pyarrow.compute as pc

        batch, window, kept = self._plan.batch, self._plan.window, [True] * table.num_rows
        new = self._above(table, None if batch.since == batch.low else batch.low)
        recent = self._above(table, window) if window != batch.high else self._none(table)
        known = pc.indices_nonzero(pc.or_(pc.invert(new), recent))
        prints = prints_of(table.take(known), self._column, self._keys)
        for at, version in zip(known.to_pylist(), prints, strict=True):
            if recent[at].as_py():
                self.seen.add(version)
            if not new[at].as_py():
                kept[at] = version not in self._plan.cursor.seen
                if kept[at]:
                    self.late.add(version)
        return _filtered(table, kept)

    def _again(self, table: pa.Table) -> pa.Table:
        """What came since then into the batch's range is left to be late."""
        cursor, batch, kept = self._plan.cursor, self._plan.batch, []
        new = self._above(table, None if batch.since == batch.low else batch.low)
        watched = self._above(table, cursor.since) if cursor.since != cursor.frontier else self._none(table)
        for at, version in enumerate(prints_of(table, self._column, self._keys)):
            if not new[at].as_py():
                kept.append(version in batch.late)
            else:
                kept.append(version not in self._others and (version in cursor.seen or not watched[at].as_py()))
        return _filtered(table, kept)

    def _above(self, table: pa.Table, mark: Mark | None) -> Any:
        """Which rows are above a watermark; all are above None. Texts, which the database alone compares, stay away."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if mark is None:
            return pa.array([True] * table.num_rows, pa.bool_())
        column = table.column(self._column)
        return pc.greater(column, scalar_of(mark, column.type)).combine_chunks()

    def _none(self, table: pa.Table) -> Any:
        import pyarrow as pa

        return pa.array([False] * table.num_rows, pa.bool_())


def prints_of(rows: pa.Table | pa.RecordBatch, column: str, keys: Sequence[str]) -> list[bytes]:
    columns = [values_of(rows.column(name)) for name in (*keys, column)]
    return [row_fingerprint(values) for values in zip(*columns, strict=True)]


def _filtered(table: pa.Table, kept: list[bool]) -> pa.Table:
    import pyarrow as pa

    return table if all(kept) else table.filter(pa.array(kept, pa.bool_()))
