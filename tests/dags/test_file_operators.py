"""Copying files in a DAG: between datastores, and between a datastore and the worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator

from airflow_azureml_datastores import AzureBlob, Datastore
from airflow_azureml_datastores.hooks import DatastoreHook, WorkspaceHook
from airflow_azureml_datastores.operators import (
    CopyDatastoreOperator,
    DownloadFromDatastoreOperator,
    UploadToDatastoreOperator,
)
from tests.dags.conftest import WORKSPACE
from tests.dags.runs import Ran, run_dag
from tests.servers.fixtures import Servers

BLOB = "azureml://datastores/workspaceblobstore/paths"
FILE = "azureml://datastores/workspacefilestore/paths"


class Runner:
    """Runs one operator in a DAG of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.log = ""

    def __call__(self, kind: type[BaseOperator], **given: Any) -> Ran:
        defaults = {"workspace_conn_id": WORKSPACE, "retry_delay": timedelta(0)}
        with DAG(self._name, schedule=None, default_args=defaults, params={"folder": "in"}) as dag:
            kind(task_id="it", **given)
        done = run_dag(dag)
        self.log = done.log
        return done.tasks["it"]


@pytest.fixture
def run(request: pytest.FixtureRequest, workspace: WorkspaceHook) -> Runner:
    return Runner(request.node.originalname)


@pytest.fixture
def there(workspace: WorkspaceHook) -> dict[str, bytes]:
    """Files below ``in/`` of the default datastore, by relative path."""
    files = {"a.csv": b"1", "b c/d %.csv": b"22", "e.txt": b""}
    for name, content in files.items():
        workspace.open().at(f"in/{name}").write(content)
    return files


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_copy(run: Runner, workspace_home: Path, there: dict[str, bytes]) -> None:
    target = workspace_home / "workspacefilestore"
    copied = run(CopyDatastoreOperator, source=f"{BLOB}/{{{{ params.folder }}}}/", target=f"{FILE}/out/")
    assert copied.result["source"] == f"{BLOB}/in/"
    assert {key: copied.result[key] for key in ("uri", "files", "bytes")} == {
        "uri": f"{FILE}/out/",
        "files": 3,
        "bytes": 3,
    }
    assert content(target / "out") == there
    assert run(CopyDatastoreOperator, source="in/**/*.csv", target=f"{FILE}/csv/").result["files"] == 2
    assert set(content(target / "csv")) == {"a.csv", "b c/d %.csv"}
    run(CopyDatastoreOperator, source="in/a.csv", target=f"{FILE}/renamed.csv")
    assert (target / "renamed.csv").read_bytes() == there["a.csv"]


def test_nothing_is_replaced_unless_asked(
    run: Runner, workspace: WorkspaceHook, workspace_home: Path, there: dict[str, bytes]
) -> None:
    workspace.open("workspacefilestore").at("out/e.txt").write(b"theirs")
    assert run(CopyDatastoreOperator, source="in/", target=f"{FILE}/out/").state == "failed"
    assert "overwrite=True" in run.log
    out = workspace_home / "workspacefilestore" / "out"
    assert content(out) == {"e.txt": b"theirs"}
    assert run(CopyDatastoreOperator, source="in/", target=f"{FILE}/out/", overwrite=True).state == "success"
    assert content(out) == there


@pytest.mark.parametrize("kind", [CopyDatastoreOperator, UploadToDatastoreOperator, DownloadFromDatastoreOperator])
def test_an_empty_source(run: Runner, workspace: WorkspaceHook, tmp_path: Path, kind: type[BaseOperator]) -> None:
    (tmp_path / "empty").mkdir()
    given = {
        CopyDatastoreOperator: {"source": "empty/", "target": "out/"},
        UploadToDatastoreOperator: {"local_path": str(tmp_path / "empty"), "target": "out/"},
        DownloadFromDatastoreOperator: {"source": "empty/", "local_path": str(tmp_path / "out")},
    }[kind]
    assert run(kind, **given).state == "failed"
    assert "there are no files at " in run.log
    assert "pass allow_empty=True" in run.log
    assert run(kind, **given, allow_empty=True).result["files"] == 0


def test_upload_and_download(run: Runner, workspace_home: Path, there: dict[str, bytes], tmp_path: Path) -> None:
    local = tmp_path / "in"
    downloaded = run(DownloadFromDatastoreOperator, source="in/", local_path=f"{tmp_path}/{{{{ params.folder }}}}")
    assert (downloaded.result["files"], downloaded.result["bytes"]) == (3, 3)
    assert content(local) == there
    uploaded = run(UploadToDatastoreOperator, local_path=str(local), target=f"{FILE}/back/")
    assert uploaded.result["uri"] == f"{FILE}/back/"
    assert content(workspace_home / "workspacefilestore" / "back") == there
    assert run(UploadToDatastoreOperator, local_path=f"{local}/*.csv", target="csv/").result["files"] == 1
    assert content(workspace_home / "workspaceblobstore" / "csv") == {"a.csv": b"1"}


def test_upload_of_what_is_not_there(run: Runner, tmp_path: Path) -> None:
    assert run(UploadToDatastoreOperator, local_path=str(tmp_path / "no" / "a"), target="x/").state == "failed"
    assert f"there is no folder {str(tmp_path / 'no')!r} on this machine" in run.log


def test_a_retry_moves_only_what_is_missing(run: Runner, workspace_home: Path, there: dict[str, bytes]) -> None:
    class Interrupted(CopyDatastoreOperator):
        """Is done with everything, and then lost before Airflow hears of it."""

        def execute(self, context: Any) -> dict[str, Any]:
            result = super().execute(context)
            if context["ti"].try_number == 1:
                raise ConnectionError("the worker is lost")
            return result

    copied = run(Interrupted, source="in/", target=f"{FILE}/out/", retries=1)
    assert (copied.state, copied.tries, copied.result["files"]) == ("success", 2, 3)
    assert "0 files, 0 B" in run.log
    assert "3 unchanged" in run.log
    assert content(workspace_home / "workspacefilestore" / "out") == there


@pytest.fixture
def container(servers: Servers, workspace: WorkspaceHook, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A datastore ``lake`` that is a container."""
    service = servers.azurite
    connection = {"conn_type": "wasb", "host": service.url, "login": service.account, "password": service.key}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE_STORAGE", json.dumps(connection))
    with service.container() as name:
        location = AzureBlob(account_name=service.account, container_name=name)
        workspace.register(Datastore("lake", location, "lake_storage"))
        yield name


def test_to_blob_storage_and_back(
    run: Runner, container: str, workspace_home: Path, there: dict[str, bytes], tmp_path: Path
) -> None:
    lake = "azureml://datastores/lake/paths"
    assert run(CopyDatastoreOperator, source="in/", target=f"{lake}/in/").result["files"] == 3
    assert run(CopyDatastoreOperator, source=f"{lake}/in/", target=f"{lake}/twice/").result["files"] == 3
    back = tmp_path / "back"
    assert run(DownloadFromDatastoreOperator, source=f"{lake}/twice/", local_path=str(back)).result["files"] == 3
    assert content(back) == there
    with DatastoreHook("lake", workspace_conn_id=WORKSPACE) as hook:
        assert [info.path for info in hook.list("in/")] == [f"in/{name}" for name in sorted(there)]


@pytest.mark.parametrize("overwrite", ["{{ params.folder == 'out' }}", "{{ false }}", "no"])
def test_a_template_can_say_no(run: Runner, workspace: WorkspaceHook, there: dict[str, bytes], overwrite: str) -> None:
    """A template gives a text, and a text is true unless it is looked at."""
    workspace.open().at("out/a.csv").write(b"precious")
    ran = run(CopyDatastoreOperator, source="in/a.csv", target=f"{BLOB}/out/", overwrite=overwrite)
    assert ran.state == "failed"
    assert ("overwrite has to be true or false; got 'no'." if overwrite == "no" else "PathExists") in run.log
    assert workspace.open().at("out/a.csv").read() == b"precious"


def test_a_template_can_say_yes(run: Runner, workspace: WorkspaceHook, there: dict[str, bytes]) -> None:
    workspace.open().at("out/a.csv").write(b"old")
    given: dict[str, Any] = {"source": "in/a.csv", "target": f"{BLOB}/out/"}
    assert run(CopyDatastoreOperator, **given, overwrite="{{ params.folder == 'in' }}").state == "success"
    assert workspace.open().at("out/a.csv").read() == b"1"
