"""What reading a database in parts gives: the same rows, each once, of one moment; or that it cannot be done."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest

from airflow_azureml_datastores.core.table_store import OpenRows, Query, TableStore
from airflow_azureml_datastores.errors import InvalidInput, Unavailable, Unsupported
from tests.contract.tables.rig import TableRig, find_rigs
from tests.contract.tables.test_reading import get

PARTED = [rig for rig in find_rigs() if rig.ranges]


@pytest.fixture(scope="session", params=[pytest.param(rig, id=rig.name) for rig in PARTED])
def parted(request: pytest.FixtureRequest) -> TableRig:
    rig: TableRig = request.param(request)
    return rig


@pytest.fixture
def store(parted: TableRig) -> Iterator[TableStore]:
    with parted.open() as opened:
        yield opened


@pytest.fixture
def schema(parted: TableRig) -> Iterator[str]:
    with parted.schema() as name:
        yield name


def take(opened: OpenRows) -> pa.Table:
    with opened() as rows:
        return pa.Table.from_batches(list(rows.batches), rows.schema)


def get_parts(store: TableStore, query: Query, column: str, parts: int) -> list[pa.Table]:
    with ThreadPoolExecutor(parts) as pool, store.read_in_parts(query, column, parts) as opened:
        return list(pool.map(take, opened))


@pytest.mark.parametrize("rig_type", [rig for rig in find_rigs() if not rig.ranges], ids=lambda rig: rig.name)
def test_what_cannot_be_done_is_told(request: pytest.FixtureRequest, rig_type: type[TableRig]) -> None:
    rig = rig_type(request)
    with rig.open() as store:
        for call in (store.check_parts, lambda query, column: store.read_in_parts(query, column, 2)):
            with pytest.raises(Unsupported, match=f"of type {rig.type} cannot show one moment to several connections"):
                call(Query("select 1 as x"), "x")


VALUES = [pytest.param(rig.name, *given, id=f"{rig.name}-{given[0]}") for rig in PARTED for given in rig.ranges]


@pytest.mark.parametrize("parts", [3, 16])
@pytest.mark.parametrize(("kind", "type_", "values"), VALUES)
def test_every_row_is_there_once(
    parted: TableRig, store: TableStore, schema: str, kind: str, type_: str, values: list[str], parts: int
) -> None:
    if kind != parted.name:
        pytest.skip("of another database")
    parted.execute(f"create table {schema}.t (n int, c {type_})")
    for n, value in enumerate([*values, "null", values[0], "null"]):
        parted.execute(f"insert into {schema}.t values ({n}, {value})")
    query = store.table(f"{schema}.t")
    found = get_parts(store, query, "c", parts)
    wanted = get(store, query)
    assert (len(set(values)) > 2) < len(found) <= parts
    assert {table.schema for table in found} == {wanted.schema}
    assert pa.concat_tables(found).sort_by("n") == wanted.sort_by("n")
    assert found[0]["c"].null_count == 2


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_distribution(parted: TableRig, store: TableStore, schema: str, seed: int) -> None:
    chance = random.Random(seed)
    numbers = [chance.choice([0, 1, chance.randrange(-9, 9), int(chance.gauss(0, 1e6))]) for _ in range(300)]
    parted.execute(f"create table {schema}.t (n int)")
    parted.execute(f"insert into {schema}.t values {', '.join(f'({n})' for n in numbers)}")
    for parts in (2, 5, 16):
        found = get_parts(store, store.table(f"{schema}.t"), "n", parts)
        assert sorted(pa.concat_tables(found)["n"].to_pylist()) == sorted(numbers)


def test_even_numbers_make_even_parts(parted: TableRig, store: TableStore) -> None:
    found = get_parts(store, Query(parted.integers.format(1000)), "n", 4)
    assert [(table["n"][0].as_py(), table.num_rows) for table in found] == [
        (1, 250),
        (251, 250),
        (501, 250),
        (751, 250),
    ]


@pytest.mark.parametrize("rows", [[], ["(null)"], ["(7)"], ["(7)", "(7)", "(null)"]], ids=str)
def test_nothing_to_divide(parted: TableRig, store: TableStore, schema: str, rows: list[str]) -> None:
    parted.execute(f"create table {schema}.t (n int)")
    for row in rows:
        parted.execute(f"insert into {schema}.t values {row}")
    found = get_parts(store, store.table(f"{schema}.t"), "n", 4)
    assert [table.schema.names for table in found] == [["n"]]
    assert found[0].num_rows == len(rows)


@pytest.mark.parametrize("name", ["Mixed Case", 'quote"d', "semi;colon--", "a? :b %s", "ünï 𝒳"])
def test_any_name(parted: TableRig, store: TableStore, schema: str, name: str) -> None:
    opening, closing = parted.quotes["open"], parted.quotes["close"]
    column = f"{opening}{name.replace(closing, closing * 2)}{closing}"
    parted.execute(f"create table {schema}.t ({column} int)")
    for number in (1, 2):
        parted.execute(f"insert into {schema}.t values ({number})")
    found = get_parts(store, store.table(f"{schema}.t"), name, 2)
    assert [table.to_pylist() for table in found] == [[{name: 1}], [{name: 2}]]


@pytest.mark.parametrize(
    ("where", "parameters"),
    [
        ("n > ? and 'x?' <> ? -- ?", [100, "';"]),
        ("n > :low and :text <> 'a' and n > :low", {"low": 100, "text": "x' or '1'='1"}),
        ("n > 100 and coalesce(?, 'x') = 'x'", [None]),
        ("n > 100", []),
    ],
)
def test_parameters_are_bound(parted: TableRig, store: TableStore, where: str, parameters: Any) -> None:
    query = Query(f"select n from ({parted.integers.format(200)}) as q where {where};", parameters)
    found = pa.concat_tables(get_parts(store, query, "n", 3))
    assert sorted(found["n"].to_pylist()) == list(range(101, 201))


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ("m", "no column 'm' to partition by; there are: 'n', 't'"),
        ("N", "no column 'N' to partition by"),
        ("t", "the column 't' to partition by is of type .*: it has to be one of whole numbers, decimals"),
    ],
)
def test_no_column_for_it(parted: TableRig, store: TableStore, column: str, problem: str) -> None:
    query = Query(f"select n, 'a' as t from ({parted.integers.format(3)}) as q")
    for call in (lambda: store.check_parts(query, column), lambda: get_parts(store, query, column, 2)):
        with pytest.raises(InvalidInput, match=problem):
            call()


def test_what_is_refused_of_a_query_is_refused_in_parts(store: TableStore) -> None:
    for sql, problem in (("selec 1", "selec"), ("select * from no_such_table", "no_such_table")):
        with pytest.raises(InvalidInput, match=problem):
            store.check_parts(Query(sql), "n")
        with pytest.raises(InvalidInput, match=problem):
            get_parts(store, Query(sql), "n", 2)


def test_all_parts_are_of_one_moment(parted: TableRig, store: TableStore, schema: str) -> None:
    """Whenever they are opened."""
    parted.count(schema, 1000)
    with store.read_in_parts(store.table(f"{schema}.t"), "n", 4) as parts:
        found = [take(parts[0])]
        parted.execute(f"update {schema}.t set n = n + 400")
        found.append(take(parts[1]))
        parted.execute(f"delete from {schema}.t where n > 900")
        parted.execute(f"insert into {schema}.t values (600)")
        found += [take(part) for part in parts[2:]]
    assert sorted(pa.concat_tables(found)["n"].to_pylist()) == list(range(1, 1001))


def test_nothing_can_be_changed(parted: TableRig, store: TableStore, schema: str) -> None:
    parted.count(schema, 3)
    for sql in (f"select 1 as n; drop table {schema}.t", f"delete from {schema}.t"):
        with pytest.raises(InvalidInput):
            get_parts(store, Query(sql), "n", 2)
    assert get(store, f"select * from {schema}.t").num_rows == 3


def test_a_part_that_fails(parted: TableRig, store: TableStore) -> None:
    expression, problem = parted.failing
    query = Query(f"select n, {expression} as x from ({parted.integers.format(300_000)}) as q")
    with pytest.raises(InvalidInput, match=problem):
        get_parts(store, query, "n", 2)


def test_left_early(parted: TableRig, store: TableStore) -> None:
    """What others still wait for ends at once, and nothing is read afterwards."""
    waiting = threading.Event()

    def wait(opened: OpenRows) -> pa.Table:
        waiting.set()
        return take(opened)

    query = Query(f"select n, {parted.waiting} as w from ({parted.integers.format(2)}) as q")
    with ThreadPoolExecutor(1) as pool:
        with store.read_in_parts(query, "n", 2) as parts:
            ending = pool.submit(wait, parts[0])
            waiting.wait()
            time.sleep(1)
            assert not ending.done()
            left = time.monotonic()
        with pytest.raises(Unavailable):
            ending.result(20)
        assert time.monotonic() - left < 10
    with pytest.raises(Unavailable):
        take(parts[1])
    assert get(store, "select 1 as x")["x"].to_pylist() == [1]
