"""What loading rows into a table does, whichever the database."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from airflow_azureml_datastores.core.table_store import Load, Loaded, OpenRows, Rows, TableStore, WriteMode
from airflow_azureml_datastores.errors import DatastoresError, InvalidInput, PathExists, PathNotFound
from tests.contract.tables.rig import TableRig, cases
from tests.contract.tables.test_reading import get

MODES: list[WriteMode] = ["fail", "append", "overwrite", "upsert"]
OLD = [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]
NEW = [{"id": 2, "name": "zwei"}, {"id": 3, "name": None}]
AFTER = {
    "append": [*OLD[:1], *OLD[1:], *NEW],
    "overwrite": NEW,
    "upsert": [OLD[0], *NEW],
}


def rows_of(table: pa.Table, *, batch: int = 2, before: Callable[[int], object] = lambda n: None) -> OpenRows:
    """Rows, a few at a time.

    :param before: called before each batch with the number of those that went before.
    """

    def batches() -> Iterator[pa.RecordBatch]:
        for number, found in enumerate(table.to_batches(max_chunksize=batch)):
            before(number)
            yield found

    @contextmanager
    def opened() -> Iterator[Rows]:
        yield Rows(table.schema, batches())

    return opened


def data(rows: Iterable[dict[str, Any]], *fields: tuple[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), pa.schema(fields or [("id", pa.int64()), ("name", pa.string())]))


def load(
    store: TableStore,
    table: str,
    rows: Iterable[dict[str, Any]] | pa.Table | OpenRows,
    mode: WriteMode = "append",
    *,
    id: str = "load-1",
    keys: Sequence[str] | None = None,
    create: bool = False,
) -> Loaded:
    wanted = Load(table, mode, (["id"] if mode == "upsert" else []) if keys is None else keys, create, id)
    if not callable(rows):
        found = rows if isinstance(rows, pa.Table) else data(rows)
        store.check_write(wanted, found.schema)
        rows = rows_of(found)
    return store.write(wanted, rows)


def content(store: TableStore, table: str) -> list[dict[str, Any]]:
    return sorted(get(store, store.table(table)).to_pylist(), key=lambda row: (row["id"], str(row)))


@pytest.fixture
def people(table_rig: TableRig, schema: str) -> str:
    """A table with two rows."""
    table_rig.execute(f"create table {schema}.people (id int not null, name varchar(20))")
    table_rig.execute(f"insert into {schema}.people values (1, 'one'), (2, 'two')")
    return f"{schema}.people"


class TestModes:
    @pytest.mark.parametrize("mode", ["append", "overwrite", "upsert"])
    def test_onto_rows(self, store: TableStore, people: str, mode: WriteMode) -> None:
        assert load(store, people, NEW, mode) == Loaded(2, was_there=False)
        assert content(store, people) == sorted(AFTER[mode], key=lambda row: (row["id"], str(row)))

    def test_fail(self, store: TableStore, people: str) -> None:
        with pytest.raises(PathExists, match=r"people has rows; choose mode 'append', 'overwrite' or 'upsert'"):
            load(store, people, NEW, "fail")
        with pytest.raises(PathExists):
            load(store, people, rows_of(data(NEW)), "fail")
        assert content(store, people) == OLD

    @pytest.mark.parametrize("mode", MODES)
    def test_onto_nothing(self, table_rig: TableRig, store: TableStore, people: str, mode: WriteMode) -> None:
        table_rig.execute(f"delete from {people}")
        assert load(store, people, NEW, mode) == Loaded(2, was_there=False)
        assert content(store, people) == NEW

    @pytest.mark.parametrize("mode", ["append", "overwrite", "upsert"])
    def test_of_no_rows(self, store: TableStore, people: str, mode: WriteMode) -> None:
        assert load(store, people, [], mode) == Loaded(0, was_there=False)
        assert content(store, people) == ([] if mode == "overwrite" else OLD)

    def test_upsert_by_several_keys(self, table_rig: TableRig, store: TableStore, schema: str) -> None:
        table_rig.execute(f"create table {schema}.t (id int, part varchar(9), x int, y int)")
        table_rig.execute(f"insert into {schema}.t values (1, 'a', 1, 7), (1, 'b', 2, 7)")
        given = pa.table({"part": ["b", "c"], "x": [20, 30], "id": [1, 1]})
        load(store, f"{schema}.t", given, "upsert", keys=["id", "part"])
        assert content(store, f"{schema}.t") == [
            {"id": 1, "part": "a", "x": 1, "y": 7},
            {"id": 1, "part": "b", "x": 20, "y": 7},
            {"id": 1, "part": "c", "x": 30, "y": None},
        ]

    def test_upsert_of_keys_alone(self, store: TableStore, people: str) -> None:
        load(store, people, pa.table({"id": [2, 3]}), "upsert")
        assert content(store, people) == [*OLD, {"id": 3, "name": None}]

    def test_many_rows(self, table_rig: TableRig, store: TableStore, schema: str) -> None:
        table_rig.execute(f"create table {schema}.t (id int not null primary key, name varchar(50))")
        given = pa.table({"id": range(30_000), "name": [f"näme {n}" for n in range(30_000)]})
        for number in range(2):
            load(store, f"{schema}.t", rows_of(given, batch=7_000), "upsert", id=str(number))
        found = get(store, f"select count(*) as n, min(name) as a, max(name) as z, sum(id) as s from {schema}.t")
        assert [int(v) if k in "ns" else v for k, v in found.to_pylist()[0].items()] == [
            30_000,
            "näme 0",
            "näme 9999",
            sum(range(30_000)),
        ]


class TestOnce:
    @pytest.mark.parametrize("mode", MODES)
    def test_again(self, table_rig: TableRig, store: TableStore, people: str, mode: WriteMode) -> None:
        if mode == "fail":
            table_rig.execute(f"delete from {people}")
        load(store, people, NEW, mode)
        before = content(store, people)
        assert load(store, people, NEW, mode) == Loaded(2, was_there=True)
        assert content(store, people) == before

    def test_again_after_others(self, store: TableStore, people: str) -> None:
        """What was appended is there; what was overwritten is not, and comes again."""
        load(store, people, NEW, id="a")
        load(store, people, [{"id": 9, "name": "x"}], id="b")
        assert load(store, people, NEW, id="a").was_there
        load(store, people, OLD, "overwrite", id="c")
        assert not load(store, people, NEW, id="a").was_there
        assert content(store, people) == sorted([*OLD, *NEW], key=lambda row: (row["id"], str(row)))
        assert not load(store, people, OLD, "overwrite", id="c").was_there
        assert content(store, people) == OLD

    def test_tables_do_not_know_of_each_other(self, table_rig: TableRig, store: TableStore, people: str) -> None:
        other = people.replace("people", "other")
        table_rig.execute(f"create table {other} (id int, name varchar(9))")
        load(store, people, NEW, "overwrite", id="a")
        load(store, other, NEW, "overwrite", id="b")
        assert load(store, people, NEW, "overwrite", id="a").was_there

    def test_an_attempt_that_lives(self, table_rig: TableRig, people: str) -> None:
        """One that was taken for dead, in the middle of its rows: the next waits for it, and finds its work done."""
        reached, go_on = threading.Event(), threading.Event()

        def wait(number: int) -> None:
            if number == 1:
                reached.set()
                assert go_on.wait(60)

        slow = rows_of(data([*NEW, *NEW]), before=wait)
        with table_rig.open() as one, table_rig.open() as other, ThreadPoolExecutor(2) as pool:
            first = pool.submit(load, one, people, slow)
            assert reached.wait(60)
            second = pool.submit(load, other, people, rows_of(data([*NEW, *NEW])))
            with pytest.raises(TimeoutError):
                second.result(timeout=0.5)
            go_on.set()
            assert first.result(60) == Loaded(4, was_there=False)
            assert second.result(60) == Loaded(4, was_there=True)
            assert len(content(one, people)) == 6

    def test_at_the_same_time(self, table_rig: TableRig, people: str) -> None:
        """Loads of the same keys wait for each other, and the row is there once."""

        def one(number: int) -> Loaded:
            with table_rig.open() as store:
                return load(store, people, [{"id": 5, "name": str(number)}], "upsert", id=str(number))

        with ThreadPoolExecutor(4) as pool:
            assert [found.rows for found in pool.map(one, range(8))] == [1] * 8
        with table_rig.open() as store:
            assert [row["id"] for row in content(store, people)] == [1, 2, 5]


class TestAllOrNothing:
    @pytest.mark.parametrize("mode", ["append", "overwrite", "upsert"])
    def test_a_row_does_not_fit(self, store: TableStore, people: str, mode: WriteMode) -> None:
        bad = [{"id": n + 10, "name": "x" * (21 if n == 4 else 3)} for n in range(6)]
        with pytest.raises(
            InvalidInput, match=r"column 'name', row 5: 'x+' is longer than the 20 .*nothing was loaded"
        ):
            load(store, people, bad, mode)
        assert content(store, people) == OLD
        load(store, people, NEW, mode)
        assert content(store, people) == sorted(AFTER[mode], key=lambda row: (row["id"], str(row)))

    @pytest.mark.parametrize("mode", ["append", "overwrite", "upsert"])
    def test_the_data_breaks_off(self, store: TableStore, people: str, mode: WriteMode) -> None:
        class BrokenOff(Exception):
            pass

        def fail(number: int) -> None:
            if number == 1:
                raise BrokenOff

        with pytest.raises(BrokenOff):
            load(store, people, rows_of(data([*NEW, {"id": 7, "name": "x"}]), before=fail), mode)
        assert content(store, people) == OLD

    @pytest.mark.parametrize("mode", MODES)
    def test_of_a_table_that_is_made(self, store: TableStore, schema: str, mode: WriteMode) -> None:
        given = pa.table({"id": [1, 2, None]})
        if mode != "upsert":
            given = pa.table({"id": [1, 2, 3], "x": pa.array([None, None, "a\0b"])})
        with pytest.raises(DatastoresError):
            load(
                store,
                f"{schema}.t",
                rows_of(pa.table({"id": [1, 1], "x": ["a", "a"]}), before=_fail),
                mode,
                create=True,
            )
        assert not store.has_table(f"{schema}.t") or content(store, f"{schema}.t") == []
        assert load(store, f"{schema}.t", given.slice(0, 2), mode, create=True) == Loaded(2, was_there=False)

    @pytest.mark.parametrize("mode", ["append", "overwrite", "upsert"])
    def test_others_see_the_old_rows_until_it_is_done(self, table_rig: TableRig, people: str, mode: WriteMode) -> None:
        seen = []
        with table_rig.open() as store, table_rig.open() as other:
            look = rows_of(
                data([*NEW, {"id": 9, "name": "x"}]), before=lambda number: seen.append(content(other, people))
            )
            load(store, people, look, mode)
        assert seen == [OLD, OLD]

    def test_a_constraint_is_broken(self, table_rig: TableRig, store: TableStore, people: str) -> None:
        table_rig.execute(f"create unique index no_two on {people} (id)")
        with pytest.raises(InvalidInput, match=r"no_two"):
            load(store, people, NEW)
        assert content(store, people) == OLD


def _fail(number: int) -> None:
    raise InvalidInput("the data is no data")


def arrow(name: str) -> Any:
    """An Arrow type by its name."""
    if found := re.fullmatch(r"decimal128\((\d+), (-?\d+)\)", name):
        return pa.decimal128(int(found[1]), int(found[2]))
    if found := re.fullmatch(r"(timestamp|time64)\[(\w+)(?:, tz=(.*))?\]", name):
        return pa.time64(found[2]) if found[1] == "time64" else pa.timestamp(found[2], found[3])
    return pa.type_for_alias(name)


class TestValues:
    @pytest.mark.parametrize(("table_rig", "case"), cases("stored"), indirect=["table_rig"], scope="session")
    def test_come_back(self, table_rig: TableRig, store: TableStore, schema: str, case: int) -> None:
        """Of every type of column, and NULL beside them; by append, and by upsert."""
        declared, given, value = table_rig.stored[case]
        table_rig.execute(f"create table {schema}.t (id int, x {declared})")
        rows = pa.table({"id": [1, 2], "x": pa.array([value, None], arrow(given))})
        load(store, f"{schema}.t", rows)
        load(store, f"{schema}.t", pa.table({"id": [1, 3], "x": rows["x"]}), "upsert", id="2")
        found = get(store, f"select x from {schema}.t order by id")["x"].to_pylist()
        assert found[1:] == [None, None]
        same = found[0] if type(found[0]) is type(value) else _like(found[0], value)
        assert same == value

    @pytest.mark.parametrize(("table_rig", "case"), cases("misfits"), indirect=["table_rig"], scope="session")
    def test_that_do_not_fit(self, table_rig: TableRig, store: TableStore, schema: str, case: int) -> None:
        declared, given, value, problem = table_rig.misfits[case]
        table_rig.execute(f"create table {schema}.t (id int, x {declared})")
        rows = pa.table({"id": range(5), "x": pa.array([None, None, None, value, None], arrow(given))})
        with pytest.raises(InvalidInput, match=rf"column 'x', row 4: .*{problem}"):
            load(store, f"{schema}.t", rows)
        assert content(store, f"{schema}.t") == []

    def test_null_where_there_may_be_none(self, store: TableStore, people: str) -> None:
        with pytest.raises(InvalidInput, match="column 'id' takes no NULL, but row 3 has one"):
            load(store, people, [*NEW, {"id": None, "name": "x"}])
        assert content(store, people) == OLD

    @pytest.mark.parametrize(
        ("type_", "value", "again"),
        [
            ("bool", True, None),
            ("int8", -128, None),
            ("uint8", 255, None),
            ("int16", -32768, None),
            ("uint16", 65535, None),
            ("int32", -(1 << 31), None),
            ("uint32", (1 << 32) - 1, None),
            ("int64", -(1 << 63), None),
            ("uint64", (1 << 64) - 1, None),
            ("float", 1.5, None),
            ("double", 0.1, None),
            ("decimal128(38, 10)", Decimal("-1.0000000001"), None),
            ("decimal128(5, -2)", Decimal("1.2E+4"), Decimal(12000)),
            ("string", "Übergröße 𝒳 '\"\\", None),
            ("large_string", "ä" * 10_000, None),
            ("binary", b"\x00\xff'\\", None),
            ("date32", date(2026, 11, 26), None),
            ("time64[us]", time(23, 59, 59, 999999), None),
            ("timestamp[us]", datetime(2026, 11, 26, 1, 2, 3, 456789), None),  # noqa: DTZ001
            ("timestamp[ns]", datetime(2026, 11, 26, 1, 2, 3, 456789), None),  # noqa: DTZ001
            ("timestamp[us, tz=Europe/Berlin]", datetime(2026, 7, 1, 12, tzinfo=UTC), None),
        ],
    )
    def test_of_a_table_that_is_made(self, store: TableStore, schema: str, type_: str, value: Any, again: Any) -> None:
        rows = pa.table({"id": [1, 2], "x": pa.array([value, None], arrow(type_))})
        load(store, f"{schema}.t", rows, create=True)
        found = get(store, f"select x from {schema}.t order by id")["x"].to_pylist()
        assert [_like(found[0], value), found[1]] == [value if again is None else again, None]

    def test_lists_and_structs_become_json(self, store: TableStore, schema: str) -> None:
        import json

        rows = pa.table({"id": [1, 2], "x": [[1, None], None], "y": [{"a": "ü"}, {"a": None}]})
        load(store, f"{schema}.t", rows, create=True)
        found = content(store, f"{schema}.t")
        assert json.loads(found[0]["x"]) == [1, None]
        assert [json.loads(row["y"]) for row in found] == [{"a": "ü"}, {"a": None}]

    def test_categories_become_their_values(self, store: TableStore, people: str) -> None:
        names = pa.array(["a", None, "a"]).dictionary_encode()
        load(store, people, pa.table({"id": [3, 4, 5], "name": names}))
        assert [row["name"] for row in content(store, people)] == ["one", "two", "a", None, "a"]


def _like(found: Any, value: Any) -> Any:
    """What was found, as the kind of what was given."""
    if isinstance(value, bool):
        return bool(found)
    if isinstance(value, int | float | Decimal):
        return type(value)(found)
    if isinstance(value, time):
        return time.fromisoformat(str(found))
    if isinstance(value, datetime) and value.tzinfo:
        return found.astimezone(UTC)
    if isinstance(value, str) and not isinstance(found, str):
        shown = str(found).lower()
        return next((text for text in (value,) if _same_text(text, shown, found)), shown)
    return found


def _same_text(text: str, shown: str, found: Any) -> bool:
    if isinstance(found, datetime):
        given = datetime.fromisoformat(text)
        return given.astimezone(UTC) == found if given.tzinfo else given == found
    return shown == text or (isinstance(found, time) and time.fromisoformat(text) == found)


class TestColumns:
    def test_defaults(self, table_rig: TableRig, store: TableStore, schema: str) -> None:
        table_rig.execute(f"create table {schema}.t (id int not null, name varchar(9) default 'x' not null)")
        load(store, f"{schema}.t", pa.table({"id": [1]}))
        load(store, f"{schema}.t", pa.table({"id": [2]}), "upsert", id="2")
        assert content(store, f"{schema}.t") == [{"id": 1, "name": "x"}, {"id": 2, "name": "x"}]

    def test_case_is_forgiven_where_it_is_clear(self, store: TableStore, people: str) -> None:
        load(store, people, pa.table({"NAME": ["x"], "Id": [3]}), "upsert", keys=["ID"])
        assert content(store, people)[-1] == {"id": 3, "name": "x"}

    @pytest.mark.parametrize(
        ("rows", "mode", "keys", "problem"),
        [
            ({"id": [1], "nome": ["x"]}, "append", [], "has no column 'nome'; it has: id, name"),
            ({"name": ["x"]}, "append", [], "the data has no column 'id', which .* has to be given"),
            ({"id": [1], "ID": [2]}, "append", [], "'id' and 'ID' of the data are the same one"),
            ({"id": [1]}, "upsert", ["name"], "the data has no column 'name', which is a key"),
            ({"id": [1]}, "upsert", ["nome"], "has no column 'nome'"),
            ({"id": [1]}, "upsert", [], "needs keys"),
            ({"id": [1]}, "append", ["id"], "keys belong to mode 'upsert'"),
            ({"id": [1]}, "replace", [], "'replace' is unknown"),
            ({"id": [date(2026, 1, 1)]}, "append", [], "'id' is int.* in the table, and date32.* in the data"),
            ({"id": [7, 7]}, "upsert", ["id"], "2 rows with the keys id = 7"),
            ({"id": [7, None]}, "upsert", ["id"], "'id' takes no NULL, but row 2"),
        ],
    )
    def test_that_do_not_fit(
        self, store: TableStore, people: str, rows: dict[str, Any], mode: WriteMode, keys: list[str], problem: str
    ) -> None:
        with pytest.raises(InvalidInput, match=problem):
            load(store, people, pa.table(rows), mode, keys=keys)
        assert content(store, people) == OLD


class TestTables:
    def test_that_is_not_there(self, store: TableStore, schema: str) -> None:
        with pytest.raises(PathNotFound, match=rf"no table {schema}\.t; create it, or pass create_if_missing=True"):
            load(store, f"{schema}.t", NEW)

    @pytest.mark.parametrize(
        "name",
        ["select", "Mixed Case", "a.b", 'quote"d', "bracket]s", "back`tick", "semi;colon--", "per%s?$1 :x", "ünï 𝒳"],
    )
    @pytest.mark.parametrize("mode", ["append", "upsert"])
    def test_any_name(self, table_rig: TableRig, store: TableStore, schema: str, name: str, mode: WriteMode) -> None:
        if name in table_rig.unfit_names:
            pytest.skip("the database has no such names")
        written = f'{schema}."' + name.replace('"', '""') + '"'
        assert not store.has_table(written)
        for number in range(2):
            rows = pa.table({name: [1, 2], f"{name}'": ["a", "b"]})
            load(store, written, rows, mode, keys=[name] if mode == "upsert" else [], create=True, id=str(number))
        assert store.has_table(written)
        assert get(store, store.table(written)).num_rows == (2 if mode == "upsert" else 4)

    @pytest.mark.parametrize("evil", ["'; drop table people; --", "x' or '1'='1", "\\", "%s ? :a $1"])
    def test_values_are_values(self, store: TableStore, people: str, evil: str) -> None:
        evil = evil[:20]
        load(store, people, [{"id": 2, "name": evil}], "upsert", id=f"load {evil}")
        assert content(store, people)[1]["name"] == evil
        assert load(store, people, [{"id": 2, "name": evil}], "upsert", id=f"load {evil}").was_there

    @pytest.mark.parametrize("name", ["", "a.", "azureml_datastores_loads", "x.AZUREML_datastores_loads"])
    def test_no_name(self, store: TableStore, name: str) -> None:
        with pytest.raises(InvalidInput):
            load(store, name, NEW)
