"""The DAG processor imports operators at every parse: nothing heavy may come along, in any room before it is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import ROOT, modules_of

# What any DAG file brings; airflow.sdk itself loads its names lazily.
AIRFLOW = [
    "airflow.sdk",
    "airflow.sdk.definitions.dag",
    "airflow.sdk.bases.operator",
    "airflow.sdk.bases.hook",
    "airflow.sdk.bases.sensor",
    "airflow.triggers.base",
]

ON_AIRFLOW = ["hooks", "operators", "sensors", "triggers"] + [
    room for room in ("assets", "decorators", "lineage", "links") if modules_of(room)
]
BELOW_AIRFLOW = ["errors", "core", "stores", "transfer", "workspaces", "compute", "provider_info"]

pytestmark = pytest.mark.xdist_group("import-cost")


def probe(before: list[str], modules: list[str], home: Path) -> dict[str, list[str]]:
    """Heavy modules that come with each of ``modules`` in a process that has imported ``before``."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("import_probe.py"))],
        input=json.dumps({"before": before, "modules": modules}),
        env=os.environ | {"AIRFLOW_HOME": str(home)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def all_of(rooms: list[str]) -> list[str]:
    return [module for room in rooms for module in modules_of(room)]


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Module -> heavy modules it brings: on top of Airflow's SDK in the rooms that know it, from nothing elsewhere."""
    home = tmp_path_factory.mktemp("airflow")
    above = probe(AIRFLOW, [*all_of(ON_AIRFLOW), "azure.core"], home)
    below = probe([], ["airflow_azureml_datastores", *all_of(BELOW_AIRFLOW), "sqlalchemy"], home)
    above = {module: [name for name in names if not name.startswith("airflow.")] for module, names in above.items()}
    return above | below


@pytest.mark.parametrize("room", [*ON_AIRFLOW, *BELOW_AIRFLOW])
def test_room_holds_modules(room: str) -> None:
    assert modules_of(room)


@pytest.mark.parametrize("module", ["airflow_azureml_datastores", *all_of(ON_AIRFLOW), *all_of(BELOW_AIRFLOW)])
def test_import_brings_nothing_heavy(module: str, brought: dict[str, list[str]]) -> None:
    assert brought[module] == []


@pytest.mark.parametrize("module", ["azure.core", "sqlalchemy"])
def test_probe_sees_heavy_modules(module: str, brought: dict[str, list[str]]) -> None:
    assert module in brought[module]
