"""Run each test of this folder on each kind of workspace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_azureml_datastores.core.workspace import Workspace
from tests.contract.workspace.rig import Site, WorkspaceRig, find_rigs


@pytest.fixture(params=[pytest.param(found, id=found.name) for found in find_rigs()])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    found: type[WorkspaceRig] = request.param
    test, case = contract_name(request.node, found.name)
    if test in found.left_out:
        pytest.skip(found.left_out[test])
    for key in (test, case):
        if key in found.deviations:
            request.applymarker(pytest.mark.xfail(reason=found.deviations[key], strict=True))
    with found(request).new_site() as new:
        yield new


@pytest.fixture
def workspace(site: Site) -> Workspace:
    return site.open()


def contract_name(item: pytest.Function, rig: str) -> tuple[str, str]:
    """A test's name, and that with the ids of its cases but without the rig's."""
    cases = item.callspec.id.replace(rig, "", 1).strip("-")
    return item.originalname, f"{item.originalname}[{cases}]"
