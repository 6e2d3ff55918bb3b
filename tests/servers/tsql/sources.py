"""FROM: tables with their hints, subqueries, OPENJSON."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.expressions import Expr, Expressions, cast
from tests.servers.tsql.lexer import fold, ident, literal, quoted, schema
from tests.servers.tsql.words import Context

# PostgreSQL's lock for a table that is read with a hint: none of them stops readers of versions.
_LOCKS = {
    "UPDLOCK": "SHARE ROW EXCLUSIVE", "XLOCK": "SHARE ROW EXCLUSIVE", "TABLOCKX": "EXCLUSIVE", "TABLOCK": "SHARE",
    "HOLDLOCK": "SHARE", "SERIALIZABLE": "SHARE", "REPEATABLEREAD": "SHARE",
}  # fmt: skip
_STRENGTH = ("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE")
_NO_LOCK = ("NOLOCK", "READCOMMITTED", "READPAST", "ROWLOCK", "PAGLOCK", "READUNCOMMITTED", "READCOMMITTEDLOCK")
_ENDS = ("WHERE", "GROUP", "HAVING", "ORDER", "UNION", "EXCEPT", "INTERSECT", "OPTION", "INNER", "LEFT", "RIGHT",
         "FULL", "CROSS", "OUTER", "JOIN", "ON", "WITH", "SET", "WHEN")  # fmt: skip


@dataclass(frozen=True)
class TableName:
    """:param pg: as PostgreSQL is given it.
    :param spelled: as the statement has it.
    """

    pg: str
    spelled: str
    schema: str
    name: str

    @property
    def temporary(self) -> bool:
        return self.name.startswith("#")


class Sources(Expressions):
    """Reads what rows come from. Which locks the hints ask for is kept in ``locks``."""

    def __init__(self, sql: str, context: Context) -> None:
        super().__init__(sql, context)
        self.locks: dict[str, str] = {}
        self.tables: dict[str, TableName] = {}
        self.outer_joins = False
        self._ctes: list[set[str]] = []
        self._recursive = False

    def _is_alias(self) -> bool:
        from tests.servers.tsql.lexer import RESERVED
        from tests.servers.tsql.statements import STARTS

        word = self.here.upper
        return word not in RESERVED and word not in _ENDS and word not in STARTS

    def sources(self) -> str:
        found = self._joined()
        while self.accept(","):
            found += ", " + self._joined()
        return found

    def _joined(self) -> str:
        found = self.source()
        while True:
            if self.is_("CROSS", "APPLY") or self.is_("OUTER", "APPLY"):
                outer = self.next().upper == "OUTER"
                self.at += 1
                self.outer_joins = self.outer_joins or outer
                found += f" {'LEFT' if outer else 'INNER'} JOIN LATERAL {self.source()} ON true"
                continue
            kind = self.join()
            if kind is None:
                return found
            found += f" {kind} {self.source()}"
            if kind != "CROSS JOIN":
                self.expect("ON")
                found += f" ON {self.condition()}"

    def join(self) -> str | None:
        if self.accept("CROSS", "JOIN"):
            return "CROSS JOIN"
        self.accept("INNER")
        for side in ("LEFT", "RIGHT", "FULL"):
            if self.accept(side):
                self.accept("OUTER")
                self.expect("JOIN")
                self.outer_joins = True
                return f"{side} JOIN"
        return "INNER JOIN" if self.accept("JOIN") else None

    def source(self) -> str:
        """A table, a subquery or a function with rows, and its alias."""
        if self.is_("("):
            return self._derived()
        if self.is_("OPENJSON"):
            return self._openjson()
        if self.is_("GENERATE_SERIES"):
            self.at += 1
            bounds = self.listed(lambda: self.expr().sql)
            return f'(SELECT generate_series({", ".join(bounds)}) AS "value") AS {self.alias("~series")}'
        table = self.table()
        alias = self.alias("")
        locked = self.hints(table)
        if not alias:
            alias = self.alias("")
        if table.pg[0] != "(" and locked:
            self.lock(table, locked)
        return f"{table.pg} AS {alias}" if alias else table.pg

    def alias(self, default: str) -> str:
        if self.accept("AS") or self.here.kind == "name" or (self.here.kind == "word" and self._is_alias()):
            return ident(self.name())
        return quoted(default) if default else ""

    def table(self) -> TableName:
        """A table's name; that of a CTE too."""
        parts = [self.name()]
        while self.accept("."):
            parts.append("" if self.is_(".") else self.name())
        spelled = ".".join(parts)
        name = parts[-1]
        if name.startswith("##"):
            raise refused("global temporary tables")
        if len(parts) > 3 or (len(parts) == 3 and parts[0].lower() not in (self.database, "tempdb")):
            raise SqlError(
                40515, f"Reference to database and/or server name in '{spelled}' is not supported.", level=15
            )
        if name.startswith("#"):
            found = TableName(f"pg_temp.{ident(name)}", spelled, "pg_temp", name)
        elif len(parts) == 1 and any(fold(name) in ctes for ctes in self._ctes):
            return TableName(ident(name), spelled, "", name)
        else:
            owner = parts[-2] if len(parts) > 1 and parts[-2] else "dbo"
            found = TableName(f"{schema(owner)}.{ident(name)}", spelled, owner, name)
        self.tables[found.pg.replace('"', "")] = found
        return found

    @property
    def database(self) -> str:
        return self.context.values.get("database", "''").strip("'").lower()

    def hints(self, table: TableName) -> str:
        """The hints of a table, and which lock they come to."""
        if not (self.is_("WITH", "(") or (self.is_("(") and self.ahead().upper in (*_LOCKS, *_NO_LOCK))):
            return ""
        self.accept("WITH")
        locks = [_LOCKS.get(word, "") for word in self.listed(self._hint)]
        return max((lock for lock in locks if lock), key=_STRENGTH.index, default="")

    def _hint(self) -> str:
        word = self.next().upper
        if word not in _LOCKS and word not in _NO_LOCK:
            raise refused(f"the hint {word}")
        if word == "READPAST":
            raise refused("READPAST")
        return word

    def lock(self, table: TableName, mode: str) -> None:
        held = self.locks.get(table.pg, "SHARE")
        self.locks[table.pg] = max(held, mode, key=_STRENGTH.index)

    def _derived(self) -> str:
        self.expect("(")
        if self.accept("VALUES"):
            rows = ["(" + ", ".join(self.listed(lambda: self.expr().sql)) + ")"]
            while self.accept(","):
                rows.append("(" + ", ".join(self.listed(lambda: self.expr().sql)) + ")")
            inside = f"VALUES {', '.join(rows)}"
        elif self.is_("SELECT") or self.is_("(") or self.is_("WITH"):
            inside = self.select()
        else:
            raise self.error()
        self.expect(")")
        alias = self.alias("")
        if not alias:
            raise self.error()
        columns = f" ({', '.join(self.listed(lambda: ident(self.name())))})" if self.is_("(") else ""
        return f"({inside}) AS {alias}{columns}"

    def _openjson(self) -> str:
        self.expect("OPENJSON", "(")
        text = f"t.json_source({self.expr().sql})"
        if self.accept(","):
            text = f"({text}::json #> {self._path()})::text"
        self.expect(")")
        if not self.accept("WITH"):
            raise refused("OPENJSON without WITH")
        columns = self.listed(self._json_column)
        return f'(SELECT {", ".join(columns)} FROM t.json_rows({text}) AS "~j"("~v")) AS {self.alias("~json")}'

    def _json_column(self) -> str:
        name = self.name()
        kind = self.type()
        path = self._path() if self.here.kind in ("string", "nstring") else f"ARRAY[{literal(name)}]"
        if self.accept("AS", "JSON"):
            raise refused("AS JSON")
        value = f't.json_text("~v" #> {path})'
        if kind.name == "varbinary":
            value = f"decode({value}::text, 'base64')::t.varbinary"
        elif kind.name == "binary":
            raise refused("binary columns of OPENJSON")
        if kind.name in ("nvarchar", "varchar") and kind.size > 0:
            value = f"t.json_fits({value}, {kind.size})"
        return f"{cast(Expr(value), kind)} AS {ident(name)}"

    def _path(self) -> str:
        token = self.next()
        text = token.text.removeprefix("lax ")
        if token.kind not in ("string", "nstring") or not re.fullmatch(r'\$(\.\w+|\."[^"\\]+"|\[\d+\])*', text):
            raise refused(f"the JSON path {token.text}")
        steps = re.findall(r'\.(\w+)|\."([^"\\]+)"|\[(\d+)\]', text)
        return f"ARRAY[{', '.join(literal(''.join(step)) for step in steps)}]::text[]"

    def select(self) -> str:
        """A query inside of parentheses."""
        raise NotImplementedError
