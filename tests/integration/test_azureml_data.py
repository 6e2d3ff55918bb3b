"""Data assets of Azure ML over the wire: beside azure-ai-ml, and through what goes wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Data
from azure.core.credentials import AccessToken as SdkToken
from azure.core.credentials import TokenCredential

from airflow_azureml_datastores.core.credentials import AccessToken
from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.core.datastore import Datastore
from airflow_azureml_datastores.core.uri import WorkspaceId
from airflow_azureml_datastores.errors import (
    AccessDenied,
    DataAssetNotFound,
    InvalidInput,
    InvalidUri,
    Unavailable,
    Unsupported,
)
from airflow_azureml_datastores.hooks import WorkspaceHook
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores.azure_blob import AzureBlob
from airflow_azureml_datastores.workspaces import _azureml_data
from airflow_azureml_datastores.workspaces.azureml import AzureMLWorkspace
from tests.contract.workspace.rigs_azureml import trusting
from tests.servers.azureml import ArmError, AzureML, LoseResponse, Meanwhile, Workspace
from tests.servers.fixtures import Servers

PATHS = "azureml://datastores/workspaceblobstore/paths"
SALES = DataAsset("sales", f"{PATHS}/sales/1/", digest="sha256:1", description="täglich", tags={"owner": "Zoë"})


def content(number: int, **changes: Any) -> DataAsset:
    return replace(SALES, **{"path": f"{PATHS}/sales/{number}/", "digest": f"sha256:{number}", **changes})


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
def workspace(azureml: AzureML, remote: Workspace) -> Iterator[AzureMLWorkspace]:
    found = AzureMLWorkspace(
        "lab",
        remote.id,
        AccessToken(azureml.token()),
        resource_manager=azureml.url,
        patience=Patience(retries=1, backoff=0.01, timeout=10),
    )
    yield found
    found.close()


class Given(TokenCredential):
    """A token of the stand-in's own making, as azure-ai-ml takes it."""

    def __init__(self, azureml: AzureML) -> None:
        self._azureml = azureml

    def get_token(self, *scopes: str, **kwargs: Any) -> SdkToken:
        return SdkToken(self._azureml.token(audience=scopes[0].removesuffix("/.default")), int(time.time()) + 3600)


@pytest.fixture
def client(azureml: AzureML, remote: Workspace, monkeypatch: pytest.MonkeyPatch) -> MLClient:
    monkeypatch.setenv("AZUREML_DEV_URL_MFE", azureml.url)
    id = remote.id
    return MLClient(Given(azureml), id.subscription, id.resource_group, id.workspace, enable_telemetry=False)


def long_form(id: WorkspaceId, path: str) -> str:
    return f"azureml://{id}/datastores/workspaceblobstore/paths/{path}"


def sent(number: int, **changes: Any) -> dict[str, Any]:
    """What the service holds of a version that somebody else has registered."""
    properties = {"dataType": "uri_folder", "dataUri": f"{PATHS}/sales/{number}/"}
    return {**properties, "properties": {"airflow_digest": f"sha256:{number}"}, **changes}


class TestBesideAzureAiMl:
    def test_reads_what_we_register(self, client: MLClient, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        workspace.register_data(SALES)
        data = client.data.get("sales", label="latest")
        assert (data.name, data.version, data.type) == ("sales", "1", "uri_folder")
        assert data.path == long_form(remote.id, "sales/1/")
        assert (data.description, data.tags) == ("täglich", {"owner": "Zoë"})
        assert data.properties["airflow_digest"] == "sha256:1"

    @pytest.mark.parametrize("kind", ["uri_folder", "uri_file"])  # of a table it would read the folder itself
    def test_registers_what_we_read(self, client: MLClient, workspace: AzureMLWorkspace, kind: Any) -> None:
        path = f"{PATHS}/a b/x"
        client.data.create_or_update(
            Data(
                name="theirs", version="7", path=path, type=kind, description="d", tags={"a": "b"}, skip_validation=True
            )
        )
        expected = DataAsset("theirs", path, kind, "7", description="d", tags={"a": "b"})
        assert workspace.get_data("theirs") == workspace.get_data("theirs", "7") == expected

    def test_numbers_go_on_from_each_other(self, client: MLClient, workspace: AzureMLWorkspace) -> None:
        numbers = []
        for number in range(4):
            asset = content(number)
            if number % 2:
                numbers.append(workspace.register_data(asset).version)
            else:
                theirs = Data(name="sales", path=asset.path, type="uri_folder")
                numbers.append(client.data.create_or_update(theirs).version)
        assert numbers == ["1", "2", "3", "4"]


class TestWhatIsThere:
    def test_on_many_pages(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        remote.data.page_size = 3
        for number in range(1, 11):
            workspace.register_data(content(number))
        assert workspace.register_data(content(2)).version == "2"
        assert workspace.register_data(content(11)).version == "11"
        with pytest.raises(DataAssetNotFound, match=r"its versions: 11, 10, 9, .* and 1 more"):
            workspace.get_data("sales", "12")

    def test_archived_version_is_read_but_not_taken_for_the_same(
        self, workspace: AzureMLWorkspace, remote: Workspace
    ) -> None:
        workspace.register_data(content(1))
        archived = workspace.register_data(content(2))
        remote.data.versions["sales"]["2"]["isArchived"] = True
        assert workspace.get_data("sales").version == "1"
        assert workspace.get_data("sales", "2") == archived
        assert workspace.register_data(content(2)).version == "3"

    def test_nothing_but_archived_versions(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        remote.data.plant("sales", "1", sent(1, isArchived=True))
        with pytest.raises(DataAssetNotFound, match="has no version that is in use"):
            workspace.get_data("sales")

    def test_deleted_number_is_not_given_again(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        """As far as the service says so."""
        workspace.register_data(content(1))
        azure_says = remote.data._container

        def container(name: str) -> Any:
            found = azure_says(name)
            found["properties"]["nextVersion"] = "5"
            return found

        remote.data._container = container  # type: ignore[method-assign]
        assert workspace.register_data(content(2)).version == "5"

    def test_type_of_the_future(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        remote.data.plant("sales", "1", sent(1, dataType="hologram"))
        with pytest.raises(Unsupported, match="azureml:sales:1 is of type 'hologram'"):
            workspace.get_data("sales")

    def test_short_and_long_form_are_the_same_path(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        id = replace(remote.id, workspace=remote.id.workspace.upper())
        remote.data.plant("sales", "1", sent(1, dataUri=long_form(id, "sales/1/")))
        assert workspace.get_data("sales").path == content(1).path
        assert workspace.register_data(replace(SALES, path=long_form(remote.id, "sales/1/"))).version == "1"

    def test_bare_version(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        remote.data.plant("sales", "1", {"dataType": "uri_file", "dataUri": f"{PATHS}/x", "tags": None})
        assert workspace.get_data("sales") == DataAsset("sales", f"{PATHS}/x", "uri_file", "1")


class TestTrouble:
    def test_another_writer_takes_the_number(
        self, azureml: AzureML, workspace: AzureMLWorkspace, remote: Workspace
    ) -> None:
        workspace.register_data(content(1))
        azureml.plan(Meanwhile("PUT .*/data/sales/versions/2", lambda: remote.data.plant("sales", "2", sent(9))))
        assert workspace.register_data(content(2)) == content(2, version="3")
        assert workspace.get_data("sales", "2").digest == "sha256:9"

    def test_another_writer_registers_the_same(
        self, azureml: AzureML, workspace: AzureMLWorkspace, remote: Workspace
    ) -> None:
        azureml.plan(Meanwhile("PUT .*/data/sales/versions/1", lambda: remote.data.plant("sales", "1", sent(1))))
        assert workspace.register_data(SALES).version == "1"
        assert list(remote.data.versions["sales"]) == ["1"]

    def test_another_writer_takes_the_given_version(
        self, azureml: AzureML, workspace: AzureMLWorkspace, remote: Workspace
    ) -> None:
        azureml.plan(Meanwhile("PUT .*/data/sales/versions/x", lambda: remote.data.plant("sales", "x", sent(9))))
        with pytest.raises(InvalidInput, match=r"azureml:sales:x is registered .* with another path"):
            workspace.register_data(replace(SALES, version="x"))
        assert remote.data.versions["sales"]["x"] == sent(9)

    def test_others_take_every_number(
        self, workspace: AzureMLWorkspace, remote: Workspace, azureml: AzureML, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_azureml_data, "_ATTEMPTS", 2)
        for number in ("1", "2"):
            path = f"PUT .*/data/sales/versions/{number}"
            azureml.plan(
                Meanwhile(path, lambda number=number: remote.data.plant("sales", number, sent(int(number) + 8)))
            )
        with pytest.raises(Unavailable, match="others have taken 2 numbers of data asset 'sales'"):
            workspace.register_data(SALES)

    def test_answer_that_is_lost(self, azureml: AzureML, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        azureml.plan(LoseResponse("PUT .*/data/sales/versions/1"))
        assert workspace.register_data(SALES).version == "1"
        assert list(remote.data.versions["sales"]) == ["1"]

    def test_service_that_fails(self, azureml: AzureML, workspace: AzureMLWorkspace) -> None:
        azureml.plan(ArmError("PUT .*/data/sales/versions/1", 500, times=10))
        with pytest.raises(Unavailable):
            workspace.register_data(SALES)

    def test_what_the_service_refuses(self, azureml: AzureML, workspace: AzureMLWorkspace) -> None:
        azureml.plan(ArmError("PUT .*/data/sales/versions/1", 400, "UserError", "No data on Sundays."))
        with pytest.raises(InvalidInput, match="No data on Sundays"):
            workspace.register_data(SALES)

    def test_missing_role(self, workspace: AzureMLWorkspace, remote: Workspace) -> None:
        remote.deny("data/versions/write")
        with pytest.raises(AccessDenied, match=r"data/versions/write.*AzureML Data Scientist"):
            workspace.register_data(SALES)

    def test_asset_that_is_gone_in_between(
        self, azureml: AzureML, workspace: AzureMLWorkspace, remote: Workspace
    ) -> None:
        workspace.register_data(SALES)
        azureml.plan(Meanwhile("GET .*/data/sales/versions/1", lambda: remote.data.versions.pop("sales")))
        with pytest.raises(DataAssetNotFound):
            workspace.get_data("sales", "1")


class TestHook:
    @pytest.fixture
    def hook(self, azureml: AzureML, remote: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkspaceHook]:
        app = azureml.new_app(secret="s3cret~value")
        id = remote.id
        extra = {
            "subscription_id": id.subscription,
            "resource_group": id.resource_group,
            "workspace_name": id.workspace,
            "authority": azureml.login_url,
            "tenant_id": app.tenant,
        }
        connection = {"conn_type": "azureml_workspace", "host": azureml.url, "login": app.client_id, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ML", json.dumps({**connection, "password": app.secret}))
        with WorkspaceHook("ml") as hook:
            yield hook

    def test_long_form_of_this_workspace(self, hook: WorkspaceHook, remote: Workspace) -> None:
        assert hook.resolve(long_form(remote.id, "a/b%25.csv")) == f"{PATHS}/a/b%25.csv"

    def test_long_form_of_another_workspace(self, hook: WorkspaceHook, remote: Workspace) -> None:
        other = long_form(WorkspaceId(remote.id.subscription, "elsewhere", "theirs"), "x/")
        remote.data.plant("sales", "1", sent(1, dataUri=other))
        for text in (other, "azureml:sales:1", "azureml:sales@latest"):
            with pytest.raises(
                InvalidUri, match=r"is in the Azure ML workspace .*/workspaces/theirs, but connection 'ml'"
            ):
                hook.resolve(text)

    @pytest.mark.parametrize(
        "url",
        [
            "https://contoso.blob.core.windows.net/raw/sales/a%20b%25.csv",
            "https://Contoso.blob.core.windows.net/raw/sales/a%20b%25.csv?sv=2024",
            "https://contoso.dfs.core.windows.net/raw/sales/a%20b%25.csv",
            "wasbs://raw@contoso.blob.core.windows.net/sales/a%20b%25.csv",
            "abfss://raw@contoso.dfs.core.windows.net/sales/a%20b%25.csv",
        ],
    )
    def test_storage_url_is_read_through_a_datastore(self, hook: WorkspaceHook, remote: Workspace, url: str) -> None:
        hook.workspace.register(Datastore("raw", AzureBlob("contoso", "raw")))
        hook.workspace.register(Datastore("other", AzureBlob("contoso", "raw-too")))
        remote.data.plant("sales", "1", sent(1, dataType="uri_file", dataUri=url))
        assert hook.resolve("azureml:sales:1") == "azureml://datastores/raw/paths/sales/a b%25.csv"

    def test_storage_url_of_a_whole_container(self, hook: WorkspaceHook, remote: Workspace) -> None:
        hook.workspace.register(Datastore("raw", AzureBlob("contoso", "raw")))
        remote.data.plant("sales", "1", sent(1, dataUri="https://contoso.blob.core.windows.net/raw"))
        assert hook.resolve("azureml:sales:1") == "azureml://datastores/raw/paths/"

    @pytest.mark.parametrize("url", ["https://example.org/x.csv", "adl://contoso.azuredatalakestore.net/x", "/mnt/x"])
    def test_data_that_is_in_no_datastore(self, hook: WorkspaceHook, remote: Workspace, url: str) -> None:
        remote.data.plant("sales", "1", sent(1, dataType="uri_file", dataUri=url))
        with pytest.raises(
            InvalidUri, match=r"azureml:sales:1 .* is in none of the registered datastores: register one"
        ):
            hook.resolve("azureml:sales:1")

    def test_folder_is_meant_as_one(self, hook: WorkspaceHook, remote: Workspace) -> None:
        remote.data.plant("sales", "1", sent(1, dataUri=f"{PATHS}/sales"))
        assert hook.resolve("azureml:sales@latest") == f"{PATHS}/sales/"

    def test_pin(self, hook: WorkspaceHook, remote: Workspace) -> None:
        remote.data.plant("sales", "41", sent(1))
        pin: Callable[[str], str] = hook.pin
        assert pin("azureml:sales@latest") == pin("azureml:sales:41") == "azureml:sales:41"
        assert pin(f"{PATHS}/x") == f"{PATHS}/x"
        assert pin("plain/*") == "plain/*"
        for text in ("azureml:sales@newest", "azureml:sales"):
            with pytest.raises(InvalidUri):
                pin(text)
