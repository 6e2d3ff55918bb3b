"""A stand-in for SQL Server, as Azure SQL Database is one: TDS 7.4 in front of PostgreSQL.

Clients log in as they would there, and a subset of T-SQL is run with real transactions and locks. What it does not
know it refuses, with the error ``REFUSED``; what SQL Server's own parser does not take, with that one's.
"""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.servers import NoServer
from tests.servers.tsql.errors import REFUSED
from tests.servers.tsql.script_dom import install, lacks_script_dom
from tests.servers.tsql.sql_server import (
    SqlServer,
    lacks_driver,
    microsoft_driver,
    microsoft_sql_server,
    named_sql_server,
)

__all__ = [
    "REFUSED",
    "SqlServer",
    "TSql",
    "lacks_driver",
    "microsoft_driver",
    "microsoft_sql_server",
    "named_sql_server",
    "run_tsql",
]


@dataclass
class TSql(SqlServer):
    """The stand-in, at ``localhost``, which is the name in its certificate."""

    control: Connection = field(kw_only=True, repr=False)
    pid: int = field(kw_only=True)

    def memory(self) -> int:
        """How many bytes its process holds."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def fault(
        self, matching: str, *, number: int = 40501, drop: bool = False, when: str = "before", times: int = 1
    ) -> None:
        """What happens to the next requests of which the text matches.

        :param matching: regular expression. Requests of a driver's transaction are called ``BEGIN TRANSACTION`` and so
            on, a login ``LOGIN``.
        :param number: they fail with this error,
        :param drop: or their connection is dropped,
        :param when: ``before`` they do anything, or ``after`` they have done it.
        """
        given = {"matching": matching, "number": number, "drop": drop, "when": when, "times": times}
        self._ask("fault", given)

    @property
    def faults(self) -> int:
        """How many are still to come."""
        return int(self._ask("faults"))

    def forget(self) -> None:
        """Forget faults and statements."""
        self._ask("forget")

    @property
    def statements(self) -> list[str]:
        """The text of each request so far."""
        found: list[str] = self._ask("statements")
        return found

    @property
    def logins(self) -> list[dict[str, Any]]:
        """Each attempt so far: user, database, application, read_only, token, accepted, encrypted."""
        found: list[dict[str, Any]] = self._ask("logins")
        return found

    def account(self, user: str, password: str | None, *, may_write: bool = True) -> None:
        """Let someone in. One who may not write has SELECT, and temporary tables."""
        self._ask("account", {"user": user, "password": password, "may_write": may_write})

    def token(self, token: str, user: str) -> None:
        """Let a user in by an access token."""
        self._ask("token", {"token": token, "user": user})

    def revoke(self, token: str) -> None:
        self._ask("revoke", {"token": token})

    def _ask(self, command: str, given: dict[str, Any] | None = None) -> Any:
        self.control.send((command, given or {}))
        return self.control.recv()


@contextmanager
def run_tsql(database: str = "shop", *, encrypted: bool = True) -> Iterator[TSql]:
    """Run it on a free loopback port, in a process of its own: drivers may hold this one's interpreter."""
    from sqlalchemy import make_url

    from tests.servers.postgres import run_postgres
    from tests.servers.tsql.server import Account, Settings, run

    login = ("admin", "Pa;ss {w}ord 'ä'")
    context = multiprocessing.get_context("spawn")
    with TemporaryDirectory(prefix="tsql-") as folder, run_postgres() as url:
        socket = str(make_url(url).query["host"])
        ca, own = _certificate(folder) if encrypted else (None, "")
        _prepare(socket, database)
        conninfo = f"host={socket} user=postgres dbname=tsql"
        settings = Settings(conninfo, database, own, {login[0]: Account(login[1])}, {}, _grammar())
        control, others = context.Pipe()
        process = context.Process(target=run, args=(others, settings), daemon=True)
        process.start()
        try:
            assert control.poll(60)
            server = TSql(
                "localhost", control.recv(), database, login, ca, encrypted, control=control, pid=int(process.pid or 0)
            )
            yield server
            server.close()
        finally:
            process.kill()
            process.join()


def _grammar() -> Path | None:
    """Where ScriptDom is; with a warning that there is none if it cannot be had."""
    try:
        return None if lacks_script_dom() else install()
    except NoServer as error:
        warnings.warn(f"statements are not checked by SQL Server's own parser: {error}", stacklevel=1)
        return None


def _certificate(folder: str) -> tuple[Path, str]:
    import trustme

    authority = trustme.CA()
    ca, own = Path(folder, "ca.pem"), Path(folder, "server.pem")
    authority.cert_pem.write_to_path(str(ca))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(own))
    return ca, str(own)


def _prepare(socket: str, database: str) -> None:
    """Make the database, with the types and functions of SQL Server in it."""
    import psycopg

    from tests.servers.tsql.conversions import conversions
    from tests.servers.tsql.functions import DEFINITIONS
    from tests.servers.tsql.prelude import prelude
    from tests.servers.tsql.views import views

    with psycopg.connect(host=socket, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute(
            "create database tsql template template0 encoding 'UTF8' locale_provider builtin builtin_locale 'C.UTF-8'"
        )
        connection.execute("alter system set deadlock_timeout = '200ms'")
        connection.execute("select pg_reload_conf()")
    with psycopg.connect(host=socket, user="postgres", dbname="tsql", autocommit=True) as connection:
        for sql in (prelude(), conversions(), "set search_path = t, pg_catalog;" + DEFINITIONS, views(database)):
            result = connection.pgconn.exec_(sql.encode())
            if result.error_message:
                raise RuntimeError(result.error_message.decode())
