"""The suite itself: every declared deviation is about a test that exists."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tests.contract.rig import Rig, find_rigs


def test_rigs_have_different_names() -> None:
    names = [rig.name for rig in find_rigs()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("rig", find_rigs(), ids=lambda rig: rig.name)
def test_deviations_are_about_contract_tests(rig: type[Rig]) -> None:
    tests = {
        name
        for module in Path(__file__).parent.glob("test_file_store_*.py")
        for holder in (import_module(f"tests.contract.{module.stem}"),)
        for scope in (holder, *(found for found in vars(holder).values() if isinstance(found, type)))
        for name in vars(scope)
    }
    assert {key.partition("[")[0] for key in rig.deviations} <= tests
