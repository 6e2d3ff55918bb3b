"""``python -m benchmarks [ROUNDS]``: all benchmarks, three rounds unless said otherwise."""

from __future__ import annotations

import sys

from benchmarks import blob, sql, sql_writing

if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    blob.run(rounds)
    sql.run(rounds)
    sql_writing.run(rounds)
