"""Words of T-SQL, and names as PostgreSQL is given them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from tests.servers.tsql.errors import SqlError, syntax

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*)
    |(?P<comment>/\*)
    |(?P<bracketed>\[(?:[^\]]|\]\])*\])
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<string>[Nn]?'(?:[^']|'')*')
    |(?P<hex>0[xX][0-9A-Fa-f]*)
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
    |(?P<variable>@@?[\w@$\#]+)
    |(?P<word>(?:[^\W\d]|[\#])[\w@$\#]*)
    |(?P<operator><>|!=|<=|>=|!<|!>|\+=|-=|::|[-+*/%=<>(),.;~&|^])
    """,
    re.VERBOSE,
)

# Words that are no names unless they are quoted: those this grammar would otherwise stumble over.
RESERVED = frozenset(
    [
        "ADD",
        "ALL",
        "ALTER",
        "AND",
        "AS",
        "ASC",
        "BEGIN",
        "BETWEEN",
        "BY",
        "CASE",
        "CHECK",
        "COLLATE",
        "COMMIT",
        "CONSTRAINT",
        "CONVERT",
        "CREATE",
        "CROSS",
        "DECLARE",
        "DEFAULT",
        "DELETE",
        "DESC",
        "DISTINCT",
        "DROP",
        "ELSE",
        "END",
        "EXCEPT",
        "EXEC",
        "EXECUTE",
        "EXISTS",
        "FETCH",
        "FOR",
        "FROM",
        "FULL",
        "GROUP",
        "HAVING",
        "HOLDLOCK",
        "IDENTITY",
        "IF",
        "IN",
        "INDEX",
        "INNER",
        "INSERT",
        "INTERSECT",
        "INTO",
        "IS",
        "JOIN",
        "KEY",
        "LEFT",
        "LIKE",
        "MERGE",
        "NOT",
        "NULL",
        "NULLIF",
        "OFF",
        "ON",
        "OPTION",
        "OR",
        "ORDER",
        "OUTER",
        "OVER",
        "PERCENT",
        "PRIMARY",
        "PRINT",
        "RIGHT",
        "ROLLBACK",
        "SAVE",
        "SELECT",
        "SET",
        "TABLE",
        "THEN",
        "TO",
        "TOP",
        "TRAN",
        "TRANSACTION",
        "TRUNCATE",
        "TRY_CONVERT",
        "UNION",
        "UNIQUE",
        "UPDATE",
        "USE",
        "VALUES",
        "VIEW",
        "WHEN",
        "WHERE",
        "WHILE",
        "WITH",
    ]
)


@dataclass(frozen=True)
class Token:
    """:param kind: word, name (quoted), string, nstring, hex, number, variable, operator, or end.
    :param text: of a name or a string what it means, else as written.
    """

    kind: str
    text: str

    @property
    def upper(self) -> str:
        return self.text.upper() if self.kind in ("word", "operator") else ""


def tokens(sql: str) -> list[Token]:
    found, position = [], 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if not match:
            if sql[position] in "'\"[":
                raise SqlError(105, "Unclosed quotation mark after the character string.", level=15)
            raise syntax(sql[position])
        kind, text = str(match.lastgroup), match.group()
        position = match.end()
        if kind == "comment":
            position = _after_comment(sql, position)
        elif kind == "bracketed":
            found.append(Token("name", text[1:-1].replace("]]", "]")))
        elif kind == "quoted":
            found.append(Token("name", text[1:-1].replace('""', '"')))
        elif kind == "string":
            body = text[text.index("'") + 1 : -1].replace("''", "'")
            found.append(Token("string" if text[0] == "'" else "nstring", body))
        elif kind != "space":
            found.append(Token(kind, text))
    found.append(Token("end", ""))
    return found


def _after_comment(sql: str, position: int) -> int:
    depth = 1
    for match in re.finditer(r"/\*|\*/", sql[position:]):
        depth += 1 if match.group() == "/*" else -1
        if not depth:
            return position + match.end()
    raise SqlError(113, "Missing end comment mark '*/'.", level=15)


def fold(name: str) -> str:
    """The name as PostgreSQL has it: names differ neither by case here, nor are they cut at 63 bytes."""
    lowered = name.lower()
    if len(lowered.encode()) <= 60:
        return lowered
    return f"long~{hashlib.md5(lowered.encode()).hexdigest()}"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def ident(name: str) -> str:
    return quoted(fold(name))


def schema(name: str) -> str:
    lowered = name.lower()
    if lowered == "sys":
        return "sys"
    return "info" if lowered == "information_schema" else quoted(fold("u_" + name))


def literal(text: str) -> str:
    """A string for PostgreSQL."""
    if "\\" in text:
        return " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    return "'" + text.replace("'", "''") + "'"
