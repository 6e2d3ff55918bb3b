"""Where the values of a statement stand, and names in it."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from airflow_azureml_datastores.core.table_store import Query
from airflow_azureml_datastores.errors import InvalidInput, InvalidName
from airflow_azureml_datastores.stores._sql_text import (
    MYSQL,
    POSTGRESQL,
    T_SQL,
    bind,
    common_tables,
    in_order,
    name_parts,
    quoted,
    without_end,
)


def bound(sql: str, parameters: Any) -> tuple[str, list[Any]]:
    return bind(Query(sql, parameters), POSTGRESQL, lambda n: f"${n + 1}")


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("a = ? and b = ?", "a = $1 and b = $2"),
        ("?=?", "$1=$2"),
        ("a = '?' and ? || ?", "a = '?' and $1 || $2"),
        ("'it''s ?' ? ?", "'it''s ?' $1 $2"),
        ("e'it\\'s ?' ? ?", "e'it\\'s ?' $1 $2"),
        ('"a ? ""b ?" ? ?', '"a ? ""b ?" $1 $2'),
        ("? -- ? \n ?", "$1 -- ? \n $2"),
        ("? /* ? \n ? * */ ?", "$1 /* ? \n ? * */ $2"),
        ("? /* ? /* ' ? */ ? \n */ ? /*/*?*/*/", "$1 /* ? /* ' ? */ ? \n */ $2 /*/*?*/*/"),
        ("? -- ?\r ?", "$1 -- ?\r $2"),
        ("$$ ? $$ ? $tag$ ? $$ ? $tag$ ?", "$$ ? $$ $1 $tag$ ? $$ ? $tag$ $2"),
        ("a ?? 'k' and ? ?", "a ? 'k' and $1 $2"),
        ("?::int ?::text", "$1::int $2::text"),
        (":a :b ? ?", ":a :b $1 $2"),
    ],
)
def test_by_place(sql: str, text: str) -> None:
    assert bound(sql, [1, 2]) == (text, [1, 2])


@pytest.mark.parametrize(
    ("sql", "text", "values"),
    [
        ("x = :a and y = :b", "x = $1 and y = $2", [1, 2]),
        ("x = :b or :a = :b", "x = $1 or $2 = $3", [2, 1, 2]),
        (":a::int + :b", "$1::int + $2", [1, 2]),
        ("':a' \":b\" --:a\n :a :b", "':a' \":b\" --:a\n $1 $2", [1, 2]),
        ("x[1:2] j ? 'k' ?? :a :b", "x[1:2] j ? 'k' ?? $1 $2", [1, 2]),
    ],
)
def test_by_name(sql: str, text: str, values: list[int]) -> None:
    assert bound(sql, {"a": 1, "b": 2}) == (text, values)


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("a = ? and b = ?", "a = $1 and b = $2"),
        ("'it''s \\' ?' ? ?", "'it''s \\' ?' $1 $2"),
        ('"it""s \\" ?" ? ?', '"it""s \\" ?" $1 $2'),
        ("'\\\\' ? '\\\\' ?", "'\\\\' $1 '\\\\' $2"),
        ("`a ? ``b ?` ? ?", "`a ? ``b ?` $1 $2"),
        ("? -- ? \n ?", "$1 -- ? \n $2"),
        ("1--? ?", "1--$1 $2"),
        ("? --\n ?", "$1 --\n $2"),
        ("? # ' ? \n ?", "$1 # ' ? \n $2"),
        ("? /* ' ? \n ? * */ ?", "$1 /* ' ? \n ? * */ $2"),
        ("a ?? ? ?", "a ? $1 $2"),
    ],
)
def test_by_place_in_mysql(sql: str, text: str) -> None:
    assert bind(Query(sql, [1, 2]), MYSQL, lambda n: f"${n + 1}") == (text, [1, 2])


def test_by_name_in_mysql() -> None:
    sql = "select @x := :a, ':a', `:a`, \":a\", '\\':a' # :a\n, :b, :a"
    text = "select @x := $1, ':a', `:a`, \":a\", '\\':a' # :a\n, $2, $3"
    assert bind(Query(sql, {"a": 1, "b": 2}), MYSQL, lambda n: f"${n + 1}") == (text, [1, 2, 1])


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("'it''s \\' ? [a ? ]] b ?] ? \"a ? \"", "'it''s \\' $1 [a ? ]] b ?] $2 \"a ? \""),
        ("? -- ? \r\n ? -- ?", "$1 -- ? \r\n $2 -- ?"),
        ("? -- ? \r ?", "$1 -- ? \r $2"),
        ("? /* ? /* ' ? */ ? */ ?", "$1 /* ? /* ' ? */ ? */ $2"),
        ("a*/* ? */? /**/ ?", "a*/* ? */$1 /**/ $2"),
        ("N'?' ? @x::y ?", "N'?' $1 @x::y $2"),
    ],
)
def test_by_place_in_t_sql(sql: str, text: str) -> None:
    assert bind(Query(sql, [1, 2]), T_SQL, lambda n: f"${n + 1}") == (text, [1, 2])


@pytest.mark.parametrize("grammar", [POSTGRESQL, T_SQL])
@pytest.mark.parametrize("depth", [1, 2, 5, 9])
def test_comments_in_comments(grammar: re.Pattern[str], depth: int) -> None:
    comment = "/* ? ' " * depth + " ? */" * depth
    assert bind(Query(f"?{comment}?", [1, 2]), grammar, lambda n: "X") == (f"X{comment}X", [1, 2])


def test_in_mysql_they_are_none() -> None:
    assert bind(Query("? /* ? /* ? */ ?", [1, 2]), MYSQL, lambda n: "X") == ("X /* ? /* ? */ X", [1, 2])


@pytest.mark.parametrize(
    "text", ["/*" * 20_000, "/* " + "*" * 100_000, "/*" * 8 + "x" * 100_000, "'" * 99_999], ids=list("abcd")
)
def test_what_has_no_end_takes_no_time(text: str) -> None:
    for grammar in (POSTGRESQL, T_SQL, MYSQL):
        start = time.process_time()
        bind(Query(f"? {text}", [1]), grammar, lambda n: "X")
        without_end(f"select 1; {text}", grammar)
        assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "end", ["", " -- a;", " /* a; */", "';'", "'; -- a'", '";"', ";'", "; x", ";/*", "; /* a */ x"]
)
def test_without_a_semicolon_at_its_end_a_statement_stays(end: str) -> None:
    for grammar in (POSTGRESQL, T_SQL, MYSQL):
        assert without_end(f"select {end}", grammar) == f"select {end}"


@pytest.mark.parametrize(
    ("grammar", "sql"),
    [
        (POSTGRESQL, "select $$a; --$$"),
        (POSTGRESQL, "select 1; # 2"),
        (T_SQL, "select 1 as [a; --]"),
        (MYSQL, "select 1 as `a; --`"),
        (MYSQL, "select 'a\\'; -- '"),
        (MYSQL, "select 1; --1"),
        (MYSQL, "select 1; /*! select 2 */"),
        (MYSQL, "select 1; /*M! select 2 */"),
    ],
)
def test_what_is_no_comment_of_the_dialect_stays(grammar: re.Pattern[str], sql: str) -> None:
    assert without_end(sql, grammar) == sql


@pytest.mark.parametrize("parameters", [(), [], {}])
def test_without_values_the_text_stays(parameters: Any) -> None:
    sql = "select j ? 'a', j ?? 'b', :c"
    assert bound(sql, parameters) == (sql, [])


@pytest.mark.parametrize(
    ("sql", "parameters", "problem"),
    [
        ("?", [1, 2], "has 1 '\\?' for 2 parameters"),
        ("? ?", [1], "has 2 '\\?' for 1 parameters"),
        (":a :b", {"a": 1}, "no value for :b"),
        (":a", {"a": 1, "b": 2, "c": 3}, "does not use 'b', 'c'"),
    ],
)
def test_missing_or_left_over(sql: str, parameters: Any, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        bound(sql, parameters)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("t", ["t"]),
        ("s.t", ["s", "t"]),
        ('"a.b"."c""d"', ["a.b", 'c"d']),
        ("Mixed Case.ünï", ["Mixed Case", "ünï"]),
        ("a;drop", ["a;drop"]),
    ],
)
def test_names(name: str, parts: list[str]) -> None:
    assert name_parts(name) == parts


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", '"a', 'a"b', '""', "a\0", None, 1])
def test_no_names(name: Any) -> None:
    with pytest.raises(InvalidName):
        name_parts(name)


def test_quoted() -> None:
    assert quoted('a"b') == '"a""b"'
    assert quoted("a]b", "[]") == "[a]]b]"
    for nothing in ("", "a\0b", None):
        with pytest.raises(InvalidName):
            quoted(nothing)  # type: ignore[arg-type]


def test_a_query_is_known_by_its_digest() -> None:
    one = Query("select ?", [1])
    assert one.digest == Query("select ?", (1,)).digest
    others = [Query("select ?", ["1"]), Query("select  ?", [1]), Query("select ?", [2]), Query("select ?", {"a": 1})]
    assert len({query.digest for query in [one, *others]}) == 5


@pytest.mark.parametrize(
    ("sql", "parameters", "text", "values"),
    [
        ("a = ? and b ?? 'k'", [1], "a = ? and b ?? 'k' and c > ?", [1, 9]),
        ("a ? 'k' and b ?? c and '?' = x[1:n]", [], "a ?? 'k' and b ???? c and '?' = x[1:n] and c > ?", [9]),
        ("a = :x and b ? 'k' or :x = '?'", {"x": 1}, "a = ? and b ?? 'k' or ? = '?' and c > ?", [1, 1, 9]),
        ("a = :x", {"x": None}, "a = ? and c > ?", [None, 9]),
    ],
)
def test_in_order(sql: str, parameters: Any, text: str, values: list[Any]) -> None:
    """Others can follow, and what the statement means stays the same."""
    found, order = in_order(Query(sql, parameters), POSTGRESQL, [9])
    assert (f"{found} and c > ?", order) == (text, values)
    before, _ = bound(sql, parameters)
    after, _ = bound(f"{found} and c > ?", order)
    assert after == f"{before} and c > ${len(order)}"


def test_in_order_alone_is_as_it_was() -> None:
    assert in_order(Query("a ? b ?? :c"), POSTGRESQL) == ("a ? b ?? :c", [])


def test_in_order_finds_what_is_missing() -> None:
    with pytest.raises(InvalidInput, match="no value for :y"):
        in_order(Query("a = :y", {"x": 1}), POSTGRESQL)


@pytest.mark.parametrize(
    ("front", "rest"),
    [
        ("with a as (select 1 as x) ", "select x from a"),
        ("\n/* with */ WITH [a) b] (x, [y(]) AS ( select (1), ((2)) ), b as(select ')' as z)\n-- select\n", "SELECT 1"),
        ("with a as (select x from t where x <> 1 and y in (select '--' from u)) ", "select * from a where (x > 1)"),
        ("with a as (with_b) ", "select(1)"),
        (";with a as (select 1 as x) ", "select 1"),
        ("", "select 1 as a, (select 2) as b"),
        ("", "with_a as (select 1) select 2"),
        ("", "with a as (select 1 as x) (select x from a) union select 2"),
        ("", "with a as (select 1 as x) selected"),
        ("", "with a as (select 1 as x"),
        ("", "with a as (select 1 as x), select 1"),
        ("", "with a as select (1)"),
        ("", "with 1a as (select 1 as x) select 1"),
    ],
)
def test_common_tables(front: str, rest: str) -> None:
    assert common_tables(front + rest, T_SQL) == front


def test_common_tables_of_a_long_text() -> None:
    front = f"with a as ({'(' * 100_000}{'select 1 ' * 20_000}{')' * 100_000}) "
    start = time.process_time()
    assert common_tables(front + "select 1", T_SQL) == front
    assert common_tables("with " + "a as (b) " * 20_000, T_SQL) == ""
    assert common_tables("with a" + "(" * 100_000, T_SQL) == ""
    assert time.process_time() - start < 5
