"""A session: runs batches and calls, keeps its settings and its transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.servers.tsql import lexer
from tests.servers.tsql.batch import Batch
from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.params import Parameter
from tests.servers.tsql.queries import Query
from tests.servers.tsql.running import Running, given_values
from tests.servers.tsql.sources import TableName
from tests.servers.tsql.statements import Column, Statement
from tests.servers.tsql.transactions import Failed, Schema
from tests.servers.tsql.translate import PgError, translated
from tests.servers.tsql.types import SqlType
from tests.servers.tsql.words import Context

_DATA = frozenset(
    ["(", "SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "CREATE", "DROP", "ALTER", "IF", "SET", "DECLARE"]
)


class Session(Running):
    """Reads batches and calls, and runs what is in them."""

    def batch(self, sql: str, variables: dict[str, Parameter] | None = None) -> None:
        """Run the statements of a batch; the reply has told all when it returns or raises ``Failed``."""
        if self._again(sql, variables or {}):
            return
        context = Context(dict(variables or {}))
        context.values = self.context_values()
        try:
            check = Batch(sql, Context(dict(variables or {}), values=context.values), self)
            while not check.over:
                self._block(check, live=False)
            if self.grammar:
                self.grammar.check(sql)
            batch = Batch(sql, context, self)
        except SqlError as error:
            self.reply.error(error)
            raise Failed from error
        batch.identity = self.identity
        count = 0
        while not batch.over:
            self._block(batch, live=True)
            count += 1
        last = self._last
        if count == 1 and last and last.kind == "INSERT" and not last.locks and "@@" not in sql and not self.identity:
            if len(self._known) > 50:
                self._known.clear()
            self._known[self._key(sql, variables or {})] = last

    def _key(self, sql: str, variables: dict[str, Parameter]) -> Any:
        return sql, tuple((name, variable.type) for name, variable in variables.items())

    def _again(self, sql: str, variables: dict[str, Parameter]) -> bool:
        """Run an INSERT that was read before, if the tables are the same still."""
        if self._seen != Schema.version:
            self._known.clear()
            self.engine.forget()
            self._seen = Schema.version
        statement = self._known.get(self._key(sql, variables))
        if statement is None:
            return False
        self.told(lambda: self._saved(statement, lambda: self._data(statement, given_values(statement, variables))))
        return True

    def _block(self, batch: Batch, live: bool) -> None:
        """A statement, or an IF or BEGIN … END with what is in it."""
        if batch.accept("IF"):
            test = batch.test()
            true = live and self.told(lambda: self._test(test, batch))
            self._block(batch, bool(true))
            at = batch.at
            if not batch.over and batch.accept("ELSE"):
                self._block(batch, live and not true)
            else:
                batch.at = at
        elif batch.is_("BEGIN") and batch.ahead().upper in ("TRY", "CATCH"):
            raise refused("TRY … CATCH")
        elif batch.is_("BEGIN") and batch.ahead().upper not in ("TRAN", "TRANSACTION"):
            batch.at += 1
            while not batch.accept("END"):
                if batch.over:
                    raise batch.error()
                self._block(batch, live)
                batch.accept(";")
        elif live:
            batch.context.values.update(self.context_values())
            start = batch.at
            if self.told(lambda: self._one(batch)) is None:
                # It failed, and the batch goes on: past it.
                batch.at = start
                batch.statement(live=False)
        else:
            batch.statement(live=False)

    def _one(self, batch: Batch) -> bool:
        reading = Statement(batch.here.upper)
        self._last = None

        def act() -> None:
            try:
                statement = batch.statement(live=True)
            except PgError:
                reading.tables, reading.names = batch.tables, batch.names
                raise
            vars(reading).update(vars(statement))
            if not batch.over and batch.here.kind == "operator" and batch.here.text != "(":
                raise batch.error()
            self._run(statement, given_values(statement, batch.context.variables), batch)
            self._last = statement

        return self._saved(reading, act, batch.here.upper in _DATA)

    def _test(self, statement: Statement, batch: Batch) -> bool:
        values = given_values(statement, batch.context.variables)
        if self.trancount:
            self.engine.run("SAVEPOINT s")
        try:
            value = self.engine.rows(statement.sql[0], values)[0][0]
        except PgError as error:
            if self.trancount:
                self.engine.run("ROLLBACK TO SAVEPOINT s; RELEASE SAVEPOINT s")
            raise translated(error, statement, self.database) from error
        if self.trancount:
            self.engine.run("RELEASE SAVEPOINT s")
        return value == b"1"

    # The catalogue, for who reads statements

    def columns(self, table: TableName) -> list[Column]:
        return self.engine.columns(table)

    def describe(self, query: Query, used: list[str]) -> list[Column]:
        return self.engine.described(query, {}, outer=True)

    def describe_batch(self, sql: str, declared: str) -> list[list[bytes | None]]:
        """The rows of sys.dm_exec_describe_first_result_set: its errors are rows too."""
        from tests.servers.tsql.procedures import DESCRIPTION, described, first_result

        try:
            columns = first_result(self, sql, declared)
        except SqlError as error:
            nothing: list[bytes | None] = [None] * (len(DESCRIPTION) - 3)
            return [[*nothing, str(error.number).encode(), str(error.level).encode(), error.message.encode()]]
        return [[*described(self, at, column), None, None, None] for at, column in enumerate(columns, 1)]

    # Calls of procedures

    @contextmanager
    def kept(self) -> Iterator[None]:
        """What fails inside takes nothing of the transaction with it."""
        if not self.trancount:
            yield
            return
        self.engine.run("SAVEPOINT k")
        try:
            yield
        finally:
            self.engine.run("ROLLBACK TO SAVEPOINT k; RELEASE SAVEPOINT k")

    def wait_for(self, sql: str, timeout: int) -> int:
        """Take an application lock: 0, or -1 if it could not be had in time, -3 for a deadlock."""
        held, self.lock_timeout = self.lock_timeout, timeout
        if self.trancount:
            self.engine.run("SAVEPOINT k")
        self._lock_timeout()
        try:
            self.engine.rows(sql)
            found = 0
        except PgError as error:
            if error.state not in ("55P03", "40P01"):
                raise
            found = -1 if error.state == "55P03" else -3
        if self.trancount:
            self.engine.run("ROLLBACK TO SAVEPOINT k; RELEASE SAVEPOINT k" if found else "RELEASE SAVEPOINT k")
        self.lock_timeout = held
        self._lock_timeout()
        return found

    def changed(self, statement: Statement, fill: Callable[[], None] | None = None) -> None:
        """Run what has not come as a statement; ``fill`` after the first part of it."""
        self._fill = fill
        try:
            self._saved(statement, lambda: self._data(statement, []))
        finally:
            self._fill = None

    def undeclared(self, sql: str) -> list[tuple[str, SqlType]]:
        """The parameters a statement uses, with the types PostgreSQL finds for them."""
        names = list(dict.fromkeys(t.text for t in lexer.tokens(sql) if t.kind == "variable" and t.text[1] != "@"))
        variables = {name.lower(): Parameter(name, SqlType("nvarchar", 4000), None) for name in names}
        batch = Batch(sql, Context(variables, self.context_values(), bare=True), self)
        with self.kept():
            statement = Statement("SELECT")
            try:
                statement = batch.statement(live=True)
                if statement.sql:
                    self.engine.prepare(statement.sql[-1])
                else:
                    self.engine.parameter_types = []
            except PgError as error:
                statement.tables = statement.tables or batch.tables
                raise translated(error, statement, self.database) from error
        types = dict(zip(statement.used, self.engine.parameter_types, strict=False))
        found = []
        for name in names:
            kind = self.engine.type(types[name.lower()], -1) if name.lower() in types else None
            column = statement.given.get(name.lower())
            found.append((name, column or kind or SqlType("nvarchar", 4000)))
        return found

    def call(self, sql: str, variables: dict[str, Parameter]) -> None:
        """A batch with parameters: the temporary tables it makes end with it."""
        self.depth += 1
        try:
            self.batch(sql, variables)
        finally:
            self.depth -= 1
            scoped, self._scoped = self._scoped, []
            Schema.version += bool(scoped)
            for table in scoped:
                self.engine.run(f"DROP TABLE IF EXISTS {table}")
