"""How to get into a MySQL server."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.errors import (
    AccessDenied,
    ContainerNotFound,
    DatastoresError,
    InvalidInput,
    Unavailable,
)
from airflow_azureml_datastores.stores._database_login import CONNECTING, RoleLogin

if TYPE_CHECKING:
    import pymysql


class MySqlLogin(RoleLogin):
    """Connects to the server."""

    @contextmanager
    def connected(self, *, loads: bool = False) -> Iterator[pymysql.Connection[Any]]:
        """A connection, closed afterwards, whatever is on its way there. Errors are as of :meth:`translated`.

        :param loads: whether the server may be sent rows as a file; PyMySQL itself sends none in any case.
        """
        import pymysql
        from pymysql.constants import CLIENT

        with self.translated():
            flags = CLIENT.LOCAL_FILES if loads else 0
            connection: Any = pymysql.connect(**self._parameters(), client_flag=flags)
            try:
                yield connection
            finally:
                connection._force_close()  # as close() would first take all rows

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Make errors of PyMySQL those of this package.

        :raises AccessDenied, ContainerNotFound, Unavailable: as a store says.
        :raises InvalidInput: all others.
        """
        import pymysql

        try:
            yield
        except pymysql.Error as error:
            raise _translated(error, self._server.url) from None

    def _parameters(self) -> dict[str, Any]:
        """https://pymysql.readthedocs.io/en/latest/modules/connections.html"""
        server = self._server
        found: dict[str, Any] = {
            "host": server.host,
            "port": server.port,
            "database": server.database,
            "user": self.user,
            "password": self.password().encode(),  # of a text it would take latin1
            "connect_timeout": CONNECTING,
            "charset": "utf8mb4",
            "autocommit": True,
            "program_name": "airflow-azureml-datastores",
        }
        if server.host.startswith("/"):
            found |= {"host": None, "unix_socket": server.host}
        elif server.enforce_ssl:
            found["ssl"] = self._verifying()
        return found

    def _verifying(self) -> ssl.SSLContext:
        authorities = self.authorities()
        try:
            return ssl.create_default_context(cafile=authorities)
        except OSError as error:
            raise InvalidInput(f"the root_certificate {authorities!r} cannot be read: {error}.") from None


# https://dev.mysql.com/doc/mysql-errors/8.4/en/ and https://mariadb.com/kb/en/mariadb-error-code-reference/
_MEANING: dict[int, type[DatastoresError]] = {
    1049: ContainerNotFound,
    # a database, a table, a column, a routine; a host; a kind of login; TLS; an account that is locked or expired
    **dict.fromkeys((1044, 1045, 1095, 1130, 1142, 1143, 1227, 1251, 1370, 1698, 2026, 2059), AccessDenied),
    **dict.fromkeys((1820, 1862, 3118, 3159, 4151), AccessDenied),
    # too many connections, shutting down, broken off, killed, waited for too long, limits of a user
    **dict.fromkeys((1040, 1053, 1152, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1317, 1927), Unavailable),
    **dict.fromkeys((2002, 2003, 2006, 2013), Unavailable),
}
_READ_ONLY = 1792
"""Something would be changed, if not by this transaction's being read-only."""


def _translated(error: pymysql.Error, url: str) -> DatastoresError:
    number, said = error.args if len(error.args) == 2 else (0, str(error))
    if number == _READ_ONLY:
        return InvalidInput("the query gives no rows, or changes some: it has to be a SELECT, or a WITH … SELECT.")
    kind = _MEANING.get(number, InvalidInput)
    if isinstance(getattr(error, "original_exception", None), ssl.SSLError):
        kind = AccessDenied
    return kind(f"{url}: {said}")
