"""``python -m benchmarks [blob] [sql] [sql_writing] [postgresql] [mysql] [mssql] [ROUNDS]``: those, or all benchmarks.

Databases narrow the benchmarks of SQL. Three rounds unless said otherwise.
"""

from __future__ import annotations

import sys

from benchmarks import blob, sql, sql_writing
from benchmarks.engines import chosen

BENCHMARKS = {"blob": lambda rounds, engines: blob.run(rounds), "sql": sql.run, "sql_writing": sql_writing.run}

if __name__ == "__main__":
    rounds, engines = chosen([given for given in sys.argv[1:] if given not in BENCHMARKS])
    names = [given for given in sys.argv[1:] if given in BENCHMARKS]
    for name in names or BENCHMARKS:
        BENCHMARKS[name](rounds, engines)
