"""``python -m benchmarks [ROUNDS]``: all benchmarks, three rounds unless said otherwise."""

from __future__ import annotations

import sys

from benchmarks import blob

if __name__ == "__main__":
    blob.run(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
