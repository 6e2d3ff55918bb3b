"""The statements of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.expressions import Expr, cast
from tests.servers.tsql.lexer import literal, quoted
from tests.servers.tsql.params import Parameter
from tests.servers.tsql.queries import Queries, Query
from tests.servers.tsql.sources import TableName
from tests.servers.tsql.types import MAX, SqlType
from tests.servers.tsql.words import Context

STARTS = frozenset(
    [
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "TRUNCATE",
        "CREATE",
        "DROP",
        "ALTER",
        "SET",
        "IF",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVE",
        "EXEC",
        "EXECUTE",
        "DECLARE",
        "WITH",
        "MERGE",
        "PRINT",
        "USE",
        "WAITFOR",
        "WHILE",
        "RETURN",
        "THROW",
        "RAISERROR",
        "GRANT",
        "REVOKE",
        "DENY",
        "END",
        "ELSE",
    ]
)


@dataclass(frozen=True)
class Column:
    """Of a table. :param pg: its name in PostgreSQL, unquoted."""

    pg: str
    name: str
    type: SqlType
    required: bool = False
    identity: bool = False
    computed: bool = False
    defaulted: bool = False


class Catalogue(Protocol):
    def columns(self, table: TableName) -> list[Column]: ...

    def describe(self, query: Query, used: list[str]) -> list[Column]: ...

    def describe_batch(self, sql: str, declared: str) -> list[list[bytes | None]]: ...


@dataclass
class Statement:
    """:param kind: SELECT, INSERT, … as the statement begins; and "set", "variable", "call" for the session itself.
    :param sql: PostgreSQL's statements, of which the last one's count of rows is told.
    :param used: names of the variables that are $1, $2, … in each of them.
    :param target: the table that is written to or made.
    """

    kind: str
    sql: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    query: Query | None = None
    target: TableName | None = None
    columns: list[Column] = field(default_factory=list)
    locks: dict[str, str] = field(default_factory=dict)
    tables: dict[str, TableName] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    outer_joins: bool = False
    words: list[str] = field(default_factory=list)
    arguments: list[Parameter] = field(default_factory=list)
    given: dict[str, SqlType] = field(default_factory=dict)


class Reader(Queries):
    """What the readers of statements share.

    :param catalogue: knows the tables as they are when a statement is read.
    """

    def __init__(self, sql: str, context: Context, catalogue: Catalogue) -> None:
        super().__init__(sql, context)
        self.catalogue = catalogue
        self.live = False
        self.identity: set[str] = set()
        self.given: dict[str, SqlType] = {}

    def source(self) -> str:
        words = [self.here.text.lower(), *(self.ahead(at).text.lower() for at in (1, 2, 3))]
        if words != ["sys", ".", "dm_exec_describe_first_result_set", "("]:
            return super().source()
        self.at += 3
        texts = self.listed(self._constant)
        rows = self.catalogue.describe_batch(texts[0], texts[1]) if self.live else []
        from tests.servers.tsql.procedures import DESCRIPTION

        names = ", ".join(quoted(name) for name, _ in DESCRIPTION)
        cells = [
            "(" + ", ".join(f"{'NULL' if value is None else literal(value.decode())}::{kind.pg}"
                            for value, (_, kind) in zip(row, DESCRIPTION, strict=True)) + ")"
            for row in rows
        ]  # fmt: skip
        cells = cells or ["(" + ", ".join(f"NULL::{kind.pg}" for _, kind in DESCRIPTION) + ")"]
        kept = "" if rows else " WHERE false"
        return f'(SELECT * FROM (VALUES {", ".join(cells)}) AS "~d" ({names}){kept}) AS {self.alias("~described")}'

    def _constant(self) -> str:
        """What a constant or a variable says, as an argument of a function with rows."""
        token = self.next()
        if token.kind == "variable":
            found = self.context.variables.get(token.text.lower())
            if found is None:
                raise SqlError(137, f'Must declare the scalar variable "{token.text}".', level=15, state=2)
            return found.text()
        if token.kind not in ("string", "nstring", "number") and token.upper != "NULL":
            raise refused("such an argument of a function with rows")
        return "" if token.upper == "NULL" else token.text

    def _fresh(self) -> None:
        self.used, self.locks, self.tables, self.names = [], {}, {}, {}
        self.outer_joins = self._recursive = False
        self.given = {}

    def _made(self, kind: str, sql: list[str], **more: object) -> Statement:
        found = Statement(kind, sql, self.used, locks=self.locks, tables=self.tables, names=self.names,
                          outer_joins=self.outer_joins, given=self.given)  # fmt: skip
        for name, value in more.items():
            setattr(found, name, value)
        return found

    def _columns(self, table: TableName) -> list[Column]:
        return self.catalogue.columns(table) if self.live else []

    def assigned(self, value: Expr, column: Column, table: TableName) -> str:
        """The value as the column takes it, or SQL Server's error."""
        kind = column.type
        if self.context.bare and value.sql[:1] == "$" and value.sql[1:].isdigit():
            self.given[self.used[int(value.sql[1:]) - 1]] = kind
            return f"{value.sql}::{kind.pg}"
        if value.kind == "null":
            return f"NULL::{kind.pg}"
        if kind.name in ("nvarchar", "varchar", "nchar", "char", "varbinary", "binary") and kind.size != MAX:
            owner = "tempdb.dbo" if table.temporary else f"{self.database}.{table.schema}"
            place = literal(f"table '{owner}.{table.name}', column '{column.name}'")
            if kind.name.endswith("binary"):
                wide = f"t.not_too_long(t.to_varbinary({value.sql}, 2000000000)::bytea, {kind.size}, {place})"
                return cast(Expr(f"{wide}::t.varbinary"), kind)
            wide = f"t.not_too_long(t.written({value.sql}), {kind.size}, {place})"
            return cast(Expr(f"{wide}::t.nvarchar"), kind)
        return cast(value, kind)
