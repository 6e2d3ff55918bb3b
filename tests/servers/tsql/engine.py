"""One session's PostgreSQL connection: runs statements and tells their columns."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from psycopg import pq

from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.queries import Query
from tests.servers.tsql.sources import TableName
from tests.servers.tsql.statements import Column
from tests.servers.tsql.translate import PgError
from tests.servers.tsql.types import MAX, SqlType

CHUNK = 500
_OK = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY)


class Cancelled(Exception):
    """The client does not want the rest."""


@dataclass(frozen=True)
class Described:
    """A column of a result. :param origin: the table and the column's number it comes from, zeros for none."""

    pg: str
    type: tuple[int, int]
    origin: tuple[int, int]


class Engine:
    """:param conninfo: of the PostgreSQL database.
    :param wire: whose ``spoken`` tells that the client interrupts.
    """

    def __init__(self, conninfo: str, spoken: Callable[[], bool], client: int) -> None:
        self._pg = pq.PGconn.connect(conninfo.encode())
        if self._pg.status != pq.ConnStatus.OK:
            raise RuntimeError(self._pg.error_message.decode())
        self._spoken, self._client = spoken, client
        self._prepared: dict[str, bytes] = {}
        self._called_off = False
        self.run("SET search_path = t, pg_catalog; SET client_min_messages = error; SET extra_float_digits = 1; "
                 "SET timezone = 'UTC'; SET max_parallel_workers_per_gather = 0; SET jit = off")  # fmt: skip
        rows = self.rows("SELECT name, held::oid FROM t.kinds")
        self._kinds = {int(oid or 0): (name or b"").decode() for name, oid in rows}

    def close(self) -> None:
        self._pg.finish()

    @property
    def pid(self) -> int:
        return self._pg.backend_pid

    def ready(self) -> None:
        """For the next request: from now on the client may call off again."""
        self._called_off = False

    def interrupted(self) -> bool:
        """Has the client called off, by what it said last? True only once, so that all can be cleared up."""
        if self._called_off or not self._spoken():
            return False
        self._called_off = True
        return True

    @property
    def broken(self) -> bool:
        """Has something failed in the transaction, so that it has to be rolled back?"""
        return self._pg.transaction_status == pq.TransactionStatus.INERROR

    def run(self, sql: str, values: list[bytes | None] | None = None) -> int:
        """How many rows it concerned; -1 if that makes no sense."""
        if values is None:
            self._pg.send_query(sql.encode())
        else:
            self._pg.send_query_params(sql.encode(), values)
        count = -1
        for result in self._results():
            if result.command_tuples is not None:
                count = result.command_tuples
        return count

    def rows(self, sql: str, values: list[bytes | None] | None = None) -> list[list[bytes | None]]:
        self._pg.send_query_params(sql.encode(), values or [])
        found = []
        for result in self._results():
            width = range(result.nfields)
            found += [[result.get_value(row, column) for column in width] for row in range(result.ntuples)]
        return found

    def prepare(self, sql: str) -> list[Described]:
        """Have it checked; gives its columns."""
        self._pg.send_prepare(b"", sql.encode())
        list(self._results())
        self._pg.send_describe_prepared(b"")
        (result,) = list(self._results())
        self.parameter_types = [result.param_type(at) for at in range(result.nparams)]
        return [
            Described((result.fname(at) or b"").decode(), (result.ftype(at), result.fmod(at)),
                      (result.ftable(at), result.ftablecol(at)))
            for at in range(result.nfields)
        ]  # fmt: skip

    def run_prepared(self, sql: str, values: list[bytes | None]) -> int:
        """As ``run``, for what comes again and again."""
        name = self._prepared.get(sql)
        if name is None:
            if len(self._prepared) > 50:
                self.forget()
            name = f"p{len(self._prepared)}".encode()
            self._pg.send_prepare(name, sql.encode())
            list(self._results())
            self._prepared[sql] = name
        self._pg.send_query_prepared(name, values)
        return max((r.command_tuples for r in self._results() if r.command_tuples is not None), default=-1)

    def copy(self, table: str, rows: bytes) -> None:
        """Put rows into a table: the lines of COPY's text."""
        self._pg.send_query(f"COPY {table} FROM STDIN".encode())
        self._wait()
        result = self._pg.get_result()
        if result is None or result.status != pq.ExecStatus.COPY_IN:
            list(self._results())
            raise RuntimeError("COPY did not begin")
        for start in range(0, len(rows), 1 << 20):
            self._pg.put_copy_data(rows[start : start + (1 << 20)])
        self._pg.put_copy_end()
        list(self._results())

    def forget(self) -> None:
        """Forget what was prepared: the tables may be others now."""
        if self._prepared:
            self._prepared.clear()
            self.run("DEALLOCATE ALL")

    def stream(self, sql: str, values: list[bytes | None]) -> Iterator[pq.abc.PGresult]:
        """Its rows, in chunks."""
        self._pg.send_query_params(sql.encode(), values)
        self._pg.set_chunked_rows_mode(CHUNK)
        yield from self._results()

    def _results(self) -> Iterator[pq.abc.PGresult]:
        problem = None
        while True:
            try:
                self._wait()
            except Cancelled:
                self._pg.get_cancel().cancel()
                while self._pg.get_result():
                    pass
                raise
            result = self._pg.get_result()
            if result is None:
                break
            if result.status in _OK or result.status == pq.ExecStatus.TUPLES_CHUNK:
                try:
                    yield result
                except GeneratorExit:
                    self._pg.get_cancel().cancel()
                    while self._pg.get_result():
                        pass
                    raise
            else:
                problem = problem or PgError(result)
        if problem:
            raise problem

    def _wait(self) -> None:
        """Till there is a result, or the client interrupts."""
        while self._pg.flush():
            select.select([], [self._pg.socket], [])
        while self._pg.is_busy():
            if self.interrupted():
                raise Cancelled
            watched = [self._pg.socket] if self._called_off else [self._pg.socket, self._client]
            ready = select.select(watched, [], [])[0]
            if self._pg.socket in ready:
                self._pg.consume_input()

    def kind_of(self, error: PgError) -> str:
        """Which kind of constraint an error is about: "p" for a primary key, "u" for a unique one."""
        query = ("SELECT contype FROM pg_constraint WHERE conname = $1 AND connamespace = "
                 "(SELECT oid FROM pg_namespace WHERE nspname = $2)")  # fmt: skip
        found = self.rows(query, [error.constraint.encode(), error.schema.encode()])
        return (found[0][0] or b"").decode() if found else ""

    # Types

    def type(self, oid: int, label: int) -> SqlType | None:
        """SQL Server's type; None for a decimal of which the scale is not known."""
        name = self._kinds.get(oid)
        if name is None:
            raise refused(f"the type of a column (PostgreSQL's number {oid})")
        if name == "decimal":
            return SqlType(name, precision=(label - 4) >> 16, scale=(label - 4) & 0xFFFF) if label > 0 else None
        if name in ("time", "datetime2", "datetimeoffset"):
            return SqlType(name, scale=label - 5 if label > 0 else 7)
        if "char" in name or "binary" in name:
            return SqlType(name, label - 4 if label > 0 else MAX)
        return SqlType(name)

    def columns(self, table: TableName) -> list[Column]:
        rows = self.rows(
            "SELECT attname, name, atttypid, atttypmod, attnotnull, attidentity <> '', attgenerated <> '', "
            "defaulted <> 0 AND attgenerated = '' "
            "FROM t.fields WHERE attrelid = to_regclass($1)::oid ORDER BY attnum",
            [table.pg.encode()],
        )
        if not rows:
            raise SqlError(208, f"Invalid object name '{table.spelled}'.")
        found = []
        for pg, name, oid, label, *flags in rows:
            kind = self.type(int(oid or 0), int(label or 0))
            assert kind
            assert pg
            assert name
            required, identity, computed, defaulted = (flag == b"t" for flag in flags)
            found.append(Column(pg.decode(), name.decode(), kind, required, identity, computed, defaulted))
        return found

    def names(self, described: list[Described]) -> dict[tuple[int, int], tuple[str, bool]]:
        """How the columns of tables are spelled, and whether they are NOT NULL, by where they are."""
        tables = {column.origin[0] for column in described if column.origin[0]}
        if not tables:
            return {}
        listed = ",".join(map(str, tables))
        rows = self.rows(f"SELECT attrelid, attnum, name, attnotnull FROM t.fields WHERE attrelid IN ({listed})")
        return {(int(t or 0), int(n or 0)): ((name or b"").decode(), flag == b"t") for t, n, name, flag in rows}

    def described(self, query: Query, names: dict[str, str], outer: bool) -> list[Column]:
        """A query's columns, as SQL Server tells them."""
        found = self.prepare(query.sql)
        spelled = self.names(found)
        labels = _labels(query, found, spelled, names)
        columns = []
        for at, (column, label) in enumerate(zip(found, labels, strict=True)):
            kind = self._kind(query, at, len(found), column)
            required = _item(query, at, len(found)) in query.constants or (
                spelled.get(column.origin, ("", False))[1] and not outer
            )
            columns.append(Column(column.pg, label, kind, required))
        return columns

    def _kind(self, query: Query, at: int, count: int, column: Described) -> SqlType:
        argument = query.arguments.get(_item(query, at, count))
        oid, label = column.type
        if argument:
            inner = self.prepare(argument[1])[0]
            if argument[0] == "extreme":
                oid, label = inner.type
            elif (kind := self.type(*inner.type)) and kind.name == "decimal":
                return SqlType("decimal", precision=38, scale=kind.scale)
        kind = self.type(oid, label)
        if kind is None:
            raise refused(f"the precision and scale of the decimal in column {at + 1}: CAST it")
        return kind


def _item(query: Query, at: int, count: int) -> int:
    """Which item of the list a column comes from; -1 for a star, or if that cannot be told."""
    stars = query.names.count(None)
    if stars != 1:
        return -1 if stars else at
    before, after = query.names.index(None), len(query.names) - query.names.index(None) - 1
    if at < before:
        return at
    return at - count + len(query.names) if at >= count - after else -1


def _labels(
    query: Query, found: list[Described], spelled: dict[tuple[int, int], tuple[str, bool]], names: dict[str, str]
) -> list[str]:
    stars = query.names.count(None)
    if not stars and len(query.names) == len(found):
        return [name or "" for name in query.names]

    def own(column: Described) -> str:
        if column.origin in spelled:
            return spelled[column.origin][0]
        return "" if column.pg == "?column?" else names.get(column.pg, column.pg)

    if stars != 1:
        return [own(column) for column in found]
    before = query.names.index(None)
    after = len(query.names) - before - 1
    middle = found[before : len(found) - after]
    return [*query.names[:before], *(own(c) for c in middle), *query.names[before + 1 :]]  # type: ignore[list-item]
