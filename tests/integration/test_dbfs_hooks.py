"""Datastores in Databricks through hooks: which connection lets whom in, and where its token goes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_azureml_datastores import AzureBlob, Datastore, Dbfs
from airflow_azureml_datastores.errors import AccessDenied, ContainerNotFound, InvalidConnection, InvalidInput
from airflow_azureml_datastores.hooks import AzureBlobHook, DatastoreHook, DbfsHook, WorkspaceHook
from airflow_azureml_datastores.stores._databricks_login import SCOPE
from tests.servers.databricks import Databricks
from tests.servers.databricks.auth import RESOURCE
from tests.servers.fault import FaultProxy
from tests.servers.fixtures import Servers

Connect = Callable[..., None]
KEY = base64.b64encode(b"a storage account's key").decode()
ELSEWHERE = "https://adb-1111111111111111.1.azuredatabricks.net"


@pytest.fixture
def databricks(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Databricks:
    if not isinstance(servers.databricks, Databricks):
        pytest.skip("it takes a workspace that tells what it was asked")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(servers.databricks.ca))
    return servers.databricks


@pytest.fixture
def folder(databricks: Databricks) -> Iterator[str]:
    with databricks.folder() as path:
        yield path


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Connect:
    """Makes a connection ``databricks``, or of another id; the workspace's, ``ws``, is there."""

    def make(conn_type: str, conn_id: str = "databricks", **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": conn_type, **fields}))

    make("azureml_local_workspace", "ws", extra={"home": str(tmp_path)})
    return make


@pytest.fixture
def hook(connect: Connect) -> Iterator[WorkspaceHook]:
    with WorkspaceHook("ws") as found:
        yield found


def lake(url: str, path: str, conn_id: str | None = "databricks") -> Datastore:
    return Datastore("lake", Dbfs(url, path), credential_conn_id=conn_id)


def work(hook: WorkspaceHook, databricks: Databricks, folder: str) -> set[str]:
    """Write, read, list and delete; returns how the requests were let in."""
    before = len(databricks.requests(folder))
    with DbfsHook("lake", workspace_conn_id=hook.workspace_conn_id) as files:
        files.write("a/b.txt", "content", overwrite=True)
        assert files.read("a/b.txt") == b"content"
        assert [info.path for info in files.list("a/")] == ["a/b.txt"]
        assert files.delete("**") == 1
    return {seen.how for seen in databricks.requests(folder)[before:]}


def test_a_databricks_connection(hook: WorkspaceHook, connect: Connect, databricks: Databricks, folder: str) -> None:
    connect("databricks", host=databricks.tls_url, password=databricks.token)
    hook.register(lake(databricks.tls_url, folder))
    assert work(hook, databricks, folder) == {"pat"}


@pytest.mark.parametrize("conn_type", ["databricks", "azure", "generic", "azureml_workspace"])
def test_an_application_of_entra_id(
    hook: WorkspaceHook, connect: Connect, databricks: Databricks, folder: str, conn_type: str, servers: Servers
) -> None:
    """Any connection with one serves; the login service is the public cloud's, so that it stays unasked here."""
    app = databricks.tester
    tenant = {"databricks": "azure_tenant_id", "azure": "tenantId"}.get(conn_type, "tenant_id")
    connect(conn_type, login=app.client_id, password="s3cret", extra={tenant: app.tenant})
    hook.register(lake(databricks.tls_url, folder))
    with hook.open("lake").store as store:
        assert type(store.door[1]).__name__ == "ServicePrincipal"


def test_an_access_token_without_an_address(
    hook: WorkspaceHook, connect: Connect, databricks: Databricks, folder: str
) -> None:
    connect("generic", extra={"access_token": databricks.entra_token()})
    hook.register(lake(databricks.tls_url, folder))
    assert work(hook, databricks, folder) == {"entra"}


def test_the_worker_itself(
    hook: WorkspaceHook, databricks: Databricks, folder: str, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    azureml = servers.azureml
    databricks.trust(azureml._entra)
    azureml.new_app("worker", managed=True)
    for name, value in azureml.identity_environment.items():
        monkeypatch.setenv(name, value)
    hook.register(lake(databricks.tls_url, folder, conn_id=None))
    assert work(hook, databricks, folder) == {"entra"}


class TestWhereATokenGoes:
    def test_to_the_address_of_the_connection(
        self, hook: WorkspaceHook, connect: Connect, databricks: Databricks, folder: str
    ) -> None:
        """As with a private link: the datastore is registered with the workspace's public name."""
        connect("databricks", host=databricks.tls_url, password=databricks.token)
        hook.register(lake(ELSEWHERE, folder))
        assert work(hook, databricks, folder) == {"pat"}

    def test_not_to_another_one_that_the_datastore_names(
        self, hook: WorkspaceHook, connect: Connect, databricks: Databricks, folder: str
    ) -> None:
        connect("databricks", host=ELSEWHERE, password="dapi-s3cret")
        with FaultProxy(databricks.url) as somebody_elses:
            hook.register(lake(somebody_elses.url, folder))
            store = hook.open("lake").store
            assert store.url.startswith(ELSEWHERE)
            assert somebody_elses.seen == []

    def test_not_to_another_workspace(self, hook: WorkspaceHook, connect: Connect, folder: str) -> None:
        other = ELSEWHERE.replace("1111.1.", "1112.2.")
        connect("databricks", host=other, password="dapi-s3cret")
        hook.register(lake(ELSEWHERE, folder))
        with pytest.raises(InvalidConnection, match=f"for the workspace {other}, but the datastore is in") as caught:
            hook.open("lake")
        assert "s3cret" not in str(caught.value)

    def test_nowhere_without_an_address(
        self, hook: WorkspaceHook, connect: Connect, databricks: Databricks, folder: str
    ) -> None:
        connect("databricks", password=databricks.token)
        hook.register(lake(databricks.tls_url, folder))
        with pytest.raises(InvalidConnection, match=r"'databricks' .* lacks 'Host' \(host\)"):
            hook.open("lake")

    def test_not_to_a_storage_account(self, hook: WorkspaceHook, connect: Connect, databricks: Databricks) -> None:
        connect("databricks", host=databricks.tls_url, password=databricks.token)
        hook.register(Datastore("blobs", AzureBlob("contoso", "raw"), credential_conn_id="databricks"))
        with pytest.raises(
            InvalidConnection, match="gives no credential for this datastore's service: name one of type 'wasb'"
        ):
            hook.open("blobs")


@pytest.mark.parametrize(
    ("conn_type", "fields", "refused"),
    [
        ("wasb", {"login": "contoso", "password": KEY}, "the account key"),
        ("generic", {"extra": {"sas_token": "sv=1&sig=s3cret"}}, "the SAS token"),
        ("wasb", {"extra": {"sas_token": "https://c.blob.core.windows.net/raw?sig=s3cret"}}, "the SAS token"),
        ("generic", {"extra": {"connection_string": f"AccountName=c;AccountKey={KEY}"}}, "the account key"),
        ("wasb", {"extra": {"public_read": True}}, "anonymous access"),
    ],
)
def test_what_is_of_no_use(
    hook: WorkspaceHook, connect: Connect, folder: str, conn_type: str, fields: dict[str, Any], refused: str
) -> None:
    connect(conn_type, **fields)
    hook.register(lake(ELSEWHERE, folder))
    with pytest.raises(InvalidConnection, match=f"a Databricks workspace does not take {refused}: give") as caught:
        hook.open("lake")
    assert "s3cret" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_missing_connection(hook: WorkspaceHook, folder: str) -> None:
    hook.register(lake(ELSEWHERE, folder))
    told = "airflow connections add databricks --conn-type databricks"
    with pytest.raises(InvalidConnection, match=f"the credential of datastore 'lake' needs.*{told}"):
        hook.open("lake")


def test_checking_and_making(hook: WorkspaceHook, connect: Connect, databricks: Databricks, folder: str) -> None:
    connect("databricks", host=databricks.tls_url, password=databricks.token)
    datastore = lake(databricks.tls_url, f"{folder}/landing")
    with pytest.raises(ContainerNotFound, match="create_if_not_exists=True"):
        hook.check_location(datastore)
    hook.check_location(datastore, create_if_not_exists=True)
    hook.check_location(datastore)
    connect("databricks", host=databricks.tls_url, password="dapi-other")
    with WorkspaceHook("ws") as again, pytest.raises(AccessDenied):
        again.check_location(datastore)


def test_hooks_of_other_types(hook: WorkspaceHook, connect: Connect, databricks: Databricks, folder: str) -> None:
    connect("databricks", host=databricks.tls_url, password=databricks.token)
    hook.register(lake(databricks.tls_url, folder))
    with AzureBlobHook("lake", "ws") as blobs, pytest.raises(InvalidInput, match="is of type DBFS, but AzureBlobHook"):
        blobs.get_conn()
    with DatastoreHook("lake", "ws") as any_type:
        assert any_type.get_conn().url == f"{databricks.tls_url}{folder}"


def test_the_audience_of_tokens() -> None:
    assert f"{RESOURCE}/.default" == SCOPE
