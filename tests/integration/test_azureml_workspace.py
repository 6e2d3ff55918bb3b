"""A workspace of Azure ML over the wire: beside azure-ai-ml, through what goes wrong, and with its secrets."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.ai.ml import MLClient, Output, command
from azure.ai.ml import entities as ml
from azure.core.credentials import AccessToken as SdkToken
from azure.core.credentials import TokenCredential

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Anonymous,
    Certificate,
    Credential,
    Identity,
    Login,
    RenewedSas,
    SasToken,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.datastore import Datastore, Location, UnknownLocation
from airflow_azureml_datastores.core.uri import WorkspaceId
from airflow_azureml_datastores.errors import (
    AccessDenied,
    DatastoreExists,
    DatastoreNotFound,
    DatastoreProtected,
    DatastoresError,
    InvalidConnection,
    InvalidInput,
    InvalidName,
    NotFound,
    Unavailable,
    Unsupported,
    WorkspaceNotFound,
)
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores.adls_gen2 import AzureDataLakeGen2
from airflow_azureml_datastores.stores.azure_blob import AzureBlob
from airflow_azureml_datastores.stores.azure_file import AzureFile
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.stores.one_lake import OneLake
from airflow_azureml_datastores.workspaces.azureml import BUILT_IN, AzureMLWorkspace
from tests.contract.workspace.rigs_azureml import trusting
from tests.integration.azure_file_site import new_site
from tests.servers.azureml import ArmError, AzureML, LoseResponse, Meanwhile, Workspace, throttled
from tests.servers.azureml.web import Response
from tests.servers.fixtures import Servers
from tests.unit.workspaces.test_arm_certificates import GUID, forms

ROOT = Path(__file__).parents[2]
KEY = "a2V5LWluLXRoaXMtdGVzdA=="
OTHER_KEY = "YW5vdGhlci1rZXktaW4tdGhpcy10ZXN0"
BLOB = AzureBlob("contoso", "raw")
SALES = Datastore("sales", BLOB, "contoso_storage", "what was sold", {"owner": "Zoë"})
SHARED = Datastore("shared", LocalDirectory("/mnt/shared"), description="a share", tags={"a": "ü"})
IMPATIENT = Patience(retries=1, backoff=0.01, timeout=10)

Open = Callable[..., AzureMLWorkspace]


@pytest.fixture
def azureml(servers: Servers) -> Iterator[AzureML]:
    with trusting(servers.azureml):
        yield servers.azureml
    servers.azureml.clear_plan()


@pytest.fixture
def remote(azureml: AzureML) -> Workspace:
    """The workspace as the service has it."""
    return azureml.new_workspace()


@pytest.fixture
def masked() -> list[str]:
    """The secrets that were told, in their order."""
    return []


@pytest.fixture
def open_workspace(azureml: AzureML, remote: Workspace, masked: list[str]) -> Iterator[Open]:
    opened = []

    def open_(
        id: WorkspaceId = remote.id, credential: Credential | None = None, patience: Patience | None = None
    ) -> AzureMLWorkspace:
        workspace = AzureMLWorkspace(
            "lab",
            id,
            credential or AccessToken(azureml.token()),
            resource_manager=azureml.url,
            on_secret=masked.append,
            patience=patience,
        )
        opened.append(workspace)
        return workspace

    yield open_
    for workspace in opened:
        workspace.close()


@pytest.fixture
def workspace(open_workspace: Open) -> AzureMLWorkspace:
    return open_workspace()


class Given(TokenCredential):
    """A token of the stand-in's own making, as azure-ai-ml takes it."""

    def __init__(self, azureml: AzureML) -> None:
        self._azureml = azureml

    def get_token(self, *scopes: str, **kwargs: Any) -> SdkToken:
        return SdkToken(self._azureml.token(audience=scopes[0].removesuffix("/.default")), int(time.time()) + 3600)


@pytest.fixture
def client(azureml: AzureML, remote: Workspace, monkeypatch: pytest.MonkeyPatch) -> MLClient:
    monkeypatch.setenv("AZUREML_DEV_URL_MFE", azureml.url)
    return MLClient(Given(azureml), *vars_of(remote.id), show_progress=False, enable_telemetry=False)


def vars_of(id: WorkspaceId) -> tuple[str, str, str]:
    return id.subscription, id.resource_group, id.workspace


def puts(azureml: AzureML, remote: Workspace) -> list[dict[str, Any]]:
    """The bodies of all PUTs so far."""
    return [json.loads(seen.content)["properties"] for seen in azureml.requests("^PUT", remote)]


PRINCIPAL = ServicePrincipal(str(uuid4()), str(uuid4()), "secret~text")
ML_PRINCIPAL = ml.ServicePrincipalConfiguration(
    tenant_id=PRINCIPAL.tenant_id, client_id=PRINCIPAL.client_id, client_secret=PRINCIPAL.client_secret
)


class TestBesideAzureAiMl:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (ml.AccountKeyConfiguration(account_key=KEY), AccountKey(KEY)),
            (ml.SasTokenConfiguration(sas_token="sv=1&sig=2"), "sv=1&sig=2"),
            (ML_PRINCIPAL, PRINCIPAL),
            (None, None),
        ],
        ids=["key", "SAS", "service principal", "identity"],
    )
    def test_ours_reads_theirs(self, client: MLClient, workspace: AzureMLWorkspace, given: Any, expected: Any) -> None:
        fields = {"account_name": "contoso", "container_name": "raw", "description": "d", "tags": {"a": "b"}}
        client.datastores.create_or_update(ml.AzureBlobDatastore(name="Theirs", credentials=given, **fields))
        found = workspace.get("theirs")
        assert found == Datastore("Theirs", BLOB, description="d", tags={"a": "b"})
        assert found in workspace.list()
        credential = workspace.credential(found)
        if isinstance(expected, str):
            assert isinstance(credential, RenewedSas)
            assert credential.renew() == expected
        else:
            assert credential == expected

    @pytest.mark.parametrize("credential", [AccountKey(KEY), SasToken("?sv=1&sig=2"), PRINCIPAL, Identity(), None])
    def test_theirs_reads_ours(
        self, client: MLClient, workspace: AzureMLWorkspace, credential: Credential | None
    ) -> None:
        assert workspace.register(SALES, credential=credential) == "created"
        found = client.datastores.get("sales", include_secrets=True)
        assert isinstance(found, ml.AzureBlobDatastore)
        assert (found.account_name, found.container_name, found.endpoint) == ("contoso", "raw", "core.windows.net")
        assert (found.description, found.tags) == ("what was sold", {"owner": "Zoë"})
        match credential:
            case AccountKey(key):
                assert found.credentials.account_key == key
            case SasToken(token):
                assert found.credentials.sas_token == token.lstrip("?")
            case ServicePrincipal():
                theirs = found.credentials
                assert (theirs.tenant_id, theirs.client_id, theirs.client_secret) == (
                    credential.tenant_id, credential.client_id, credential.client_secret,
                )  # fmt: skip
                assert theirs.authority_url == "https://login.microsoftonline.com"
            case _:
                assert type(found.credentials) is ml.NoneCredentialConfiguration

    @pytest.mark.parametrize("kind", ["key", "SAS"])
    def test_file_share_of_theirs_is_worked_on(
        self, client: MLClient, workspace: AzureMLWorkspace, servers: Servers, kind: str
    ) -> None:
        """With the secret that the workspace keeps; at the endpoint that a connection would name."""
        with new_site(servers) as site:
            secret = {
                "key": ml.AccountKeyConfiguration(account_key=site.files.key),
                "SAS": ml.SasTokenConfiguration(sas_token=site.sas().token),
            }[kind]
            client.datastores.create_or_update(
                ml.AzureFileDatastore(
                    name="files", account_name=site.files.account, file_share_name=site.share, credentials=secret
                )
            )
            found = workspace.get("files")
            assert found.location == AzureFile(site.files.account, site.share)
            credential = workspace.credential(found)
            assert isinstance(credential, AccountKey if kind == "key" else RenewedSas)
            with found.location.redirected(site.files.plain_url).open(credential) as store:
                etag = store.write("a/b.txt", [b"content"])
                assert b"".join(store.read("a/b.txt", if_match=etag)) == b"content"

    def test_other_types_of_theirs(self, client: MLClient, workspace: AzureMLWorkspace) -> None:
        artifact = ml.OneLakeArtifact(name="Sales/Files", type="lake_house")
        client.datastores.create_or_update(
            ml.OneLakeDatastore(
                name="house",
                one_lake_workspace_name="w",
                artifact=artifact,
                endpoint="onelake.dfs.fabric.microsoft.com",
            )
        )
        client.datastores.create_or_update(
            ml.AzureDataLakeGen2Datastore(name="lake", account_name="contoso", filesystem="raw")
        )
        assert workspace.get("house").location == OneLake("w", "Sales/Files")
        assert workspace.get("lake").location == AzureDataLakeGen2("contoso", "raw")
        assert {"house", "lake"} <= {found.name for found in workspace.list()}

    @pytest.mark.parametrize(
        "location",
        [AzureDataLakeGen2("contoso", "raw"), OneLake("w", "Sales/Files")],
        ids=lambda location: location.type,
    )
    def test_other_types_of_ours(self, client: MLClient, workspace: AzureMLWorkspace, location: Location) -> None:
        """Read back equal by us, and read by azure-ai-ml."""
        principal = ServicePrincipal("11111111-2222-3333-4444-555555555555", "app", "secret")
        datastore = Datastore("other", location, "conn", "text", {"a": "b"})
        assert workspace.register(datastore, credential=principal) == "created"
        assert workspace.get("other") == datastore
        assert workspace.register(datastore, credential=principal) == "unchanged"
        assert workspace.credential(workspace.get("other")) == principal
        theirs = client.datastores.get("other")
        assert theirs.credentials.client_id == "app"
        if isinstance(theirs, ml.OneLakeDatastore):
            assert (theirs.one_lake_workspace_name, theirs.artifact["name"]) == ("w", "Sales/Files")
        else:
            assert isinstance(theirs, ml.AzureDataLakeGen2Datastore)
            assert (theirs.account_name, theirs.filesystem) == ("contoso", "raw")

    def test_what_theirs_writes_over_ours(self, client: MLClient, workspace: AzureMLWorkspace) -> None:
        workspace.register(SALES, credential=AccountKey(KEY))
        theirs = client.datastores.get("sales")
        theirs.description = "theirs"
        theirs.credentials = ml.AccountKeyConfiguration(account_key=OTHER_KEY)
        client.datastores.create_or_update(theirs)
        found = workspace.get("sales")
        assert found == replace(SALES, description="theirs", credential_conn_id=found.credential_conn_id)
        assert workspace.credential(found) == AccountKey(OTHER_KEY)

    def test_connections(self, client: MLClient, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        workspace.register(SHARED, credential=AccountKey(KEY))
        found = client.connections.get("shared")
        assert (found.target, found.metadata["airflow_type"]) == ("/mnt/shared", "LocalDirectory")
        assert type(found.credentials) is ml.AccountKeyConfiguration
        assert remote.connections.records["shared"]["properties"]["credentials"] == {"key": KEY}
        client.connections.create_or_update(
            ml.WorkspaceConnection(
                name="feed",
                type="python_feed",
                target="https://feed.example.net",
                credentials=ml.PatTokenConfiguration(pat="token"),
            )
        )
        assert [datastore.name for datastore in workspace.list()] == sorted(["shared", *BUILT_IN])


class TestBuiltIn:
    def test_all_four_are_listed_with_what_is_in_arm(
        self, servers: Servers, azureml: AzureML, open_workspace: Open
    ) -> None:
        remote = azureml.new_workspace(blob=servers.azurite)
        workspace = open_workspace(remote.id)
        assert [datastore.name for datastore in workspace.list()] == list(BUILT_IN)
        assert isinstance(workspace.get("workspacefilestore").location, AzureFile)
        default = workspace.default()
        assert default.location == AzureBlob(servers.azurite.account, remote.container, servers.azurite.url, "http")
        credential = workspace.credential(default)
        assert credential == AccountKey(servers.azurite.key)
        with default.location.open(credential) as store:
            store.write("a.txt", [b"content"])
            assert b"".join(store.read("a.txt")) == b"content"

    @pytest.mark.parametrize("name", BUILT_IN)
    def test_are_protected(self, workspace: AzureMLWorkspace, remote: Workspace, name: str) -> None:
        with pytest.raises(DatastoreProtected, match=f"{name}.*built into workspace 'lab' \\(Azure ML workspace"):
            workspace.unregister(name.upper())
        assert name in remote.datastores

    def test_keep_their_type(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        with pytest.raises(DatastoreProtected, match=r"built into .* cannot become a AzureBlob"):
            workspace.register(Datastore("workspacefilestore", BLOB), overwrite=True)
        assert remote.datastores["workspacefilestore"].properties["datastoreType"] == "AzureFile"


class TestWhatIsNotUnderstood:
    PLANTED: dict[str, Any] = {
        "datastoreType": "AzureBlob",
        "accountName": "contoso",
        "containerName": "raw",
        "endpoint": "core.windows.net",
        "protocol": "https",
        "serviceDataAccessAuthIdentity": "WorkspaceUserAssignedIdentity",
        "subscriptionId": "s",
        "resourceGroup": "rg",
        "later": {"deep": [1, None, "ü"]},
        "description": None,
        "tags": None,
        "properties": {"theirs": "1"},
        "credentials": {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": KEY}},
    }

    def test_survives_everything(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        remote.datastores.plant("planted", self.PLANTED)
        kept = {name: self.PLANTED[name] for name in
                ("serviceDataAccessAuthIdentity", "subscriptionId", "resourceGroup", "later")}  # fmt: skip

        def check() -> dict[str, Any]:
            properties: dict[str, Any] = remote.datastores["planted"].properties
            assert {name: properties[name] for name in kept} == kept
            assert properties["properties"]["theirs"] == "1"
            return properties

        found = workspace.get("planted")
        assert workspace.register(found) == "unchanged"
        workspace.set_default("planted")
        check()
        assert workspace.register(found, credential=AccountKey(OTHER_KEY)) == "updated"
        check()
        assert workspace.register(replace(found, description="new"), overwrite=True) == "updated"
        assert check()["description"] == "new"
        assert remote.datastores.default == "planted"

    def test_types_to_come(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        values = {"where": "there", "deep": {"list": [1, 2.5, None, True, "ü"]}, "null": None}
        planted = {**values, "datastoreType": "Holographic", "credentials": {"credentialsType": "None"}}
        remote.datastores.plant("future", planted)
        found = workspace.get("future")
        assert found == Datastore("future", UnknownLocation("Holographic", values))
        assert found in workspace.list()
        assert workspace.register(found) == "unchanged"
        with pytest.raises(DatastoreExists, match="description is '', not 'x'"):
            workspace.register(replace(found, description="x"))
        assert workspace.unregister("future") == found

    @pytest.mark.parametrize("type_", ["AzureDataLakeGen1", "AzureSqlDatabase"])
    def test_types_of_the_past(self, workspace: AzureMLWorkspace, remote: Workspace, type_: str) -> None:
        remote.datastores.plant("old", {"datastoreType": type_, "storeName": "x"})
        assert workspace.get("old").type == type_
        with pytest.raises(Unsupported, match=type_):
            workspace.get("old").location.open(Anonymous())

    def test_unknown_type_is_kept_when_it_becomes_the_default(
        self, workspace: AzureMLWorkspace, remote: Workspace, azureml: AzureML
    ) -> None:
        """The service may refuse it; what is sent is all that was there."""
        values = {"storeName": "x", "later": {"deep": [1]}}
        remote.datastores.plant("lake", {"datastoreType": "AzureDataLakeGen1", "credentials": {
            "credentialsType": "None"}, **values})  # fmt: skip
        assert workspace.set_default("lake").location == UnknownLocation("AzureDataLakeGen1", values)
        sent = puts(azureml, remote)[-1]
        assert {name: sent[name] for name in values} == values
        assert workspace.default().name == "lake"


class TestDefault:
    @pytest.mark.parametrize("readable", [True, False], ids=["secrets readable", "secrets denied"])
    def test_keeps_its_secret(
        self, workspace: AzureMLWorkspace, remote: Workspace, azureml: AzureML, readable: bool
    ) -> None:
        workspace.register(SALES, credential=AccountKey(KEY))
        if not readable:
            remote.deny("datastores/listSecrets/action")
        assert workspace.set_default("SALES") == SALES
        assert remote.datastores.default == "sales"
        assert remote.datastores["sales"].secrets == {"secretsType": "AccountKey", "key": KEY}
        assert ("secrets" in puts(azureml, remote)[-1]["credentials"]) == readable

    def test_where_keys_are_switched_off(
        self, workspace: AzureMLWorkspace, remote: Workspace, azureml: AzureML
    ) -> None:
        """What the service refuses to read out, it is asked to keep."""
        workspace.register(SALES, credential=AccountKey(KEY))
        refused = "Key based authentication is not permitted on this storage account."
        azureml.plan(ArmError(f"POST .*{remote.id.workspace}/", 409, "Conflict", refused))
        workspace.set_default("sales")
        assert remote.datastores["sales"].secrets == {"secretsType": "AccountKey", "key": KEY}

    def test_a_key_does_not_become_a_short_lived_sas(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        """What the service gives out in place of the key is not sent back."""
        workspace.register(SALES, credential=AccountKey(KEY))
        record = remote.datastores["sales"]
        record.secrets = {"secretsType": "Sas", "sasToken": "sv=1&sig=short"}
        workspace.set_default("sales")
        assert record.properties["credentials"] == {"credentialsType": "AccountKey"}
        assert isinstance(workspace.credential(SALES), RenewedSas)

    def test_changes_its_credential_and_stays(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        workspace.register(SALES, credential=AccountKey(KEY))
        workspace.set_default("sales")
        assert workspace.register(SALES, credential=SasToken("sv=1&sig=2")) == "updated"
        assert workspace.register(replace(SALES, credential_conn_id="new"), credential=PRINCIPAL, overwrite=True)
        assert workspace.default() == replace(SALES, credential_conn_id="new")
        assert workspace.credential(SALES) == PRINCIPAL
        assert remote.datastores.default == "sales"

    def test_again_writes_nothing(self, workspace: AzureMLWorkspace, remote: Workspace, azureml: AzureML) -> None:
        assert workspace.set_default("workspaceblobstore") == workspace.default()
        assert puts(azureml, remote) == []

    def test_deleted_behind_our_back(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        remote.datastores.remove("workspaceblobstore")
        with pytest.raises(NotFound, match=r"has no default datastore: it was deleted\. Make another one"):
            workspace.default()
        workspace.register(SALES)
        assert workspace.set_default("sales") == workspace.default()

    def test_connections_cannot_be(self, workspace: AzureMLWorkspace) -> None:
        workspace.register(SHARED)
        with pytest.raises(Unsupported, match=r"'shared' cannot be the default .* kept as a connection"):
            workspace.set_default("shared")

    def test_cannot_become_a_connection(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        workspace.register(SALES)
        workspace.set_default("sales")
        with pytest.raises(DatastoreProtected, match=r"is the default .* make another one the default first"):
            workspace.register(replace(SHARED, name="sales"), overwrite=True)
        assert workspace.default() == SALES
        assert remote.connections.records == {}


class TestCredentials:
    @pytest.mark.parametrize("credential", [AccountKey(KEY), SasToken("?sv=1&sig=2"), PRINCIPAL, Identity()])
    def test_the_same_again_writes_nothing(
        self, workspace: AzureMLWorkspace, remote: Workspace, azureml: AzureML, credential: Credential
    ) -> None:
        assert workspace.register(SALES, credential=credential) == "created"
        assert workspace.register(SALES, credential=credential) == "unchanged"
        assert len(puts(azureml, remote)) == 1

    def test_another_one_needs_no_overwrite(self, workspace: AzureMLWorkspace) -> None:
        workspace.register(SALES, credential=AccountKey(KEY))
        assert workspace.register(SALES, credential=AccountKey(OTHER_KEY)) == "updated"
        assert workspace.credential(SALES) == AccountKey(OTHER_KEY)

    def test_where_it_may_not_be_read_it_is_written_again(
        self, workspace: AzureMLWorkspace, remote: Workspace, azureml: AzureML
    ) -> None:
        workspace.register(SALES, credential=AccountKey(KEY))
        remote.deny("datastores/listSecrets/action")
        assert workspace.register(SALES, credential=AccountKey(OTHER_KEY)) == "unchanged"
        assert remote.datastores["sales"].secrets == {"secretsType": "AccountKey", "key": OTHER_KEY}

    def test_stays_while_place_and_connection_do(self, workspace: AzureMLWorkspace) -> None:
        workspace.register(SALES, credential=AccountKey(KEY))
        workspace.register(replace(SALES, description="new"), overwrite=True)
        assert workspace.credential(SALES) == AccountKey(KEY)

    @pytest.mark.parametrize("change", [{"credential_conn_id": None}, {"location": AzureBlob("other", "raw")}])
    def test_goes_with_place_or_connection(
        self, workspace: AzureMLWorkspace, remote: Workspace, change: dict[str, Any]
    ) -> None:
        workspace.register(SALES, credential=AccountKey(KEY))
        workspace.register(replace(SALES, **change), overwrite=True)
        assert remote.datastores["sales"].properties["credentials"] == {"credentialsType": "None"}
        assert remote.datastores["sales"].secrets is None

    @pytest.mark.parametrize("credential", [Login("me", "secret"), AccessToken("secret"), RenewedSas(lambda: "secret")])
    def test_that_cannot_be_kept(
        self, workspace: AzureMLWorkspace, remote: Workspace, azureml: AzureML, credential: Credential
    ) -> None:
        with pytest.raises(
            Unsupported, match=f"'sales': Azure ML cannot keep a {type(credential).__name__}"
        ) as refused:
            workspace.register(SALES, credential=credential)
        assert "secret" not in str(refused.value)
        assert puts(azureml, remote) == []

    def test_of_what_is_not_registered(
        self, azureml: AzureML, open_workspace: Open, workspace: AzureMLWorkspace
    ) -> None:
        """As a check before the registration asks for it."""
        principal = TestLogin().principal(azureml)
        own = open_workspace(credential=principal)
        assert own.credential(SALES) == principal
        assert own.credential(SHARED) is None
        assert workspace.credential(SALES) is None
        own.register(SALES, credential=AccountKey(KEY))
        assert own.credential(replace(SALES, name="SALES", description="new")) == AccountKey(KEY)
        assert own.credential(replace(SALES, location=AzureBlob("other", "raw"))) == principal, "not another's key"
        assert own.credential(replace(SHARED, name="sales")) is None

    def test_denied(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        workspace.register(SALES, credential=AccountKey(KEY))
        remote.deny("datastores/listSecrets/action")
        with pytest.raises(AccessDenied, match=r"datastores/listSecrets/action' on '/subscr.*Data Scientist"):
            workspace.credential(SALES)

    def test_sas_is_renewed_while_a_store_is_open(
        self, servers: Servers, azureml: AzureML, open_workspace: Open, masked: list[str]
    ) -> None:
        remote = azureml.new_workspace(blob=servers.azurite, credentials="Sas")
        remote.datastores.sas_lifetime = 2
        workspace = open_workspace(remote.id)
        default = workspace.default()
        credential = workspace.credential(default)
        assert isinstance(credential, RenewedSas)
        with default.location.open(credential) as store:
            store.write("a.txt", [b"content"])
            first = masked[-1]
            time.sleep(3)  # until the first token has expired: the service's clock, nothing else
            assert b"".join(store.read("a.txt")) == b"content"
        assert masked[-1] != first
        assert len(azureml.requests("listSecrets", remote)) >= 2


class TestConnections:
    def test_life(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        assert workspace.register(SHARED) == "created"
        assert workspace.get("SHARED") == SHARED
        assert SHARED in workspace.list()
        assert workspace.register(SHARED) == "unchanged"
        moved = replace(SHARED, location=LocalDirectory("/mnt/elsewhere"), credential_conn_id="x")
        with pytest.raises(DatastoreExists, match=r"location\.path is '/mnt/shared'"):
            workspace.register(moved)
        assert workspace.register(moved, overwrite=True) == "updated"
        assert workspace.get("shared") == moved
        assert workspace.credential(moved) is None
        assert workspace.unregister("Shared") == moved
        assert remote.connections.records == {}
        with pytest.raises(DatastoreNotFound, match="no datastore 'shared'"):
            workspace.get("shared")

    @pytest.mark.parametrize(
        "credential",
        [Login("me", "pass word"), PRINCIPAL, AccountKey(KEY), SasToken("sv=1&sig=2"), AccessToken("pat")],
        ids=lambda credential: type(credential).__name__,
    )
    def test_credentials(self, workspace: AzureMLWorkspace, masked: list[str], credential: Credential) -> None:
        workspace.register(SHARED, credential=credential)
        assert workspace.credential(SHARED) == credential
        assert workspace.register(SHARED, credential=credential) == "unchanged"
        assert workspace.register(replace(SHARED, description="new"), overwrite=True) == "updated"
        assert workspace.credential(SHARED) == credential, "it stays while place and connection do"
        assert masked

    def test_secret_that_may_not_be_read(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        workspace.register(SHARED, credential=Login("me", "first"))
        remote.deny("connections/listsecrets/action")
        with pytest.raises(AccessDenied, match="Connection Secrets Reader"):
            workspace.credential(SHARED)
        assert workspace.register(SHARED, credential=Login("me", "second")) == "unchanged"
        assert remote.connections.records["shared"]["properties"]["credentials"]["password"] == "second"
        workspace.register(replace(SHARED, description="new"), overwrite=True)
        assert remote.connections.records["shared"]["properties"]["credentials"]["password"] == "second"

    @pytest.mark.parametrize("name", ["ab", "x" * 34])
    def test_name(self, workspace: AzureMLWorkspace, name: str) -> None:
        with pytest.raises(InvalidName, match="3 to 33"):
            workspace.register(replace(SHARED, name=name))

    def test_name_of_a_connection_that_is_no_datastore(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        theirs = {"category": "PythonFeed", "target": "https://feed", "authType": "None"}
        remote.connections.plant("shared", theirs)
        with pytest.raises(InvalidName, match=r"'shared' is the name of a connection .* that is no datastore"):
            workspace.register(SHARED, overwrite=True)
        with pytest.raises(DatastoreNotFound):
            workspace.unregister("shared")
        assert remote.connections.records["shared"]["properties"]["target"] == "https://feed"

    def test_from_datastore_to_connection_and_back(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        workspace.register(SALES, credential=AccountKey(KEY))
        shared = replace(SHARED, name="sales")
        assert workspace.register(shared, overwrite=True) == "updated"
        assert workspace.list().count(shared) == 1
        assert "sales" not in remote.datastores
        assert workspace.register(SALES, overwrite=True) == "updated"
        assert workspace.get("sales") == SALES
        assert remote.connections.records == {}

    @pytest.mark.parametrize(
        ("before", "after"),
        [(BLOB, LocalDirectory("/mnt/x")), (LocalDirectory("/mnt/x"), BLOB)],
        ids=["to a connection", "to a datastore"],
    )
    def test_another_type_whose_answer_is_lost(
        self, azureml: AzureML, remote: Workspace, open_workspace: Open, before: Location, after: Location
    ) -> None:
        workspace = open_workspace(patience=IMPATIENT)
        workspace.register(Datastore("swap", before))
        azureml.plan(LoseResponse(f"PUT .*{remote.id.workspace}/", times=2))
        assert workspace.register(Datastore("swap", after), overwrite=True) == "updated"
        assert [found.location for found in workspace.list() if found.name == "swap"] == [after]

    def test_a_datastore_with_the_name_of_one_that_is_kept_as_a_connection(
        self, workspace: AzureMLWorkspace, remote: Workspace
    ) -> None:
        """Others may have made it, who know nothing of ours."""
        workspace.register(replace(SHARED, name="swap"))
        place = dict(remote.datastores["workspaceblobstore"].properties)
        remote.datastores.plant("swap", {**place, "credentials": {"credentialsType": "None"}})
        workspace.register(replace(SHARED, name="swap"), overwrite=True)
        assert [found.location for found in workspace.list() if found.name == "swap"] == [SHARED.location]

    def test_a_type_that_the_service_refuses_leaves_the_old_one(
        self, workspace: AzureMLWorkspace, remote: Workspace
    ) -> None:
        workspace.register(SALES, credential=AccountKey(KEY))
        with pytest.raises(InvalidInput, match="unknown datastoreType 'Odd'"):
            workspace.register(Datastore("sales", UnknownLocation("Odd", {"at": "x"})), overwrite=True)
        assert workspace.get("sales") == SALES
        assert workspace.credential(SALES) == AccountKey(KEY)


class TestAtOnce:
    """What happens between a request and the next, in the order that hurts."""

    OTHER = replace(SALES, location=AzureBlob("contoso", "other"))

    def test_two_that_create(self, azureml: AzureML, remote: Workspace, open_workspace: Open) -> None:
        """Declared by the contract's rig: the last one wins, and the first is not told."""
        one, other = open_workspace(), open_workspace()
        first: list[str] = []
        match = f"PUT .*{remote.id.workspace}/datastores/sales"
        azureml.plan(Meanwhile(match, lambda: first.append(other.register(self.OTHER))))
        assert one.register(SALES) == "unchanged"
        assert first == ["created"]
        assert other.get("sales") == SALES

    def test_the_loser_is_told_if_it_looks_in_time(
        self, azureml: AzureML, remote: Workspace, open_workspace: Open
    ) -> None:
        one, other = open_workspace(), open_workspace()
        match = f"GET .*{remote.id.workspace}/datastores/sales"
        azureml.plan(Meanwhile(match, lambda: other.register(self.OTHER, overwrite=True), skip=1))
        with pytest.raises(DatastoreExists, match="at the same moment"):
            one.register(SALES)
        assert one.get("sales") == self.OTHER

    def test_unregistered_while_it_becomes_the_default(
        self, azureml: AzureML, remote: Workspace, open_workspace: Open
    ) -> None:
        one, other = open_workspace(), open_workspace()
        one.register(SALES)
        azureml.plan(Meanwhile(f"PUT .*{remote.id.workspace}/datastores/sales", lambda: other.unregister("sales")))
        with pytest.raises(DatastoreNotFound):
            one.set_default("sales")
        assert "sales" not in remote.datastores
        assert one.default().name == "workspaceblobstore"

    def test_becomes_the_default_while_it_is_unregistered(
        self, azureml: AzureML, remote: Workspace, open_workspace: Open
    ) -> None:
        one, other = open_workspace(), open_workspace()
        one.register(SALES)
        azureml.plan(Meanwhile(f"DELETE .*{remote.id.workspace}/datastores/sales", lambda: other.set_default("sales")))
        with pytest.raises(DatastoreProtected, match="default"):
            one.unregister("sales")
        assert one.default() == SALES

    def test_becomes_the_default_while_it_is_written(
        self, azureml: AzureML, remote: Workspace, open_workspace: Open
    ) -> None:
        one, other = open_workspace(), open_workspace()
        one.register(SALES)
        azureml.plan(Meanwhile(f"PUT .*{remote.id.workspace}/datastores/sales", lambda: other.set_default("sales")))
        assert one.register(self.OTHER, overwrite=True) == "updated"
        assert one.default() == self.OTHER


class TestTheService:
    def test_pages(self, workspace: AzureMLWorkspace, remote: Workspace, azureml: AzureML) -> None:
        names = [f"ds-{n:02}" for n in range(11)]
        for name in names:
            workspace.register(replace(SALES, name=name))
            workspace.register(replace(SHARED, name=f"fs-{name}"))
        remote.datastores.page_size, remote.connections.page_size = 2, 3
        expected = sorted([*names, *(f"fs-{name}" for name in names), *BUILT_IN])
        assert [datastore.name for datastore in workspace.list()] == expected
        assert len(azureml.requests(r"^GET .*/datastores\?", remote)) == 8
        assert len(azureml.requests(r"^GET .*/connections\?", remote)) == 4

    def test_next_page_is_asked_of_the_same_host(
        self, workspace: AzureMLWorkspace, remote: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So the token goes nowhere else, whatever the link says."""
        link = f"https://elsewhere.example.com{remote.path}/datastores?api-version=2024-10-01&skip=3"
        answers = iter([{"value": [], "nextLink": link}, {"value": [{"name": "last", "properties": {}}]}])
        monkeypatch.setattr(remote.datastores, "list", lambda request: Response(200, next(answers)))
        assert [datastore.name for datastore in workspace.list()] == ["last"]

    @pytest.mark.parametrize(
        "answer",
        ["<html>a proxy</html>", [1], "", {"value": 1}, {"value": ["x"]}, {"value": [], "nextLink": "string"}],
        ids=str,
    )
    def test_answers_that_are_nobody_s(
        self, workspace: AzureMLWorkspace, remote: Workspace, monkeypatch: pytest.MonkeyPatch, answer: Any
    ) -> None:
        monkeypatch.setattr(remote.datastores, "list", lambda request: Response(200, answer))
        with pytest.raises(Unavailable, match="the answer is not one of Azure Resource Manager's"):
            workspace.list()

    @pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
    def test_throttling_is_waited_out(
        self, workspace: AzureMLWorkspace, remote: Workspace, azureml: AzureML, method: str
    ) -> None:
        azureml.plan(throttled(f"^{method} .*{remote.id.workspace}/", after=1))
        workspace.register(SALES, credential=AccountKey(KEY))
        assert workspace.credential(SALES) == AccountKey(KEY)
        workspace.unregister("sales")
        seen = azureml.requests(f"^{method} ", remote)
        struck = next(index for index, request in enumerate(seen) if request.status == 429)
        assert seen[struck + 1].request == seen[struck].request
        assert seen[struck + 1].at - seen[struck].at >= 0.99

    @pytest.mark.parametrize(
        "fault",
        [
            lambda match: throttled(match, after=0, times=9),
            lambda match: ArmError(match, 503, "ServiceUnavailable", "Try later.", times=9),
            lambda match: LoseResponse(match, times=9),
        ],
        ids=["429", "503", "no answer"],
    )
    def test_in_the_end_it_is_unavailable(
        self, open_workspace: Open, remote: Workspace, azureml: AzureML, fault: Any
    ) -> None:
        workspace = open_workspace(patience=IMPATIENT)
        azureml.plan(fault(f"GET .*{remote.id.workspace}/"))
        with pytest.raises(Unavailable, match=r"'lab' \(Azure ML workspace .* did not answer properly"):
            workspace.list()

    def test_a_lost_answer_is_asked_for_again(
        self, workspace: AzureMLWorkspace, remote: Workspace, azureml: AzureML
    ) -> None:
        azureml.plan(LoseResponse(f"PUT .*{remote.id.workspace}/"))
        assert workspace.register(SALES, credential=AccountKey(KEY)) in ("created", "unchanged")
        assert workspace.get("sales") == SALES
        azureml.plan(LoseResponse(f"PUT .*{remote.id.workspace}/"))
        workspace.set_default("sales")
        assert workspace.default() == SALES
        workspace.set_default("workspaceblobstore")
        azureml.plan(LoseResponse(f"DELETE .*{remote.id.workspace}/"))
        workspace.unregister("sales")
        assert "sales" not in remote.datastores

    @pytest.mark.parametrize(
        ("action", "call"),
        [
            ("datastores/read", lambda workspace: workspace.list()),
            ("connections/read", lambda workspace: workspace.list()),
            ("datastores/read", lambda workspace: workspace.get("sales")),
            ("datastores/read", lambda workspace: workspace.default()),
            ("datastores/write", lambda workspace: workspace.set_default("sales")),
            ("datastores/write", lambda workspace: workspace.register(replace(SALES, name="new"))),
            ("connections/write", lambda workspace: workspace.register(SHARED)),
            ("datastores/delete", lambda workspace: workspace.unregister("sales")),
        ],
    )
    def test_missing_role(
        self, workspace: AzureMLWorkspace, remote: Workspace, action: str, call: Callable[[AzureMLWorkspace], object]
    ) -> None:
        workspace.register(SALES)
        remote.deny(action)
        with pytest.raises(AccessDenied) as denied:
            call(workspace)
        for text in (
            "the access token may not do",
            f"'Microsoft.MachineLearningServices/workspaces/{action}'",
            remote.path,
            "Data Scientist",
        ):
            assert text in str(denied.value)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (lambda id: replace(id, workspace="contoso-ml"), "contoso-ml"),
            (lambda id: replace(id, resource_group="contoso-rg"), "contoso-rg"),
            (lambda id: replace(id, subscription=str(uuid4())), "ubscription"),
        ],
        ids=["workspace", "resource group", "subscription"],
    )
    def test_no_such_workspace(self, open_workspace: Open, remote: Workspace, change: Any, told: str) -> None:
        workspace = open_workspace(change(remote.id))
        calls = (workspace.list, workspace.default, lambda: workspace.get("sales"), lambda: workspace.register(SALES))
        for call in calls:
            with pytest.raises(WorkspaceNotFound, match=f"the workspace was not found .*{told}"):
                call()

    def test_another_service_s_address(self, open_workspace: Open, azureml: AzureML, remote: Workspace) -> None:
        workspace = AzureMLWorkspace(
            "lab", remote.id, AccessToken(azureml.token()), resource_manager=f"{azureml.url}/elsewhere"
        )
        with pytest.raises(DatastoresError, match=r"'lab' \(Azure ML"):
            workspace.list()
        workspace.close()


class TestLogin:
    def principal(self, azureml: AzureML, **changes: Any) -> ServicePrincipal:
        app = azureml.new_app("airflow", secret="app~secret~text", expired=changes.pop("expired", False))
        authority = azureml.login_url.partition("://")[2]
        return replace(ServicePrincipal(app.tenant, app.client_id, app.secret, authority), **changes)

    def test_service_principal(self, azureml: AzureML, open_workspace: Open) -> None:
        principal = self.principal(azureml)
        workspace = open_workspace(credential=principal)
        assert workspace.default().name == "workspaceblobstore"
        workspace.register(SALES)
        assert workspace.credential(SALES) == principal, "where the workspace keeps none it is its own"

    def test_certificate(self, azureml: AzureML, open_workspace: Open) -> None:
        pem, _ = forms()["PEM"]
        app = azureml.new_app("airflow", certificate=pem)
        authority = azureml.login_url.partition("://")[2]
        certificate = Certificate(app.tenant, app.client_id, content=pem, authority=authority)
        assert open_workspace(credential=certificate).default().name == "workspaceblobstore"

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"client_secret": "wrong~secret~text"}, "the client secret is wrong"),
            ({"expired": True}, "the client secret has expired"),
            ({"tenant_id": str(uuid4())}, "there is no such tenant"),
            ({"client_id": str(uuid4())}, "the tenant has no such application"),
        ],
        ids=["wrong secret", "expired secret", "wrong tenant", "missing application"],
    )
    def test_refused(self, azureml: AzureML, open_workspace: Open, changes: dict[str, Any], told: str) -> None:
        workspace = open_workspace(credential=self.principal(azureml, **changes))
        with pytest.raises(AccessDenied, match=told) as refused:
            workspace.list()
        assert "could not log in" in str(refused.value)
        assert "~secret~" not in str(refused.value)

    def test_token_of_another_tenant(self, azureml: AzureML, open_workspace: Open) -> None:
        remote = azureml.new_workspace(tenant=str(uuid4()))
        with pytest.raises(AccessDenied, match="belongs to another tenant"):
            open_workspace(remote.id).list()

    def test_expired_token(self, azureml: AzureML, open_workspace: Open) -> None:
        with pytest.raises(AccessDenied, match="access was denied to the access token"):
            open_workspace(credential=AccessToken(azureml.token(expires_in=-60))).list()

    @pytest.mark.parametrize("credential", [AccountKey(KEY), SasToken("sig=1"), Login("a", "b"), Anonymous()])
    def test_credential_that_is_none_of_entra_s(self, remote: Workspace, credential: Credential) -> None:
        with pytest.raises(InvalidConnection, match="service principal, an identity or an access token"):
            AzureMLWorkspace("lab", remote.id, credential)

    @pytest.mark.parametrize(
        "options", [{"cloud": "AzureMoonCloud"}, {"resource_manager": "http://x"}, {"resource_manager": "https://"}]
    )
    def test_where_no_token_goes(self, remote: Workspace, options: dict[str, str]) -> None:
        with pytest.raises(InvalidConnection, match=r"AzureMoonCloud|https"):
            AzureMLWorkspace("lab", remote.id, AccessToken("t"), **options)

    @pytest.mark.parametrize(
        ("cloud", "host"),
        [
            ("AzurePublicCloud", "management.azure.com"),
            ("AzureUSGovernment", "management.usgovcloudapi.net"),
            ("AzureChinaCloud", "management.chinacloudapi.cn"),
        ],
    )
    def test_clouds(self, remote: Workspace, cloud: str, host: str) -> None:
        workspace = AzureMLWorkspace("lab", remote.id, AccessToken("t"), cloud=cloud)
        assert (workspace._arm.base, workspace._arm.scope) == (f"https://{host}", f"https://{host}/.default")
        workspace.close()


def test_secrets_are_nowhere(
    azureml: AzureML,
    remote: Workspace,
    masked: list[str],
    open_workspace: Open,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not in the logs at their loudest, nor in what is shown, nor in errors; and each is told before anything else."""
    app = azureml.new_app("airflow", secret="app~secret~text")
    principal = ServicePrincipal(app.tenant, app.client_id, app.secret, azureml.login_url.partition("://")[2])
    given: list[tuple[Credential, str]] = [
        (AccountKey(KEY), KEY),
        (SasToken("sv=1&sig=signature-text"), "signature-text"),
        (ServicePrincipal("t", "c", "secret~of~a~store"), "secret~of~a~store"),
    ]
    secrets = [app.secret, "pass-word", *(text for _, text in given)]
    shown: list[str] = []
    log = logging.getLogger("airflow_azureml_datastores.workspaces._arm.requests")
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger=log.name):
        workspace = open_workspace(credential=principal)
        for credential, text in given:
            workspace.register(SALES, credential=credential)
            assert not [known for known in masked if text in known]
            found = workspace.credential(SALES)
            assert [known for known in masked if text in known]
            workspace.set_default("sales")
            shown += [repr(workspace), repr(workspace.list()), repr(found), repr(vars(workspace))]
        workspace.register(SHARED, credential=Login("me", "pass-word"))
        shown += [repr(workspace.credential(SHARED))]
        body = json.dumps({"key": KEY, "said": f"cannot use {KEY}"})
        azureml.plan(ArmError(f"PUT .*{remote.id.workspace}/", 400, "UserError", f"the request was {body}"))
        with pytest.raises(InvalidInput, match="the request was") as refused:
            workspace.register(SALES, credential=AccountKey(KEY), overwrite=True)
        shown += [str(refused.value), repr(refused.value)]
    assert any("management" in record.getMessage() or "Request URL" in record.getMessage() for record in caplog.records)
    captured = capfd.readouterr()
    everything = "\n".join([*shown, caplog.text, captured.out, captured.err])
    assert [secret for secret in secrets if secret in everything] == []


def test_certificate_of_a_datastore(workspace: AzureMLWorkspace, remote: Workspace) -> None:
    certificate = Certificate(GUID, GUID, content=forms()["PKCS#12"][0])
    workspace.register(SALES, credential=certificate)
    assert workspace.register(SALES, credential=certificate) == "unchanged"
    found = workspace.credential(SALES)
    assert isinstance(found, Certificate)
    assert found.content == forms()["PEM"][0]
    assert remote.datastores["sales"].properties["credentials"]["clientId"] == GUID


def test_output_of_a_job(workspace: AzureMLWorkspace, client: MLClient) -> None:
    folder = "azureml://datastores/workspaceblobstore/paths/models/1/"
    client.jobs.create_or_update(
        command(
            name="train",
            command="train",
            environment=ml.Environment(image="python:3.12"),
            compute="cpu-cluster",
            outputs={"model": Output(type="uri_folder", path=folder)},
        )
    )
    assert workspace.job_output("train", "model") == folder
    job = workspace.jobs.get("train")
    assert job is not None
    assert job.name == "train"
    with pytest.raises(NotFound, match=r"job 'train' in workspace .* has no output 'modle'; it has: .*model"):
        workspace.job_output("train", "modle")
    with pytest.raises(NotFound, match="there is no job 'trian' in workspace 'lab'"):
        workspace.job_output("trian", "model")


def test_the_live_rig_leaves_a_workspace_as_it_was(azureml: AzureML, remote: Workspace) -> None:
    """It is given this one, of which it knows no more than of a real one."""
    theirs = {**remote.datastores["workspaceblobstore"].properties, "credentials": {"credentialsType": "None"}}
    remote.datastores.plant("Existing", theirs)
    remote.datastores.default = "Existing"
    before = {name: remote.datastores[name].properties for name in remote.datastores.names}
    app = azureml.new_app("live", secret="live~secret~text")
    live = {
        "SUBSCRIPTION": remote.id.subscription,
        "RESOURCE_GROUP": remote.id.resource_group,
        "WORKSPACE": remote.id.workspace,
        "RESOURCE_MANAGER": azureml.url,
        "AUTHORITY": azureml.login_url.partition("://")[2],
    }
    identity = {"TENANT_ID": app.tenant, "CLIENT_ID": app.client_id, "CLIENT_SECRET": app.secret}
    environment = {
        **os.environ,
        **{f"AZUREML_LIVE_{name}": value for name, value in live.items()},
        **{f"AZURE_{name}": value for name, value in identity.items()},
        "REQUESTS_CA_BUNDLE": str(azureml.ca),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    which = ["-k", "live and (TestDefault or TestUnregister or test_first_version)", "tests/contract/workspace"]
    run = subprocess.run(
        [*command, *which], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout
    assert len(azureml.requests("^PUT .*/datastores/Sales_2026-a", remote)) >= 3, "it was this workspace"
    assert {name: remote.datastores[name].properties for name in remote.datastores.names} == before
    assert remote.datastores.default == "Existing"
    assert azureml.requests("^DELETE .*/data/", remote)
