"""The databases under contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_azureml_datastores.core.table_store import TableStore
from tests.contract.tables.rig import TableRig, find_rigs


@pytest.fixture(scope="session")
def made() -> dict[type[TableRig], TableRig]:
    """The rigs that there are by now: pytest comes back to each of them again and again."""
    return {}


@pytest.fixture(scope="session", params=[pytest.param(found, id=found.name) for found in find_rigs()])
def table_rig(request: pytest.FixtureRequest, made: dict[type[TableRig], TableRig]) -> TableRig:
    kind: type[TableRig] = request.param
    if kind not in made:
        made[kind] = kind(request)
    return made[kind]


@pytest.fixture
def store(table_rig: TableRig) -> Iterator[TableStore]:
    with table_rig.open() as opened:
        yield opened


@pytest.fixture
def schema(table_rig: TableRig) -> Iterator[str]:
    with table_rig.schema() as name:
        yield name
