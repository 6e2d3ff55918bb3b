"""What a datastore type gives the contract suite: a way to make empty stores, and where it departs from the contract.

A rig is a class in a module ``tests/contract/rigs_<type>.py`` that lists it in ``RIGS``. The suite builds it once per
session and runs every contract test on it. A new datastore type needs nothing else here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol

import pytest

from airflow_azureml_datastores.core.store import FileStore

MISSING = "no-such-container"
"""The name that ``missing_store`` uses: messages about it have to show it."""


class Rig(Protocol):
    """A kind of store under test. Built with a session-scoped ``request``, so that it can ask for ``servers``."""

    name: ClassVar[str]
    """Shown in the tests' ids."""
    type: ClassVar[str]
    """The datastore type (a key of ``stores.LOCATIONS``) that this rig stands for."""
    deviations: ClassVar[Mapping[str, str]]
    """Contract test -> why this store fails it. A key is a test's name, with the case's id in brackets if it is for one
    case only (``"test_odd_name[NUL]"``). A deviation whose test passes is an error."""
    clock_tolerance: ClassVar[timedelta]
    """How far the store's clock, as ``modified`` shows it, may be from ours (its granularity included)."""
    live: ClassVar[str]
    """The environment variable by which a real service is named (``tests/servers/fixtures.py``); "" if none is."""
    crowd: ClassVar[int]
    """How many objects the tests of big listings make: more than a page holds, if it holds less than many thousands."""
    secrets: Sequence[str]
    """Texts that must appear in no URL, representation or message."""

    def __init__(self, request: pytest.FixtureRequest) -> None: ...

    def new_store(self) -> AbstractContextManager[FileStore]:
        """A fresh, empty store that shares nothing with any other; gone afterwards."""
        ...

    def missing_store(self) -> AbstractContextManager[FileStore]:
        """A store on a container (share, folder) named MISSING that does not exist."""
        ...

    def absent_store(self) -> AbstractContextManager[FileStore]:
        """A store on a container (share, folder) that does not exist, under a name of its own; gone afterwards, if it
        was made. Not called where ``create_if_missing`` is Unsupported."""
        ...


def find_rigs() -> list[type[Rig]]:
    """Every rig of every ``rigs_*.py`` beside this file."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("rigs_*.py"))
    return [rig for module in modules for rig in import_module(f"tests.contract.{module}").RIGS]
