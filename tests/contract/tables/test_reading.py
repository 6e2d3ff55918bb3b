"""What reading a database gives, whichever it is."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from airflow_azureml_datastores.core.table_store import Query, TableStore
from airflow_azureml_datastores.errors import (
    AccessDenied,
    DatastoresError,
    InvalidInput,
    InvalidName,
    Unavailable,
)
from tests.contract.tables.rig import TableRig, cases


def get(store: TableStore, query: Query | str, *parameters: Any) -> pa.Table:
    """All that a query gives."""
    with store.read(query if isinstance(query, Query) else Query(query, parameters)) as rows:
        return pa.Table.from_batches(list(rows.batches), rows.schema)


@pytest.mark.parametrize(("table_rig", "case"), cases("values"), indirect=["table_rig"], scope="session")
def test_value(table_rig: TableRig, store: TableStore, schema: str, case: int) -> None:
    """Of every type, and NULL beside it."""
    expression, arrow, value = table_rig.values[case]
    table_rig.fill(schema, expression)
    found = get(store, f"select x from {schema}.t order by o")
    assert str(found.schema.field("x").type) == arrow
    assert found["x"].to_pylist() == [value, None]


def test_no_rows_have_a_schema(table_rig: TableRig, store: TableStore) -> None:
    found = get(store, f"select * from ({table_rig.integers.format(3)}) as q where n > 3")
    assert (found.schema.names, found.num_rows) == (["n"], 0)


def test_order_is_that_of_the_query(table_rig: TableRig, store: TableStore) -> None:
    found = get(store, f"select * from ({table_rig.integers.format(200_000)}) as q order by n % 7, n desc;  ")
    numbers = found["n"].to_pylist()
    assert numbers == sorted(range(1, 200_001), key=lambda n: (n % 7, -n))


@pytest.mark.parametrize("end", [";", " ;; ", "; -- one; row", ";\n/* one; * 'row */ -- more\n", "/* a */; /**/ "])
def test_after_a_semicolon_there_may_be_comments(table_rig: TableRig, store: TableStore, end: str) -> None:
    for more in ("", *table_rig.comments):
        query = Query(f"select ';' as a, ? as b {end}{more}", ["; --"])
        for asked in (query, store.between(query, "b"), store.newest(query, "b")):
            store.check_query(asked)
            assert get(store, asked)["b"].to_pylist() == ["; --"]
        assert [int(n) for n in get(store, store.count(query))[0].to_pylist()] == [1]


def test_batches_are_small(table_rig: TableRig, store: TableStore) -> None:
    with store.read(Query(table_rig.integers.format(300_000))) as rows:
        sizes = [batch.num_rows for batch in rows.batches]
    assert sum(sizes) == 300_000
    assert max(sizes) <= 65_536


def test_left_early(table_rig: TableRig, store: TableStore) -> None:
    with store.read(Query(table_rig.integers.format(5_000_000))) as rows:
        assert next(rows.batches).num_rows
    assert get(store, "select 1 as x")["x"].to_pylist() == [1]


class TestParameters:
    def test_by_place(self, store: TableStore) -> None:
        found = get(store, "select 'a?' as q, x from (select 1 as x union all select 2 union all select 3) as t "
                           "where x > ? and x < ? -- and ?", 1, 3)  # fmt: skip
        assert found.to_pylist() == [{"q": "a?", "x": 2}]

    def test_by_name(self, store: TableStore) -> None:
        query = Query("select x from (select 1 as x union all select 2) as t where x >= :low and :low <= x", {"low": 2})
        assert get(store, query)["x"].to_pylist() == [2]

    @pytest.mark.parametrize("evil", ["'; drop table t; --", "\\", "$$", "x' or '1'='1", '"', "%s ? :a $1", "ü𝒳", ""])
    def test_are_values_whatever_is_in_them(self, store: TableStore, evil: str) -> None:
        found = get(store, "select x from (select 'a' as x union all select 'b') as t where x = ?", evil)
        assert found.num_rows == 0
        found = get(store, Query("select x from (select 'a' as x) as t where x <> :v", {"v": evil}))
        assert found.num_rows == 1

    def test_none_is_null(self, store: TableStore) -> None:
        found = get(
            store,
            "select x from (select 1 as x union all select null) as t where case when x = ? then 1 end is null",
            None,
        )
        assert found.num_rows == 2

    @pytest.mark.parametrize(
        ("sql", "parameters", "problem"),
        [
            ("select ? as a", [], "."),
            ("select ? as a", [1, 2], "1 '\\?' for 2"),
            ("select :a as a, :b as b", {"a": 1}, "no value for :b"),
            ("select :a as a", {"a": 1, "c": 1}, "does not use 'c'"),
        ],
    )
    def test_missing_or_left_over(self, store: TableStore, sql: str, parameters: Any, problem: str) -> None:
        with pytest.raises(InvalidInput, match=problem):
            store.check_query(Query(sql, parameters))


class TestOneMoment:
    def test_changes_meanwhile_are_not_seen(self, table_rig: TableRig, store: TableStore, schema: str) -> None:
        table_rig.count(schema, 300_000)
        with store.read(Query(f"select * from {schema}.t")) as rows:
            first = next(rows.batches)
            table_rig.execute(f"update {schema}.t set n = -1")
            rest = list(rows.batches)
        assert min(pa.Table.from_batches([first, *rest])["n"].to_pylist()) == 1


class TestNothingChanges:
    @pytest.mark.parametrize(
        "statement",
        [
            "delete from {}.t",
            "update {}.t set n = 0",
            "insert into {}.t values (9)",
            "drop table {}.t",
            "truncate table {}.t",
        ],
    )
    def test_statements(self, table_rig: TableRig, store: TableStore, schema: str, statement: str) -> None:
        table_rig.count(schema, 3)
        for sql in (statement.format(schema), f"select 1 as x; {statement.format(schema)}"):
            with pytest.raises(InvalidInput):
                get(store, sql)
        assert get(store, f"select * from {schema}.t").num_rows == 3


class TestTables:
    @pytest.mark.parametrize(
        "name",
        ["plain", "select", "Mixed Case", "a.b", 'quote"d', "bracket]s", "back`tick", "semi;colon--", "ünï", "ünï 𝒳"],
    )
    def test_any_name(self, table_rig: TableRig, store: TableStore, schema: str, name: str) -> None:
        if name in table_rig.unfit_names:
            pytest.skip("the database has no such names")
        opening, closing = table_rig.quotes["open"], table_rig.quotes["close"]
        quoted = f"{opening}{name.replace(closing, closing * 2)}{closing}"
        table_rig.execute(f"create table {schema}.{quoted} ({quoted} int)")
        table_rig.execute(f"insert into {schema}.{quoted} values (1)")
        written = '"' + name.replace('"', '""') + '"' if "." in name or '"' in name else name
        for query in (store.table(f"{schema}.{written}"), store.table(f"{schema}.{written}", [name])):
            assert get(store, query).to_pylist() == [{name: 1}]

    def test_columns(self, table_rig: TableRig, store: TableStore, schema: str) -> None:
        table_rig.execute(f"create table {schema}.t (a int, b int, c int)")
        assert get(store, store.table(f"{schema}.t", ["c", "a"])).schema.names == ["c", "a"]

    @pytest.mark.parametrize("name", ["", ".", "a.", ".a", 'a"b', "a..b", '"a', "a\0b", None])
    def test_no_name(self, store: TableStore, name: Any) -> None:
        with pytest.raises(InvalidName):
            store.table(name)


class TestNarrowed:
    """Queries made of other queries."""

    @pytest.fixture(
        params=[
            "select n, w from {t} where n >= ? -- all;",
            "with a as (select n, w from {t} where n >= ?), b (n, w) as (select n, (w) from a) select * from b; -- all",
        ],
        ids=["SELECT", "WITH"],
    )
    def query(self, request: pytest.FixtureRequest, table_rig: TableRig, store: TableStore, schema: str) -> Query:
        table_rig.execute(f"create table {schema}.t (n int, w int)")
        for n, w in enumerate(("1", "2", "2", "3", "null")):
            table_rig.execute(f"insert into {schema}.t values ({n}, {w})")
        return Query(request.param.format(t=f"{schema}.t"), [0])

    @pytest.mark.parametrize(
        ("low", "high", "found"),
        [
            (None, None, [1, 2, 2, 3]),
            (1, None, [2, 2, 3]),
            (None, 2, [1, 2, 2]),
            (1, 2, [2, 2]),
            (2, 2, []),
            ("1", "2", [2, 2]),
        ],
    )
    def test_between(self, store: TableStore, query: Query, low: Any, high: Any, found: list[int]) -> None:
        between = store.between(query, "w", low, high)
        assert sorted(get(store, between)["w"].to_pylist()) == found
        assert get(store, store.between(query, "w", low, high, only=["w"])).schema.names == ["w"]
        assert [int(n) for n in get(store, store.count(between))[0].to_pylist()] == [len(found)]
        assert get(store, store.newest(between, "w"))["w"].to_pylist() == found[-1:]

    def test_none(self, store: TableStore, query: Query) -> None:
        found = get(store, store.none(query))
        assert (found.schema.names, found.num_rows) == (["n", "w"], 0)

    def test_the_newest_is_of_the_columns_own_type(self, table_rig: TableRig, store: TableStore, schema: str) -> None:
        table_rig.execute(f"create table {schema}.d (w numeric(30, 4))")
        table_rig.execute(f"insert into {schema}.d values (12345678901234567890123456.0001)")
        found = get(store, store.newest(store.table(f"{schema}.d"), "w"))
        assert str(found.schema.field("w").type) == "decimal128(30, 4)"
        assert str(found["w"][0].as_py()) == "12345678901234567890123456.0001"

    @pytest.mark.parametrize("name", ["Mixed Case", 'quote"d', "bracket]s", "back`tick", "semi;colon--", "a? :b %s"])
    def test_any_name(self, table_rig: TableRig, store: TableStore, schema: str, name: str) -> None:
        opening, closing = table_rig.quotes["open"], table_rig.quotes["close"]
        table_rig.execute(f"create table {schema}.t ({opening}{name.replace(closing, closing * 2)}{closing} int)")
        query = store.table(f"{schema}.t")
        assert get(store, store.between(query, name, 1, 2, only=[name])).schema.names == [name]
        assert get(store, store.newest(query, name)).num_rows == 0

    @pytest.mark.parametrize("name", ["", "a\0b", None])
    def test_no_name(self, store: TableStore, name: Any) -> None:
        for make in (store.between, store.newest):
            with pytest.raises(InvalidName):
                make(Query("select 1 as a"), name)


class TestRefusals:
    @pytest.mark.parametrize(
        ("sql", "problem"),
        [
            ("selec 1", "selec"),
            ("select * from no_such_table", "no_such_table"),
            ("select 1 as a, 2 as A", "several columns of the same name, 'a'"),
            ("create table t (a int)", "gives no rows"),
        ],
    )
    def test_before_anything_moves(self, store: TableStore, sql: str, problem: str) -> None:
        for call in (store.check_query, lambda query: get(store, query)):
            with pytest.raises(InvalidInput, match=problem):
                call(Query(sql))

    def test_in_the_middle_of_the_rows(self, table_rig: TableRig, store: TableStore) -> None:
        expression, problem = table_rig.failing
        with pytest.raises(InvalidInput, match=problem):
            get(store, f"select {expression} as x from ({table_rig.integers.format(300_000)}) as q")

    def test_no_such_database(self, table_rig: TableRig) -> None:
        with table_rig.open(database_name="no_such_database") as store:
            for call in calls(store):
                with pytest.raises(table_rig.without_database, match="no_such_database"):
                    call()

    def test_nobody_there(self, table_rig: TableRig) -> None:
        with table_rig.open(server_name="127.0.0.1", port_number=1) as store:
            for call in calls(store):
                with pytest.raises(Unavailable):
                    call()

    def test_secrets_are_nowhere(self, table_rig: TableRig, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(0)
        shown = []
        for changes in ({"server_name": "127.0.0.1", "port_number": 1}, {"database_name": "no_such_database"}, {}):
            with table_rig.open(**changes) as store:
                shown += [repr(store), store.url, str(vars(store))]
                for call in [*calls(store), lambda store=store: get(store, "selec")]:
                    try:
                        call()
                    except (DatastoresError, AccessDenied) as error:
                        shown += ["".join(traceback.format_exception(error)), repr(error)]
        assert table_rig.password not in "\n".join([*shown, caplog.text])


def calls(store: TableStore) -> list[Callable[[], object]]:
    return [store.check, lambda: store.check_query(Query("select 1 as x")), lambda: get(store, "select 1 as x")]
