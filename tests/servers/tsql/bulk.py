"""INSERT BULK: rows that come as such, not as statements."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.servers.tsql import tokens
from tests.servers.tsql.batch import Batch
from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.expressions import Expr
from tests.servers.tsql.lexer import fold, quoted
from tests.servers.tsql.params import Reader
from tests.servers.tsql.queries import Query
from tests.servers.tsql.statements import Column, Statement
from tests.servers.tsql.types import SqlType
from tests.servers.tsql.words import Context

if TYPE_CHECKING:
    from tests.servers.tsql.session import Session

_STAGE = 'pg_temp."~bulk"'
_PREPARES = re.compile(
    r"\s*SELECT @@TRANCOUNT;.*sys\.all_columns.*EXEC sp_tablecollations_100 N'((?:[^']|'')+)';?\s*", re.DOTALL
)
_COLLATION = [
    ("colid", SqlType("int")), ("name", SqlType("nvarchar", 128)), ("tds_collation", SqlType("binary", 5)),
    ("collation", SqlType("nvarchar", 128)),
]  # fmt: skip


class Bulk:
    """A bulk insert that has been announced: its rows are in the message that comes next.

    :param sql: ``INSERT BULK table (column type, …) WITH (option, …)``
    """

    def __init__(self, session: Session, sql: str) -> None:
        reader = Batch(sql, Context({}, session.context_values()), session)
        reader.live = True
        reader.expect("INSERT", "BULK")
        self._table = reader.table()
        names = []
        if reader.accept("("):
            while not reader.accept(")"):
                names.append(reader.name())
                reader.type()
                if reader.accept("COLLATE"):
                    reader.name()
                reader.accept(",")
        options: list[str] = []
        if reader.accept("WITH", "("):
            while not reader.accept(")"):
                options.append(reader.next().upper)
        unknown = {"FIRE_TRIGGERS", "KEEP_IDENTITY", "ORDER"} & set(options)
        if unknown:
            raise refused(f"INSERT BULK with {', '.join(unknown)}")
        known = {column.pg: column for column in session.columns(self._table)}
        if missing := next((name for name in names if fold(name) not in known), None):
            raise SqlError(207, f"Invalid column name '{missing}'.")
        self._columns = [known[fold(name)] for name in names]
        if any(column.defaulted for column in self._columns) and "KEEP_NULLS" not in options:
            raise refused("INSERT BULK without KEEP_NULLS into a column with a default")
        self._lock = "TABLOCK" in options
        self._reader = reader

    def load(self, session: Session, content: bytes) -> None:
        """Insert the rows of a message, all or none."""
        reader = Reader(content)
        if reader.number(1) != 0x81:
            raise refused("a bulk load that does not begin with its columns")
        kinds = []
        for _ in range(reader.number(2)):
            reader.take(6)
            kinds.append(reader.type())
            reader.text()
        if len(kinds) != len(self._columns):
            raise SqlError(
                4804, "While reading the column metadata of a bulk load, their number was found to be wrong."
            )
        count, rows = 0, bytearray()
        while reader.left and (token := reader.number(1)) != 0xFD:
            nulls = reader.take((len(kinds) + 7) // 8) if token == 0xD2 else bytes(len(kinds))
            if token not in (0xD1, 0xD2):
                raise refused(f"the token {token:#x} in a bulk load")
            values = [
                None if token == 0xD2 and nulls[at // 8] >> at % 8 & 1 else reader.value(*kind)
                for at, kind in enumerate(kinds)
            ]
            rows += b"\t".join(rb"\N" if value is None else _escaped(value) for value in values) + b"\n"
            count += 1
        session.changed(self._statement([kind for kind, _ in kinds]), lambda: session.engine.copy(_STAGE, bytes(rows)))
        session.reply.done(tokens.COUNT, count, 0xF0)

    def _statement(self, kinds: list[SqlType]) -> Statement:
        table, names = self._table, [f"c{at}" for at in range(len(kinds))]
        made = ", ".join(f"{name} {kind.pg}" for name, kind in zip(names, kinds, strict=True))
        values = [
            self._reader.assigned(Expr(name), column, table) for name, column in zip(names, self._columns, strict=True)
        ]
        into = ", ".join(quoted(column.pg) for column in self._columns)
        sql = [
            f"CREATE TEMP TABLE {_STAGE} ({made})",
            f"INSERT INTO {table.pg} ({into}) SELECT {', '.join(values)} FROM {_STAGE}",
            f"DROP TABLE {_STAGE}",
        ]
        locks = {table.pg: "EXCLUSIVE"} if self._lock and not table.temporary else {}
        return Statement("INSERT", sql, target=table, columns=self._columns, locks=locks)


def _escaped(value: bytes) -> bytes:
    value = value.replace(b"\\", b"\\\\").replace(b"\t", rb"\t")
    return value.replace(b"\n", rb"\n").replace(b"\r", rb"\r")


def destination(session: Session, sql: str) -> bool:
    """Answer what clients ask of a table before they fill it, a batch that is always the same. False if it is not."""
    found = _PREPARES.fullmatch(sql)
    if not found:
        return False
    reader = Batch(found[1].replace("''", "'"), Context({}, session.context_values()), session)
    table = reader.table()
    columns = session.columns(table)
    _one(session, [("", SqlType("int"))], [[str(session.trancount).encode()]])
    described = session.describe(Query(f"SELECT * FROM {table.pg}", [None], reads=True), [])
    session.reply.columns([_shown(column, columns) for column in described])
    session.reply.done(tokens.COUNT, 0, tokens.SELECT)
    rows: list[list[bytes | None]] = []
    for at, column in enumerate(columns, 1):
        text = "char" in column.type.name
        collation = b"\\x" + tokens.COLLATION.hex().encode() if text else None
        called = b"SQL_Latin1_General_CP1_CI_AS" if text else None
        rows.append([str(at).encode(), column.name.encode(), collation, called])
    _one(session, _COLLATION, rows)
    return True


def _shown(column: Column, columns: list[Column]) -> Column:
    own = next(each for each in columns if each.pg == column.pg)
    return Column(own.pg, own.name, own.type, own.required, own.identity)


def _one(session: Session, columns: list[tuple[str, SqlType]], rows: list[list[bytes | None]]) -> None:
    row = session.reply.columns([Column("", name, kind) for name, kind in columns])
    for values in rows:
        session.reply.write(row(values))
    session.reply.done(tokens.COUNT, len(rows), tokens.SELECT)
