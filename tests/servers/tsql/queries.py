"""SELECT and what is inside it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.expressions import Expr
from tests.servers.tsql.lexer import fold, ident
from tests.servers.tsql.sources import Sources, TableName


@dataclass
class Query:
    """:param names: of the columns; None for a star.
    :param constants: the columns that cannot be NULL whatever the tables hold.
    :param arguments: how PostgreSQL finds the type of an aggregate's argument, by column; with its kind.
    :param into: SELECT … INTO.
    """

    sql: str = ""
    names: list[str | None] = field(default_factory=list)
    nulls: set[int] = field(default_factory=set)
    constants: set[int] = field(default_factory=set)
    arguments: dict[int, tuple[str, str]] = field(default_factory=dict)
    into: TableName | None = None
    reads: bool = False
    limit: str = ""


class Queries(Sources):
    """Reads SELECT."""

    def subquery(self) -> str:
        return self.query().sql

    def query(self, *, top: bool = False) -> Query:
        """From SELECT or WITH to before what closes it."""
        ctes = self._with()
        found = self._united()
        order = ""
        if self.accept("ORDER", "BY"):
            order = " ORDER BY " + self.order()
            if self.accept("OFFSET"):
                order += f" OFFSET ({self.expr().sql})"
                self._row_or_rows()
                if self.accept("FETCH"):
                    if not self.accept("NEXT"):
                        self.expect("FIRST")
                    order += f" LIMIT ({self.expr().sql})"
                    self._row_or_rows()
                    self.expect("ONLY")
        if order and not (top or found.limit or " OFFSET " in order):
            raise SqlError(
                1033,
                "The ORDER BY clause is invalid in views, inline functions, derived tables, subqueries, and common "
                "table expressions, unless TOP, OFFSET or FOR XML is also specified.",
                level=15,
            )
        limit = found.limit
        found.sql = f"{ctes[0]}{found.sql}{order}{limit}"
        found.arguments = {at: (kind, ctes[0] + sql) for at, (kind, sql) in found.arguments.items()}
        if ctes[0]:
            self._ctes.pop()
        if top:
            self._option()
        if self.is_("FOR"):
            raise refused("FOR XML, JSON or BROWSE")
        return found

    def _row_or_rows(self) -> None:
        if not self.accept("ROWS"):
            self.expect("ROW")

    def _option(self) -> None:
        unlimited = False
        if self.accept("OPTION", "("):
            while not self.accept(")"):
                if self.accept("MAXRECURSION"):
                    unlimited = self.next().text == "0"
                elif self.accept("RECOMPILE") or self.accept("LOOP", "JOIN") or self.accept("HASH", "JOIN"):
                    pass
                elif self.accept("MAXDOP"):
                    self.next()
                else:
                    raise refused(f"the option {self.here.text}")
                self.accept(",")
        if self._recursive and not unlimited:
            raise refused("recursion without OPTION (MAXRECURSION 0)")

    def _with(self) -> tuple[str]:
        if not self.accept("WITH"):
            return ("",)
        written: list[str] = []
        self._ctes.append(set())
        while True:
            name = self.name()
            columns = f" ({', '.join(self.listed(lambda: ident(self.name())))})" if self.is_("(") else ""
            self._ctes[-1].add(fold(name))
            self.expect("AS", "(")
            body = self.query().sql
            self.expect(")")
            self._recursive = self._recursive or bool(
                re.search(rf"(FROM|JOIN|,) {re.escape(ident(name))}( |\)|$)", body)
            )
            written.append(f"{ident(name)}{columns} AS ({body})")
            if not self.accept(","):
                break
        return (f"WITH RECURSIVE {', '.join(written)} ",)

    def _united(self) -> Query:
        found = self._intersected()
        while self.here.upper in ("UNION", "EXCEPT"):
            operator = self.next().upper
            if operator == "UNION" and self.accept("ALL"):
                operator = "UNION ALL"
            found = self._both(found, operator, self._intersected())
        return found

    def _intersected(self) -> Query:
        found = self._one()
        while self.accept("INTERSECT"):
            found = self._both(found, "INTERSECT", self._one())
        return found

    def _both(self, one: Query, operator: str, other: Query) -> Query:
        if one.limit or other.limit:
            raise refused("TOP in a part of a UNION")
        return Query(f"{one.sql} {operator} {other.sql}", one.names, reads=one.reads or other.reads,
                     constants=one.constants & other.constants, into=one.into)  # fmt: skip

    def _one(self) -> Query:
        if self.accept("("):
            found = self._united()
            self.expect(")")
            found.sql = f"({found.sql})"
            return found
        if self._ctes and self.here.upper in ("INSERT", "UPDATE", "DELETE", "MERGE"):
            raise refused(f"WITH before {self.here.text}")
        self.expect("SELECT")
        distinct = "DISTINCT " if self.accept("DISTINCT") else ""
        self.accept("ALL")
        query = Query()
        limit = ""
        if self.accept("TOP"):
            if self.accept("("):
                limit = f" LIMIT ({self.expr().sql})"
                self.expect(")")
            else:
                token = self.next()
                if token.kind != "number" or not token.text.isdigit():
                    raise refused("TOP without parentheses around what is no number")
                limit = f" LIMIT {token.text}"
            if self.is_("PERCENT") or self.is_("WITH"):
                raise refused(f"TOP … {self.here.text}")
        items: list[Expr | str] = [self._item()]
        while self.accept(","):
            items.append(self._item())
        if self.accept("INTO"):
            query.into = self.table()
        tail = ""
        if self.accept("FROM"):
            query.reads = True
            tail = " FROM " + self.sources()
        source = tail
        if self.accept("WHERE"):
            tail += " WHERE " + self.condition()
        if self.accept("GROUP", "BY"):
            tail += " GROUP BY " + self._expressions()
        if self.accept("HAVING"):
            tail += " HAVING " + self.condition()
        written = []
        for at, item in enumerate(items):
            if isinstance(item, str):
                query.names.append(None)
                written.append(item)
                continue
            query.names.append(item.name)
            if item.kind == "null":
                query.nulls.add(at)
            if item.kind == "literal":
                query.constants.add(at)
            if item.argument:
                query.arguments[at] = (item.kind, f"SELECT {item.argument}{source}")
            sql = f"{item.sql}::int4" if item.kind == "null" else item.sql
            written.append(f"{sql} AS {ident(item.name)}" if item.name else sql)
        query.sql = f"SELECT {distinct}{', '.join(written)}{tail}"
        query.limit = limit
        return query

    def _item(self) -> Expr | str:
        """One of the list: a star is a string."""
        if self.accept("*"):
            return "*"
        if self.ahead().upper == "." and self.ahead(2).upper == "*":
            found = f"{ident(self.name())}.*"
            self.at += 2
            return found
        if self.here.kind in ("word", "name") and self.ahead().upper == "=":
            name = self.name()
            self.at += 1
            found_expr = self.expr()
            return Expr(found_expr.sql, name, found_expr.kind, found_expr.argument)
        if self.here.kind == "variable" and self.ahead().upper == "=":
            raise refused("SELECT @variable = …")
        item = self.expr()
        if self.accept("AS"):
            token = self.here
            if token.kind in ("string", "nstring"):
                self.at += 1
                item.name = token.text
                self.names.setdefault(fold(token.text), token.text)
            else:
                item.name = self.name()
        elif self.here.kind == "name" or (self.here.kind == "word" and self._is_alias()):
            item.name = self.name()
        return item

    def select(self) -> str:
        return self.query().sql
