"""Tells which heavy modules each of some modules brings along, as a program of its own.

Reads ``{"before": [module, …], "modules": [module, …]}`` from standard input and writes
``{module: [heavy module, …]}``, or the traceback of an import that failed in place of the list's content.
The modules of ``before`` are imported once; each of the others then gets a fresh process that starts from there.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
import traceback

HEAVY = (
    "airflow",
    "azure",
    "databricks",
    "duckdb",
    "numpy",
    "obstore",
    "pandas",
    "psycopg",
    "pyarrow",
    "pymysql",
    "pyodbc",
    "sqlalchemy",
)


def brought_by(module: str) -> list[str]:
    before = set(sys.modules)
    try:
        importlib.import_module(module)
    except (ImportError, SyntaxError):
        return [traceback.format_exc()]
    return sorted(name for name in set(sys.modules) - before if name.partition(".")[0] in HEAVY)


def main() -> None:
    task = json.load(sys.stdin)
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what imports print must not get between
    for module in task["before"]:
        importlib.import_module(module)
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        found = pool.map(brought_by, task["modules"], chunksize=1)
    json.dump(dict(zip(task["modules"], found, strict=True)), answer)
    answer.close()


if __name__ == "__main__":
    main()
