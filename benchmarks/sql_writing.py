"""Parquet into a table of a database: this provider beside what people use otherwise, in one run.

``python -m benchmarks.sql_writing [postgresql] [mysql] [mssql] [ROUNDS]``; peers and servers as in
:mod:`benchmarks.sql`. The slow ones load a twentieth of the rows, and their times count twenty times.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.engines import TABLE, Engine, chosen, each_engine, execute, installed
from benchmarks.measure import Figures, measure, show
from benchmarks.sql_writing_clients import CLIENTS, NEEDS, SLOW

SHARE = 20


def run(rounds: int, engines: list[str]) -> None:
    """Time each client, in turns, and print a table for each engine."""
    for name, engine, url in each_engine(engines):
        clients = installed(CLIENTS[name], NEEDS)
        figures: dict[str, list[Figures]] = {client: [] for client in clients}
        with tempfile.TemporaryDirectory() as folder:
            files = {share: engine.file(Path(folder), engine.rows // share) for share in (1, SHARE)}
            for _ in range(rounds):
                for client in clients:
                    share = SHARE if client in SLOW else 1
                    found = _time(client, engine, url, files[share], engine.rows // share)
                    figures[client].append(replace(found, wall=found.wall * share, cpu=found.cpu * share))
        show(f"Parquet of {engine.rows:,} rows x 10 columns into {engine.title}", figures)


def _time(client: str, engine: Engine, url: str, file: Path, count: int) -> Figures:
    engine.create(url)
    found = measure([sys.executable, "-m", "benchmarks.sql_writing_clients", client, url, str(file)], client)
    there = execute(url, f"select count(*), sum(id), sum(score) from {TABLE}")
    if there != [(count, count * (count + 1) // 2, count * (count + 1) // 2 * 1.25)]:
        raise SystemExit(f"{client} loaded {there}.")
    return found


if __name__ == "__main__":
    run(*chosen(sys.argv[1:]))
