"""From an ``azureml_workspace`` connection into the workspace, through azure-identity's own credentials."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import MaskSecret
from azure.core.pipeline.policies._retry import RetryPolicyBase

from airflow_azureml_datastores.core.credentials import AccountKey
from airflow_azureml_datastores.errors import AccessDenied, InvalidConnection, Unavailable, WorkspaceNotFound
from airflow_azureml_datastores.hooks import WorkspaceHook
from tests.servers.azureml import ArmError, AzureML, Principal, Workspace
from tests.servers.fixtures import Servers
from tests.unit.test_azure_credentials import certificate

Connect = Callable[..., None]


@pytest.fixture
def azureml(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> AzureML:
    """The stand-in, trusted by way of the variable that people set for the SDKs."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(servers.azureml.ca))
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    return servers.azureml


@pytest.fixture
def workspace(azureml: AzureML, servers: Servers) -> Workspace:
    return azureml.new_workspace(blob=servers.azurite)


@pytest.fixture
def connect(azureml: AzureML, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Makes the connection ``ml``. Extras that are None are left out."""

    def make(login: str | None = None, password: str | None = None, **extra: Any) -> None:
        extra = {
            "subscription_id": workspace.id.subscription,
            "resource_group": workspace.id.resource_group,
            "workspace_name": workspace.id.workspace,
            "authority": azureml.login_url,
            **extra,
        }
        fields = {"conn_type": "azureml_workspace", "host": azureml.url, "login": login, "password": password}
        extra = {name: value for name, value in extra.items() if value is not None}
        monkeypatch.setenv("AIRFLOW_CONN_ML", json.dumps({**fields, "extra": extra}))

    return make


def as_app(connect: Connect, app: Principal, **extra: Any) -> None:
    connect(app.client_id, app.secret, **{"tenant_id": app.tenant, **extra})


def pressed() -> tuple[bool, str]:
    """What the form's Test button says."""
    return WorkspaceHook("ml").test_connection()


def who_asked(azureml: AzureML, workspace: Workspace) -> set[str]:
    return {seen.client_id for seen in azureml.requests("", workspace)}


class TestWaysIn:
    """Each way in reaches the workspace as who it says."""

    def test_client_secret(self, azureml: AzureML, workspace: Workspace, connect: Connect) -> None:
        app = azureml.new_app(secret="s3cret~value")
        as_app(connect, app)
        ok, message = pressed()
        assert (ok, message) == (
            True,
            f"'ml' (Azure ML workspace {workspace.id.workspace}): workspaceartifactstore, workspaceblobstore, "
            f"workspacefilestore, workspaceworkingdirectory; default workspaceblobstore",
        )
        assert who_asked(azureml, workspace) == {app.client_id}

    @pytest.mark.parametrize("password", [None, "pässphrase"])
    def test_certificate_in_a_file(
        self, azureml: AzureML, workspace: Workspace, connect: Connect, tmp_path: Path, password: str | None
    ) -> None:
        pem = certificate(password)
        app = azureml.new_app(certificate=pem[pem.index(b"-----BEGIN CERTIFICATE") :])
        (tmp_path / "app.pem").write_bytes(pem)
        connect(app.client_id, password, tenant_id=app.tenant, certificate_path=str(tmp_path / "app.pem"))
        assert pressed()[0]
        assert who_asked(azureml, workspace) == {app.client_id}

    def test_certificate_as_text(self, azureml: AzureML, workspace: Workspace, connect: Connect) -> None:
        pem = certificate(None)
        app = azureml.new_app(certificate=pem[pem.index(b"-----BEGIN CERTIFICATE") :])
        connect(app.client_id, pem.decode(), tenant_id=app.tenant)
        assert pressed()[0]
        assert who_asked(azureml, workspace) == {app.client_id}

    def test_managed_identity_by_its_client_id(
        self, azureml: AzureML, workspace: Workspace, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        others = [azureml.new_app(f"identity {n}", managed=True) for n in range(3)]
        for name, value in azureml.identity_environment.items():
            monkeypatch.setenv(name, value)
        connect(managed_identity_client_id=others[1].client_id)
        assert pressed()[0]
        assert who_asked(azureml, workspace) == {others[1].client_id}

    def test_workload_identity(
        self,
        azureml: AzureML,
        workspace: Workspace,
        connect: Connect,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        token = uuid4().hex
        app = azureml.new_app(federated=token)
        (tmp_path / "token").write_text(token)
        monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AZURE_CLIENT_ID", app.client_id)
        connect(workload_identity_tenant_id=app.tenant)
        assert pressed()[0]
        assert who_asked(azureml, workspace) == {app.client_id}

    def test_default_chain(
        self, azureml: AzureML, workspace: Workspace, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = azureml.new_app(secret="s3cret~value")
        for name, value in (("ID", app.client_id), ("SECRET", app.secret)):
            monkeypatch.setenv(f"AZURE_CLIENT_{name}", value)
        monkeypatch.setenv("AZURE_TENANT_ID", app.tenant)
        connect()
        assert pressed()[0]
        assert who_asked(azureml, workspace) == {app.client_id}

    def test_resource_id_and_official_names(self, azureml: AzureML, workspace: Workspace, connect: Connect) -> None:
        app = azureml.new_app(secret="s3cret~value")
        whole = (
            f"/subscriptions/{workspace.id.subscription}/resourceGroups/{workspace.id.resource_group}/providers/"
            f"Microsoft.MachineLearningServices/workspaces/{workspace.id.workspace}"
        )
        place = {"subscription_id": None, "resource_group": None, "workspace_name": whole}
        as_app(connect, app, tenant_id=None, tenantId=app.tenant, subscriptionId=workspace.id.subscription, **place)
        assert pressed()[0]


@pytest.mark.parametrize("way", ["secret", "certificate", "managed", "default"])
def test_logging_in_takes_no_room_in_the_tasks_log(
    azureml: AzureML,
    connect: Connect,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pem = certificate(None)
    app = azureml.new_app(secret="s3cret~value", certificate=pem[pem.index(b"-----BEGIN CERTIFICATE") :], managed=True)
    environment = {"AZURE_CLIENT_ID": app.client_id, "AZURE_CLIENT_SECRET": app.secret, "AZURE_TENANT_ID": app.tenant}
    if way == "managed":
        environment = azureml.identity_environment
    if way in ("managed", "default"):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        connect(managed_identity_client_id=app.client_id if way == "managed" else None)
    else:
        connect(app.client_id, app.secret if way == "secret" else pem.decode(), tenant_id=app.tenant)
    caplog.set_level(logging.INFO)
    assert pressed()[0]
    assert "Request URL" not in caplog.text
    assert "s3cret" not in caplog.text


def test_one_operation_asks_once(azureml: AzureML, workspace: Workspace, connect: Connect) -> None:
    as_app(connect, azureml.new_app(secret="s3cret~value"))
    with WorkspaceHook("ml") as hook:
        for _ in range(10):
            assert hook.open().datastore == hook.open("workspaceblobstore").datastore == "workspaceblobstore"
    asked = [re.sub(r".*/datastores", "", seen.request) for seen in azureml.requests("/datastores", workspace)]
    assert sorted(text.partition("?")[0] for text in asked) == [
        "",  # the default
        "/workspaceblobstore",
        "/workspaceblobstore",  # with the credential, by a record as it is then
        "/workspaceblobstore/listSecrets",
    ]


class TestWhatIsWrong:
    """The Test button says it in words, and no secret."""

    def test_tenant_that_is_not_there(self, azureml: AzureML, connect: Connect) -> None:
        as_app(connect, azureml.new_app(secret="s3cret~value"), tenant_id=str(uuid4()))
        refused("there is no such tenant: check the tenant's id", AccessDenied)

    def test_tenant_without_the_application(self, azureml: AzureML, connect: Connect) -> None:
        other = azureml.new_app("other", tenant=str(uuid4()))
        as_app(connect, azureml.new_app(secret="s3cret~value"), tenant_id=other.tenant)
        refused("the tenant has no such application", AccessDenied)

    def test_tenant_that_is_not_the_subscriptions(self, azureml: AzureML, connect: Connect) -> None:
        as_app(connect, azureml.new_app(secret="s3cret~value", tenant=str(uuid4())))
        refused("subscription belongs to another tenant: check the tenant's id", AccessDenied)

    def test_wrong_secret(self, azureml: AzureML, connect: Connect) -> None:
        app = azureml.new_app(secret="another")
        connect(app.client_id, "s3cret~value", tenant_id=app.tenant)
        refused(f"service principal {app.client_id} could not log in: the client secret is wrong", AccessDenied)

    def test_expired_secret(self, azureml: AzureML, connect: Connect) -> None:
        as_app(connect, azureml.new_app(secret="s3cret~value", expired=True))
        refused("the client secret has expired: make a new one and put it into the connection", AccessDenied)

    @pytest.mark.parametrize(
        ("match", "authority"),
        [(r"POST .*/oauth2/v2\.0/token", None), ("openid-configuration", None), ("", "https://127.0.0.1:1")],
        ids=["no token", "no metadata", "no network"],
    )
    def test_a_login_service_that_is_down(
        self, azureml: AzureML, connect: Connect, monkeypatch: pytest.MonkeyPatch, match: str, authority: str | None
    ) -> None:
        """Which may be over soon: who waits for something waits on."""
        monkeypatch.setattr(RetryPolicyBase, "get_backoff_time", lambda *_: 0)
        app = azureml.new_app(secret="s3cret~value")
        as_app(connect, app, authority=authority or azureml.login_url)
        if authority is None:
            azureml.plan(ArmError(match, 503, times=99))
        try:
            refused("Microsoft Entra ID did not answer properly", Unavailable)
        finally:
            azureml.clear_plan()

    def test_certificate_of_another_application(self, azureml: AzureML, connect: Connect) -> None:
        pem = certificate(None)
        app = azureml.new_app(certificate=pem[pem.index(b"-----BEGIN CERTIFICATE") :])
        connect(app.client_id, certificate(None).decode(), tenant_id=app.tenant)
        refused("the certificate is not one of the application's", AccessDenied)

    def test_managed_identity_that_the_machine_does_not_have(
        self, azureml: AzureML, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in azureml.identity_environment.items():
            monkeypatch.setenv(name, value)
        connect(managed_identity_client_id=str(uuid4()))
        refused("could not log in: no managed identity answers on this machine", AccessDenied)

    def test_workload_identity_outside_a_pod(self, connect: Connect, azureml: AzureML) -> None:
        connect(workload_identity_tenant_id=azureml.tenant)
        refused("there is no workload identity on this machine", InvalidConnection)

    def test_federated_token_that_does_not_fit(
        self, azureml: AzureML, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        app = azureml.new_app(federated="one")
        (tmp_path / "token").write_text("another s3cret~value")
        monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
        connect(workload_identity_tenant_id=app.tenant, managed_identity_client_id=app.client_id, identity="workload")
        refused("no federated identity credential of the application matches the worker's token", AccessDenied)

    @pytest.mark.parametrize(
        "action", ["datastores/read", "datastores/listSecrets/action"], ids=lambda text: text.rpartition("/")[0]
    )
    def test_role_that_is_missing(self, azureml: AzureML, workspace: Workspace, connect: Connect, action: str) -> None:
        app = azureml.new_app(secret="s3cret~value")
        workspace.deny(action, client_id=app.client_id)
        as_app(connect, app)
        refused(f"may not do 'Microsoft.MachineLearningServices/workspaces/{action}' .* Give it the role", AccessDenied)

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("subscription_id", "00000000-0000-4000-8000-000000000000", "Check the subscription's id and the tenant"),
            ("resource_group", "nowhere", "Check the resource group in the workspace's connection"),
            ("workspace_name", "nowhere", "the workspace was not found"),
        ],
    )
    def test_place_that_is_not_there(
        self, azureml: AzureML, connect: Connect, field: str, value: str, words: str
    ) -> None:
        as_app(connect, azureml.new_app(secret="s3cret~value"), **{field: value})
        refused(words, WorkspaceNotFound)

    def test_default_datastore_of_a_type_of_the_future_is_no_failure(
        self, azureml: AzureML, workspace: Workspace, connect: Connect
    ) -> None:
        workspace.datastores["workspaceblobstore"].properties["datastoreType"] = "AzureTape"
        as_app(connect, azureml.new_app(secret="s3cret~value"))
        ok, message = pressed()
        assert ok
        assert message.endswith("default workspaceblobstore, of type AzureTape, which this version cannot open")


def refused(words: str, kind: type[Exception]) -> None:
    """Both the Test button and a call say so."""
    ok, message = pressed()
    assert not ok
    assert re.search(words, message), message
    assert "s3cret" not in message
    with WorkspaceHook("ml") as hook, pytest.raises(kind) as caught:
        hook.open()
    assert "s3cret" not in "".join(str(error) for error in (caught.value, caught.value.__cause__))


def test_secrets_that_the_service_gives_out_are_masked(
    azureml: AzureML, workspace: Workspace, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    masked: list[str] = []
    monkeypatch.setattr("airflow_azureml_datastores.hooks.workspace.mask_secret", masked.append)
    app = azureml.new_app(secret="s3cret~value")
    as_app(connect, app)
    with WorkspaceHook("ml") as hook:
        credential = hook.workspace.credential(hook.get())
    assert isinstance(credential, AccountKey)
    assert {app.secret, credential.key} <= set(masked)


def test_sas_of_the_workspace_is_renewed_by_the_workspace(
    azureml: AzureML, workspace: Workspace, servers: Servers, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is open for longer than a token lasts has it renewed, and each is masked."""
    masked: list[str] = []
    monkeypatch.setattr("airflow_azureml_datastores.hooks.workspace.mask_secret", masked.append)
    short = azureml.new_workspace(blob=servers.azurite, credentials="Sas", beside=workspace)
    short.datastores.sas_lifetime = 2
    as_app(connect, azureml.new_app(secret="s3cret~value"), workspace_name=short.id.workspace)

    def tokens() -> set[str]:
        return {text for text in masked if "sig=" in text}

    with WorkspaceHook("ml") as hook:
        store = hook.open().store
        store.write("a.csv", [b"1"])
        deadline = time.monotonic() + 30
        while len(tokens()) < 3:
            assert time.monotonic() < deadline
            assert b"".join(store.read("a.csv")) == b"1"
            assert [info.path for info in store.list()] == ["a.csv"]
    for token in tokens():
        signature = token.rpartition("sig=")[2].partition("&")[0]
        assert {signature, unquote(signature)} <= set(masked), "clients quote it in their own ways"
    assert len(azureml.requests("listSecrets", short)) < 8, "a token is kept while it is valid"


def test_triggerer_opens_it_from_a_thread(
    azureml: AzureML, workspace: Workspace, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All connections come from the event loop, which is the one to tell the supervisor of secrets, too."""
    app = azureml.new_app(secret="s3cret~value")
    as_app(connect, app)
    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)

    async def look() -> list[str]:
        supervisor.loop = asyncio.get_running_loop()
        hook = WorkspaceHook("ml")
        hook.get_connection = None  # type: ignore[method-assign, assignment]
        await hook.aload([None])
        try:
            place = await asyncio.to_thread(hook.open)
            await asyncio.to_thread(place.store.write, "a.csv", [b"1"])
            return [info.path for info in await asyncio.to_thread(lambda: list(place.store.list()))]
        finally:
            await asyncio.to_thread(hook.close)

    assert asyncio.run(look()) == ["a.csv"]
    key = workspace.datastores["workspaceblobstore"].secrets["key"]
    assert {app.secret, key} <= {value for value in supervisor.masked if isinstance(value, str)}


class Supervisor:
    """A triggerer's line to its supervisor, which is the event loop's alone."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.masked: list[object] = []

    def send(self, message: object) -> None:
        pytest.fail("the triggerer's threads may not speak with its supervisor")

    async def asend(self, message: object) -> object:
        assert asyncio.get_running_loop() is self.loop
        if isinstance(message, MaskSecret):
            self.masked.append(message.value)
            return None
        raise LookupError("connections of this test are in the environment")
