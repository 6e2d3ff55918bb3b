"""SQL Server's own parser, in the stand-in for SQL Server."""

from __future__ import annotations

from collections.abc import Iterator

import pyodbc
import pytest

from tests.servers import NoServer
from tests.servers.fixtures import Servers, require
from tests.servers.tsql import TSql, install, lacks_script_dom


@pytest.fixture
def connection(servers: Servers) -> Iterator[pyodbc.Connection]:
    lacking = lacks_script_dom()
    if lacking is None:
        try:
            install()
        except NoServer as error:
            lacking = str(error)
    require("scriptdom", lacking)
    if not isinstance(servers.mssql, TSql):
        pytest.skip("a real server is played with, not tested")
    with pyodbc.connect(servers.mssql.odbc(), autocommit=True) as connection:
        yield connection
    connection.close()


@pytest.mark.parametrize(
    ("sql", "near"),
    [
        ("select plan as a from (select 1 as [plan]) q", "select"),
        ("select 1 as a from (select 1 as a) as tablesample", "tablesample"),
    ],
)
def test_what_it_does_not_take(connection: pyodbc.Connection, sql: str, near: str) -> None:
    with pytest.raises(pyodbc.ProgrammingError, match=f"Incorrect syntax near {near}.*102"):
        connection.execute(sql)


def test_values(connection: pyodbc.Connection) -> None:
    assert connection.execute("select ? as a where ? = 1", "x", 1).fetchval() == "x"
    with pytest.raises(pyodbc.ProgrammingError, match="Incorrect syntax near select"):
        connection.execute("select plan as a from (select ? as [plan]) q", 1)


def test_what_is_described(connection: pyodbc.Connection) -> None:
    with pytest.raises(pyodbc.ProgrammingError, match="Incorrect syntax near select"):
        connection.execute("exec sys.sp_describe_first_result_set N'select plan as a from (select 1 as [plan]) q'")
