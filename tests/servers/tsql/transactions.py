"""What a session keeps: its settings and its transaction, and what errors do to it."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from typing import Any

from tests.servers.tsql import tokens
from tests.servers.tsql.control import SWITCHES
from tests.servers.tsql.engine import Engine
from tests.servers.tsql.errors import GOES_ON, ROLLS_BACK, SqlError
from tests.servers.tsql.lexer import literal
from tests.servers.tsql.reply import Reply
from tests.servers.tsql.script_dom import ScriptDom
from tests.servers.tsql.statements import Statement
from tests.servers.tsql.translate import PgError, translated

_DESCRIPTORS = itertools.count(0x1_0000_0001)


class Schema:
    """How often tables were made or changed: what was read with them before is read again after."""

    version = 0


class Failed(Exception):
    """The batch is over; the client has been told why."""


class Transactions:
    """:param may_write: whether the login may change tables that are not its own temporary ones."""

    def __init__(
        self, engine: Engine, reply: Reply, database: str, login: str, may_write: bool, grammar: ScriptDom | None
    ) -> None:
        self.engine, self.reply, self.grammar = engine, reply, grammar
        self.database, self._login, self._may_write = database, login, may_write
        self.trancount = 0
        self._descriptor = b""
        self.prepared: dict[int, tuple[str, str]] = {}
        self.depth = 0
        self._scoped: list[str] = []
        self._known: dict[Any, Statement] = {}
        self._seen = Schema.version
        self._last: Statement | None = None
        self._fill: Callable[[], None] | None = None
        self.bulk: Any = None
        self._settings()

    def _settings(self) -> None:
        self.isolation, self.lock_timeout, self.rowcount = "READ COMMITTED", -1, 0
        self.switches = dict.fromkeys(SWITCHES, False)
        self.identity: set[str] = set()

    def reset(self) -> None:
        """As if newly logged in: what a pool asks for before it hands a connection out again."""
        if self.trancount:
            self.rollback()
        self.engine.run("DISCARD TEMP; RESET lock_timeout")
        Schema.version += 1
        self._settings()

    # Transactions

    def begin(self) -> None:
        if not self.trancount:
            self._begin()
            self._descriptor = struct.pack("<Q", next(_DESCRIPTORS))
            self.reply.write(tokens.began(self._descriptor))
        self.trancount += 1

    def _begin(self) -> None:
        level = "REPEATABLE READ" if self.isolation == "SNAPSHOT" else "READ COMMITTED"
        self.engine.run(f"BEGIN ISOLATION LEVEL {level}")

    def commit(self) -> None:
        if not self.trancount:
            raise SqlError(3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.trancount -= 1
        if not self.trancount:
            try:
                self.engine.run("COMMIT")
            except PgError as error:
                self.reply.write(tokens.ended(self._descriptor, committed=False))
                raise translated(error, Statement("COMMIT"), self.database) from error
            self.reply.write(tokens.ended(self._descriptor, committed=True))

    def rollback(self) -> None:
        if not self.trancount:
            raise SqlError(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.trancount = 0
        self.engine.run("ROLLBACK")
        Schema.version += 1
        self._lock_timeout()
        self.reply.write(tokens.ended(self._descriptor, committed=False))

    def _lock_timeout(self) -> None:
        milliseconds = {-1: 0, 0: 1}.get(self.lock_timeout, self.lock_timeout)
        self.engine.run(f"SET lock_timeout = {milliseconds}")

    # Errors

    def told(self, run: Callable[[], bool | None]) -> bool | None:
        """Run it and tell its error. None if the batch goes on after one."""
        try:
            return run()
        except SqlError as error:
            self.fail(error)
            return None

    def fail(self, error: SqlError) -> None:
        """Tell the error, and do with the transaction what the error does. Returns if the batch goes on."""
        self.reply.write(tokens.error(error))
        rolls_back = error.number in ROLLS_BACK or (self.switches["XACT_ABORT"] and error.number not in (3902, 3903))
        if rolls_back and self.trancount:
            self.rollback()
        self.reply.done(tokens.ERROR)
        if self.switches["XACT_ABORT"] or error.number not in GOES_ON:
            raise Failed from error

    def _saved(self, statement: Statement, act: Callable[[], None], data: bool = True) -> bool:
        """Do it; what fails takes only itself back."""
        saved = self.trancount > 0 and data
        if saved:
            self.engine.run("SAVEPOINT s")
        try:
            act()
        except BaseException as error:
            if saved and self.trancount:
                self.engine.run("ROLLBACK TO SAVEPOINT s; RELEASE SAVEPOINT s")
            elif self.trancount and self.engine.broken:
                # It began the transaction, which has nothing else in it.
                self.engine.run("ROLLBACK")
                self._begin()
            if isinstance(error, PgError):
                if error.state == "23505":
                    error.kind = self.engine.kind_of(error)
                raise translated(error, statement, self.database) from error
            raise
        if saved and self.trancount:
            self.engine.run("RELEASE SAVEPOINT s")
        return True

    def context_values(self) -> dict[str, str]:
        return {
            "database": literal(self.database), "login": literal(self._login), "spid": str(self.engine.pid % 32768),
            "trancount": str(self.trancount), "rowcount": str(self.rowcount), "lock_timeout": str(self.lock_timeout),
            "state": "1" if self.trancount else "0",
        }  # fmt: skip
