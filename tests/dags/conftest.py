"""Airflow, for running DAGs in the test's own process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_azureml_datastores.hooks import WorkspaceHook

WORKSPACE = "ml_workspace"


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that run DAGs in one process: there the first run takes ten seconds, each later one less than one."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("airflow"))


@pytest.fixture(scope="session", autouse=True)
def airflow_db() -> None:
    """Airflow's metadata database, in which made-up DAGs can be registered, too."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.utils import db

    db.upgradedb()
    DagBundlesManager().sync_bundles_to_db()


@pytest.fixture
def workspace_home(tmp_path: Path) -> Path:
    """The folder of the test's embedded workspace; its built-in datastores' folders lie in it under their names."""
    return tmp_path / "workspace"


@pytest.fixture
def workspace(workspace_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkspaceHook]:
    """An embedded workspace of the test's own, behind the connection ``ml_workspace``."""
    connection = {"conn_type": "azureml_local_workspace", "extra": {"home": str(workspace_home)}}
    monkeypatch.setenv(f"AIRFLOW_CONN_{WORKSPACE.upper()}", json.dumps(connection))
    with WorkspaceHook(WORKSPACE) as hook:
        yield hook
