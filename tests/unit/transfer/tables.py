"""A database in memory, of one table: enough to have new rows taken from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from airflow_azureml_datastores.core.table_store import Load, Loaded, OpenRows, Query, Rows, TableStore
from airflow_azureml_datastores.errors import Unsupported

SCHEMA = pa.schema({"id": pa.int64(), "at": pa.int64()})


class MemoryTables(TableStore):
    """A table of ids and when they were changed last; a query is a list of steps, in JSON."""

    def __init__(self) -> None:
        self.rows: dict[int, int | None] = {}

    @property
    def url(self) -> str:
        return "memory://tables"

    def check(self) -> None:
        pass

    def check_query(self, query: Query) -> None:
        pass

    def table(self, name: str, columns: Sequence[str] = ()) -> Query:
        return Query("[]")

    @contextmanager
    def read(self, query: Query) -> Iterator[Rows]:
        found = pa.Table.from_pylist([{"id": id, "at": at} for id, at in self.rows.items()], SCHEMA)
        for step in json.loads(query.sql):
            found = self._step(found, **step)
        yield Rows(found.schema, iter(found.to_batches()))

    def _step(self, rows: pa.Table, kind: str, low: Any = None, high: Any = None, only: Sequence[str] = ()) -> pa.Table:
        if kind == "count":
            return pa.table({"n": [rows.num_rows]})
        if kind == "none":
            return rows.slice(0, 0)
        held = [at for at in rows["at"].to_pylist() if at is not None]
        if kind == "newest":
            return pa.table({"at": pa.array([max(held)] if held else [], pa.int64())})
        kept = [
            at is not None and (low is None or at > low) and (high is None or at <= high)
            for at in rows["at"].to_pylist()
        ]
        return rows.filter(pa.array(kept, pa.bool_())).select(only or rows.schema.names)

    def has_table(self, name: str) -> bool:
        return True

    def check_write(self, load: Load, schema: pa.Schema) -> None:
        raise Unsupported("this one is only read")

    def write(self, load: Load, rows: OpenRows) -> Loaded:
        raise Unsupported("this one is only read")

    def between(
        self, query: Query, column: str, low: Any = None, high: Any = None, *, only: Sequence[str] = ()
    ) -> Query:
        return _then(query, {"kind": "between", "low": low, "high": high, "only": list(only)})

    def newest(self, query: Query, column: str) -> Query:
        return _then(query, {"kind": "newest"})

    def count(self, query: Query) -> Query:
        return _then(query, {"kind": "count"})

    def none(self, query: Query) -> Query:
        return _then(query, {"kind": "none"})


def _then(query: Query, step: Mapping[str, Any]) -> Query:
    return Query(json.dumps([*json.loads(query.sql), step]))
