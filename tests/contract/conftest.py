"""Run each contract test on each rig; where a rig declares a deviation, demand that it still deviates."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_azureml_datastores.core.store import FileStore
from tests.contract.rig import Rig, find_rigs


@pytest.fixture(scope="session", params=[pytest.param(found, id=found.name) for found in find_rigs()])
def rig(request: pytest.FixtureRequest) -> Rig:
    found: type[Rig] = request.param
    return found(request)


@pytest.fixture
def store(rig: Rig) -> Iterator[FileStore]:
    with rig.new_store() as opened:
        yield opened


@pytest.fixture(autouse=True)
def _declared_deviation(request: pytest.FixtureRequest) -> None:
    if "rig" not in request.fixturenames:
        return
    deviations = request.getfixturevalue("rig").deviations
    for key in (contract_name(request.node), request.node.originalname):
        if key in deviations:
            request.applymarker(pytest.mark.xfail(reason=deviations[key], strict=True))


def contract_name(item: pytest.Function) -> str:
    """A test's name with the ids of its cases but without the rig's: as rigs write it in ``deviations``."""
    rig_id = item.callspec.params["rig"].name
    cases = item.callspec.id.replace(rig_id, "", 1).strip("-")
    return f"{item.originalname}[{cases}]" if cases else item.originalname
