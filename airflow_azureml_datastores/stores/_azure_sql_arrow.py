"""Reading SQL Server in columns: mssql-python brings them as Arrow's, by Microsoft's driver that comes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.stores import _odbc
from airflow_azureml_datastores.stores._azure_sql_login import AzureSqlLogin
from airflow_azureml_datastores.stores._azure_sql_types import ResultColumn
from airflow_azureml_datastores.stores._odbc import Driver, OdbcServer
from airflow_azureml_datastores.stores._sql_text import quoted

if TYPE_CHECKING:
    import pyarrow as pa

Fetch = Callable[[int], "pa.RecordBatch"]
"""Gives the next rows, as many if there are; none at the end."""
Bound = tuple[str, list[Any]]
"""A statement with ``?``, and its values."""

_OF_DATA, _LOST = "22000", "08S01"
"""States of ODBC."""


def can_read(server: OdbcServer, driver: Driver) -> bool:
    """Whether it may: it knows no driver but its own, so not if the user names one."""
    return driver.microsoft and server.driver is None and find_spec("mssql_python") is not None


def digits(columns: Sequence[ResultColumn]) -> list[str]:
    """Expressions of what it cuts off, of rows called ``q``: a time's nanoseconds beyond the microsecond.

    They have to follow the query's own columns.
    """
    names = [quoted(column.name, "[]") for column in columns if _is_cut(column)]
    return [f"datepart(nanosecond, q.{name}) % 1000 as digits_{number}" for number, name in enumerate(names)]


def _is_cut(column: ResultColumn) -> bool:
    return column.declared.name in ("datetime2", "datetimeoffset") and column.declared.scale > 6


@contextmanager
def opened(
    server: OdbcServer, login: AzureSqlLogin, columns: Sequence[ResultColumn], isolation: str, bound: Bound
) -> Iterator[Fetch]:
    """Run a statement; what is yielded gives its next rows, as many as are asked for.

    :param columns: those of the query; those of ``digits`` follow them.
    :raises pyodbc.Error: whatever mssql-python raises.
    """
    import pyarrow as pa

    names = [column.name for column in columns]
    cut = [number for number, column in enumerate(columns) if _is_cut(column)]
    with _as_pyodbc(), closing(_connect(server, login)) as connection:
        cursor = connection.cursor()
        cursor.execute(f"set transaction isolation level {isolation}")
        connection.autocommit = False
        cursor.execute(*bound)

        def fetch(count: int) -> pa.RecordBatch:
            found = cursor.arrow_batch(count)
            rest = dict(zip(cut, found.columns[len(columns) :], strict=True))
            arrays = [column.fitted(found.column(n), rest.get(n)) for n, column in enumerate(columns)]
            if found.num_rows < count:
                _odbc.check_ended(cursor)
            return pa.RecordBatch.from_arrays(arrays, names)

        yield fetch


def _connect(server: OdbcServer, login: AzureSqlLogin) -> Any:
    import mssql_python
    from mssql_python.pooling import PoolingManager

    if not PoolingManager.is_initialized():  # the user has not asked for it, so nothing stays logged in
        mssql_python.pooling(enabled=False)
    options: dict[str, Any] = {
        **login.values(),
        "SERVER": f"{server.host},{server.port}",
        "DATABASE": server.database,
        "ENCRYPT": "yes",
        "TRUSTSERVERCERTIFICATE": "no" if server.enforce_ssl else "yes",
        "APPLICATIONINTENT": "ReadOnly",
        "CONNECTRETRYCOUNT": "0",
    }
    attributes = _odbc.attributes(login.token())
    return mssql_python.connect(autocommit=True, timeout=_odbc.CONNECTING, attrs_before=attributes, **options)


@contextmanager
def _as_pyodbc() -> Iterator[None]:
    """Its errors as pyodbc's, so that there is one kind of them.

    It tells no numbers of SQL Server, so what is no error of the data may be a transient one, and is taken for it.
    """
    import pyodbc
    from mssql_python import exceptions

    try:
        yield
    except exceptions.Exception as error:
        state = _OF_DATA if isinstance(error, exceptions.DataError) else _LOST
        raise pyodbc.Error(state, error.ddbc_error or error.driver_error) from None
    except RuntimeError as error:  # of its part in C++
        raise pyodbc.Error(_OF_DATA, str(error)) from None
