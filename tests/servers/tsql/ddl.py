"""CREATE, ALTER and DROP. What PostgreSQL does not keep, how names are spelled, goes into comments."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.lexer import ident, literal, quoted, schema
from tests.servers.tsql.prelude import DATABASE_COLLATION, OTHER_COLLATION
from tests.servers.tsql.queries import Query
from tests.servers.tsql.sources import TableName
from tests.servers.tsql.statements import Column, Reader, Statement
from tests.servers.tsql.words import LEGACY

_COLLATIONS = {"database_default": "", DATABASE_COLLATION.lower(): "", OTHER_COLLATION.lower(): " COLLATE t.other"}


@dataclass
class _Definition:
    name: str
    sql: str
    constraints: list[str]
    computed: str = ""


class Ddl(Reader):
    def _create(self) -> Statement:
        if self.accept("TABLE"):
            return self._create_table()
        if self.accept("SCHEMA"):
            name = self.name()
            if self.accept("AUTHORIZATION"):
                self.name()
            return self._made("CREATE SCHEMA", [f"CREATE SCHEMA {schema(name)}",
                              f"COMMENT ON SCHEMA {schema(name)} IS {literal(name)}"], words=[name])  # fmt: skip
        if self.accept("VIEW"):
            table = self.table()
            self.expect("AS")
            query = self.query(top=True)
            names = [column.name for column in self.catalogue.describe(query, self.used)] if self.live else []
            made = [f"CREATE VIEW {table.pg} AS {query.sql}", f"COMMENT ON VIEW {table.pg} IS {literal(table.name)}"]
            made += [f"COMMENT ON COLUMN {table.pg}.{ident(name)} IS {literal(name)}" for name in names]
            return self._made("CREATE VIEW", made, target=table)
        unique = "UNIQUE " if self.accept("UNIQUE") else ""
        self.accept("CLUSTERED") or self.accept("NONCLUSTERED")
        if self.accept("INDEX"):
            name = self.name()
            self.expect("ON")
            table = self.table()
            columns = ", ".join(self.listed(self._key))
            nulls = " NULLS NOT DISTINCT" if unique else ""
            sql = f"CREATE {unique}INDEX {ident(name)} ON {table.pg} ({columns}){nulls}"
            return self._made("CREATE INDEX", [sql], target=table)
        raise self.error()

    def _create_table(self) -> Statement:
        table = self.table()
        self.expect("(")
        found: list[_Definition] = []
        constraints: list[str] = []
        while not self.accept(")"):
            if self.here.upper in ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK"):
                constraints.append(self._constraint(table))
            elif self.accept("PERIOD", "FOR", "SYSTEM_TIME"):
                self.listed(self.name)
            elif self.here.upper in ("INDEX", "FOREIGN"):
                raise refused(f"{self.here.text} in CREATE TABLE")
            else:
                found.append(self._definition(table))
            if not self.is_(")"):
                self.expect(",")
        if self.is_("WITH", "(") or self.is_("ON"):
            raise refused(f"{self.here.text} after CREATE TABLE")
        self._compute(found)
        names = [ident(definition.name) for definition in found]
        if twice := next((d.name for d in found if names.count(ident(d.name)) > 1), None):
            raise SqlError(2705, f"Column names in each table must be unique. Column name '{twice}' in table "
                                 f"'{table.spelled}' is specified more than once.")  # fmt: skip
        parts = [definition.sql for definition in found] + constraints
        parts += [constraint for definition in found for constraint in definition.constraints]
        made = f"CREATE {'TEMP ' if table.temporary else ''}TABLE {table.pg} ({', '.join(parts)})"
        comments = [f"COMMENT ON COLUMN {table.pg}.{ident(d.name)} IS {literal(d.name)}" for d in found]
        comments.append(f"COMMENT ON TABLE {table.pg} IS {literal(table.name)}")
        return self._made("CREATE TABLE", [made, *comments], target=table)

    def _definition(self, table: TableName) -> _Definition:
        name = self.name()
        if self.accept("AS"):
            self.expect("(")
            value = self.expr().sql
            self.expect(")")
            self.accept("PERSISTED")
            return _Definition(name, "", [], computed=value)
        kind = self.type()
        if kind.name in LEGACY:
            raise refused(f"columns of the type {kind.name}")
        constraints: list[str] = []
        parts = [f"{ident(name)} {kind.pg}"]
        collation = ""
        column = Column("", name, kind)
        while True:
            if self.accept("NOT", "NULL"):
                parts.append("NOT NULL")
            elif self.accept("NULL"):
                parts.append("NULL")
            elif self.accept("COLLATE"):
                called = self.name().lower()
                if called not in _COLLATIONS:
                    raise refused(f"the collation {called}")
                collation = _COLLATIONS[called]
            elif self.accept("GENERATED", "ALWAYS", "AS", "ROW"):
                which = "start" if self.accept("START") else "end"
                if which == "end":
                    self.expect("END")
                self.accept("HIDDEN")
                parts.append(f"NOT NULL DEFAULT t.row_{which}()")
            elif self.accept("IDENTITY"):
                start, step = "1", "1"
                if self.is_("("):
                    start, step = self.listed(lambda: self.next().text)
                parts.append(f"GENERATED BY DEFAULT AS IDENTITY (START WITH {start} INCREMENT BY {step})")
            elif self.here.upper in ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "DEFAULT"):
                found = self._constraint(table, column)
                (parts if found.startswith("DEFAULT") else constraints).append(found)
            else:
                return _Definition(name, " ".join(parts) + collation, constraints)

    def _compute(self, found: list[_Definition]) -> None:
        """Give the computed columns their types: those their expressions have."""
        given = ", ".join(f"NULL::{d.sql.split(' ')[1]} AS {ident(d.name)}" for d in found if not d.computed)
        for definition in found:
            if definition.computed and self.live:
                query = Query(f'SELECT {definition.computed} FROM (SELECT {given}) AS "~t"', [""])
                (column,) = self.catalogue.describe(query, self.used)
                kind = column.type.pg
                definition.sql = f"{ident(definition.name)} {kind} GENERATED ALWAYS AS ({definition.computed}) STORED"

    def _constraint(self, table: TableName, column: Column | None = None) -> str:
        named = self.name() if self.accept("CONSTRAINT") else ""
        own = [ident(column.name)] if column else []
        if self.accept("DEFAULT"):
            if column is None:
                raise self.error()
            self.live, live = True, self.live
            value = self.assigned(self.expr(), column, table)
            self.live = live
            return f"DEFAULT {value}"
        if self.accept("CHECK"):
            self.expect("(")
            test = self.condition()
            self.expect(")")
            kind, inside, name = "CHECK", test, named or f"CK__{table.name}"
        else:
            kind = "PRIMARY KEY" if self.accept("PRIMARY", "KEY") else "UNIQUE NULLS NOT DISTINCT"
            if kind != "PRIMARY KEY":
                self.expect("UNIQUE")
            self.accept("CLUSTERED") or self.accept("NONCLUSTERED")
            inside = ", ".join(own if column and not self.is_("(") else self.listed(self._key))
            name = named or f"{'PK' if kind == 'PRIMARY KEY' else 'UQ'}__{table.name}"
        if not named:
            words = re.sub(r"\W+", "", inside)
            name = f"{name}__{words[:20]}"
        # Uniqueness is looked at when the statement is over: UPDATE t SET key = key + 1.
        late = "" if kind == "CHECK" else " DEFERRABLE INITIALLY IMMEDIATE"
        return f"CONSTRAINT {quoted(name[:60])} {kind} ({inside}){late}"

    def _key(self) -> str:
        name = ident(self.name())
        self.accept("ASC")
        if self.accept("DESC"):
            raise refused("a descending key")
        return name

    def _alter(self) -> Statement:
        if self.accept("SCHEMA"):
            to = self.name()
            self.expect("TRANSFER")
            table = self.table()
            return self._made("ALTER TABLE", [f"ALTER TABLE {table.pg} SET SCHEMA {schema(to)}"], target=table)
        self.expect("TABLE")
        table = self.table()
        if self.accept("DROP", "COLUMN"):
            return self._made("ALTER TABLE", [f"ALTER TABLE {table.pg} DROP COLUMN {ident(self.name())}"], target=table)
        if self.is_("ALTER") or self.is_("DROP") or self.is_("SWITCH"):
            raise refused(f"ALTER TABLE … {self.here.text}")
        self.expect("ADD")
        made = []
        while True:
            if self.here.upper in ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK"):
                made.append(f"ALTER TABLE {table.pg} ADD {self._constraint(table)}")
            else:
                found = self._definition(table)
                if found.computed:
                    raise refused("computed columns that are added later")
                made.append(f"ALTER TABLE {table.pg} ADD COLUMN {found.sql}")
                made += [f"ALTER TABLE {table.pg} ADD {constraint}" for constraint in found.constraints]
                made.append(f"COMMENT ON COLUMN {table.pg}.{ident(found.name)} IS {literal(found.name)}")
            if not self.accept(","):
                return self._made("ALTER TABLE", made, target=table)

    def _drop(self) -> Statement:
        kind = self.next().upper
        if kind not in ("TABLE", "SCHEMA", "VIEW"):
            raise refused(f"DROP {kind}")
        lenient = "IF EXISTS " if self.accept("IF", "EXISTS") else ""
        if kind == "SCHEMA":
            name = self.name()
            return self._made("DROP SCHEMA", [f"DROP SCHEMA {lenient}{schema(name)}"], words=[name])
        made = []
        while True:
            table = self.table()
            made.append(f"DROP {kind} {lenient}{table.pg}")
            if not self.accept(","):
                return self._made(f"DROP {kind}", made, target=table)
