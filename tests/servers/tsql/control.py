"""The statements that concern the session itself: transactions, settings, variables, procedures."""

from __future__ import annotations

from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.expressions import Expr
from tests.servers.tsql.params import Parameter
from tests.servers.tsql.sources import TableName
from tests.servers.tsql.statements import Column, Reader, Statement
from tests.servers.tsql.types import SqlType

ISOLATION = ("READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE", "SNAPSHOT")
SWITCHES = frozenset({"NOCOUNT", "XACT_ABORT", "IMPLICIT_TRANSACTIONS"})
_ACCEPTED = frozenset(
    [
        "QUOTED_IDENTIFIER",
        "ANSI_NULLS",
        "ANSI_PADDING",
        "ANSI_WARNINGS",
        "ANSI_NULL_DFLT_ON",
        "CONCAT_NULL_YIELDS_NULL",
        "ARITHABORT",
        "CURSOR_CLOSE_ON_COMMIT",
        "ANSI_DEFAULTS",
    ]
)


class Control(Reader):
    def _set(self) -> Statement:
        if self.here.kind == "variable":
            name = self.next().text
            self.expect("=")
            return self._variable(name, self.expr())
        if self.accept("TRANSACTION", "ISOLATION", "LEVEL"):
            words = [self.next().upper]
            if words[0] in ("READ", "REPEATABLE"):
                words.append(self.next().upper)
            if " ".join(words) not in ISOLATION:
                raise self.error()
            return self._made("set", [], words=["ISOLATION", " ".join(words)])
        name = self.next().upper
        if name == "IDENTITY_INSERT":
            table = self.table()
            return self._made("set", [], words=[name, table.pg, self._switch()])
        if name in ("LOCK_TIMEOUT", "TEXTSIZE", "DATEFIRST", "ROWCOUNT", "LANGUAGE", "DATEFORMAT", "DEADLOCK_PRIORITY"):
            sign = "-" if self.accept("-") else ""
            value = sign + self.next().text
            default = {"DATEFIRST": "7", "ROWCOUNT": "0", "LANGUAGE": "us_english", "DATEFORMAT": "mdy"}
            if value.lower() != default.get(name, value.lower()):
                raise refused(f"SET {name} {value}")
            return self._made("set", [], words=[name, value])
        names = [name]
        while self.accept(","):
            names.append(self.next().upper)
        for name in names:
            if name not in SWITCHES and name not in _ACCEPTED:
                raise refused(f"SET {name}")
        switch = self._switch()
        if switch == "OFF" and any(name in ("QUOTED_IDENTIFIER", "ANSI_NULLS", "ANSI_PADDING") for name in names):
            raise refused(f"SET {', '.join(names)} OFF")
        return self._made("set", [], words=["SWITCH", switch, *names])

    def _switch(self) -> str:
        word = self.next().upper
        if word not in ("ON", "OFF"):
            self.at -= 1
            raise self.error()
        return word

    def _use(self) -> Statement:
        name = self.name()
        if name.lower() != self.database:
            raise SqlError(40508, "USE statement is not supported to switch between databases. Use a new connection to "
                                  "connect to a different database.")  # fmt: skip
        return self._made("set", [], words=["NOTHING"])

    def _begin(self) -> Statement:
        if not (self.accept("TRANSACTION") or self.accept("TRAN")):
            raise self.error()
        self._transaction_name()
        return self._made("begin", [])

    def _end(self) -> Statement:
        kind = self.tokens[self.at - 1].upper
        _ = self.accept("TRANSACTION") or self.accept("TRAN") or self.accept("WORK")
        name = self._transaction_name()
        return self._made(kind.lower(), [], words=[name] if name else [])

    def _save(self) -> Statement:
        if not (self.accept("TRANSACTION") or self.accept("TRAN")):
            raise self.error()
        return self._made("save", [], words=[self.name()])

    def _transaction_name(self) -> str:
        if self.here.kind == "name" or (self.here.kind == "word" and self._is_alias()):
            return self.name()
        return ""

    def _declare(self) -> Statement:
        made = []
        while True:
            token = self.next()
            if token.kind != "variable":
                self.at -= 1
                raise self.error()
            self.accept("AS")
            kind = self.type()
            if token.text.lower() in self.context.variables:
                raise SqlError(134, f"The variable name '{token.text}' has already been declared.", level=15)
            self.context.variables[token.text.lower()] = Parameter(token.text, kind, None)
            if self.accept("="):
                made.append((token.text, self.expr()))
            if not self.accept(","):
                break
        if len(made) > 1:
            raise refused("several variables that are given values at once")
        return self._variable(*made[0]) if made else self._made("set", [], words=["NOTHING"])

    def _variable(self, name: str, value: Expr) -> Statement:
        if name.lower() not in self.context.variables:
            raise SqlError(137, f'Must declare the scalar variable "{name}".', level=15, state=2)
        kind = self.context.variables[name.lower()].type
        sql = (
            self.assigned(value, Column("", name, kind), TableName("", "", "dbo", ""))
            if value.kind != "null"
            else "NULL"
        )
        return self._made("variable", [f"SELECT {sql}"], words=[name.lower()])

    def _execute(self) -> Statement:
        """EXEC [@status =] procedure [[@name =] value, …]: values are constants and variables only."""
        status = ""
        if self.here.kind == "variable":
            status = self.next().text.lower()
            self.expect("=")
        if self.accept("("):
            text = ""
            while not self.accept(")"):
                text += self._argument("").text()
                self.accept("+")
            given = [Parameter("", SqlType("nvarchar", -1), text.encode())]
            return self._made("call", [], words=["sp_executesql", status], arguments=given)
        parts = [self.name()]
        while self.accept("."):
            parts.append("" if self.is_(".") else self.name())
        if self.at == 1 and self.here.kind == "word":
            self.at = 0
            raise self.error()
        arguments: list[Parameter] = []
        while self.here.kind in ("variable", "string", "nstring", "number") or self.is_("NULL") or self.is_("-"):
            name = ""
            if self.here.kind == "variable" and self.ahead().upper == "=":
                name = self.next().text
                self.at += 1
            arguments.append(self._argument(name))
            if not self.accept(","):
                break
        return self._made("call", [], words=[parts[-1], status], arguments=arguments)

    def _throw(self) -> Statement:
        if self.here.kind != "number":
            raise refused("THROW without an error")
        given = [self._argument("")]
        for _ in range(2):
            self.expect(",")
            given.append(self._argument(""))
        return self._made("throw", [], arguments=given)

    def _argument(self, name: str) -> Parameter:
        sign = "-" if self.accept("-") else ""
        token = self.next()
        if token.kind == "variable":
            self.variable(token.text)
            held = self.context.variables[token.text.lower()]
            output = self.accept("OUTPUT") or self.accept("OUT")
            return Parameter(name, held.type, held.value, output)
        if token.kind == "number":
            return Parameter(name, SqlType("int"), (sign + token.text).encode())
        if token.upper == "NULL":
            return Parameter(name, SqlType("int"), None)
        return Parameter(name, SqlType("nvarchar", -1), token.text.encode())
