"""Registering, listing, choosing and forgetting datastores in a DAG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator

from airflow_azureml_datastores import AzureBlob, LocalDirectory
from airflow_azureml_datastores.hooks import WorkspaceHook
from airflow_azureml_datastores.operators import (
    ListDatastoresOperator,
    RegisterDatastoreOperator,
    SetDefaultDatastoreOperator,
    UnregisterDatastoreOperator,
)
from tests.dags.conftest import WORKSPACE
from tests.dags.runs import Ran, run_dag


class Runner:
    """Runs one operator in a DAG of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.log = ""

    def __call__(self, kind: type[BaseOperator], **given: Any) -> Ran:
        with DAG(self._name, schedule=None) as dag:
            kind(**{"task_id": "it", "workspace_conn_id": WORKSPACE, **given})
        done = run_dag(dag)
        self.log = done.log
        return done.tasks["it"]


@pytest.fixture
def run(request: pytest.FixtureRequest, workspace: WorkspaceHook) -> Runner:
    return Runner(request.node.originalname)


def register(run: Runner, location: Any, **given: Any) -> Ran:
    return run(RegisterDatastoreOperator, datastore="lake", location=location, **given)


def names(workspace: WorkspaceHook) -> list[str]:
    return [datastore.name for datastore in workspace.list()]


BUILT_IN = ["workspaceblobstore", "workspacefilestore"]


def test_register_is_idempotent_and_repoints_only_if_asked(
    run: Runner, workspace: WorkspaceHook, tmp_path: Path
) -> None:
    old, new = LocalDirectory(str(tmp_path / "old")).create(), LocalDirectory(str(tmp_path / "new")).create()
    expected = {
        "datastore": "lake",
        "type": "LocalDirectory",
        "url": old.url,
        "credential_conn_id": None,
        "built_in": False,
        "default": False,
    }
    assert register(run, old).result == {**expected, "result": "created"}
    assert register(run, old).result["result"] == "unchanged"
    refused = register(run, new)
    assert refused.state == "failed"
    assert "overwrite=True" in run.log
    assert workspace.get("lake").location == old
    assert register(run, new, overwrite=True).result == {**expected, "url": new.url, "result": "updated"}
    assert workspace.get("lake").location == new


def test_register_as_the_default(run: Runner, workspace: WorkspaceHook, tmp_path: Path) -> None:
    assert register(run, LocalDirectory(str(tmp_path)), make_default=True).result["default"] is True
    assert workspace.get().name == "lake"


def test_register_by_templates_that_say_no(run: Runner, workspace: WorkspaceHook, tmp_path: Path) -> None:
    no = "{{ 1 == 2 }}"
    old, new = (LocalDirectory(str(tmp_path / name)) for name in ("old", "new"))
    (tmp_path / "old").mkdir()
    assert register(run, new, make_default=no, skip_validation=no).state == "failed"
    assert register(run, old, make_default=no).result["default"] is False
    assert register(run, new, overwrite=no, skip_validation=True).state == "failed"
    assert workspace.get("lake").location == old
    assert register(run, new, make_default="perhaps", overwrite=True, skip_validation=True).state == "failed"
    assert "make_default has to be true or false; got 'perhaps'." in run.log
    assert workspace.get("lake").location == old
    assert run(UnregisterDatastoreOperator, datastore="pond", missing_ok=no).state == "failed"


def test_register_looks_before_it_writes(run: Runner, workspace: WorkspaceHook, tmp_path: Path) -> None:
    missing = LocalDirectory(str(tmp_path / "missing"))
    assert register(run, missing).state == "failed"
    assert "ContainerNotFound" in run.log
    assert str(tmp_path / "missing") in run.log
    assert names(workspace) == BUILT_IN
    assert register(run, missing, skip_validation=True).state == "success"


def test_register_needs_its_credentials_connection(run: Runner, workspace: WorkspaceHook) -> None:
    location = AzureBlob(account_name="contoso", container_name="raw")
    assert register(run, location, credential_conn_id="contoso_storage").state == "failed"
    assert "there is no connection 'contoso_storage', which the credential of datastore 'lake' needs" in run.log
    assert "airflow connections add contoso_storage --conn-type wasb" in run.log
    assert names(workspace) == BUILT_IN


@pytest.mark.parametrize("name", ["a b", "", "-a", "lake/2"])
def test_register_refuses_a_name_against_the_rules(
    run: Runner, workspace: WorkspaceHook, tmp_path: Path, name: str
) -> None:
    assert run(RegisterDatastoreOperator, datastore=name, location=LocalDirectory(str(tmp_path))).state == "failed"
    assert f"{name!r} is not a datastore name" in run.log
    assert names(workspace) == BUILT_IN


def test_unregister(run: Runner, workspace: WorkspaceHook, tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    register(run, LocalDirectory(str(tmp_path)))
    assert run(UnregisterDatastoreOperator, datastore="LAKE").result == {"datastore": "lake", "result": "unregistered"}
    assert names(workspace) == BUILT_IN
    assert (tmp_path / "data").exists()
    missing = run(UnregisterDatastoreOperator, datastore="lake", missing_ok=True)
    assert missing.result == {"datastore": "lake", "result": "missing"}
    assert run(UnregisterDatastoreOperator, datastore="lake").state == "failed"
    assert "no datastore 'lake' in workspace 'ml_workspace' (local)" in run.log


def test_unregister_spares_the_default_and_what_is_built_in(
    run: Runner, workspace: WorkspaceHook, tmp_path: Path
) -> None:
    register(run, LocalDirectory(str(tmp_path)), make_default=True)
    for name in ("lake", "workspaceblobstore"):
        assert run(UnregisterDatastoreOperator, datastore=name, missing_ok=True).state == "failed"
        assert "DatastoreProtected" in run.log
    assert names(workspace) == ["lake", *BUILT_IN]


def test_set_default(run: Runner, workspace: WorkspaceHook) -> None:
    changed = run(SetDefaultDatastoreOperator, datastore="WorkspaceFileStore")
    assert changed.result == {"datastore": "workspacefilestore", "previous": "workspaceblobstore"}
    assert workspace.get().name == "workspacefilestore"
    assert run(SetDefaultDatastoreOperator, datastore="workspacefilstore").state == "failed"
    assert "Did you mean 'workspacefilestore'?" in run.log


def test_list(run: Runner, workspace: WorkspaceHook, workspace_home: Path) -> None:
    register(run, AzureBlob(account_name="contoso", container_name="raw"), skip_validation=True)
    rows = run(ListDatastoresOperator).result
    assert [(row["datastore"], row["built_in"], row["default"]) for row in rows] == [
        ("lake", False, False),
        ("workspaceblobstore", True, True),
        ("workspacefilestore", True, False),
    ]
    assert rows[1]["url"] == (workspace_home / "workspaceblobstore").as_uri()
    assert run(ListDatastoresOperator, datastore_type="AzureBlob").result == rows[:1]
    assert "https://contoso.blob.core.windows.net/raw" in run.log


@pytest.mark.parametrize(
    ("conn_type", "message"),
    [
        (
            "azureml_workspace",
            "lacks 'Subscription ID' (extra 'subscription_id'), which says where the Azure ML workspace",
        ),
        ("http", "which is no workspace; use azureml_local_workspace or azureml_workspace"),
    ],
)
def test_the_connection_has_to_be_a_workspaces(
    run: Runner, monkeypatch: pytest.MonkeyPatch, conn_type: str, message: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", f'{{"conn_type": "{conn_type}"}}')
    assert run(ListDatastoresOperator, workspace_conn_id="other").state == "failed"
    assert message in run.log


def test_a_missing_connection_is_named_with_the_remedy(run: Runner) -> None:
    assert run(ListDatastoresOperator, workspace_conn_id="nowhere").state == "failed"
    assert "there is no connection 'nowhere', which the workspace needs" in run.log
    assert "airflow connections add nowhere --conn-type azureml_local_workspace" in run.log


def test_create_if_not_exists(run: Runner, workspace: WorkspaceHook, tmp_path: Path) -> None:
    missing = tmp_path / "not" / "there"
    assert register(run, LocalDirectory(str(missing))).state == "failed"
    assert "does not exist" in run.log
    assert register(run, LocalDirectory(str(missing)), create_if_not_exists=True).state == "success"
    assert missing.is_dir()
    contradiction = register(run, LocalDirectory(str(missing)), create_if_not_exists="True", skip_validation="True")
    assert contradiction.state == "failed"
    assert "skip_validation=True says not to" in run.log
