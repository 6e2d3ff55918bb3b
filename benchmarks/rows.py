"""``python -m benchmarks.rows FILE COUNT [zone]``: the rows of the benchmarks of SQL, as a Parquet file."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def rows(first: int, end: int, zone: str | None) -> pa.Table:
    """:param zone: of the times, if they have one."""
    n = np.arange(first, end, dtype=np.int64)
    ids = pa.array(n)
    return pa.table(
        {
            "id": ids,
            "region": pa.array((n % 1000).astype(np.int32)),
            "score": pa.array(n * 1.25),
            "amount": _cents(n),
            "name": pc.binary_join_element_wise("customer", ids.cast(pa.string()), " "),
            "token": pa.array([hashlib.md5(b"%d" % each).hexdigest() for each in n.tolist()]),
            "active": pa.array(n % 3 == 0),
            "since": pa.array(np.datetime64("2000-01-01") + n % 9000),
            "seen": pa.array(np.datetime64("2026-01-01", "us") + n * 1_000_000).cast(pa.timestamp("us", zone)),
            "rating": pa.array((n % 77).astype(np.int32), mask=n % 5 == 0),
        }
    )


def _cents(n: Any) -> pa.Array:
    wide = np.stack([n, np.zeros_like(n)], axis=1)
    return pa.Array.from_buffers(pa.decimal128(12, 2), len(n), [None, pa.py_buffer(np.ascontiguousarray(wide))])


if __name__ == "__main__":
    file, count, zone = sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["zone"]
    writer = None
    for first in range(1, count + 1, 100_000):
        made = rows(first, min(first + 100_000, count + 1), "UTC" if zone else None)
        writer = writer or pq.ParquetWriter(file, made.schema)
        writer.write_table(made)
    assert writer is not None
    writer.close()
    print("seconds", 0, 0)
