"""The hook of a workspace: which one a connection means, and what is said if there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import Connection
from sqlalchemy import make_url

from airflow_azureml_datastores import AzureBlob, Datastore, LocalDirectory
from airflow_azureml_datastores.errors import DatastoreNotFound, InvalidConnection, InvalidInput
from airflow_azureml_datastores.hooks import AzureBlobHook, DatastoreHook, LocalWorkspaceHook, WorkspaceHook
from airflow_azureml_datastores.hooks.workspace import _database_url as database_url
from airflow_azureml_datastores.workspaces.local import LocalWorkspace
from tests.contract.workspace.rigs_local import new_database
from tests.servers.fixtures import Servers

Connect = Callable[..., None]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Makes a connection ``ws``, or of another id."""

    def make(conn_type: str, conn_id: str = "ws", **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": conn_type, **fields}))

    return make


@pytest.fixture
def home(connect: Connect, tmp_path: Path) -> Path:
    """The folder of an embedded workspace behind the connection ``ws``."""
    connect("azureml_local_workspace", extra={"home": str(tmp_path / "home")})
    return tmp_path / "home"


@pytest.mark.parametrize("hook", [WorkspaceHook, LocalWorkspaceHook])
def test_connection_of_a_local_workspace(hook: type[WorkspaceHook], home: Path) -> None:
    assert hook("ws").test_connection() == (
        True,
        "'ws' (local): workspaceblobstore, workspacefilestore; default workspaceblobstore",
    )
    assert (home / "workspace.db").is_file()


def test_connection_whose_default_datastore_is_gone(home: Path, tmp_path: Path) -> None:
    folder = LocalDirectory(str(tmp_path / "lake")).create()
    with WorkspaceHook("ws") as hook:
        hook.register(Datastore("lake", folder))
        hook.set_default("lake")
    (tmp_path / "lake").rmdir()
    ok, message = WorkspaceHook("ws").test_connection()
    assert not ok
    assert str(tmp_path / "lake") in message


def test_connection_of_an_azure_ml_workspace_that_lacks_a_field(connect: Connect) -> None:
    connect("azureml_workspace", password="s3cret", extra={"workspace_name": "ml-prod"})
    assert WorkspaceHook("ws").test_connection() == (
        False,
        "connection 'ws' (type 'azureml_workspace') lacks 'Subscription ID' (extra 'subscription_id'), which says "
        "where the Azure ML workspace is.",
    )


def test_missing_connection() -> None:
    ok, message = WorkspaceHook("nowhere").test_connection()
    assert not ok
    assert message == (
        "there is no connection 'nowhere', which the workspace needs. Create it in Admin > Connections, or with: "
        "airflow connections add nowhere --conn-type azureml_local_workspace"
    )


def test_a_connection_of_another_type(connect: Connect) -> None:
    connect("postgres")
    with pytest.raises(InvalidConnection, match="'ws' has type 'postgres', which is no workspace; use azureml_local"):
        WorkspaceHook("ws").list()


def test_without_a_folder_the_workspace_is_in_airflows_home(connect: Connect) -> None:
    connect("azureml_local_workspace", conn_id="unfurnished")
    with WorkspaceHook("unfurnished") as hook:
        location = hook.get().location
    assert location == LocalDirectory(f"{AIRFLOW_HOME}/azureml_workspaces/unfurnished/workspaceblobstore")


def test_a_server_without_a_database(connect: Connect) -> None:
    connect("azureml_local_workspace", host="db.example.com", password="s3cret")
    with pytest.raises(InvalidConnection, match=r"fill in 'Database' \(schema\)") as raised:
        WorkspaceHook("ws").list()
    assert "s3cret" not in str(raised.value)


def test_a_workspace_in_postgresql(connect: Connect, servers: Servers, tmp_path: Path) -> None:
    with new_database(servers.postgres) as text:
        url = make_url(text)
        connect(
            "azureml_local_workspace",
            host=url.host or url.query["host"],
            port=url.port,
            schema=url.database,
            login=url.username,
            password=url.password,
            extra={"home": str(tmp_path)},
        )
        with WorkspaceHook("ws") as hook:
            hook.register(Datastore("lake", LocalDirectory(str(tmp_path))))
            assert "lake" in [datastore.name for datastore in LocalWorkspace("ws", tmp_path, text).list()]
    assert not (tmp_path / "workspace.db").exists()


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "db", "schema": "ws"}, "postgresql+psycopg://db/ws"),
        (
            {"host": "db", "schema": "w/s", "port": 5433, "login": "a@b", "password": "p:/w"},
            "postgresql+psycopg://a%40b:p%3A%2Fw@db:5433/w/s",
        ),
        ({"host": "/run/pg", "schema": "ws", "login": "me"}, "postgresql+psycopg://me@/ws?host=%2Frun%2Fpg"),
        ({"host": "/run/pg", "schema": "ws", "port": 5433}, "postgresql+psycopg:///ws?host=%2Frun%2Fpg&port=5433"),
    ],
)
def test_url_of_a_database(fields: dict[str, Any], url: str) -> None:
    assert database_url(Connection(conn_id="ws", conn_type="azureml_local_workspace", **fields), lambda _: None) == url


@pytest.mark.usefixtures("home")
class TestOpen:
    def folder(self, path: Path) -> LocalDirectory:
        path.mkdir()
        (path / "a.csv").write_text(path.name)
        return LocalDirectory(str(path))

    def test_what_the_hook_itself_has_changed(self, tmp_path: Path) -> None:
        old, new = (self.folder(tmp_path / name) for name in ("old", "new"))
        with WorkspaceHook("ws") as hook:
            hook.register(Datastore("lake", old))
            assert hook.open("lake").at("a.csv").read() == b"old"
            hook.register(Datastore("lake", new), overwrite=True)
            assert hook.open("lake").at("a.csv").read() == b"new"
            assert hook.open().datastore == "workspaceblobstore"
            hook.set_default("lake")
            assert hook.open().datastore == "lake"
            hook.set_default("workspaceblobstore")
            hook.unregister("lake")
            with pytest.raises(DatastoreNotFound):
                hook.open("lake")

    def test_what_others_change_is_for_the_next_hook(self, tmp_path: Path) -> None:
        old, new = (self.folder(tmp_path / name) for name in ("old", "new"))
        with WorkspaceHook("ws") as hook, WorkspaceHook("ws") as other:
            hook.register(Datastore("lake", old))
            assert hook.open().datastore == "workspaceblobstore"
            assert hook.open("lake").at("a.csv").read() == b"old"
            other.register(Datastore("lake", new), overwrite=True)
            other.set_default("lake")
            assert hook.open().datastore == "workspaceblobstore"
            assert hook.open("lake").at("a.csv").read() == b"old"
            assert other.open().at("a.csv").read() == b"new"


@pytest.mark.usefixtures("home")
class TestDatastoreHook:
    def test_none_is_the_default(self) -> None:
        with DatastoreHook(workspace_conn_id="ws") as hook:
            hook.write("a.csv", "1")
            assert hook.root.datastore == "workspaceblobstore"
        with DatastoreHook("workspaceblobstore", "ws") as hook:
            assert hook.read("a.csv") == b"1"

    def test_a_typed_hook_takes_only_its_type(self) -> None:
        with (
            AzureBlobHook("workspaceblobstore", "ws") as hook,
            pytest.raises(InvalidInput, match="is of type LocalDirectory, but AzureBlobHook is for AzureBlob"),
        ):
            hook.get_conn()

    def test_its_credential_is_named_when_it_is_missing(self) -> None:
        with WorkspaceHook("ws") as workspace:
            workspace.register(Datastore("lake", AzureBlob("contoso", "raw"), "contoso_storage"))
        with (
            DatastoreHook("lake", "ws") as hook,
            pytest.raises(InvalidConnection, match="'contoso_storage', which the credential of datastore 'lake' needs"),
        ):
            hook.read("a.csv")

    def test_connection(self, home: Path, tmp_path: Path) -> None:
        with DatastoreHook("workspacefilestore", "ws") as hook:
            assert hook.test_connection() == (True, f"workspacefilestore: {(home / 'workspacefilestore').as_uri()}")
        with WorkspaceHook("ws") as workspace:
            workspace.register(Datastore("gone", LocalDirectory(str(tmp_path / "gone"))))
        for name, problem in (("gone", "does not exist"), ("missing", "no datastore 'missing'")):
            with DatastoreHook(name, "ws") as hook:
                ok, said = hook.test_connection()
                assert not ok
                assert problem in said

    def test_a_local_directory_takes_no_credential(self, connect: Connect, tmp_path: Path) -> None:
        connect("wasb", conn_id="contoso_storage", login="contoso", password="c2VjcmV0")
        with WorkspaceHook("ws") as workspace:
            workspace.register(Datastore("lake", LocalDirectory(str(tmp_path)), "contoso_storage"))
        with (
            DatastoreHook("lake", "ws") as hook,
            pytest.raises(InvalidConnection, match="takes no credential") as raised,
        ):
            hook.read("a.csv")
        assert "c2VjcmV0" not in str(raised.value)
