"""DuckDB as a client that reads other databases' rows straight into Arrow. Its extensions come as wheels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_azureml_datastores.errors import MissingExtra

if TYPE_CHECKING:
    import duckdb

_MEMORY = "192MB"
"""What it may use, whatever the size of what is read."""

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": "1",
    "memory_limit": _MEMORY,
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",
}


def check_installed(kind: str, extra: str) -> None:
    """:raises MissingExtra: DuckDB, its extension for a kind of database, or pyarrow is not there."""
    if not all(map(find_spec, ("duckdb", f"duckdb_extension_{kind}_scanner", "pyarrow"))):
        raise MissingExtra(f"reading from {kind}", extra)


@contextmanager
def attached(kind: str, parameters: Mapping[str, str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB in memory, with one database attached as ``db``, which it can only read. It connects when it is used.

    :param kind: ``postgres`` or ``mysql``.
    :param parameters: what the database's own clients connect with.
    :raises duckdb.Error: with the parameters in its text: see :func:`told`.
    """
    import duckdb

    extension = _extension(kind)
    with duckdb.connect(config=_SETTINGS | _verified(extension)) as db:
        db.execute("set TimeZone = 'UTC'")
        db.execute(f"load {_literal(extension)}")
        conninfo = " ".join(f"{name}={_conninfo_value(value)}" for name, value in parameters.items())
        db.execute(f"attach {_literal(conninfo)} as db (type {kind}, read_only)")
        try:
            yield db
        finally:
            with suppress(duckdb.Error):  # closed in a transaction whose connection is lost, it ends the whole process
                db.execute("rollback")


def told(error: Exception, parameters: Mapping[str, str]) -> str:
    """What an error says, without what was connected with, and what DuckDB makes of a query."""
    text = re.sub(r' at "(?:[^"\\]|\\.)*"', "", str(error))
    text = re.sub(r"^(\w+ )*Error: ", "", text)
    text = re.sub(r"^.*(?=ERROR: )|\n\s*LINE \d+: .*", "", text, flags=re.DOTALL)
    password = parameters.get("password")
    return " ".join((text.replace(password, "***") if password else text).split())


def _extension(kind: str) -> str:
    import duckdb

    name = f"{kind}_scanner"
    package = find_spec(f"duckdb_extension_{name}")
    assert package is not None
    assert package.submodule_search_locations is not None
    folder = Path(next(iter(package.submodule_search_locations)), "extensions")
    path = folder / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not path.exists():
        versions = ", ".join(sorted(found.name for found in folder.iterdir()))
        raise MissingExtra(f"reading from {kind} (DuckDB is v{duckdb.__version__}, its extension {versions})", kind)
    return str(path)


@cache
def _verified(extension: str) -> dict[str, bool]:
    """Settings to load an extension with whose signature has been verified.

    That takes a processor a sixth of a second, ten times as long as all else: once in a process is enough.

    :raises duckdb.Error: the signature is not DuckDB's.
    """
    import duckdb

    with duckdb.connect(config=_SETTINGS) as db:
        db.execute(f"load {_literal(extension)}")
    return {"allow_unsigned_extensions": True}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _conninfo_value(text: str) -> str:
    return "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"
