"""Expressions and conditions of T-SQL, written down as PostgreSQL's while they are read."""

from __future__ import annotations

from dataclasses import dataclass

from tests.servers.tsql.errors import SqlError, refused
from tests.servers.tsql.functions import CALLS, GLOBALS
from tests.servers.tsql.lexer import RESERVED, Token, ident, literal, schema
from tests.servers.tsql.types import MAX, SqlType
from tests.servers.tsql.words import LEGACY, SIZED, Words

_AGGREGATES = {"MIN": "min", "MAX": "max", "SUM": "t.total"}


@dataclass
class Expr:
    """:param name: which a result column gets from it.
    :param kind: "null" for a bare NULL, "literal" for a constant, "sum" and "extreme" for aggregates.
    :param argument: of such an aggregate.
    """

    sql: str
    name: str = ""
    kind: str = ""
    argument: str = ""


class Expressions(Words):
    """Reads expressions. What they use of variables is counted in ``used``."""

    # Conditions

    def condition(self) -> str:
        found = self._and()
        while self.accept("OR"):
            found = f"({found} OR {self._and()})"
        return found

    def _and(self) -> str:
        found = self._not()
        while self.accept("AND"):
            found = f"({found} AND {self._not()})"
        return found

    def _not(self) -> str:
        return f"(NOT {self._not()})" if self.accept("NOT") else self._predicate()

    def _predicate(self) -> str:
        if self.accept("EXISTS"):
            self.expect("(")
            found = self.subquery()
            self.expect(")")
            return f"EXISTS ({found})"
        if self.is_("(") and self.ahead().upper != "SELECT":
            start, used = self.at, len(self.used)
            try:
                self.at += 1
                found = self.condition()
                self.expect(")")
                return f"({found})"
            except SqlError as error:
                if error.number not in (102, 156):
                    raise
                self.at = start
                del self.used[used:]
        return self._comparison()

    def _comparison(self) -> str:
        left = self.expr().sql
        if self.accept("IS"):
            negated = "NOT " if self.accept("NOT") else ""
            self.expect("NULL")
            return f"({left} IS {negated}NULL)"
        negated = "NOT " if self.accept("NOT") else ""
        if self.accept("BETWEEN"):
            low = self.expr().sql
            self.expect("AND")
            return f"({left} {negated}BETWEEN {low} AND {self.expr().sql})"
        if self.accept("IN"):
            self.expect("(")
            inside = self.subquery() if self.is_("SELECT") else self._expressions()
            self.expect(")")
            return f"({left} {negated}IN ({inside}))"
        if self.accept("LIKE"):
            pattern = self.expr().sql
            escape = literal(self.next().text) if self.accept("ESCAPE") else "NULL"
            return f"({negated}t.matches({left}, {pattern}, {escape}))"
        operator = self.here.upper
        if negated or operator not in ("=", "<>", "!=", "<", ">", "<=", ">=", "!<", "!>"):
            raise self.error()
        self.at += 1
        operator = {"!=": "<>", "!<": ">=", "!>": "<="}.get(operator, operator)
        return f"({left} {operator} {self.expr().sql})"

    def _expressions(self) -> str:
        found = [self.expr().sql]
        while self.accept(","):
            found.append(self.expr().sql)
        return ", ".join(found)

    # Expressions

    def expr(self) -> Expr:
        found = self._term()
        while self.here.upper in ("+", "-", "&", "^", "|"):
            operator = self.next().text
            found = Expr(f"({found.sql} {'#' if operator == '^' else operator} {self._term().sql})")
        return found

    def _term(self) -> Expr:
        found = self._unary()
        while self.here.upper in ("*", "/", "%"):
            found = Expr(f"({found.sql} {self.next().text} {self._unary().sql})")
        return found

    def _unary(self) -> Expr:
        if self.here.upper in ("-", "+", "~"):
            sign = self.next().text
            if sign == "-" and self.here.kind == "number":
                return Expr(self._number("-" + self.next().text), kind="literal")
            return Expr(f"({sign} {self._unary().sql})")
        found = self._primary()
        if self.accept("COLLATE"):
            collation = self.name()
            if collation.lower() not in ("database_default", "sql_latin1_general_cp1_ci_as", "catalog_default"):
                raise refused(f"the collation {collation}")
        return found

    def _primary(self) -> Expr:
        token = self.here
        if token.kind in ("string", "nstring", "number", "hex"):
            self.at += 1
            return Expr(self._literal(token), kind="literal")
        if token.kind == "variable":
            self.at += 1
            return Expr(self.variable(token.text))
        if self.accept("NULL"):
            return Expr("NULL", kind="null")
        if self.accept("("):
            found = Expr(f"({self.subquery()})") if self.is_("SELECT") else self.expr()
            self.expect(")")
            return found if found.kind in ("null", "literal") else Expr(f"({found.sql})")
        if self.accept("CASE"):
            return Expr(self._case())
        if token.upper in ("CAST", "TRY_CAST") and self.ahead().upper == "(":
            self.at += 2
            value = self.expr()
            self.expect("AS")
            kind = self.type()
            self.expect(")")
            return Expr(cast(value, kind, "try" if token.upper[0] == "T" else "to"))
        if token.upper in ("CONVERT", "TRY_CONVERT") and self.ahead().upper == "(":
            self.at += 2
            return Expr(self._convert("try" if token.upper[0] == "T" else "to"))
        if (
            self.ahead().upper == "("
            and token.kind == "word"
            and (token.upper not in RESERVED or token.upper in ("LEFT", "RIGHT", "NULLIF"))
        ):
            return self._call()
        return self._column()

    def _literal(self, token: Token) -> str:
        if token.kind == "number":
            return self._number(token.text)
        if token.kind == "hex":
            digits = token.text[2:].zfill(len(token.text[2:]) + 1 & ~1)
            return f"'\\x{digits}'::t.varbinary({max(len(digits) // 2, 1)})"
        kind, most = ("t.nvarchar", 4000) if token.kind == "nstring" else ("t.varchar", 8000)
        size = max(len(token.text.encode("utf-16-le")) // 2, 1)
        return f"{literal(token.text)}::{kind}" + (f"({size})" if size <= most else "")

    def _number(self, text: str) -> str:
        if "e" in text.lower():
            return f"'{text}'::float8"
        whole, point, fraction = text.lstrip("-").partition(".")
        if not point and int(whole) < 1 << 31:
            return text if text[0] != "-" else f"({text})"
        digits = (whole.lstrip("0") + fraction) or "0"
        if len(digits) > 38:
            raise SqlError(1007, f"The number '{text}' is out of the range for numeric representation.", level=15)
        return f"'{text}'::numeric({max(len(digits), len(fraction), 1)},{len(fraction)})"

    def variable(self, name: str) -> str:
        if name.startswith("@@"):
            found = GLOBALS.get(name.upper())
            if found is None:
                raise refused(name)
            return found.format_map(self.context.values)
        key = name.lower()
        if key not in self.context.variables:
            raise SqlError(137, f'Must declare the scalar variable "{name}".', level=15, state=2)
        if key not in self.used:
            self.used.append(key)
        place = f"${self.used.index(key) + 1}"
        return place if self.context.bare else f"{place}::{self.context.variables[key].type.pg}"

    def _case(self) -> str:
        parts = ["CASE"]
        simple = None if self.is_("WHEN") else self.expr().sql
        while self.accept("WHEN"):
            test = self.condition() if simple is None else f"{simple} = {self.expr().sql}"
            self.expect("THEN")
            parts.append(f"WHEN {test} THEN {self.expr().sql}")
        if self.accept("ELSE"):
            parts.append(f"ELSE {self.expr().sql}")
        self.expect("END")
        return " ".join([*parts, "END"])

    def _convert(self, way: str) -> str:
        kind = self.type()
        self.expect(",")
        value = self.expr()
        style = None
        if self.accept(","):
            token = self.next()
            if token.kind != "number" or not token.text.isdigit():
                raise refused("a style that is no number")
            style = int(token.text)
        self.expect(")")
        if style in (1, 2) and kind.name in SIZED:
            most = 2_000_000_000 if kind.size == MAX else kind.size
            extra = f", {style}" if kind.name in ("varbinary", "binary") else f", {most}, {style}"
            found = f"t.{way}_{kind.name}_styled({value.sql}{extra})"
            return (
                f"t.to_{kind.name}({found}, {most})::{kind.pg}"
                if kind.name.endswith("binary")
                else f"{found}::{kind.pg}"
            )
        if style not in (None, 0, 23, 120, 121, 126, 127) or (style and kind.name in SIZED):
            raise refused(f"CONVERT to {kind} with the style {style}")
        return cast(value, kind, way)

    def _column(self) -> Expr:
        parts = [self.name()]
        while self.is_(".") and self.ahead().upper != "*":
            self.at += 1
            parts.append(self.name())
        if len(parts) > 3:
            raise refused("names of four parts")
        written = [ident(part) for part in parts]
        if len(parts) == 3:
            written[0] = schema(parts[0])
        return Expr(".".join(written), name=parts[-1])

    def _call(self) -> Expr:
        name = self.next().upper
        self.expect("(")
        if name in ("COUNT", "COUNT_BIG"):
            inside = "*" if self.accept("*") else ("DISTINCT " if self.accept("DISTINCT") else "") + self.expr().sql
            self.expect(")")
            return Expr(f"count({inside}){self._over()}" + ("::int4" if name == "COUNT" else ""))
        if name in _AGGREGATES:
            distinct = "DISTINCT " if self.accept("DISTINCT") else ""
            value = self.expr().sql
            self.expect(")")
            kind = "sum" if name == "SUM" else "extreme"
            return Expr(f"{_AGGREGATES[name]}({distinct}{value}){self._over()}", kind=kind, argument=value)
        if name == "ROW_NUMBER":
            self.expect(")")
            over = self._over()
            if "ORDER BY" not in over:
                raise self.error()
            return Expr(f"row_number(){over}")
        if name == "IIF":
            test = self.condition()
            self.expect(",")
            one = self.expr().sql
            self.expect(",")
            other = self.expr().sql
            self.expect(")")
            return Expr(f"CASE WHEN {test} THEN {one} ELSE {other} END")
        if name == "DATEPART":
            if (part := self.name()).lower() not in ("nanosecond", "ns"):
                raise refused(f"DATEPART of {part}")
            self.expect(",")
            name += " NANOSECOND"
        found: list[Expr] = []
        while not self.accept(")"):
            found.append(self.expr())
            if not self.is_(")"):
                self.expect(",")
        return self._known(name, found)

    def _over(self) -> str:
        if not self.accept("OVER"):
            return ""
        self.expect("(")
        parts = ["PARTITION BY " + self._expressions()] if self.accept("PARTITION", "BY") else []
        if self.accept("ORDER", "BY"):
            parts.append("ORDER BY " + self.order())
        self.expect(")")
        return f" OVER ({' '.join(parts)})"

    def _known(self, name: str, arguments: list[Expr]) -> Expr:
        template = CALLS.get((name, len(arguments))) or CALLS.get((name, -1))
        if template is None:
            raise refused(f"the function {name} with {len(arguments)} arguments")
        written = [argument.sql for argument in arguments]
        kind = "literal" if name == "ISNULL" and arguments[1].kind == "literal" else ""
        if (name, -1) in CALLS:
            return Expr(f"{template}({', '.join(written)})")
        return Expr(template.format(*written, **self.context.values), kind=kind)

    def order(self) -> str:
        """The list of ORDER BY: NULL comes first."""
        found = []
        while True:
            value = self.expr().sql
            down = self.accept("DESC")
            if not down:
                self.accept("ASC")
            found.append(f"{value} DESC NULLS LAST" if down else f"{value} ASC NULLS FIRST")
            if not self.accept(","):
                return ", ".join(found)

    def subquery(self) -> str:
        raise NotImplementedError


def cast(value: Expr, kind: SqlType, way: str = "to") -> str:
    """CAST, as a call of the function that does it."""
    if value.kind == "null":
        return f"NULL::{kind.pg}"
    if kind.name in LEGACY:
        raise refused(f"the type {kind.name}")
    name = "decimal" if kind.name == "numeric" else kind.name
    if kind.name in SIZED:
        extra = f", {2_000_000_000 if kind.size == MAX else kind.size}"
    elif name == "decimal":
        extra = f", {kind.precision}, {kind.scale}"
    elif name in ("time", "datetime2", "datetimeoffset"):
        extra = f", {kind.scale}"
    else:
        return f"t.{way}_{name}({value.sql})"
    return f"t.{way}_{name}({value.sql}{extra})::{kind.pg}"
