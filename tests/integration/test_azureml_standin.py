"""The stand-in of Azure ML, as the real clients see it: azure-ai-ml, and azure-identity's credentials."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import trustme
from azure.ai.ml import Input, MLClient, Output, command
from azure.ai.ml.entities import (
    AccountKeyConfiguration,
    ApiKeyConfiguration,
    AzureBlobDatastore,
    AzureDataLakeGen2Datastore,
    AzureFileDatastore,
    CertificateConfiguration,
    Data,
    Datastore,
    Environment,
    NoneCredentialConfiguration,
    OneLakeArtifact,
    OneLakeDatastore,
    SasTokenConfiguration,
    ServicePrincipalConfiguration,
    UsernamePasswordConfiguration,
    WorkspaceConnection,
)
from azure.ai.ml.exceptions import JobException, MlException
from azure.ai.ml.operations._run_history_constants import RunHistoryConstants
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.storage.blob import ContainerClient

from tests.servers.azureml import (
    ArmError,
    AzureML,
    LoseResponse,
    Meanwhile,
    Principal,
    Workspace,
    quota_exceeded,
    throttled,
)
from tests.servers.azureml.cluster import Cancelled, ClusterRun, JobFailed, run_command
from tests.servers.azurite import BlobService
from tests.servers.fixtures import Servers

SCOPE = "https://management.azure.com/.default"
KEY = "a2V5LWluLXRoaXMtdGVzdA=="


class Given(TokenCredential):
    """A token of the stand-in's own making, as a credential."""

    def __init__(self, azureml: AzureML) -> None:
        self._azureml = azureml

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        audience = scopes[0].removesuffix("/.default")
        return AccessToken(self._azureml.token(audience=audience), int(time.time()) + 3600)


@pytest.fixture
def azureml(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureML]:
    azureml = servers.azureml
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(azureml.ca))
    monkeypatch.setenv("AZUREML_DEV_URL_MFE", azureml.url)
    yield azureml
    azureml.clear_plan()


@pytest.fixture
def workspace(azureml: AzureML) -> Workspace:
    return azureml.new_workspace()


@pytest.fixture
def stored(azureml: AzureML, servers: Servers) -> Workspace:
    """A workspace with real containers behind its datastores."""
    return azureml.new_workspace(blob=servers.azurite)


def client_of(workspace: Workspace, credential: TokenCredential) -> MLClient:
    id = workspace.id
    return MLClient(
        credential, id.subscription, id.resource_group, id.workspace, show_progress=False, enable_telemetry=False
    )


@pytest.fixture
def client(azureml: AzureML, workspace: Workspace) -> MLClient:
    return client_of(workspace, Given(azureml))


Arm = Callable[..., requests.Response]


@pytest.fixture
def arm(azureml: AzureML) -> Arm:
    """Requests as they are written in the reference of the REST API."""

    def send(
        method: str,
        workspace: Workspace,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        version: str = "2024-10-01",
    ) -> requests.Response:
        url = path if "://" in path else f"{azureml.url}{workspace.path}/{path}"
        return requests.request(
            method,
            url.rstrip("/"),
            json=body,
            params={"api-version": version} if version and "api-version" not in url else None,
            headers={"Authorization": f"Bearer {token if token is not None else azureml.token()}"},
            verify=str(azureml.ca),
            timeout=30,
        )

    return send


def error(response: requests.Response) -> tuple[int, str, str]:
    told = response.json()["error"]
    return response.status_code, told["code"], told["message"]


def blob_datastore(name: str, **fields: Any) -> Datastore:
    fields.setdefault("credentials", AccountKeyConfiguration(account_key=KEY))
    return AzureBlobDatastore(name=name, account_name="acct", container_name="files", **fields)


PRINCIPAL = ServicePrincipalConfiguration(tenant_id=str(uuid4()), client_id=str(uuid4()), client_secret="secret-text")
CERTIFICATE = CertificateConfiguration(
    tenant_id=str(uuid4()), client_id=str(uuid4()), certificate="certificate-text", thumbprint="AB" * 20
)


@pytest.mark.parametrize(
    ("datastore", "secrets"),
    [
        pytest.param(blob_datastore("ds"), {"secretsType": "AccountKey", "key": KEY}, id="blob with key"),
        pytest.param(
            blob_datastore("ds", credentials=SasTokenConfiguration(sas_token="sv=1&sig=2")),
            {"secretsType": "Sas", "sasToken": "sv=1&sig=2"},
            id="blob with SAS",
        ),
        pytest.param(blob_datastore("ds", credentials=NoneCredentialConfiguration()), None, id="blob with identity"),
        pytest.param(
            AzureFileDatastore(
                name="ds", account_name="a", file_share_name="s", credentials=AccountKeyConfiguration(account_key=KEY)
            ),
            {"secretsType": "AccountKey", "key": KEY},
            id="file share with key",
        ),
        pytest.param(
            AzureFileDatastore(
                name="ds", account_name="a", file_share_name="s", credentials=SasTokenConfiguration(sas_token="s=1")
            ),
            {"secretsType": "Sas", "sasToken": "s=1"},
            id="file share with SAS",
        ),
        pytest.param(
            AzureDataLakeGen2Datastore(name="ds", account_name="a", filesystem="f", credentials=PRINCIPAL),
            {"secretsType": "ServicePrincipal", "clientSecret": "secret-text"},
            id="data lake with service principal",
        ),
        pytest.param(
            AzureDataLakeGen2Datastore(name="ds", account_name="a", filesystem="f", credentials=CERTIFICATE),
            {"secretsType": "Certificate", "certificate": "certificate-text"},
            id="data lake with certificate",
        ),
        pytest.param(
            OneLakeDatastore(
                name="ds",
                one_lake_workspace_name="w",
                artifact=OneLakeArtifact(name="a"),
                endpoint="onelake.dfs.fabric",
            ),
            None,
            id="OneLake with identity",
        ),
    ],
)
def test_datastore_there_and_back(
    client: MLClient, workspace: Workspace, arm: Arm, datastore: Datastore, secrets: dict[str, str] | None
) -> None:
    created = client.datastores.create_or_update(datastore)
    assert created.name == "ds"
    assert created.type == datastore.type
    assert workspace.datastores["ds"].secrets == secrets
    answered = arm("GET", workspace, "datastores/ds")
    assert answered.json()["id"] == f"{workspace.path}/datastores/ds"
    assert answered.json()["properties"]["isDefault"] is False
    assert answered.json()["systemData"]["createdByType"] == "Application"
    for secret in (secrets or {}).values():
        if secret not in ("AccountKey", "Sas", "ServicePrincipal", "Certificate"):
            assert secret not in answered.text
            assert secret not in arm("GET", workspace, "datastores").text
    if secrets is None:
        status, code, message = error(arm("POST", workspace, "datastores/ds/listSecrets", {}))
        assert (status, code) == (400, "UserError")
        assert "no secrets" in message
    else:
        assert arm("POST", workspace, "datastores/ds/listSecrets", {}).json() == secrets
        found = client.datastores.get("ds", include_secrets=True)
        assert set(secrets.values()) & set(vars(found.credentials).values())
    client.datastores.delete("ds")
    assert "ds" not in workspace.datastores
    with pytest.raises(ResourceNotFoundError, match="Could not find datastore: ds"):
        client.datastores.get("ds")


def test_four_datastores_in_pages(client: MLClient, workspace: Workspace, azureml: AzureML) -> None:
    workspace.datastores.page_size = 3
    names = [datastore.name for datastore in client.datastores.list()]
    assert names == ["workspaceartifactstore", "workspaceblobstore", "workspacefilestore", "workspaceworkingdirectory"]
    assert len(azureml.requests("GET .*/datastores", workspace)) == 2
    assert client.datastores.get_default().name == "workspaceblobstore"


def test_default_moves_with_an_update_only(client: MLClient, workspace: Workspace, arm: Arm) -> None:
    body = {"properties": {"datastoreType": "AzureBlob", "accountName": "a", "containerName": "c", "isDefault": True}}
    body["properties"]["credentials"] = {"credentialsType": "None"}
    assert arm("PUT", workspace, "datastores/other", body).status_code == 201
    assert workspace.datastores.default == "workspaceblobstore"
    assert arm("PUT", workspace, "datastores/other", body).json()["properties"]["isDefault"] is True
    assert client.datastores.get_default().name == "other"
    with pytest.raises(HttpResponseError, match="currently the workspace default, so it cannot be updated"):
        client.datastores.create_or_update(AzureBlobDatastore(name="other", account_name="b", container_name="c"))
    with pytest.raises(HttpResponseError, match="is the workspace default and cannot be deleted"):
        client.datastores.delete("other")
    workspace.datastores.remove("other")
    assert arm("GET", workspace, "datastores?isDefault=true").json() == {"value": []}


def test_datastores_that_are_refused(workspace: Workspace, arm: Arm) -> None:
    none = {"credentials": {"credentialsType": "None"}}
    blob = {"datastoreType": "AzureBlob", "accountName": "a", "containerName": "c"}
    for name, properties, message in (
        ("-x", {**blob, **none}, "must match the pattern"),
        ("x", {"datastoreType": "AzureQuantum", **none}, "unknown datastoreType 'AzureQuantum'"),
        ("x", {"datastoreType": "AzureBlob", "accountName": "a", **none}, "'containerName' is required"),
        ("x", blob, "'credentials' needs one of"),
        ("x", {**blob, "credentials": {"credentialsType": "AccountKey"}}, "need the field 'secrets'"),
        ("x", {**blob, "credentials": {"credentialsType": "ServicePrincipal"}}, "need the field 'clientId'"),
    ):
        status, code, said = error(arm("PUT", workspace, f"datastores/{name}", {"properties": properties}))
        assert (status, code) == (400, "UserError")
        assert message in said
    assert arm("DELETE", workspace, "datastores/x").status_code == 204


def test_what_is_sent_is_kept(workspace: Workspace, arm: Arm) -> None:
    sent = {
        "datastoreType": "AzureBlob",
        "accountName": "a",
        "containerName": "c",
        "serviceDataAccessAuthIdentity": "WorkspaceSystemAssignedIdentity",
        "somethingNew": {"deep": [1]},
        "credentials": {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": KEY}},
    }
    arm("PUT", workspace, "datastores/Kept", {"properties": sent})
    found = arm("GET", workspace, "datastores/kEPT").json()
    assert found["name"] == "Kept"
    assert found["properties"] == {**sent, "credentials": {"credentialsType": "AccountKey"}, "isDefault": False}
    found["properties"]["tags"] = {"a": "b"}
    assert arm("PUT", workspace, "datastores/kept", found).status_code == 200
    assert workspace.datastores["KEPT"].secrets == {"secretsType": "AccountKey", "key": KEY}
    workspace.datastores.secrets_needed = True
    assert error(arm("PUT", workspace, "datastores/kept", found))[0] == 400
    workspace.datastores.plant("future", {"datastoreType": "AzureQuantum", "qubits": 3})
    assert arm("GET", workspace, "datastores/future").json()["properties"]["qubits"] == 3


def test_short_lived_sas_opens_the_container(azureml: AzureML, servers: Servers, arm: Arm) -> None:
    workspace = azureml.new_workspace(blob=servers.azurite, credentials="Sas")
    workspace.datastores.sas_lifetime = 2
    first = arm("POST", workspace, "datastores/workspaceblobstore/listSecrets", {}).json()
    assert first["secretsType"] == "Sas"
    properties = workspace.datastores["workspaceblobstore"].properties
    with ContainerClient.from_container_url(
        f"{properties['endpoint']}/{properties['containerName']}?{first['sasToken']}", retry_total=0
    ) as container:
        container.upload_blob("a", b"1")
        deadline = time.monotonic() + 30
        while opens(container):
            assert time.monotonic() < deadline, "the SAS has not expired"
            time.sleep(0.1)
    second = arm("POST", workspace, "datastores/workspaceblobstore/listSecrets", {}).json()
    assert second["sasToken"] != first["sasToken"]


def opens(container: ContainerClient) -> bool:
    try:
        container.download_blob("a").readall()
    except HttpResponseError as refused:
        if refused.status_code != 403:
            raise
        return False
    return True


def test_key_becomes_sas_if_the_client_asks(stored: Workspace, arm: Arm) -> None:
    path = "datastores/workspaceblobstore/listSecrets"
    assert arm("POST", stored, path, {"expirableSecret": True}).json()["secretsType"] == "AccountKey"
    stored.datastores.expirable = True
    assert arm("POST", stored, path, {"expirableSecret": True}).json()["secretsType"] == "Sas"
    assert arm("POST", stored, path, {}).json()["secretsType"] == "AccountKey"


def test_connections(client: MLClient, workspace: Workspace, arm: Arm) -> None:
    made = WorkspaceConnection(
        name="sales-db",
        type="azure_sql_db",
        target="sql.example.net",
        credentials=UsernamePasswordConfiguration(username="u", password="pass-word"),
        metadata={"database": "sales"},
    )
    client.connections.create_or_update(made)
    assert workspace.connections.records["sales-db"]["properties"]["credentials"]["password"] == "pass-word"
    found = client.connections.get("sales-db")
    assert (found.type, found.target, found.credentials.password) == ("azure_sql_db", "sql.example.net", None)
    secrets = arm("POST", workspace, "connections/sales-db/listsecrets").json()["properties"]["credentials"]
    assert secrets == {"username": "u", "password": "pass-word"}
    assert [connection.name for connection in client.connections.list()] == ["sales-db"]
    assert "pass-word" not in arm("GET", workspace, "connections").text
    client.connections.delete("sales-db")
    with pytest.raises(ResourceNotFoundError, match="sales-db"):
        client.connections.get("sales-db")
    file_server = {"category": "FileServer", "authType": "None", "target": "/data", "metadata": {"a": "b"}}
    assert error(arm("PUT", workspace, "connections/ab", {"properties": file_server}))[0] == 400
    assert arm("PUT", workspace, "connections/abc", {"properties": file_server}).status_code == 200
    for wrong in ({"category": "Fax"}, {"authType": "Smile"}, {"metadata": {"a": 1}}):
        assert error(arm("PUT", workspace, "connections/abc", {"properties": {**file_server, **wrong}}))[0] == 400


def test_api_key_connection(client: MLClient, workspace: Workspace) -> None:
    client.connections.create_or_update(
        WorkspaceConnection(
            name="search", type="api_key", target="t", credentials=ApiKeyConfiguration(key="key-of-the-search")
        )
    )
    assert client.connections.get("search").credentials.key is None
    assert client.connections.get("search", populate_secrets=True).credentials.key == "key-of-the-search"


def test_connections_in_pages(client: MLClient, workspace: Workspace, azureml: AzureML) -> None:
    workspace.connections.page_size = 2
    for name in ("one", "two", "three"):
        workspace.connections.plant(name, {"category": "CustomKeys", "authType": "CustomKeys", "target": "t"})
    assert len(list(client.connections.list())) == 3
    assert len(azureml.requests("GET .*/connections", workspace)) == 2


def folder(path: str) -> Data:
    return Data(name="sales", path=f"azureml://datastores/workspaceblobstore/paths/{path}/", type="uri_folder")


def test_data_versions(client: MLClient, workspace: Workspace, arm: Arm) -> None:
    assert [client.data.create_or_update(folder(path)).version for path in ("a", "b", "c")] == ["1", "2", "3"]
    workspace.data.page_size = 2
    assert [version.version for version in client.data.list("sales")] == ["3", "2", "1"]
    assert client.data.get("sales", label="latest").version == "3"
    client.data.archive("sales", version="3")
    assert [version.version for version in client.data.list("sales")] == ["2", "1"]
    container = arm("GET", workspace, "data/sales").json()["properties"]
    assert (container["latestVersion"], container["nextVersion"], container["dataType"]) == ("2", "4", "uri_folder")
    newest = arm("GET", workspace, "data/sales/versions?$top=1").json()
    assert [version["name"] for version in newest["value"]] == ["2"]
    with pytest.raises(ResourceNotFoundError, match="sales:9"):
        client.data.get("sales", version="9")
    with pytest.raises(MlException, match="Asset other does not exist"):
        client.data.get("other", label="latest")


def test_data_versions_stay_what_they_are(workspace: Workspace, arm: Arm) -> None:
    asset = {"dataType": "uri_folder", "dataUri": "azureml://datastores/workspaceblobstore/paths/a/"}
    assert arm("PUT", workspace, "data/sales/versions/1", {"properties": asset}).status_code == 201
    tagged = {**asset, "tags": {"a": "b"}}
    assert arm("PUT", workspace, "data/sales/versions/1", {"properties": tagged}).status_code == 200
    for changed in ({"dataUri": "azureml://datastores/workspaceblobstore/paths/b/"}, {"dataType": "uri_file"}):
        assert error(arm("PUT", workspace, "data/sales/versions/1", {"properties": {**asset, **changed}}))[0] == 400
    assert workspace.data.versions["sales"]["1"] == tagged
    other = {"properties": {**asset, "dataType": "mltable"}}
    assert "uri_folder" in error(arm("PUT", workspace, "data/sales/versions/2", other))[2]


def test_data_goes_away(client: MLClient, workspace: Workspace, arm: Arm) -> None:
    for path in ("a", "b"):
        client.data.create_or_update(folder(path))
    assert arm("DELETE", workspace, "data/sales/versions/2").status_code == 200
    assert arm("GET", workspace, "data/sales/versions/2").status_code == 404
    assert arm("DELETE", workspace, "data/sales").status_code == 200
    assert arm("DELETE", workspace, "data/sales").status_code == 204
    assert arm("GET", workspace, "data").json() == {"value": []}


def test_computes(client: MLClient, workspace: Workspace) -> None:
    workspace.computes.types["gpu"] = "AmlCompute"
    assert [compute.name for compute in client.compute.list()] == ["cpu-cluster", "gpu"]
    assert client.compute.get("gpu").type == "amlcompute"
    with pytest.raises(ResourceNotFoundError, match="computes/tpu' under resource group"):
        client.compute.get("tpu")


def test_workspace(client: MLClient, workspace: Workspace) -> None:
    found = client.workspaces.get(workspace.id.workspace)
    assert found.name == workspace.id.workspace
    assert found.discovery_url.endswith("/discovery")


def job(name: str = "job", text: str = "true", **fields: Any) -> Any:
    fields.setdefault("compute", "cpu-cluster")
    fields.setdefault("environment", Environment(image="ubuntu"))
    return command(name=name, command=text, experiment_name="tests", **fields)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """azure-ai-ml waits for 2 to 60 seconds between two looks."""
    monkeypatch.setattr(RunHistoryConstants, "_WAIT_COMPLETION_POLLING_INTERVAL_MIN", 0)
    monkeypatch.setattr(RunHistoryConstants, "_WAIT_COMPLETION_POLLING_INTERVAL_MAX", 0)


@pytest.mark.usefixtures("quick")
def test_job_by_a_script(client: MLClient, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.jobs.plays("Starting", "Queued", "Running", "Running", "Running", "Completed", log=("first", "second"))
    submitted = client.jobs.create_or_update(job(tags={"a": "b"}))
    assert submitted.status == "Starting"
    assert "/runs/job" in submitted.studio_url
    assert client.jobs.get("job").status == "Queued"
    client.jobs.stream("job")
    assert "first\nsecond\n" in capsys.readouterr().out
    assert client.jobs.get("job").status == "Completed"
    assert [found.name for found in client.jobs.list()] == ["job"]
    with pytest.raises(ResourceNotFoundError, match="Run other was not found"):
        client.jobs.get("other")


@pytest.mark.usefixtures("quick")
def test_failed_job(client: MLClient, workspace: Workspace) -> None:
    workspace.jobs.plays("Running", "Running", "Failed", error="The node was preempted.")
    client.jobs.create_or_update(job())
    with pytest.raises(JobException, match="The node was preempted"):
        client.jobs.stream("job")
    assert client.jobs.get("job").status == "Failed"


def test_end_of_a_log(client: MLClient, workspace: Workspace, azureml: AzureML, arm: Arm) -> None:
    workspace.jobs.plays("Completed", log=("first", "second"))
    client.jobs.create_or_update(job())
    history = f"{azureml.url}/history/v1.0{workspace.path}/runs/job/details?api-version=v1.0"
    ((name, url),) = arm("GET", workspace, history).json()["logFiles"].items()
    assert name == "user_logs/std_log.txt"
    assert requests.get(url, verify=str(azureml.ca), timeout=30).text == "first\nsecond\n"
    end = requests.get(url, headers={"Range": "bytes=6-"}, verify=str(azureml.ca), timeout=30)
    assert (end.status_code, end.text) == (206, "second\n")
    key = url.split("/")[-4]
    assert requests.get(url.replace(key, "x" * len(key)), verify=str(azureml.ca), timeout=30).status_code == 404


def test_job_is_cancelled(client: MLClient, workspace: Workspace) -> None:
    workspace.jobs.waits()
    client.jobs.create_or_update(job())
    assert [client.jobs.get("job").status for _ in range(3)] == ["Running"] * 3
    client.jobs.begin_cancel("job").result()
    assert client.jobs.get("job").status == "Canceled"
    with pytest.raises(HttpResponseError, match="final status Canceled"):
        client.jobs.begin_cancel("job")


def test_held_job_is_finished(client: MLClient, workspace: Workspace) -> None:
    workspace.jobs.waits("Queued")
    client.jobs.create_or_update(job())
    assert client.jobs.get("job").status == "Queued"
    workspace.jobs.finish("job", "Failed", error="No space left on device", log=("disk full",))
    assert client.jobs.get("job").status == "Failed"
    assert workspace.jobs.all["job"].ended.is_set()


def test_jobs_that_are_refused(client: MLClient, workspace: Workspace, azureml: AzureML, arm: Arm) -> None:
    with pytest.raises(HttpResponseError, match="Unknown compute target 'tpu'"):
        client.jobs.create_or_update(job(compute="tpu"))
    with pytest.raises(HttpResponseError, match="Environment nowhere with version 3 was not found"):
        client.jobs.create_or_update(job(environment="azureml:nowhere:3"))
    azureml.plan(quota_exceeded(f"PUT .*{workspace.id.workspace}/jobs/"))
    with pytest.raises(HttpResponseError, match="QuotaExceeded"):
        client.jobs.create_or_update(job())
    assert workspace.jobs.all == {}
    client.jobs.create_or_update(job())
    with pytest.raises(HttpResponseError, match="existing job's command cannot be changed"):
        client.jobs.create_or_update(job(text="false"))
    found = arm("GET", workspace, "jobs/job").json()
    found["properties"]["tags"] = {"delivered": "true"}
    assert arm("PUT", workspace, "jobs/job", found).status_code == 200
    assert workspace.jobs.all["job"].properties["tags"] == {"delivered": "true"}


def test_labels_of_a_job_change(client: MLClient, workspace: Workspace, arm: Arm) -> None:
    workspace.jobs.waits()
    submitted = client.jobs.create_or_update(job(inputs={"n": 1}))
    submitted.tags = {"who": "azure-ai-ml"}
    assert client.jobs.create_or_update(submitted).tags == {"who": "azure-ai-ml"}
    assert workspace.jobs.all["job"].properties["tags"] == {"who": "azure-ai-ml"}
    found = arm("GET", workspace, "jobs/job").json()
    found["properties"]["inputs"]["m"] = {"jobInputType": "literal", "value": "2"}
    assert "existing job's inputs cannot be changed" in error(arm("PUT", workspace, "jobs/job", found))[2]


def test_serverless_job(client: MLClient, workspace: Workspace) -> None:
    client.jobs.create_or_update(job(compute=None))
    assert workspace.jobs.all["job"].properties["resources"]["instanceType"] == "Standard_DS3_v2"


def test_command_really_runs(azureml: AzureML, stored: Workspace, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import os, pathlib, sys\n"
        "total = sum(int(file.read_text()) for file in pathlib.Path(sys.argv[1]).rglob('*.txt'))\n"
        "pathlib.Path(sys.argv[2], 'deep').mkdir()\n"
        "pathlib.Path(sys.argv[2], 'deep', 'sum.txt').write_text(f'{total} {os.environ[\"UNIT\"]} {sys.argv[3]}')\n"
        "pathlib.Path(sys.argv[4]).write_text('0.5')\n"
        "print('summed')\n"
    )
    put(stored, "in/a.txt", b"1")
    put(stored, "in/b/c.txt", b"2")
    put(stored, "inner/a.txt", b"4")
    client = client_of(stored, Given(azureml))
    client.data.create_or_update(folder("in"))
    stored.jobs.runs(run_command)
    client.jobs.create_or_update(
        job(
            text="python train.py ${{inputs.data}} ${{outputs.model}} ${{inputs.epochs}} ${{outputs.metric}}",
            code=str(tmp_path),
            environment_variables={"UNIT": "items"},
            inputs={"data": Input(type="uri_folder", path="azureml:sales:1"), "epochs": 5},
            outputs={
                "model": Output(type="uri_folder"),
                "metric": Output(type="uri_file", path="azureml://datastores/workspaceblobstore/paths/out/metric.txt"),
            },
        )
    )
    ran = stored.jobs.all["job"]
    assert ran.ended.wait(60)
    assert (ran.status, ran.error, ran.log) == ("Completed", "", ["summed"])
    assert taken(stored, "azureml/job/model/deep/sum.txt") == b"3 items 5"
    assert taken(stored, "out/metric.txt") == b"0.5"
    client.jobs.create_or_update(job("again", code=str(tmp_path)))
    assert len(azureml.requests("startPendingUpload", stored)) == 1, "the same code is uploaded once"


def test_command_that_fails_or_is_cancelled(azureml: AzureML, stored: Workspace) -> None:
    client = client_of(stored, Given(azureml))
    stored.jobs.runs(run_command)
    client.jobs.create_or_update(job("bad", "echo so sad; exit 3"))
    client.jobs.create_or_update(job("long", "echo on; sleep 600"))
    bad, long = stored.jobs.all["bad"], stored.jobs.all["long"]
    assert bad.ended.wait(30)
    assert (bad.status, bad.log) == ("Failed", ["so sad"])
    assert "exited with code 3" in bad.error
    deadline = time.monotonic() + 30
    while not long.log and time.monotonic() < deadline:
        time.sleep(0.02)
    client.jobs.begin_cancel("long").result()
    assert long.ended.wait(30)
    assert (long.status, long.log) == ("Canceled", ["on"])


def test_cluster_of_the_test(azureml: AzureML, stored: Workspace) -> None:
    client = client_of(stored, Given(azureml))
    put(stored, "in/a.txt", b"1")
    uri = "azureml://datastores/workspaceblobstore/paths/"
    fields: dict[str, Any] = {
        "inputs": {"data": Input(type="uri_folder", path=f"{uri}in/"), "n": 7},
        "outputs": {"model": Output(type="uri_folder", path=f"{uri}model/")},
    }

    def play(run: ClusterRun) -> None:
        run.log(f"got {run.read('data')} and {run.value('n')}")
        run.write("model", "weights", b"0101")
        if run.name == "bad":
            raise JobFailed("CUDA out of memory")
        if run.name == "long":
            assert run.wait_for_cancel(30)
            raise Cancelled

    stored.jobs.runs(play)
    for name in ("good", "bad", "long"):
        client.jobs.create_or_update(job(name, "${{inputs.data}} ${{inputs.n}} ${{outputs.model}}", **fields))
    client.jobs.begin_cancel("long").result()
    jobs = stored.jobs.all
    assert all(one.ended.wait(30) for one in jobs.values())
    assert [(one.status, one.error) for one in jobs.values()] == [
        ("Completed", ""),
        ("Failed", "CUDA out of memory"),
        ("Canceled", ""),
    ]
    assert jobs["good"].log == ["got {'a.txt': b'1'} and 7"]
    assert taken(stored, "model/weights") == b"0101"


@pytest.mark.usefixtures("quick")
def test_taken_for_azure_itself(
    azureml: AzureML, stored: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Azure's own host names, by way of a proxy: azure-ai-ml reads the log of a running job in the storage account."""
    monkeypatch.delenv("AZUREML_DEV_URL_MFE")
    for name, value in azureml.azure_environment.items():
        monkeypatch.setenv(name, value)
    credential = ClientSecretCredential(azureml.tenant, azureml.tester.client_id, azureml.tester.secret)
    client = client_of(stored, credential)
    stored.jobs.plays("Running", "Running", "Running", "Running", "Completed", log=("from the account",))
    client.jobs.create_or_update(job())
    client.jobs.stream("job")
    assert "from the account" in capsys.readouterr().out
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("https://example.com", timeout=10)
    assert azureml.requests("CONNECT example.com:443")


def put(workspace: Workspace, path: str, content: bytes) -> None:
    with container_of(workspace) as container:
        container.upload_blob(path, content)


def taken(workspace: Workspace, path: str) -> bytes:
    with container_of(workspace) as container:
        return container.download_blob(path).readall()


def container_of(workspace: Workspace) -> ContainerClient:
    blob: BlobService | None = workspace.blob
    assert blob
    credential = {"account_name": blob.account, "account_key": blob.key}
    return ContainerClient(blob.url, str(workspace.container), credential=credential)


class TestErrors:
    def test_denied_action(self, client: MLClient, workspace: Workspace, azureml: AzureML, arm: Arm) -> None:
        action = "Microsoft.MachineLearningServices/workspaces/datastores/listSecrets/action"
        workspace.deny(action)
        with pytest.raises(HttpResponseError) as refused:
            client.datastores.get("workspaceblobstore", include_secrets=True)
        assert (refused.value.status_code, refused.value.error.code) == (403, "AuthorizationFailed")
        assert refused.value.error.message == (
            f"The client '{azureml.tester.client_id}' with object id '{azureml.tester.object_id}' does not have "
            f"authorization to perform action '{action}' over scope '{workspace.path}/datastores/workspaceblobstore' "
            f"or the scope is invalid. If access was recently granted, please refresh your credentials."
        )
        other = azureml.token(azureml.new_app())
        workspace.allow(action)
        workspace.deny("jobs/write", client_id=azureml.tester.client_id)
        assert error(arm("PUT", workspace, "jobs/a", {}))[0] == 403
        assert error(arm("PUT", workspace, "jobs/a", {}, token=other))[0] == 400
        assert arm("POST", workspace, "datastores/workspaceblobstore/listSecrets").status_code == 200

    def test_places_that_are_not_there(self, azureml: AzureML, workspace: Workspace) -> None:
        id = workspace.id
        for place, code in (
            ((str(uuid4()), id.resource_group, id.workspace), "SubscriptionNotFound"),
            ((id.subscription, "nowhere", id.workspace), "ResourceGroupNotFound"),
            ((id.subscription, id.resource_group, "nowhere"), "ResourceNotFound"),
        ):
            client = MLClient(Given(azureml), *place, enable_telemetry=False)
            with pytest.raises(ResourceNotFoundError) as missing:
                list(client.datastores.list())
            assert missing.value.error.code == code

    def test_tokens_that_do_not_do(self, azureml: AzureML, workspace: Workspace, arm: Arm) -> None:
        stranger = azureml.new_app(tenant=str(uuid4()))
        for token, code in (
            ("", "AuthenticationFailed"),
            ("abc", "InvalidAuthenticationToken"),
            (azureml.token()[:-3] + "AAA", "InvalidAuthenticationToken"),
            (azureml.token(expires_in=-10), "ExpiredAuthenticationToken"),
            (azureml.token(audience="https://storage.azure.com"), "InvalidAuthenticationTokenAudience"),
            (azureml.token(stranger), "InvalidAuthenticationTokenTenant"),
        ):
            refused = arm("GET", workspace, "datastores", token=token)
            assert error(refused)[:2] == (401, code)
            assert refused.headers["WWW-Authenticate"].startswith("Bearer ")

    def test_requests_that_are_wrong(self, workspace: Workspace, arm: Arm) -> None:
        assert error(arm("GET", workspace, "datastores", version=""))[:2] == (400, "MissingApiVersionParameter")
        assert error(arm("PUT", workspace, "datastores/x", [1]))[:2] == (400, "InvalidRequestContent")
        assert error(arm("GET", workspace, "spaceships"))[0] == 404


class TestFaults:
    def test_throttled(self, client: MLClient, workspace: Workspace, azureml: AzureML) -> None:
        azureml.plan(throttled(f"GET .*{workspace.id.workspace}/datastores", after=1, times=2))
        assert len(list(client.datastores.list())) == 4
        seen = azureml.requests("GET .*/datastores", workspace)
        assert [one.status for one in seen] == [429, 429, 200]
        assert all(later.at - earlier.at >= 0.9 for earlier, later in pairwise(seen))

    def test_lost_response(self, client: MLClient, workspace: Workspace, azureml: AzureML) -> None:
        azureml.plan(LoseResponse(f"PUT .*{workspace.id.workspace}/datastores/ds"))
        client.datastores.create_or_update(blob_datastore("ds"))
        assert [seen.status for seen in azureml.requests("PUT", workspace)] == [0, 200], "the first one was done"

    def test_server_errors(self, workspace: Workspace, azureml: AzureML, arm: Arm) -> None:
        azureml.plan(ArmError(f"PUT .*{workspace.id.workspace}", 503, "ServerBusy", "Come back later."))
        body = {"properties": {}}
        assert error(arm("PUT", workspace, "datastores/ds", body)) == (503, "ServerBusy", "Come back later.")
        assert error(arm("PUT", workspace, "datastores/ds", body))[0] == 400

    def test_something_happens_meanwhile(self, workspace: Workspace, azureml: AzureML, arm: Arm) -> None:
        gone = Meanwhile(
            f"GET .*{workspace.id.workspace}", lambda: workspace.datastores.remove("workspaceblobstore"), skip=1
        )
        azureml.plan(gone)
        assert arm("GET", workspace, "datastores/workspaceblobstore").status_code == 200
        assert arm("GET", workspace, "datastores/workspaceblobstore").status_code == 404


class TestTokens:
    """azure-identity's credentials, against the tenant of the stand-in."""

    def works(self, azureml: AzureML, workspace: Workspace, credential: TokenCredential, who: Principal) -> None:
        assert len(list(client_of(workspace, credential).datastores.list())) == 4
        assert {seen.client_id for seen in azureml.requests("GET .*/datastores", workspace)} == {who.client_id}

    def secret(self, azureml: AzureML, **fields: str) -> ClientSecretCredential:
        tester = azureml.tester
        given = {"tenant": azureml.tenant, "client": tester.client_id, "secret": tester.secret, **fields}
        return ClientSecretCredential(
            given["tenant"],
            given["client"],
            given["secret"],
            authority=azureml.login_url,
            disable_instance_discovery=True,
        )

    def test_client_secret(self, azureml: AzureML, workspace: Workspace) -> None:
        self.works(azureml, workspace, self.secret(azureml), azureml.tester)

    def test_client_secrets_that_fail(self, azureml: AzureML) -> None:
        expired = azureml.new_app(secret="old", expired=True)
        for fields, code in (
            ({"secret": "wrong"}, "AADSTS7000215"),
            ({"client": expired.client_id, "secret": "old"}, "AADSTS7000222"),
            ({"client": str(uuid4())}, "AADSTS700016"),
        ):
            with pytest.raises(ClientAuthenticationError, match=code):
                self.secret(azureml, **fields).get_token(SCOPE)

    def test_wrong_tenant(self, azureml: AzureML) -> None:
        tenant = str(uuid4())
        with pytest.raises(ClientAuthenticationError, match="check your tenant"):  # MSAL drops what the service says
            self.secret(azureml, tenant=tenant).get_token(SCOPE)
        refused = requests.get(
            f"{azureml.login_url}/{tenant}/v2.0/.well-known/openid-configuration", verify=str(azureml.ca), timeout=30
        )
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_tenant")
        assert f"AADSTS90002: Tenant '{tenant}' not found." in refused.json()["error_description"]

    def test_certificate(self, azureml: AzureML, workspace: Workspace) -> None:
        issued, other = (trustme.CA().issue_cert("app.example", key_type=trustme.KeyType.RSA) for _ in range(2))
        app = azureml.new_app(certificate=issued.cert_chain_pems[0].bytes())

        def credential(certificate: trustme.LeafCert) -> CertificateCredential:
            return CertificateCredential(
                azureml.tenant,
                app.client_id,
                certificate_data=certificate.private_key_and_cert_chain_pem.bytes(),
                authority=azureml.login_url,
                disable_instance_discovery=True,
            )

        self.works(azureml, workspace, credential(issued), app)
        with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
            credential(other).get_token(SCOPE)

    def test_workload_identity(self, azureml: AzureML, workspace: Workspace, tmp_path: Path) -> None:
        app = azureml.new_app(federated="token-of-the-cluster")
        (tmp_path / "token").write_text("token-of-the-cluster")
        credential = WorkloadIdentityCredential(
            tenant_id=azureml.tenant,
            client_id=app.client_id,
            token_file_path=str(tmp_path / "token"),
            authority=azureml.login_url,
            disable_instance_discovery=True,
        )
        self.works(azureml, workspace, credential, app)

    def test_managed_identity(self, azureml: AzureML, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in azureml.identity_environment.items():
            monkeypatch.setenv(name, value)
        azureml.new_app("another", managed=True)
        app = azureml.new_app("mine", managed=True)
        self.works(azureml, workspace, ManagedIdentityCredential(client_id=app.client_id), app)
        with pytest.raises(ClientAuthenticationError, match="No User Assigned"):
            ManagedIdentityCredential(client_id=str(uuid4())).get_token(SCOPE)
        monkeypatch.setenv("IDENTITY_HEADER", "wrong")
        with pytest.raises(ClientAuthenticationError):
            ManagedIdentityCredential(client_id=app.client_id).get_token(SCOPE)


def test_from_another_process(azureml: AzureML, workspace: Workspace) -> None:
    script = (
        "import json, ssl, sys, urllib.request\n"
        "url, ca, token = sys.stdin.read().split()\n"
        "request = urllib.request.Request(url, headers={'Authorization': 'Bearer ' + token})\n"
        "answer = urllib.request.urlopen(request, context=ssl.create_default_context(cafile=ca))\n"
        "print(len(json.load(answer)['value']))\n"
    )
    url = f"{azureml.url}{workspace.path}/datastores?api-version=2024-10-01"
    told = f"{url} {azureml.ca} {azureml.token()}"
    ran = subprocess.run([sys.executable, "-c", script], input=told, capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.returncode) == ("4\n", 0), ran.stderr


def test_many_at_once(azureml: AzureML, workspace: Workspace, arm: Arm) -> None:
    """Whoever comes first makes the version; the others are told that it is another's."""

    def register(number: int) -> int:
        asset = {"dataType": "uri_folder", "dataUri": f"azureml://datastores/workspaceblobstore/paths/{number}/"}
        return arm("PUT", workspace, "data/sales/versions/1", {"properties": asset}).status_code

    with ThreadPoolExecutor(32) as pool:
        assert sorted(pool.map(register, range(64))) == [201] + [400] * 63


def test_requests_are_kept(azureml: AzureML, workspace: Workspace, client: MLClient) -> None:
    client.datastores.get_default()
    (seen,) = azureml.requests(r"GET .*/datastores\?.*isDefault=true", workspace)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d(-preview)?", seen.api_version)
    assert (seen.status, seen.client_id) == (200, azureml.tester.client_id)
