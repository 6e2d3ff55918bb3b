"""Running statements, once they are read."""

from __future__ import annotations

from tests.servers.tsql import tokens
from tests.servers.tsql.batch import Batch
from tests.servers.tsql.control import SWITCHES
from tests.servers.tsql.engine import Cancelled
from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.params import Parameter
from tests.servers.tsql.queries import Query
from tests.servers.tsql.statements import Statement
from tests.servers.tsql.transactions import Schema, Transactions

_WRITES = {"INSERT": "INSERT", "UPDATE": "UPDATE", "DELETE": "DELETE", "TRUNCATE": "ALTER"}
_COMMANDS = {"SELECT": 0xC1, "SELECT INTO": 0xC2, "INSERT": 0xC3, "DELETE": 0xC4, "UPDATE": 0xC5}


class Running(Transactions):
    """Statements, with what they want locked, and the rows they give."""

    def _run(self, statement: Statement, values: list[bytes | None], batch: Batch) -> None:
        kind = statement.kind
        if kind == "begin":
            self.begin()
        elif kind == "commit":
            self.commit()
        elif kind == "rollback":
            if statement.words and statement.words[0].startswith("save"):
                raise refused("ROLLBACK to a savepoint")
            self.rollback()
        elif kind == "save":
            raise refused("SAVE TRANSACTION")
        elif kind == "set":
            self._set(statement.words)
        elif kind == "variable":
            found = self.engine.rows(statement.sql[0], values)[0][0]
            variable = batch.context.variables[statement.words[0]]
            batch.context.variables[statement.words[0]] = Parameter(variable.name, variable.type, found)
            return
        elif kind == "throw":
            number, text, state = (each.text() for each in statement.arguments)
            raise SqlError(int(number), text, state=int(state))
        elif kind == "call":
            self._call(statement, batch)
            return
        else:
            self._data(statement, values)
            return
        self.reply.done()

    def _call(self, statement: Statement, batch: Batch) -> None:
        from tests.servers.tsql.procedures import call

        name, status = statement.words
        value = call(self, name, statement.arguments)
        if status:
            variable = batch.context.variables[status]
            batch.context.variables[status] = Parameter(variable.name, variable.type, str(value).encode())

    def _set(self, words: list[str]) -> None:
        name, *rest = words
        if name == "ISOLATION":
            if self.trancount and (rest[0] == "SNAPSHOT") != (self.isolation == "SNAPSHOT"):
                raise SqlError(3951, "Transaction failed in database because the statement was run under snapshot "
                                     "isolation but the transaction did not start in snapshot isolation.")  # fmt: skip
            self.isolation = rest[0]
        elif name == "LOCK_TIMEOUT":
            self.lock_timeout = int(rest[0])
            self._lock_timeout()
        elif name == "SWITCH":
            self.switches.update({each: rest[0] == "ON" for each in rest[1:] if each in SWITCHES})
        elif name == "IDENTITY_INSERT":
            (self.identity.add if rest[1] == "ON" else self.identity.discard)(rest[0])

    def _data(self, statement: Statement, values: list[bytes | None]) -> None:
        self._allow(statement)
        query = statement.query
        if self.switches["IMPLICIT_TRANSACTIONS"] and not self.trancount and (query is None or query.reads):
            self.begin()
        locks = self._locks(statement)
        level = "ISOLATION LEVEL REPEATABLE READ" if self.isolation == "SNAPSHOT" else ""
        own = not self.trancount and bool(locks or len(statement.sql) > 1 or level)
        if own:
            self.engine.run(f"BEGIN {level}")
        try:
            for table, mode in locks.items():
                self.engine.run(f"LOCK TABLE {table} IN {mode} MODE")
            for at, sql in enumerate(statement.sql[:-1]):
                if self._fill and at == 1:
                    self._fill()
                if sql.startswith(("CREATE VIEW", "COMMENT", "CREATE TABLE", "CREATE TEMP")) or not values:
                    self.engine.run(sql)
                else:
                    self.engine.run(sql, values)
            if query:
                self._rows(statement, query, values)
            else:
                self._count(statement, values)
            if own:
                self.engine.run("COMMIT")
        except BaseException:
            if own:
                self.engine.run("ROLLBACK")
            raise

    def _allow(self, statement: Statement) -> None:
        table = statement.target
        if self._may_write or statement.query or (table and table.temporary):
            return
        if table and statement.kind in _WRITES:
            raise SqlError(229, f"The {_WRITES[statement.kind]} permission was denied on the object '{table.name}', "
                                f"database '{self.database}', schema '{table.schema}'.", state=5, level=14)  # fmt: skip
        raise SqlError(262, f"{statement.kind} permission denied in database '{self.database}'.", level=14)

    def _locks(self, statement: Statement) -> dict[str, str]:
        locks = dict(statement.locks)
        if self.isolation in ("SERIALIZABLE", "REPEATABLE READ"):
            for table in statement.tables.values():
                if not table.temporary and statement.target != table:
                    locks.setdefault(table.pg, "SHARE")
        return {table: mode for table, mode in locks.items() if not table.startswith(("sys.", "info."))}

    def _count(self, statement: Statement, values: list[bytes | None]) -> None:
        table = statement.target
        if statement.kind == "INSERT":
            count = self.engine.run_prepared(statement.sql[-1], values)
        else:
            count = self.engine.run(statement.sql[-1], values if statement.kind != "CREATE TABLE" else None)
        if statement.kind not in ("INSERT", "UPDATE", "DELETE"):
            Schema.version += 1
        if table and table.temporary and self.depth and statement.kind in ("CREATE TABLE", "SELECT INTO"):
            self._scoped.append(table.pg)
        if statement.kind in _COMMANDS:
            self.rowcount = max(count, 0)
            if self._fill:
                return
            shown = 0 if self.switches["NOCOUNT"] else tokens.COUNT
            self.reply.done(shown, self.rowcount, _COMMANDS[statement.kind])
        else:
            self.reply.done()

    def _rows(self, statement: Statement, query: Query, values: list[bytes | None]) -> None:
        columns = self.engine.described(query, statement.names, statement.outer_joins)
        row = self.reply.columns(columns)
        width, count = range(len(columns)), 0
        for result in self.engine.stream(query.sql, values):
            get = result.get_value
            rows = [row([get(at, column) for column in width]) for at in range(result.ntuples)]
            count += len(rows)
            if rows:
                self.reply.write(b"".join(rows))
            if self.engine.interrupted():
                raise Cancelled
        self.rowcount = count
        self.reply.done(tokens.COUNT, count, tokens.SELECT)


def given_values(statement: Statement, variables: dict[str, Parameter]) -> list[bytes | None]:
    return [variables[name].value for name in statement.used]
