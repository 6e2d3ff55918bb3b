"""Files into tables of real databases: what can be read, and a worker that is killed in the middle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.experiment import Input, Output, TableOutput
from airflow_azureml_datastores.core.rows_input import RowsInput
from airflow_azureml_datastores.core.table_store import Query, RecordBatch, Rows, TableStore
from airflow_azureml_datastores.core.uri import parse_datastore_uri
from airflow_azureml_datastores.errors import Changed, InvalidInput, NoData
from airflow_azureml_datastores.transfer.source import Source, find_source
from airflow_azureml_datastores.transfer.tables import prepare_table_load, rows_of
from tests.contract.tables.rig import TableRig, find_rigs
from tests.integration.transfer_jobs import started
from tests.integration.transfer_sites import Site, make_sites
from tests.servers.fixtures import Servers
from tests.unit.transfer.stores import MemoryStore, fill, opener


def parquet(rows: dict[str, Any] | pa.Table) -> bytes:
    out = BytesIO()
    pq.write_table(pa.table(rows), out, row_group_size=1000)
    return out.getvalue()


def arrow(rows: dict[str, Any], make: Any = pa.ipc.new_file) -> bytes:
    out, table = BytesIO(), pa.table(rows)
    with make(out, table.schema) as writer:
        writer.write(table)
    return out.getvalue()


def source_of(files: dict[str, bytes], path: str = "scores/") -> Source:
    store = MemoryStore()
    fill(store, files, "scores/")
    return find_source(opener(home=store), parse_datastore_uri(f"azureml://datastores/home/paths/{path}"))


def read(source: Source, *, typed: bool = False) -> pa.Table:
    with rows_of(source, typed=typed)() as rows:
        return pa.concat_tables(
            [pa.Table.from_batches([batch]) for batch in rows.batches] or [rows.schema.empty_table()],
            promote_options="permissive",
        )


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.parquet", parquet({"id": [1, 2], "name": ["x", None]})),
            ("a.arrow", arrow({"id": [1, 2], "name": ["x", None]})),
            ("a.feather", arrow({"id": [1, 2], "name": ["x", None]})),
            ("a.arrow", arrow({"id": [1, 2], "name": ["x", None]}, pa.ipc.new_stream)),
            ("a.CSV", b"id,name\n1,x\n2,\n"),
        ],
    )
    def test_kinds(self, name: str, content: bytes) -> None:
        assert read(source_of({name: content}), typed=True).to_pylist() == [
            {"id": 1, "name": "x"},
            {"id": 2, "name": None},
        ]

    def test_wide_ones_come_a_few_at_a_time(self) -> None:
        """Or a batch of them would take gigabytes."""
        texts = [f"{n:09}" * 100_000 for n in range(60)]
        with rows_of(source_of({"a.parquet": parquet({"x": texts})}))() as rows:
            sizes = [batch.nbytes for batch in rows.batches]
        assert sum(sizes) >= 60 * 900_000
        assert max(sizes) < 24 << 20

    def test_several_in_their_order(self) -> None:
        files = {
            f"p{n}.parquet": parquet({"id": pa.array([n], pa.int32() if n % 2 else pa.int64()), "x": ["a"]})
            for n in range(5)
        }
        files["p9.parquet"] = parquet({"x": ["b"], "id": [9]})
        assert [row["id"] for row in read(source_of(files)).to_pylist()] == [0, 1, 2, 3, 4, 9]

    def test_csv_are_texts(self) -> None:
        found = read(source_of({"a.csv": b'a,b\n1,"x,""y"\n,""\n'}))
        assert found.to_pylist() == [{"a": "1", "b": 'x,"y'}, {"a": None, "b": ""}]

    def test_types_of_csv_are_those_of_all_values(self) -> None:
        rows = [f"{n},{n}.5,true,2026-01-01,2026-01-01 10:00:00,007,{n},2026-01-01T10:00:00Z,x" for n in range(20_000)]
        header = "i,f,b,d,t,code,late,z,s"
        late = "1,1,false,2026-01-02,2026-01-01,008,no number,2026-01-01T10:00:00+02:00,"
        files = {"a.csv": "\n".join([header, *rows]).encode(), "b.csv": f"{header}\n{late}\n".encode()}
        found = read(source_of(files), typed=True)
        assert [str(type_) for type_ in found.schema.types] == [
            "int64",
            "double",
            "bool",
            "date32[day]",
            "timestamp[us]",
            "string",
            "string",
            "timestamp[us, tz=UTC]",
            "string",
        ]
        assert found.num_rows == 20_001

    @pytest.mark.parametrize(
        ("files", "problem"),
        [
            ({"a.txt": b"x"}, r"scores/a.txt is no file of rows: a table takes .parquet, .csv"),
            ({"a.parquet": b"x" * 100}, r"scores/a.parquet cannot be read"),
            ({"a.parquet": parquet({"id": range(5000)})[:-200]}, r"scores/a.parquet cannot be read"),
            ({"a.arrow": arrow({"id": [1]})[:50]}, r"scores/a.arrow cannot be read"),
            ({"a.csv": b"a,b\n1\n"}, r"scores/a.csv cannot be read"),
            ({"a.csv": b"a\n\xff\xfe\n"}, r"scores/a.csv cannot be read"),
            ({"a.csv": b""}, r"scores/a.csv cannot be read"),
            ({"a.csv": b"a,b\n1,2\n", "b.csv": b"a,c\n1,2\n"}, r"scores/b.csv has the columns a, c, another .* a, b"),
        ],
    )
    def test_that_are_no_rows(self, files: dict[str, bytes], problem: str) -> None:
        with pytest.raises(InvalidInput, match=problem):
            read(source_of(files))

    def test_none(self) -> None:
        with pytest.raises(NoData, match="there is no file"):
            rows_of(source_of({}))

    def test_of_another_version(self) -> None:
        source = source_of({"a.parquet": parquet({"id": [1]})})
        source.folder.store.write("scores/a.parquet", [parquet({"id": [2]})])
        with pytest.raises(Changed):
            read(source)


@pytest.fixture(scope="module", params=[pytest.param(rig, id=rig.name) for rig in find_rigs()])
def rig(request: pytest.FixtureRequest) -> TableRig:
    found: TableRig = request.param(request)
    return found


@pytest.fixture
def schema(rig: TableRig) -> Iterator[str]:
    with rig.schema() as name:
        yield name


def load(
    store: TableStore, source: Source | RowsInput, output: TableOutput, *, publisher: str = "dag.run.task"
) -> dict[str, Any]:
    """What the operator does."""
    prepared = prepare_table_load(
        lambda name: store, source, output, publisher=publisher, label="[publish] x", say=lambda line: None
    )
    return prepared.run()


def read_numbers(store: TableStore, table: str) -> list[int]:
    with store.read(store.table(table)) as rows:
        return sorted(row["n"] for batch in rows.batches for row in batch.to_pylist())


def count(store: TableStore, table: str) -> tuple[int, int]:
    """Rows, and the sum of their ids."""
    with store.read(store.table(table, ["id"])) as rows:
        ids = [row["id"] for batch in rows.batches for row in batch.to_pylist()]
    return len(ids), sum(ids)


class TestLoads:
    def test_csv_into_a_table_of_its_own(self, rig: TableRig, schema: str) -> None:
        source = source_of({"a.csv": b"id,name,score\n1,x,0.5\n2,,1\n"})
        output = Output.table("crm", f"{schema}.scores", "upsert", keys=["id"], create_if_missing=True)
        with rig.open() as store:
            first = load(store, source, output)
            assert first == {
                "datastore": "crm",
                "table": f"{schema}.scores",
                "mode": "upsert",
                "rows": 2,
                "unchanged": False,
            }
            assert load(store, source, output) == {**first, "unchanged": True}
            assert not load(store, source, output, publisher="another")["unchanged"]
            with store.read(store.table(f"{schema}.scores")) as rows:
                found = [row for batch in rows.batches for row in batch.to_pylist()]
        assert sorted(found, key=lambda row: row["id"]) == [
            {"id": 1, "name": "x", "score": 0.5},
            {"id": 2, "name": None, "score": 1.0},
        ]

    def test_csv_into_a_table_that_is_there(self, rig: TableRig, schema: str) -> None:
        rig.execute(f"create table {schema}.t (id int, amount decimal(10, 2), day date)")
        with rig.open() as store:
            output = Output.table("crm", f"{schema}.t", "append")
            load(store, source_of({"a.csv": b"day,id,amount\n2026-11-26,1,1.50\n"}), output)
            with pytest.raises(InvalidInput, match=r"column 'day', row 2: '26\.11\.2026' is no date"):
                load(store, source_of({"a.csv": b"id,day\n1,2026-11-26\n2,26.11.2026\n"}), output)
            assert count(store, f"{schema}.t") == (1, 1)

    def test_files_of_other_columns_are_found_before_anything_moves(self, rig: TableRig, schema: str) -> None:
        rig.execute(f"create table {schema}.t (id int)")
        source = source_of({"a.parquet": parquet({"id": [1], "y": [2]})})
        with rig.open() as store, pytest.raises(InvalidInput, match="has no column 'y'; it has: id"):
            prepare_table_load(
                lambda name: store,
                source,
                Output.table("crm", f"{schema}.t", "append"),
                publisher="x",
                label="x",
                say=print,
            )

    def test_rows_of_a_database_are_asked_for_once(
        self, rig: TableRig, schema: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = Input.query("crm", f"select * from ({rig.integers.format(3)}) as q")
        asked: list[Query] = []
        with rig.open() as store:
            read = store.read
            monkeypatch.setattr(store, "read", lambda query: (asked.append(query), read(query))[1])
            made = Output.table("crm", f"{schema}.t", "append", create_if_missing=True)
            assert load(store, rows, made)["rows"] == 3
            assert load(store, rows, made)["unchanged"]
            assert [query.sql for query in asked] == [rows.sql] * 2
            with pytest.raises(InvalidInput, match="has no column 'm'; it has: n"):
                load(store, Input.query("crm", "select 4 as m"), made)
            assert read_numbers(store, f"{schema}.t") == [1, 2, 3]

    def test_rows_that_are_not_there(self, rig: TableRig, schema: str) -> None:
        """An empty result does not empty a table, unless that is wanted."""
        rig.count(schema, 3)
        table, none = f"{schema}.t", f"select * from ({rig.integers.format(3)}) as q where n > 3"
        over = Output.table("crm", table, "overwrite")
        with rig.open() as store:
            with pytest.raises(NoData, match="gives no rows; pass allow_empty=True"):
                load(store, Input.query("crm", none), over)
            assert read_numbers(store, table) == [1, 2, 3]
            assert load(store, Input.query("crm", none, allow_empty=True), over)["rows"] == 0
            assert read_numbers(store, table) == []

    @pytest.mark.parametrize(
        ("given", "problem"),
        [
            ({"watermark": "n", "consumer": "x"}, "new rows are taken by a run of an experiment"),
            ({"partition": "n", "partitions": 2}, "leave out partition"),
        ],
    )
    def test_rows_that_a_copy_does_not_take(
        self, rig: TableRig, schema: str, given: dict[str, Any], problem: str
    ) -> None:
        with rig.open() as store, pytest.raises(InvalidInput, match=problem):
            load(store, Input.table("crm", f"{schema}.t", **given), Output.table("crm", f"{schema}.u"))


def load_in_process(
    told: Callable[[str, str], None], location: Location, login: Credential, site: Site, table: str, mode: Any
) -> None:
    """Load in a process of its own, that tells of every batch that the database has taken."""

    class Telling(TableStore):  # only what a load asks for
        url = check = check_query = read = table = None  # type: ignore[assignment]

        def __init__(self, store: TableStore) -> None:
            self.has_table, self.check_write, self._store = store.has_table, store.check_write, store  # type: ignore[method-assign]

        def write(self, load: Any, rows: Any) -> Any:
            from contextlib import contextmanager

            @contextmanager
            def opened() -> Iterator[Rows]:
                with rows() as found:

                    def batches() -> Iterator[RecordBatch]:
                        for number, batch in enumerate(found.batches):
                            told("batch", str(number))
                            yield batch
                        told("end", "")

                    yield Rows(found.schema, batches())

            return self._store.write(load, opened)

    Telling.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
    keys = ["id"] if mode == "upsert" else []
    with site.open() as home, location.open(login) as database:
        assert isinstance(database, TableStore)
        source = find_source(opener(home=home), parse_datastore_uri("azureml://datastores/home/paths/scores/"))
        load(Telling(database), source, Output.table("crm", table, mode, keys=keys, create_if_missing=True))


@pytest.mark.parametrize(
    ("mode", "at"),
    [("append", "0"), ("append", "end"), *((mode, at) for mode in ("overwrite", "upsert") for at in ("2", "end"))],
)
def test_killed_in_the_middle(rig: TableRig, schema: str, servers: Servers, mode: Any, at: str) -> None:
    """Nothing is to be seen of it, and a retry brings every row once."""
    if rig.name == "azure_sql_freetds":
        pytest.skip("a driver of the same server, which sees the same connection end")
    table = f"{schema}.scores"
    rows = {"id": range(100_000), "name": [f"name {n}" for n in range(100_000)]}
    with make_sites(servers) as sites, rig.open() as store:
        site = sites.new("local")
        with site.open() as home:
            home.write("scores/a.parquet", [parquet(rows)])
        if mode != "overwrite":
            rig.execute(f"create table {table} (id int not null primary key, name varchar(50))")
            rig.execute(f"insert into {table} values (-1, 'old')")
        with started(load_in_process, rig._location, rig._login, site, table, mode, ahead=0) as steps:
            assert any(step == ("end", "") if at == "end" else step[1] == at for step in steps)
        old = 0 if mode == "overwrite" else 1
        if old:
            assert count(store, table) == (1, -1)
        with site.open() as home:
            source = find_source(opener(home=home), parse_datastore_uri("azureml://datastores/home/paths/scores/"))
            output = Output.table("crm", table, mode, keys=["id"] if mode == "upsert" else [], create_if_missing=True)
            for attempt in range(2):
                assert load(store, source, output)["unchanged"] is bool(attempt)
                assert count(store, table) == (100_000 + old, sum(range(100_000)) - old)
