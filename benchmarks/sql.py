"""Rows of a database into Parquet: this provider beside what people use otherwise, in one run.

``python -m benchmarks.sql [postgresql] [mysql] [mssql] [ROUNDS]``; the peers are those of the dependency group
``bench``. One that is not installed is left out, and said to be.

SQL Server is $TEST_MSSQL_URL, or else the tests' stand-in: that is Python, and takes most of the seconds, so what
counts there is the client's CPU. MySQL is $TEST_MYSQL_URL, or MariaDB.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.engines import TABLE, Engine, chosen, each_engine, execute, installed
from benchmarks.measure import Figures, measure, show
from benchmarks.sql_clients import CLIENTS, NEEDS, SEVERAL

PLAIN = f"select * from {TABLE}"
DIGEST = "token"
for _ in range(8):
    DIGEST = f"md5({DIGEST})"
COSTLY = f"select *, {DIGEST} as digest, regexp_replace(name, '([a-z]+) (\\d+)', '\\2 \\1') as turned from {TABLE}"
"""What costs PostgreSQL much for each row."""


def run(rounds: int, engines: list[str]) -> None:
    """Time each client, in turns, and print a table for each engine and query."""
    for name, engine, url in each_engine(engines):
        _fill(engine, url)
        works = [("10 columns", PLAIN, installed(CLIENTS[name], NEEDS))]
        if SEVERAL.keys() <= CLIENTS[name].keys():
            works.append(("what costs the server much", COSTLY, ["ours", *SEVERAL]))
        for what, query, clients in works:
            figures: dict[str, list[Figures]] = {client: [] for client in clients}
            for _ in range(rounds):
                for client in clients:
                    figures[client].append(_time(client, url, query, engine.rows))
            show(f"{engine.rows:,} rows x {what} of {engine.title} into Parquet", figures)


def _fill(engine: Engine, url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine.create(url)
        file = engine.file(Path(folder), engine.rows)
        measure([sys.executable, "-m", "benchmarks.sql_writing_clients", "ours", url, str(file)], "ours")
    if engine.settle:
        execute(url, engine.settle)


def _time(client: str, url: str, query: str, rows: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        found = measure([sys.executable, "-m", "benchmarks.sql_clients", client, url, query, folder], client)
        _check(client, Path(folder), rows)
    return found


def _check(client: str, folder: Path, wanted: int) -> None:
    """In a process of its own, so that this one stays small. :raises SystemExit: rows are missing."""
    script = "import sys, pyarrow.parquet as pq; print(sum(pq.read_metadata(path).num_rows for path in sys.argv[1:]))"
    paths = [str(path) for path in folder.rglob("*.parquet")]
    rows = int(subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True).stdout)
    if rows != wanted:
        raise SystemExit(f"{client} delivered {rows} rows.")


if __name__ == "__main__":
    run(*chosen(sys.argv[1:]))
