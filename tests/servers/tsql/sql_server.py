"""A database of SQL Server, whoever plays it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

SQL_SERVER_IMAGE = "mcr.microsoft.com/mssql/server:2022-latest"


def microsoft_driver() -> str:
    """Path of Microsoft's ODBC driver, which comes as a wheel."""
    import mssql_python_odbc

    (found,) = Path(mssql_python_odbc.__file__).parent.glob("libs/linux/debian_ubuntu/x86_64/lib/libmsodbcsql-18*.so*")
    return str(found)


def lacks_driver() -> str | None:
    """Why Microsoft's driver does not work here, with which the stand-in is set up; None if it does."""
    try:
        ctypes.CDLL(microsoft_driver())
    except (ImportError, OSError, ValueError) as error:
        return f"Microsoft's ODBC driver cannot be loaded: {error}"
    return None


def _braced(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}"


@dataclass
class SqlServer:
    """:param ca: file with the authority that signed its certificate; None if clients need none, or there is no TLS.
    :param login: user name and password of one who may do everything.
    """

    host: str
    port: int
    database: str
    login: tuple[str, str]
    ca: Path | None = None
    encrypted: bool = True
    _connection: Any = field(default=None, repr=False)

    def odbc(self, *, user: str | None = None, password: str | None = None, **more: str) -> str:
        """Connection string for Microsoft's driver. Of ``more`` what is empty is left out."""
        parts = {
            "DRIVER": microsoft_driver(),
            "SERVER": f"{self.host},{self.port}",
            "DATABASE": self.database,
            "UID": self.login[0] if user is None else user,
            "PWD": self.login[1] if password is None else password,
            "Encrypt": "yes" if self.encrypted else "no",
            "TrustServerCertificate": "yes",
        }
        return "".join(f"{name}={_braced(value)};" for name, value in (parts | more).items() if value)

    def execute(self, sql: str, *values: object) -> list[Any]:
        """Run it as the administrator, each statement for itself; gives the rows of its last result."""
        import pyodbc

        if self._connection is None:
            self._connection = pyodbc.connect(self.odbc(), autocommit=True)
        with self._connection.cursor() as cursor:
            cursor.execute(sql, *values)
            rows: list[Any] = []
            while True:
                if cursor.description:
                    rows = cursor.fetchall()
                if not cursor.nextset():
                    return rows

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def named_sql_server(url: str) -> SqlServer:
    """``mssql://user:password@host:1433/database``; its certificate is not looked at."""
    parts = urlsplit(url)
    login = (unquote(parts.username or ""), unquote(parts.password or ""))
    return SqlServer(parts.hostname or "", parts.port or 1433, parts.path.strip("/"), login)


@contextmanager
def microsoft_sql_server() -> Iterator[SqlServer]:
    """Microsoft's own, in a container. Taking its image is taking its licence: MSSQL_ACCEPT_EULA=Y says so."""
    from testcontainers.community.mssql import SqlServerContainer

    from tests.servers import NoServer

    if os.environ.get("MSSQL_ACCEPT_EULA", "").upper() != "Y":
        raise NoServer("MSSQL_ACCEPT_EULA=Y is not set, which Microsoft wants for the container")
    with SqlServerContainer(SQL_SERVER_IMAGE) as container:
        host, port = container.get_container_host_ip(), int(container.get_exposed_port(container.port))
        server = SqlServer(host, port, "master", (container.username, container.password))
        server.execute("CREATE DATABASE shop COLLATE SQL_Latin1_General_CP1_CI_AS")
        server.execute("ALTER DATABASE shop SET READ_COMMITTED_SNAPSHOT ON")
        server.execute("ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION ON")
        server.close()
        server = SqlServer(host, port, "shop", server.login)
        yield server
        server.close()
