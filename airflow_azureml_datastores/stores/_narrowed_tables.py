"""Queries made of other queries, whichever the database: some of their rows, the newest, how many."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_azureml_datastores.core.table_store import Query, TableStore
from airflow_azureml_datastores.stores._sql_text import common_tables, in_order, quoted, without_end


class NarrowedTables(TableStore):
    """A database that takes a query in the place of a table."""

    _grammar: ClassVar[re.Pattern[str]]
    """The tokens of its statements: see :mod:`_sql_text`."""
    _quotes: ClassVar[str] = '""'
    """The opening and the closing one of a name."""
    _first: ClassVar[str] = "select {column} from {rows} order by {column} desc limit 1"
    """The row of the greatest value."""
    _count: ClassVar[str] = "count(*)"
    _with_in_front: ClassVar[bool] = False
    """Whether a ``WITH`` can only stand in front of the whole statement."""

    def between(
        self, query: Query, column: str, low: Any = None, high: Any = None, *, only: Sequence[str] = ()
    ) -> Query:
        name = self._named(column)
        bounds = {f"{name} > ?": low, f"{name} <= ?": high}
        given = {bound: self._comparable(value) for bound, value in bounds.items() if value is not None}
        chosen = ", ".join(map(self._named, only)) or "q.*"
        return self._of(query, chosen, " and ".join(given) or f"{name} is not null", list(given.values()))

    def newest(self, query: Query, column: str) -> Query:
        text, values = in_order(query, self._grammar)
        front, table = self._as_table(text)
        rows = f"{table} where {self._named(column)} is not null"
        return Query(front + self._first.format(column=self._named(column), rows=rows), values)

    def count(self, query: Query) -> Query:
        return self._of(query, f"{self._count} as n", "1 = 1")

    def none(self, query: Query) -> Query:
        return self._of(query, "q.*", "1 = 0")

    def _of(self, query: Query, chosen: str, where: str, more: Sequence[Any] = ()) -> Query:
        text, values = in_order(query, self._grammar, more)
        front, table = self._as_table(text)
        return Query(f"{front}select {chosen} from {table} where {where}", values)

    def _as_table(self, sql: str) -> tuple[str, str]:
        """A query as a table, and what has to stand in front of the statement that this table is in."""
        front = common_tables(sql, self._grammar) if self._with_in_front else ""
        return front, f"(\n{without_end(sql[len(front) :], self._grammar)}\n) as q"

    def _comparable(self, value: Any) -> Any:
        """A value, to be compared with those of a column."""
        return value

    def _named(self, column: str) -> str:
        return f"q.{quoted(column, self._quotes)}"
