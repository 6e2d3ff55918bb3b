"""Reading PostgreSQL by several connections: the ranges that they read, and the moment that all of them see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_azureml_datastores.errors import InvalidInput, Unavailable
from airflow_azureml_datastores.stores._postgresql_types import Column
from airflow_azureml_datastores.stores._sql_text import quoted

if TYPE_CHECKING:
    import duckdb
    import psycopg

_SESSION = (
    "set datestyle = 'ISO'",  # so that bounds are read alike by whichever connection
    "set timezone = 'UTC'",
    "set idle_in_transaction_session_timeout = 0",
    "begin isolation level repeatable read, read only",
)


class _Kind(NamedTuple):
    """How values of a type are cut into ranges.

    :param bound: the k-th of n - 1 bounds between the least value, ``lo``, and the greatest, ``hi``.
    :param finite: what holds for the values that there is something between.
    """

    bound: str
    finite: str


_TIME = _Kind("lo + (hi - lo) * (k / {n}::float8)", "{c} > '-infinity' and {c} < 'infinity'")
_WHOLE = "(lo::numeric + div((hi::numeric - lo::numeric + 1) * k, {n}))"
_KINDS = {
    20: _Kind(f"{_WHOLE}::int8", "true"),
    21: _Kind(f"{_WHOLE}::int2", "true"),
    23: _Kind(f"{_WHOLE}::int4", "true"),
    1082: _Kind("lo + div((hi - lo + 1)::numeric * k, {n})::int4", _TIME.finite),
    1114: _TIME,
    1184: _TIME,
    1700: _Kind("lo + (hi - lo) * k / {n}", "{c} < 'NaN'"),
}
"""By the oid of a type."""


def partition_column(connection: psycopg.Connection[Any], columns: Sequence[Column], name: str) -> Column:
    """The column whose ranges are read. :raises InvalidInput: there is none of this name, or of no type for it."""
    found = next((column for column in columns if column.name == name), None)
    if found is None:
        given = ", ".join(repr(column.name) for column in columns)
        raise InvalidInput(f"there is no column {name!r} to partition by; there are: {given}.")
    if found.type not in _KINDS:
        said = connection.execute("select format_type(%s::bigint::oid, null)", [found.type]).fetchall()
        raise InvalidInput(
            f"the column {name!r} to partition by is of type {said[0][0]}: it has to be one of whole numbers, decimals "
            f"(numeric), dates or timestamps."
        )
    return found


def bounds(
    connection: psycopg.Connection[Any], sql: str, values: Sequence[str | None], column: Column, parts: int
) -> list[str]:
    """Where the ranges of a column meet, in its order; fewer than were asked for if there are not so many values.

    :param sql: the query, with ``$1`` for the first of the values.
    """
    from psycopg import RawCursor

    name, kind = f"q.{quoted(column.name)}", _KINDS[column.type]
    text = f"""
        with ends as (select min({name}) as lo, max({name}) as hi from (\n{sql}\n) as q
            where {kind.finite.format(c=name)})
        select b::text from (select distinct lo, {kind.bound.format(n=parts)} as b
            from ends, generate_series(1, {parts - 1}) as k) as x where b > lo order by x.b
    """
    with RawCursor(connection) as cursor:
        return [bound for (bound,) in cursor.execute(text.encode(), values or None)]


def ranges(column: str, bounds: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Conditions, with their values, each row being in one of them: NULLs in the first."""
    if not bounds:
        return [("true", [])]
    name = f"q.{quoted(column)}"
    between = [(f"{name} >= ? and {name} < ?", [low, high]) for low, high in pairwise(bounds)]
    return [
        (f"({name} < ? or {name} is null)", [bounds[0]]),
        *between,
        (f"{name} >= ?", [bounds[-1]]),
    ]


class Moment:
    """What a database holds at one moment, for as many connections as read it.

    :param connection: stays in a transaction that has seen nothing else.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        for statement in _SESSION:
            connection.execute(statement.encode())
        self._id: str = connection.execute("select pg_export_snapshot()").fetchall()[0][0]
        self._readers: set[int] = set()
        self._over = False

    @contextmanager
    def seen(self, db: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Let a transaction that has just begun see this moment, and know it until it has read."""
        db.execute("call postgres_execute('db', ?)", [f"set transaction snapshot '{self._id}'"])
        ((reader,),) = db.execute("select * from postgres_query('db', 'select pg_backend_pid()')").fetchall()
        self._readers.add(reader)
        try:
            if self._over:
                raise Unavailable("the other readers have ended already.")
            yield
        finally:
            self._readers.discard(reader)

    def end(self) -> list[int]:
        """Nobody begins to read any more. Returns the servers' processes of those who still do."""
        self._over = True
        return list(self._readers)
