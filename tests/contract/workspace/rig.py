"""What a kind of workspace gives the contract suite.

A rig is a class in a module ``tests/contract/workspace/rigs_<kind>.py`` that lists it in ``RIGS``; the suite runs every
test on each. A new kind of workspace needs nothing else here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol

import pytest

from airflow_azureml_datastores.core.datastore import Datastore, Location
from airflow_azureml_datastores.core.workspace import Workspace


class Site(Protocol):
    """A new workspace that nobody has opened yet.

    :ivar names: what is registered there from the start, in the order of lists.
    """

    @property
    def names(self) -> Sequence[str]: ...

    def open(self) -> Workspace:
        """A handle on it; each call gives another one, as another task would have."""
        ...

    def location(self, number: int) -> Location:
        """A location that can be registered there; another one for each number."""
        ...

    def elsewhere(self, datastore: Datastore) -> Location:
        """Another location for a datastore that is there, of the same type."""
        ...


class WorkspaceRig(Protocol):
    """A kind of workspace under test."""

    name: ClassVar[str]
    """Shown in the tests' ids."""
    deviations: ClassVar[Mapping[str, str]]
    """Test, or ``test[case]`` -> why this kind of workspace cannot pass it: it has to fail then."""
    left_out: ClassVar[Mapping[str, str]]
    """Test -> why it is not run on this kind of workspace."""

    def __init__(self, request: pytest.FixtureRequest) -> None: ...

    def new_site(self) -> AbstractContextManager[Site]:
        """A new workspace that shares nothing with any other; gone afterwards."""
        ...


def find_rigs() -> list[type[WorkspaceRig]]:
    """Every rig of every ``rigs_*.py`` beside this file."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("rigs_*.py"))
    return [rig for module in modules for rig in import_module(f"{__package__}.{module}").RIGS]
