"""The statements that change rows."""

from __future__ import annotations

from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.expressions import Expr
from tests.servers.tsql.lexer import fold, ident, literal, quoted
from tests.servers.tsql.queries import Query
from tests.servers.tsql.sources import TableName
from tests.servers.tsql.statements import Column, Reader, Statement

NO_TABLE = TableName("", "", "", "")


class Rows(Reader):
    """INSERT, UPDATE, DELETE, TRUNCATE, SELECT … INTO."""

    def _insert(self) -> Statement:
        self.accept("INTO")
        if self.here.upper == "BULK":
            raise refused("INSERT BULK")
        table = self.table()
        if lock := self.hints(table):
            self.lock(table, "EXCLUSIVE" if lock in ("SHARE", "EXCLUSIVE") else lock)
        names = None
        if self.is_("(") and self.ahead().upper not in ("SELECT", "WITH", "("):
            names = self.listed(self.name)
        if self.is_("OUTPUT"):
            raise refused("OUTPUT")
        columns = self._targets(table, names)
        into = f"INSERT INTO {table.pg} ({', '.join(quoted(column.pg) for column in columns)})"
        if self.accept("DEFAULT", "VALUES"):
            return self._made("INSERT", [f"INSERT INTO {table.pg} DEFAULT VALUES"], target=table)
        if self.accept("VALUES"):
            rows = [self._row(table, columns)]
            while self.accept(","):
                rows.append(self._row(table, columns))
            return self._made(
                "INSERT", [f"{into} VALUES {', '.join(rows)}"], target=table, columns=self._columns(table)
            )
        if self.is_("EXEC") or self.is_("EXECUTE"):
            raise refused("INSERT … EXEC")
        query = self.query(top=True)
        count = len(query.names) if None not in query.names else 0
        if self.live and not count:
            count = len(self.catalogue.describe(query, self.used))
        if self.live and count != len(columns):
            what = "fewer" if count < len(columns) else "more"
            text = f"The select list for the INSERT statement contains {what} items than the insert list."
            raise SqlError(120 if count < len(columns) else 121, text)
        given = [quoted(f"c{at}") for at in range(len(columns))]
        values = [
            self.assigned(Expr(f'"~s".{name}', kind="null" if at in query.nulls else ""), column, table)
            for at, (name, column) in enumerate(zip(given, columns, strict=True))
        ]
        sql = f'{into} SELECT {", ".join(values)} FROM ({query.sql}) AS "~s" ({", ".join(given)})'
        return self._made("INSERT", [sql], target=table, columns=self._columns(table))

    def _targets(self, table: TableName, names: list[str] | None) -> list[Column]:
        """The columns that are given values."""
        if not self.live:
            return []
        columns = self._columns(table)
        known = {column.pg: column for column in columns}
        explicit = table.pg in self.identity
        if names is None:
            return [c for c in columns if not c.computed and (explicit or not c.identity)]
        found = []
        for name in names:
            if fold(name) not in known:
                raise SqlError(207, f"Invalid column name '{name}'.")
            column = known[fold(name)]
            if column in found:
                raise SqlError(264, f"The column name '{name}' is specified more than once in the SET clause.")
            if column.identity and not explicit:
                raise SqlError(544, f"Cannot insert explicit value for identity column in table '{table.name}' "
                                    "when IDENTITY_INSERT is set to OFF.")  # fmt: skip
            if column.computed:
                raise SqlError(271, f'The column "{name}" cannot be modified because it is either a computed column '
                                    "or is the result of a UNION operator.")  # fmt: skip
            found.append(column)
        return found

    def _row(self, table: TableName, columns: list[Column]) -> str:
        at = -1

        def cell() -> str:
            nonlocal at
            at += 1
            if self.accept("DEFAULT"):
                return "DEFAULT"
            value = self.expr()
            if not self.live or at >= len(columns):
                return value.sql
            return self.assigned(value, columns[at], table)

        cells = self.listed(cell)
        if self.live and len(cells) != len(columns):
            less = len(cells) < len(columns)
            raise SqlError(109 if less else 110, f"There are {'more' if less else 'fewer'} columns in the INSERT "
                           "statement than values specified in the VALUES clause.")  # fmt: skip
        return f"({', '.join(cells)})"

    def _update(self) -> Statement:
        if self.is_("TOP"):
            raise refused("UPDATE TOP")
        start = self.at
        self.table()
        self.hints(NO_TABLE)
        self.expect("SET")
        sets = self.at
        self._assignments(None)
        target, alias, others, conditions = self._targeted(start)
        end, self.at = self.at, sets
        columns = self._columns(target)
        written = self._assignments((target, {column.pg: column for column in columns}))
        self.at = end
        sql = f"UPDATE {target.pg} AS {alias} SET {', '.join(written)}"
        sql += f" FROM {', '.join(others)}" if others else ""
        sql += f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return self._made("UPDATE", [sql], target=target, columns=columns)

    def _assignments(self, known: tuple[TableName, dict[str, Column]] | None) -> list[str]:
        found = []
        while True:
            name = self.name()
            while self.accept("."):
                name = self.name()
            self.expect("=")
            if self.is_("DEFAULT"):
                self.at += 1
                value = "DEFAULT"
            else:
                expr = self.expr()
                value = expr.sql
                if known and self.live:
                    if fold(name) not in known[1]:
                        raise SqlError(207, f"Invalid column name '{name}'.")
                    value = self.assigned(expr, known[1][fold(name)], known[0])
            found.append(f"{ident(name)} = {value}")
            if not self.accept(","):
                return found

    def _targeted(self, start: int) -> tuple[TableName, str, list[str], list[str]]:
        """FROM and WHERE of UPDATE and DELETE: the table, its alias, the other tables, the conditions.

        :param start: where the name of what is changed stands: a table of FROM, by its alias, or a table itself.
        """
        here, self.at = self.at, start
        named = self.table()
        if lock := self.hints(named):
            self.lock(named, lock)
        self.at = max(here, self.at)
        target, alias, found = named, ident(named.name), False
        others: list[str] = []
        conditions: list[str] = []
        if self.accept("FROM"):
            self.tables.pop(named.pg.replace('"', ""), None)
            kind = ""
            while True:
                own = None if found else self._own_source(named)
                if own:
                    (target, alias), found = own, True
                else:
                    others.append(self.source())
                if kind == "INNER JOIN":
                    self.expect("ON")
                    conditions.append(self.condition())
                kind = "," if self.accept(",") else self.join() or ""
                if not kind:
                    break
                if kind not in (",", "INNER JOIN", "CROSS JOIN"):
                    raise refused("outer joins in UPDATE and DELETE")
            if not found:
                self.tables[named.pg.replace('"', "")] = named
        if self.accept("WHERE"):
            conditions.append(self.condition())
        return target, alias, others, conditions

    def _own_source(self, named: TableName) -> tuple[TableName, str] | None:
        """The table of FROM that comes next, if it is the one that is changed."""
        at = self.at
        if self.here.kind not in ("word", "name") or self.ahead().upper == "(":
            return None
        table = self.table()
        called = self.alias("") or ident(table.name)
        if called == ident(named.name) if "." not in named.spelled else table.pg == named.pg:
            if lock := self.hints(table):
                self.lock(table, lock)
            return table, called
        self.at = at
        return None

    def _delete(self) -> Statement:
        most = ""
        if self.accept("TOP"):
            self.expect("(")
            most = self.expr().sql
            self.expect(")")
        self.accept("FROM")
        start = self.at
        self.table()
        self.hints(NO_TABLE)
        target, alias, others, conditions = self._targeted(start)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        if most:
            if others:
                raise refused("DELETE TOP with FROM")
            chosen = f"SELECT {alias}.ctid FROM {target.pg} AS {alias}{where} LIMIT {most} FOR UPDATE"
            where = f" WHERE {alias}.ctid = ANY (ARRAY({chosen}))"
        sql = f"DELETE FROM {target.pg} AS {alias}"
        sql += f" USING {', '.join(others)}" if others else ""
        return self._made("DELETE", [sql + where], target=target)

    def _truncate(self) -> Statement:
        self.expect("TABLE")
        table = self.table()
        return self._made("TRUNCATE", [f"TRUNCATE {table.pg} RESTART IDENTITY"], target=table)

    def _select_into(self, query: Query) -> Statement:
        table = query.into
        assert table
        if not self.live:
            return self._made("SELECT INTO", [])
        columns = self.catalogue.describe(query, self.used)
        written, comments = [], []
        for column in columns:
            if not column.name:
                raise SqlError(1038, "An object or column name is missing or empty. For SELECT INTO statements, verify "
                                     "each column has a name.", level=15)  # fmt: skip
            written.append(f"{ident(column.name)} {column.type.pg}{' NOT NULL' if column.required else ''}")
            comments.append(f"COMMENT ON COLUMN {table.pg}.{ident(column.name)} IS {literal(column.name)}")
        made = f"CREATE {'TEMP ' if table.temporary else ''}TABLE {table.pg} ({', '.join(written)})"
        comments.append(f"COMMENT ON TABLE {table.pg} IS {literal(table.name)}")
        return self._made("SELECT INTO", [made, *comments, f"INSERT INTO {table.pg} {query.sql}"], target=table)
