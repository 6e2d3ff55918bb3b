"""Texts of statements: where their values stand, and names that are safe in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_azureml_datastores.core.table_store import Query
from airflow_azureml_datastores.errors import InvalidInput, InvalidName

# What a placeholder cannot stand in. Where one of these has no end, the database will say so.
_STRINGS = r"'(?:[^']|'')*'"
_NAMES = r'"(?:[^"]|"")*"'
_NESTED = 8
"""How deep comments in comments are looked into."""


def _block_comments(depth: int) -> str:
    """Comments that may have others in them, as the SQL standard has it; MySQL does not."""
    inner = f"|{_block_comments(depth - 1)}" if depth else ""
    return rf"/\*(?:[^*/]|\*(?!/)|/(?!\*){inner})*+\*/"


_COMMENTS = rf"(?P<comment>--[^\r\n]*|{_block_comments(_NESTED)})"

POSTGRESQL = re.compile(
    rf"""(?P<skip>[eE]'(?:[^'\\]|''|\\.)*'|{_STRINGS}|{_NAMES}|{_COMMENTS}|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|::|\?\?)
    |(?P<mark>\?)|(?<![\w:]):(?P<name>[A-Za-z_]\w*)""",
    re.DOTALL | re.VERBOSE,
)
"""The tokens of PostgreSQL that matter: https://www.postgresql.org/docs/current/sql-syntax-lexical.html"""

T_SQL = re.compile(
    rf"""(?P<skip>{_STRINGS}|{_NAMES}|\[(?:[^\]]|\]\])*\]|{_COMMENTS}|::|\?\?)
    |(?P<mark>\?)|(?<![\w:@]):(?P<name>[A-Za-z_]\w*)""",
    re.DOTALL | re.VERBOSE,
)
"""Those of Transact-SQL: https://learn.microsoft.com/sql/t-sql/language-elements/language-elements-transact-sql"""
_ESCAPED = r"'(?:[^'\\]|''|\\.)*'"
_ESCAPED_TOO = _ESCAPED.replace("'", '"')
_TO_END = r"(?:[^*]|\*(?!/))*\*/"

MYSQL = re.compile(
    rf"""(?P<skip>{_ESCAPED}|{_ESCAPED_TOO}|`(?:[^`]|``)*`|(?P<comment>\#[^\n]*|--(?=\s|$)[^\n]*|/\*(?!M?!){_TO_END})
    |/\*{_TO_END}|:=|\?\?)
    |(?P<mark>\?)|(?<![\w:]):(?P<name>[A-Za-z_]\w*)""",
    re.DOTALL | re.VERBOSE,
)
"""Those of MySQL: https://dev.mysql.com/doc/refman/8.4/en/language-structure.html; what is in ``/*! */`` is run."""

_COMMON_TABLE = r"[^\W\d][\w@$\#]*\s*(?:\(\.*\)\s*)?\bas\s*\(\.*\)\s*"
_COMMON_TABLES = re.compile(rf"[\s;]*with\b\s*{_COMMON_TABLE}(?:,\s*{_COMMON_TABLE})*(?=select\b)", re.IGNORECASE)

_PART = re.compile(r'"(?:[^"]|"")+"|[^."]+')


def bind(query: Query, grammar: re.Pattern[str], placeholder: Callable[[int], str]) -> tuple[str, list[Any]]:
    """A statement with the database's own placeholders, and the values in their order.

    :param placeholder: gives the database's own for the n-th value, from 0.
    :raises InvalidInput: values are missing or left over.
    """
    given = query.parameters
    if not given:
        return query.sql, []
    named = isinstance(given, Mapping)
    order: list[Any] = []

    def replace(found: re.Match[str]) -> str:
        if found["skip"] is not None:
            return "?" if found["skip"] == "??" and not named else found[0]
        if named != (found["name"] is not None):
            return found[0]
        order.append(found["name"] if named else len(order))
        return placeholder(len(order) - 1)  # one for each place, as each may be of a type of its own

    text = grammar.sub(replace, query.sql)
    if isinstance(given, Mapping):
        missing, unused = sorted(set(order) - set(given)), sorted(set(given) - set(order))
        if missing:
            raise InvalidInput(f"the query has no value for {', '.join(f':{name}' for name in missing)}.")
        if unused:
            raise InvalidInput(f"the query does not use {', '.join(map(repr, unused))} of its parameters.")
        return text, [given[key] for key in order]
    if len(order) != len(given):
        raise InvalidInput(f"the query has {len(order)} '?' for {len(given)} parameters.")
    return text, list(given)


def in_order(query: Query, grammar: re.Pattern[str], more: Sequence[Any] = ()) -> tuple[str, list[Any]]:
    """The same statement with ``?`` for each of its values, so that others can follow; and all values in their order.

    :param more: the values that follow.
    :raises InvalidInput: values are missing or left over.
    """
    given = query.parameters
    if not given:
        if not more:
            return query.sql, []
    elif not isinstance(given, Mapping):
        return query.sql, [*given, *more]
    else:
        bind(query, grammar, lambda n: "?")  # raises
    values: list[Any] = []

    def replace(found: re.Match[str]) -> str:
        if isinstance(given, Mapping) and given and found["name"] is not None:
            values.append(given[found["name"]])
            return "?"
        # What is a question mark there has to be two where a question mark is a value's place.
        return found[0] * 2 if found[0] in ("?", "??") else found[0]

    text = grammar.sub(replace, query.sql)
    return text, [*values, *more]


def without_end(sql: str, grammar: re.Pattern[str]) -> str:
    """A statement as it can stand in another one: without a semicolon at its end, be there comments after it."""
    plain = grammar.sub(lambda found: " " * len(found[0]) if found["comment"] else found[0], sql).rstrip()
    return sql[: len(plain.rstrip(";"))] if plain.endswith(";") else sql


def common_tables(sql: str, grammar: re.Pattern[str]) -> str:
    """The ``WITH a AS (…), b AS (…)`` that a query begins with; nothing if it has none."""

    def blank(found: re.Match[str]) -> str:
        if found["skip"] is None:
            return found[0]
        return (" " if found["comment"] else "x") * len(found[0])

    plain, depth = [], 0
    for char in grammar.sub(blank, sql):
        depth -= char == ")"
        plain.append("." if depth else char)
        depth += char == "("
    found = _COMMON_TABLES.match("".join(plain))
    return sql[: found.end()] if found else ""


def name_parts(name: str) -> list[str]:
    """The parts of a table's name: ``schema.table``, a part with a dot or quotes in it in double quotes.

    :raises InvalidName: it is no such name.
    """
    parts = _PART.findall(name) if isinstance(name, str) else []
    if not parts or ".".join(parts) != name or "\0" in name:
        raise InvalidName(
            f"{name!r} is no name of a table: write table, or schema.table; a part that holds a dot in double quotes."
        )
    return [part[1:-1].replace('""', '"') if part.startswith('"') else part for part in parts]


def quoted(name: str, quotes: str = '""') -> str:
    """One name as the database takes it literally, whatever is in it.

    :param quotes: the opening and the closing one.
    :raises InvalidName: it is empty, or has a NUL character.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise InvalidName(f"{name!r} is no name in a database.")
    return f"{quotes[0]}{name.replace(quotes[1], quotes[1] * 2)}{quotes[1]}"
