"""The databases that the benchmarks of SQL run on, each with a table of the same ten columns.

The address of one is a URL: it is all that a client is told of where it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import URL, make_url

from benchmarks.measure import measure
from tests.servers import NoServer
from tests.servers.mariadb import lacks_mariadb, run_mariadb
from tests.servers.postgres import run_postgres
from tests.servers.tsql import lacks_driver, named_sql_server, run_tsql

if TYPE_CHECKING:
    import sqlalchemy

TABLE = "datastores_bench"


@dataclass(frozen=True)
class Engine:
    """:param title: what the server is.
    :param server: runs it, and gives its URL.
    :param rows: how many are moved. :param columns: of the table, with their types.
    :param zone: whether its times have a zone. :param settle: a statement after many rows have come.
    """

    title: str
    server: Callable[[], AbstractContextManager[str]]
    rows: int
    columns: str
    zone: bool = False
    settle: str = ""

    def file(self, folder: Path, rows: int) -> Path:
        """Its rows, as a Parquet file."""
        file = folder / f"{rows}.parquet"
        measure([sys.executable, "-m", "benchmarks.rows", str(file), str(rows), "zone" * self.zone], "the rows")
        return file

    def create(self, url: str) -> None:
        """Make its table anew, empty."""
        execute(url, f"drop table if exists {TABLE}", f"create table {TABLE} ({self.columns}, primary key (id))")


@contextmanager
def _postgresql() -> Iterator[str]:
    with run_postgres() as url:
        yield str(make_url(url).set(drivername="postgresql"))


@contextmanager
def _mysql() -> Iterator[str]:
    if named := os.environ.get("TEST_MYSQL_URL"):
        yield shown(make_url(named).set(drivername="mysql"))
    elif lacks := lacks_mariadb():
        raise NoServer(lacks)
    else:
        with run_mariadb() as url:
            yield shown(make_url(url).set(drivername="mysql"))


@contextmanager
def _sql_server() -> Iterator[str]:
    if lacks := lacks_driver():
        raise NoServer(lacks)
    if named := os.environ.get("TEST_MSSQL_URL"):
        yield named
        return
    with run_tsql() as server:
        yield shown(URL.create("mssql", *server.login, server.host, server.port, server.database))


ENGINES: Mapping[str, Engine] = {
    "postgresql": Engine(
        "PostgreSQL",
        _postgresql,
        2_000_000,
        "id int8, region int4, score float8, amount numeric(12, 2), name text, token text, active bool, since date, "
        "seen timestamptz, rating int4",
        zone=True,
        settle=f"vacuum analyze {TABLE}",
    ),
    "mysql": Engine(
        "MySQL",
        _mysql,
        2_000_000,
        "id bigint, region int, score double, amount decimal(12, 2), name varchar(100), token varchar(32), "
        "active bool, since date, seen datetime(6), rating int",
        settle=f"analyze table {TABLE}",
    ),
    "mssql": Engine(
        "SQL Server",
        _sql_server,
        100_000,
        "id bigint, region int, score float, amount decimal(12, 2), name nvarchar(100), token varchar(32), "
        "active bit, since date, seen datetime2(6), rating int",
    ),
}


def shown(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def odbc(url: URL) -> str:
    """How Microsoft's driver is told."""
    return named_sql_server(shown(url)).odbc()


def alchemy(url: URL, **options: Any) -> sqlalchemy.Engine:
    """SQLAlchemy with the driver that most have."""
    import sqlalchemy

    if url.get_backend_name() == "mssql":
        given = f"mssql+pyodbc:///?odbc_connect={quote(odbc(url))}"
        return sqlalchemy.create_engine(given, fast_executemany=True, **options)
    driver = {"postgresql": "psycopg", "mysql": "pymysql"}[url.get_backend_name()]
    return sqlalchemy.create_engine(url.set(drivername=f"{url.get_backend_name()}+{driver}"), **options)


def execute(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Each as a transaction of its own; gives the rows of the last one."""
    import sqlalchemy

    with alchemy(make_url(url), isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in statements:
            result = connection.execute(sqlalchemy.text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


def installed(clients: Mapping[str, Any], needs: Mapping[str, str]) -> list[str]:
    """Those clients whose module is there; of others it is said that they are left out."""
    missing = [name for name in clients if name in needs and not find_spec(needs[name])]
    for name in missing:
        print(f"{name} is not installed, and left out")
    return [name for name in clients if name not in missing]


def chosen(given: Sequence[str]) -> tuple[int, list[str]]:
    """Rounds, three unless said otherwise, and engines, all unless some are named."""
    named, numbers = [name for name in given if name in ENGINES], [int(n) for n in given if n not in ENGINES]
    return numbers[0] if numbers else 3, named or list(ENGINES)


def each_engine(names: Sequence[str]) -> Iterator[tuple[str, Engine, str]]:
    """Name, engine and URL of each that there is a server of; of others it is said why there is none."""
    for name in names:
        try:
            with ENGINES[name].server() as url:
                yield name, ENGINES[name], url
        except NoServer as error:
            print(f"{ENGINES[name].title} is left out: {error}")
