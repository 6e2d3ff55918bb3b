"""Run each test of this folder on each kind of workspace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_azureml_datastores.core.workspace import Workspace
from tests.contract.workspace.rig import Site, WorkspaceRig, find_rigs


@pytest.fixture(params=[pytest.param(found, id=found.name) for found in find_rigs()])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    rig: WorkspaceRig = request.param(request)
    with rig.new_site() as new:
        yield new


@pytest.fixture
def workspace(site: Site) -> Workspace:
    return site.open()
