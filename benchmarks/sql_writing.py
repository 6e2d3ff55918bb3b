"""Parquet into a table of PostgreSQL: this provider beside ADBC, pandas and Airflow's own, in one run.

``python -m benchmarks.sql_writing [ROUNDS]``; the peers are those of the dependency group ``bench``. The slow ones load
a twentieth of the rows, and their times count twenty times.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from benchmarks.measure import Figures, measure, show
from benchmarks.sql import ROWS, TABLE
from benchmarks.sql_writing_clients import CLIENTS, SLOW
from tests.servers.postgres import run_postgres

SHARE = 20
MODULES = {"ADBC ingest": "adbc_driver_postgresql"}


def run(rounds: int) -> None:
    """Time each client, in turns, and print a table."""
    clients = [name for name in CLIENTS if name not in MODULES or find_spec(MODULES[name])]
    for name in CLIENTS.keys() - set(clients):
        print(f"{name} is not installed, and left out")
    with run_postgres() as url, tempfile.TemporaryDirectory() as folder:
        host = str(make_url(url).query["host"])
        files = {count: _file(Path(folder), host, count) for count in (ROWS, ROWS // SHARE)}
        figures: dict[str, list[Figures]] = {name: [] for name in clients}
        for _ in range(rounds):
            for name in clients:
                figures[name].append(_time(name, host, files))
    show(f"Parquet of {ROWS:,} rows x 10 columns into PostgreSQL", figures)


def _file(folder: Path, host: str, count: int) -> Path:
    """The rows as the reader makes them of the table that it is measured with."""
    with psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute("drop table if exists bench")
        connection.execute(TABLE.replace(str(ROWS), str(count)))  # type: ignore[arg-type]
        made = folder / str(count)
        made.mkdir()
        command = [sys.executable, "-m", "benchmarks.sql_clients", "ours", host, "select * from bench", str(made)]
        measure(command, "ours")
        connection.execute("drop table bench")
    (file,) = (made / "x").glob("*.parquet")
    return file


def _time(client: str, host: str, files: dict[int, Path]) -> Figures:
    share = SHARE if client in SLOW else 1
    count = ROWS // share
    with psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute("drop schema if exists bench cascade")
        connection.execute("create schema bench")
        connection.execute(
            "create table bench.scores (id int8, region int4, score float8, amount numeric(12, 2), name text, "
            "token text, active bool, since date, seen timestamptz, rating int4)"
        )
        found = measure(
            [sys.executable, "-m", "benchmarks.sql_writing_clients", client, host, str(files[count])], client
        )
        there = connection.execute("select count(*), sum(id), sum(score) from bench.scores").fetchone()
    if there != (count, count * (count + 1) // 2, count * (count + 1) // 2 * 1.25):
        raise SystemExit(f"{client} loaded {there}.")
    return replace(found, wall=found.wall * share, cpu=found.cpu * share)


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
