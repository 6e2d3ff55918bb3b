"""Rows of PostgreSQL into Parquet: this provider beside connectorx, ADBC and pandas, in one run.

``python -m benchmarks.sql [ROUNDS]``; the peers are those of the dependency group ``bench``. One that is not installed
is left out, and said to be.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from benchmarks.measure import Figures, measure, show
from benchmarks.sql_clients import CLIENTS, OURS
from tests.servers.postgres import run_postgres

ROWS = 2_000_000
TABLE = f"""
create table bench as
select n::int8 as id, (n % 1000)::int4 as region, n * 1.25::float8 as score, (n * 0.01)::numeric(12, 2) as amount,
    'customer ' || n as name, md5(n::text) as token, n % 3 = 0 as active, date '2000-01-01' + (n % 9000)::int as since,
    timestamptz '2026-01-01' + n * interval '1 s' as seen, case when n % 5 > 0 then n % 77 end as rating
from generate_series(1, {ROWS}) as n
"""
PLAIN = "select * from bench"
DIGEST = "token"
for _ in range(8):
    DIGEST = f"md5({DIGEST})"
COSTLY = f"select *, {DIGEST} as digest, regexp_replace(name, '([a-z]+) (\\d+)', '\\2 \\1') as turned from bench"
"""What costs the server much for each row."""
MODULES = {"connectorx": "connectorx", "ADBC": "adbc_driver_postgresql", "pandas read_sql": "pandas"}


def run(rounds: int) -> None:
    """Time each client, in turns, and print a table."""
    clients = [name for name in CLIENTS if name not in MODULES or find_spec(MODULES[name])]
    for name in CLIENTS.keys() - set(clients):
        print(f"{name} is not installed, and left out")
    with run_postgres() as url:
        host = str(make_url(url).query["host"])
        with psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(TABLE)  # type: ignore[arg-type]
            connection.execute("alter table bench add primary key (id)")
            connection.execute("vacuum analyze bench")
        for what, query, names in (("10 columns", PLAIN, clients), ("what costs the server much", COSTLY, list(OURS))):
            figures: dict[str, list[Figures]] = {name: [] for name in names}
            for _ in range(rounds):
                for name in names:
                    figures[name].append(_time(name, host, query))
            show(f"{ROWS:,} rows x {what} of PostgreSQL into Parquet", figures)


def _time(client: str, host: str, query: str) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.sql_clients", client, host, query, folder]
        found = measure(command, client)
        _check(client, Path(folder))
    return found


def _check(client: str, folder: Path) -> None:
    """In a process of its own, so that this one stays small. :raises SystemExit: rows are missing."""
    script = "import sys, pyarrow.parquet as pq; print(sum(pq.read_metadata(path).num_rows for path in sys.argv[1:]))"
    paths = [str(path) for path in folder.rglob("*.parquet")]
    rows = int(subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True).stdout)
    if rows != ROWS:
        raise SystemExit(f"{client} delivered {rows} rows.")


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
