"""What a type of database gives the contract suite of tables: a database to read, and statements to fill it.

A rig is a class in a module ``tests/contract/tables/rigs_<type>.py`` that lists it in ``RIGS``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pytest

from airflow_azureml_datastores.core.credentials import Login
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.table_store import TableStore
from airflow_azureml_datastores.errors import DatastoresError


class TableRig(Protocol):
    """A kind of database under test. Built with a session-scoped ``request``."""

    name: ClassVar[str]
    """Shown in the tests' ids."""
    type: ClassVar[str]
    """The datastore type (a key of ``stores.LOCATIONS``) that this rig stands for."""
    values: ClassVar[Sequence[tuple[str, str, Any]]]
    """Expressions of the database's dialect, the Arrow type they come as, and the value."""
    stored: ClassVar[Sequence[tuple[str, str, Any]]]
    """Types of columns, the Arrow type of data that is brought there, and a value; it comes back as it is."""
    misfits: ClassVar[Sequence[tuple[str, str, Any, str]]]
    """Types of columns, the Arrow type of data, a value that does not fit, and what the message says of it."""
    integers: ClassVar[str]
    """A query of the whole numbers from 1 to ``{}``, as ``n``."""
    numbers: ClassVar[str]
    """A query of ``?`` rows: ``id`` (int64) from 1, in order, ``name`` ("name 1"), and ``f`` (double), id by 1.5."""
    failing: ClassVar[tuple[str, str]]
    """An expression over ``n`` that fails where it is 200,000, and a part of what the database says then."""
    ranges: ClassVar[Sequence[tuple[str, Sequence[str]]]]
    """Types of columns whose ranges can be read side by side, and values of them; none if that cannot be done."""
    waiting: ClassVar[str]
    """An expression that takes a minute, where there are ``ranges``."""
    unfit_names: ClassVar[Collection[str]]
    """Names that the database itself has no tables of."""
    comments: ClassVar[Sequence[str]]
    """What is a comment in its dialect only."""
    without_database: ClassVar[type[DatastoresError]]
    """What it is if there is no such database."""
    _location: Location
    _login: Login
    password: str
    """A text that must appear in no URL, representation or message."""

    def __init__(self, request: pytest.FixtureRequest) -> None: ...

    def open(self, **changes: Any) -> TableStore:
        """The database, with changes to its location's fields."""
        ...

    def schema(self) -> AbstractContextManager[str]:
        """An empty schema of its own, gone afterwards."""
        ...

    def execute(self, sql: str, *values: Any) -> None:
        """Run and commit a statement."""
        ...

    def fill(self, schema: str, value: str) -> None:
        """Make a table ``t`` of two rows: ``o`` is 1 and 2, and ``x`` is one of ``values`` and NULL."""
        ...

    def count(self, schema: str, numbers: int) -> None:
        """Make a table ``t`` with the whole numbers from 1 as ``n``."""
        ...

    @property
    def quotes(self) -> Mapping[str, str]:
        """``open`` and ``close`` of a quoted name."""
        ...


def find_rigs() -> list[type[TableRig]]:
    """Every rig of every ``rigs_*.py`` beside this file."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("rigs_*.py"))
    return [rig for module in modules for rig in import_module(f"tests.contract.tables.{module}").RIGS]


def cases(kind: str) -> list[Any]:
    """Every case of a kind (``values``, ``stored`` or ``misfits``) of every rig, for ``("table_rig", "case")``.

    By number: pytest keeps a parameter of the session that is equal to the last one, as 1 is to True.
    """
    return [
        pytest.param(rig, number, id=f"{rig.name}-{case[0][:40]}-{case[1]}-{number}")
        for rig in find_rigs()
        for number, case in enumerate(getattr(rig, kind))
    ]
