"""What is MySQL's own in loading rows: as a file, and where the server takes none, as statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pymysql
import pytest

from airflow_azureml_datastores.core.table_store import Load, TableStore
from airflow_azureml_datastores.errors import InvalidInput
from airflow_azureml_datastores.stores._mysql_store import MySqlStore
from tests.contract.tables.rigs_mysql import MySqlRig
from tests.contract.tables.test_reading import get
from tests.contract.tables.test_writing import arrow, rows_of

pytestmark = pytest.mark.xdist_group("mysql_settings")  # a server that is there already is one for all


@pytest.fixture(scope="module")
def rig(request: pytest.FixtureRequest) -> MySqlRig:
    return MySqlRig(request)


@contextmanager
def setting(rig: MySqlRig, name: str, value: object) -> Iterator[None]:
    """Have the server set otherwise for a while."""
    ((before,),) = _ask(rig, f"select @@global.{name}")
    rig.execute(f"set global {name} = {value}")
    try:
        yield
    finally:
        rig.execute(f"set global {name} = {before}")


@pytest.fixture(params=["on", "off"])
def files(rig: MySqlRig, request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether the server takes files."""
    with setting(rig, "local_infile", request.param):
        yield request.param == "on"


@pytest.fixture
def database(rig: MySqlRig) -> Iterator[TableStore]:
    with rig.open() as store:
        yield store


@pytest.fixture
def schema(rig: MySqlRig) -> Iterator[str]:
    with rig.schema() as name:
        yield name


def _ask(rig: MySqlRig, sql: str) -> Any:
    with closing(rig.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def load(store: TableStore, table: str, rows: pa.Table, batch: int = 2) -> None:
    store.write(Load(table, "append", [], create_if_missing=False, id=uuid4().hex), rows_of(rows, batch=batch))


def test_every_type_at_once(rig: MySqlRig, database: TableStore, schema: str, files: bool) -> None:
    """Beside each other, and NULL in each."""
    cases = list(enumerate(rig.stored))
    rig.execute(f"create table {schema}.t (id int, {', '.join(f'c{n} {case[0]}' for n, case in cases)})")
    columns = {f"c{n}": pa.array([None, value, None, value], arrow(given)) for n, (_, given, value) in cases}
    before = _loads(rig)
    load(database, f"{schema}.t", pa.table({"id": [1, 2, 3, 4]} | columns), batch=3)
    assert _loads(rig) - before == (2 if files else 1)  # which is refused
    found = get(database, f"select * from {schema}.t order by id").to_pylist()
    assert found[0] | {"id": 3} == found[2] == dict.fromkeys(columns) | {"id": 3}
    assert found[1] | {"id": 4} == found[3]
    for n, (declared, _, value) in cases:
        if isinstance(value, bytes | str) and declared.startswith(("long", "varchar", "varbinary", "enum", "set")):
            assert found[3][f"c{n}"] == value


def _loads(rig: MySqlRig) -> int:
    ((_, count),) = _ask(rig, "show global status like 'Com_load'")
    return int(count)


@pytest.mark.parametrize(
    ("columns", "given", "problem"),
    [
        ("n int primary key", {"n": [1, 2, 2, 3]}, "Duplicate entry '2'"),
        ("n int, constraint small check (n < 3)", {"n": [1, 2, 3]}, "small"),
        ("n enum('a', 'b')", {"n": ["a", "c"]}, "truncated for column 'n'"),
        ("n varchar(9) character set latin1", {"n": ["ä", "語"]}, "Incorrect string value"),
        ("n year", {"n": [2026, 1900]}, "'n'"),
    ],
)
def test_nothing_is_bent_or_left_out(
    rig: MySqlRig,
    database: TableStore,
    schema: str,
    files: bool,
    columns: str,
    given: dict[str, list[Any]],
    problem: str,
) -> None:
    """Of files, the server would make warnings of it."""
    rig.execute(f"create table {schema}.t ({columns})")
    with pytest.raises(InvalidInput, match=problem):
        load(database, f"{schema}.t", pa.table(given))
    assert get(database, f"select * from {schema}.t").num_rows == 0


def test_warnings_that_a_server_does_not_keep(rig: MySqlRig, database: TableStore, schema: str) -> None:
    """It counts them all the same."""
    rig.execute(f"create table {schema}.t (n int primary key)")
    with setting(rig, "local_infile", 1), setting(rig, "max_error_count", 0):
        with pytest.raises(InvalidInput, match="left out or changed"):
            load(database, f"{schema}.t", pa.table({"n": [1, 2, 2, 3]}))
        assert get(database, f"select * from {schema}.t").num_rows == 0


def test_a_value_in_the_middle_does_not_fit(rig: MySqlRig, database: TableStore, schema: str, files: bool) -> None:
    """The server is at those before."""
    rig.execute(f"create table {schema}.t (n tinyint)")
    with pytest.raises(InvalidInput, match="row 30001: 1000 is no tinyint"):
        load(database, f"{schema}.t", pa.table({"n": [1] * 30_000 + [1000]}), batch=10_000)
    assert get(database, f"select * from {schema}.t").num_rows == 0
    load(database, f"{schema}.t", pa.table({"n": [1] * 30_000}), batch=10_000)
    assert get(database, f"select count(*) as n from {schema}.t")["n"].to_pylist() == [30_000]


def test_no_file_of_the_worker_is_sent(rig: MySqlRig, schema: str) -> None:
    """Whatever a server asks for: neither where rows are read, nor, but for them, where they are loaded."""
    rig.execute(f"create table {schema}.t (x text)")
    sql = f"load data local infile '/etc/hostname' into table {schema}.t"
    with setting(rig, "local_infile", 1), rig.open() as store:
        assert isinstance(store, MySqlStore)
        for given, error in (({}, pymysql.Error), ({"loads": True}, RuntimeError)):
            with store._login.connected(**given) as connection, pytest.raises(error):
                connection.query(sql)
    assert _ask(rig, f"select count(*) from {schema}.t") == ((0,),)
