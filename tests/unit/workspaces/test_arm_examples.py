"""Bodies of the REST API, read and written: against the specification's examples, and another reading of it.

The examples are those of Azure/azure-rest-api-specs, specification/machinelearningservices/resource-manager/
Microsoft.MachineLearningServices/stable/2022-10-01/examples/Datastore, by name; later versions have the same. The other
reading is azure-ai-ml's, whose models are generated from the specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.ai.ml._restclient.arm_ml_service import models
from azure.ai.ml._restclient.arm_ml_service._utils.model_base import Model, _deserialize
from hypothesis import given
from hypothesis import strategies as st

from airflow_azureml_datastores.core.arm import ArmConnection, ArmDatastore
from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Anonymous,
    Credential,
    DatabricksOAuth,
    Identity,
    Login,
    RenewedSas,
    SasToken,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.datastore import Datastore, Location, UnknownLocation
from airflow_azureml_datastores.errors import InvalidInput, Unsupported
from airflow_azureml_datastores.stores import LOCATIONS, location_class
from airflow_azureml_datastores.stores.adls_gen2 import AzureDataLakeGen2
from airflow_azureml_datastores.stores.azure_blob import AzureBlob
from airflow_azureml_datastores.stores.azure_file import AzureFile
from airflow_azureml_datastores.stores.dbfs import Dbfs
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.stores.one_lake import OneLake
from airflow_azureml_datastores.workspaces import _arm_connections as connections
from airflow_azureml_datastores.workspaces import _arm_credentials as credentials
from airflow_azureml_datastores.workspaces import _arm_datastores as datastores
from airflow_azureml_datastores.workspaces._arm_shelf import Kept

GUID = "00000000-1111-2222-3333-444444444444"
PRINCIPAL = {
    "credentialsType": "ServicePrincipal",
    "authorityUrl": "string",
    "resourceUrl": "string",
    "tenantId": GUID,
    "clientId": GUID,
}
KEY = {"credentialsType": "AccountKey"}
DATABRICKS = "https://adb-1234567890123456.7.azuredatabricks.net"
BLOB = {"accountName": "string", "containerName": "string", "endpoint": "core.windows.net", "protocol": "https"}
# In the example the last two are "string", too, which no datastore can have.
FILE = {"accountName": "string", "fileShareName": "string", "endpoint": "core.windows.net", "protocol": "https"}

# Name of the example -> the type, its own properties, and its credentials as answers show them.
EXAMPLES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "AzureBlobWAccountKey/createOrUpdate": ("AzureBlob", BLOB, KEY),
    "AzureDataLakeGen1WServicePrincipal/createOrUpdate": ("AzureDataLakeGen1", {"storeName": "string"}, PRINCIPAL),
    "AzureDataLakeGen2WServicePrincipal/createOrUpdate": (
        "AzureDataLakeGen2",
        {"filesystem": "string", "accountName": "string", "endpoint": "string", "protocol": "string"},
        PRINCIPAL,
    ),
    "AzureFileWAccountKey/createOrUpdate": ("AzureFile", FILE, KEY),
    "get": ("AzureBlob", BLOB, KEY),
    "list": ("AzureBlob", BLOB, KEY),
}


def answer(type_: str, own: dict[str, Any], shown: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A datastore as every example answers it."""
    common = {"description": "string", "tags": {"string": "string"}, "properties": None}
    properties = {**common, "credentials": shown, "datastoreType": type_, **own, **more}
    moment = {"createdAt": "2020-01-01T12:34:56.999Z", "createdBy": "string", "createdByType": "User"}
    return {"id": "string", "name": "string", "type": "string", "properties": properties, "systemData": moment}


def no_more() -> str:
    raise AssertionError("nobody asked for another token")


def leftovers(model: Any, path: str = "") -> Iterator[str]:
    """What a generated model holds that the specification does not name."""
    fields = {field._rest_name: name for name, field in model._attr_to_rest_field.items()}
    for name in model:
        if name not in fields:
            yield f"{path}.{name}"
        elif isinstance(value := getattr(model, fields[name]), Model):
            yield from leftovers(value, f"{path}.{name}")


class TestExamples:
    @pytest.mark.parametrize("name", EXAMPLES)
    def test_is_understood(self, name: str) -> None:
        type_, own, shown = EXAMPLES[name]
        kept = datastores.decode(answer(type_, own, shown, isDefault=False))
        found = kept.datastore
        assert (found.name, found.type, found.description, found.tags) == (
            "string",
            type_,
            "string",
            {"string": "string"},
        )
        assert found.credential_conn_id is None
        assert not kept.is_default
        if type_ == "AzureBlob":
            assert found.location == AzureBlob("string", "string")
        elif type_ == "AzureFile":
            assert found.location == AzureFile("string", "string")
        else:  # of another type, or with the protocol "string"
            assert found.location == UnknownLocation(type_, own)

    @pytest.mark.parametrize("name", EXAMPLES)
    def test_is_written_as_it_was_read(self, name: str) -> None:
        type_, own, shown = EXAMPLES[name]
        read = answer(type_, own, shown)
        kept = datastores.decode(read)
        assert datastores.encode(kept.datastore, kept, shown) == {
            "properties": {**read["properties"], "properties": {}}
        }

    @pytest.mark.parametrize("name", EXAMPLES)
    def test_is_what_azure_ai_ml_reads(self, name: str) -> None:
        model = _deserialize(models.Datastore, answer(*EXAMPLES[name], isDefault=False))
        kept = datastores.decode(dict(model))
        assert model.properties.datastore_type == kept.datastore.type
        assert model.properties.credentials.credentials_type == kept.properties["credentials"]["credentialsType"]

    def test_list_secrets(self) -> None:
        assert credentials.from_arm(KEY, {"secretsType": "AccountKey", "key": "string"}, no_more) == AccountKey(
            "string"
        )


class TestWrittenForOthers:
    """Everything that is sent is read by azure-ai-ml's models with nothing left over."""

    def test_what_is_left_over_is_noticed(self) -> None:
        shown = {**KEY, "secrets": {"secretsType": "AccountKey", "keys": "string"}}
        model = _deserialize(models.Datastore, {"properties": {"datastoreType": "AzureBlob", "credentials": shown}})
        assert list(leftovers(model)) == [".properties.credentials.secrets.keys"]

    @pytest.mark.parametrize(
        "credential",
        [
            AccountKey("a2V5"),
            SasToken("?sv=1&sig=x"),
            ServicePrincipal(GUID, GUID, "secret", "login.microsoftonline.us"),
            Identity(),
            Anonymous(),
        ],
        ids=lambda credential: type(credential).__name__,
    )
    def test_blob(self, credential: Credential) -> None:
        datastore = Datastore("sales", AzureBlob("contoso", "raw"), "conn", "text", {"a": "b"})
        given = credentials.to_arm(credential)
        assert given is not None
        body = datastores.encode(datastore, None, given)
        model = _deserialize(models.Datastore, body)
        assert isinstance(model.properties, models.AzureBlobDatastore)
        assert list(leftovers(model)) == []
        assert (model.properties.account_name, model.properties.container_name) == ("contoso", "raw")
        assert (model.properties.description, model.properties.tags) == ("text", {"a": "b"})
        assert model.properties.properties == {"airflow_credential_conn_id": "conn"}
        assert datastores.decode({"name": "sales", **body}).datastore == datastore

    @pytest.mark.parametrize(
        ("location", "own"),
        [
            (
                AzureDataLakeGen2("contoso", "raw", subscription_id="s", resource_group="r"),
                {"filesystem": "raw", "account_name": "contoso", "subscription_id": "s", "resource_group": "r"},
            ),
            (
                OneLake("ml", "Sales/Files", service_data_access_auth_identity="WorkspaceSystemAssignedIdentity"),
                {
                    "one_lake_workspace_name": "ml",
                    "endpoint": "onelake.dfs.fabric.microsoft.com",
                    "service_data_access_auth_identity": "WorkspaceSystemAssignedIdentity",
                },
            ),
        ],
        ids=lambda value: getattr(value, "type", ""),
    )
    def test_other_types(self, location: Location, own: dict[str, Any]) -> None:
        datastore = Datastore("sales", location)
        body = datastores.encode(datastore, None, credentials.NONE)
        model = _deserialize(models.Datastore, body)
        assert list(leftovers(model)) == []
        assert {name: getattr(model.properties, name) for name in own} == own
        assert datastores.decode({"name": "sales", **body}).datastore.location.fields() == location.fields()

    @pytest.mark.parametrize(
        "credential", [AccountKey("a2V5"), SasToken("?sv=1&sig=x")], ids=lambda credential: type(credential).__name__
    )
    def test_file(self, credential: Credential) -> None:
        datastore = Datastore("sales", AzureFile("contoso", "raw", subscription_id=GUID), "conn", "text", {"a": "b"})
        given = credentials.to_arm(credential)
        assert given is not None
        body = datastores.encode(datastore, None, given)
        model = _deserialize(models.Datastore, body)
        assert isinstance(model.properties, models.AzureFileDatastore)
        assert list(leftovers(model)) == []
        assert (model.properties.account_name, model.properties.file_share_name) == ("contoso", "raw")
        assert (model.properties.endpoint, model.properties.subscription_id) == ("core.windows.net", GUID)
        assert datastores.decode({"name": "sales", **body}).datastore == datastore

    @pytest.mark.parametrize(
        "credential",
        [
            Login("me", "secret"),
            ServicePrincipal(GUID, GUID, "secret"),
            AccountKey("a2V5"),
            SasToken("sv=1&sig=x"),
            AccessToken("pat"),
            DatabricksOAuth(GUID, "secret"),
            Identity(),
        ],
        ids=lambda credential: type(credential).__name__,
    )
    @pytest.mark.parametrize("location", [LocalDirectory("/mnt/ü"), Dbfs(DATABRICKS, "/Volumes/main/sales/ü")], ids=str)
    def test_connection(self, location: Location, credential: Credential) -> None:
        datastore = Datastore("shared", location, "conn", "text", {"a": "ü"})
        auth = connections._to_arm(credential)
        assert auth is not None
        body = connections.encode(datastore, None, auth)
        model = _deserialize(models.WorkspaceConnectionPropertiesV2BasicResource, body)
        assert type(model.properties) is not models.WorkspaceConnectionPropertiesV2, "azure-ai-ml knows the authType"
        assert list(leftovers(model)) == []
        assert model.properties.category in {category.value for category in models.ConnectionCategory}
        assert model.properties.target in (DATABRICKS, "/mnt/ü")
        kept = connections.decode({"name": "shared", **body})
        assert kept is not None
        assert kept.datastore == datastore
        if "credentials" in auth:
            assert connections._from_arm(auth["authType"], auth["credentials"], "") == credential


class TestWhatIsNotUnderstood:
    KEPT: dict[str, Any] = {"serviceDataAccessAuthIdentity": "WorkspaceSystemAssignedIdentity", "later": {"deep": [1]}}
    OF_ACCOUNT: dict[str, Any] = {"subscriptionId": GUID, "resourceGroup": "rg"}

    def read(self, **more: Any) -> Kept:
        return datastores.decode(answer("AzureBlob", {**BLOB, **self.KEPT, **self.OF_ACCOUNT}, KEY, **more))

    def test_stays(self) -> None:
        kept = self.read(properties={"theirs": "1", "airflow_credential_conn_id": "old"}, isDefault=True)
        changed = Datastore("string", kept.datastore.location, "new", "other")
        written = datastores.encode(changed, kept, KEY)["properties"]
        assert {name: written[name] for name in {**self.KEPT, **self.OF_ACCOUNT}} == {**self.KEPT, **self.OF_ACCOUNT}
        assert written["properties"] == {"theirs": "1", "airflow_credential_conn_id": "new"}
        assert written["isDefault"] is True

    def test_another_account_is_elsewhere(self) -> None:
        kept = self.read()
        moved = Datastore("string", AzureBlob("other", "string")).completed(kept.datastore)
        written = datastores.encode(moved, kept, KEY)["properties"]
        assert {name: written[name] for name in self.KEPT} == self.KEPT
        assert not set(self.OF_ACCOUNT) & set(written)

    def test_another_type_takes_nothing(self) -> None:
        written = datastores.encode(Datastore("string", UnknownLocation("Later", {"x": 1})), self.read(), KEY)
        assert set(written["properties"]) == {
            "x",
            "credentials",
            "datastoreType",
            "description",
            "properties",
            "tags",
        }

    def test_what_every_type_has_is_no_value_of_one(self) -> None:
        with pytest.raises(InvalidInput, match="'tags'"):
            datastores.encode(Datastore("x", UnknownLocation("Later", {"tags": 1})), None, KEY)

    @pytest.mark.parametrize(
        "own",
        [{}, {"accountName": 5, "containerName": "raw"}, {**BLOB, "containerName": "NO"}, {**BLOB, "endpoint": 5}],
    )
    def test_a_location_that_cannot_be(self, own: dict[str, Any]) -> None:
        found = datastores.decode(answer("AzureBlob", own, KEY)).datastore
        assert found.location == UnknownLocation("AzureBlob", own)
        assert found.type == "AzureBlob"

    def test_connection(self) -> None:
        theirs = {"group": "Azure", "expiryTime": None, "later": 1, "isSharedToAll": False}
        ours = Datastore("shared", LocalDirectory("/mnt"), "conn")
        body = connections.encode(ours, None, {"authType": "None"})["properties"]
        metadata = {**body["metadata"], "theirs": "1"}
        kept = connections.decode({"name": "shared", "properties": {**body, **theirs, "metadata": metadata}})
        assert kept is not None
        moved = Datastore("shared", LocalDirectory("/srv"))
        written = connections.encode(moved, kept, {"authType": "None"})["properties"]
        assert (written["later"], written["isSharedToAll"], written["target"]) == (1, False, "/srv")
        assert written["metadata"]["theirs"] == "1"
        assert "group" not in written
        assert "airflow_credential_conn_id" not in written["metadata"]


class TestOthersConnections:
    def test_of_a_category_that_a_type_understands(self) -> None:
        properties = {"category": "FileServer", "target": "/mnt/x", "authType": "None", "metadata": None}
        found = connections.decode({"name": "theirs", "properties": properties})
        assert found is not None
        assert found.datastore == Datastore("theirs", LocalDirectory("/mnt/x"))
        databricks = {"category": "Databricks", "target": DATABRICKS, "metadata": {"path": "/Volumes/main/sales/raw"}}
        found = connections.decode({"name": "theirs", "properties": {"authType": "PAT", **databricks}})
        assert found is not None
        assert found.datastore == Datastore("theirs", Dbfs(DATABRICKS, "/Volumes/main/sales/raw"))

    @pytest.mark.parametrize(
        "properties",
        [
            {"category": "AzureOpenAI", "target": "https://x"},
            {"category": "FileServer", "target": r"\\server\share"},
            {"category": "FileServer", "target": None},
            {"category": "Databricks", "target": DATABRICKS},
            {"category": "Databricks", "target": DATABRICKS, "metadata": {"path": "/Volumes/main"}},
        ],
    )
    def test_that_are_no_datastores(self, properties: dict[str, Any]) -> None:
        assert connections.decode({"name": "theirs", "properties": {"authType": "None", **properties}}) is None

    def test_of_a_later_version(self) -> None:
        properties = {"category": "Db2", "target": "db:1", "metadata": {"airflow_type": "Db2", "schema": "s"}}
        found = connections.decode({"name": "later", "properties": properties})
        assert found is not None
        values = {"category": "Db2", "target": "db:1", "metadata": {"schema": "s"}}
        assert found.datastore == Datastore("later", UnknownLocation("Db2", values))


class TestLocations:
    @pytest.mark.parametrize(
        "location",
        [
            AzureBlob("contoso", "raw"),
            AzureBlob("contoso", "raw", "core.usgovcloudapi.net", "http"),
            AzureBlob("devstoreaccount1", "raw", "http://127.0.0.1:10000/devstoreaccount1"),
            AzureBlob("contoso", "raw", "https://contoso.blob.core.chinacloudapi.cn"),
            AzureBlob("contoso", "$web", "https://data.contoso.com/", "http"),
            AzureDataLakeGen2("contoso", "raw"),
            AzureDataLakeGen2("contoso", "raw", "https://contoso.dfs.core.chinacloudapi.cn"),
            OneLake("ml", "Sales/Files"),
            OneLake("ml", "Sales", endpoint="https://westeurope-onelake.dfs.fabric.microsoft.com"),
            AzureFile("contoso", "raw"),
            AzureFile("contoso", "raw", "core.chinacloudapi.cn"),
            AzureFile("contoso", "raw", "https://contoso.file.core.usgovcloudapi.net"),
            AzureFile("contoso", "raw", "http://127.0.0.1:10000/contoso"),
            LocalDirectory("/mnt/a b"),
            Dbfs(DATABRICKS, "/Volumes/main/sales/raw/a b"),
            Dbfs(f"{DATABRICKS}/", "dbfs:/raw"),
        ],
        ids=str,
    )
    def test_there_and_back(self, location: Location) -> None:
        form = location.to_arm()
        assert location_class(location.type).from_arm(form) == location
        texts = form.ours if isinstance(form, ArmDatastore) else form.metadata
        assert all(isinstance(text, str) for text in texts.values())

    @pytest.mark.parametrize(
        ("endpoint", "domain"),
        [
            ("core.usgovcloudapi.net", "core.usgovcloudapi.net"),
            ("https://contoso.blob.core.chinacloudapi.cn", "core.chinacloudapi.cn"),
            ("https://contoso.z01.blob.storage.azure.net", "storage.azure.net"),
            ("http://127.0.0.1:10000/contoso", "core.windows.net"),
            ("https://data.contoso.com", "core.windows.net"),
        ],
    )
    def test_endpoint_in_arm_is_a_domain(self, endpoint: str, domain: str) -> None:
        assert AzureBlob("contoso", "raw", endpoint).to_arm().properties["endpoint"] == domain
        file_endpoint = endpoint.replace(".blob.", ".file.")
        assert AzureFile("contoso", "raw", file_endpoint).to_arm().properties["endpoint"] == domain

    def test_url_in_arm_is_read(self) -> None:
        url = "http://127.0.0.1:10000/devstoreaccount1"
        form = ArmDatastore({"accountName": "devstoreaccount1", "containerName": "raw", "endpoint": url})
        assert AzureBlob.from_arm(form) == AzureBlob("devstoreaccount1", "raw", url)

    @pytest.mark.parametrize("type_", LOCATIONS)
    def test_refuses_what_is_another_type_s(self, type_: str) -> None:
        for form in (ArmConnection("AzureOpenAI", "https://x"), ArmDatastore({})):
            with pytest.raises((InvalidInput, Unsupported)):
                location_class(type_).from_arm(form)


class TestCredentials:
    def test_sas_is_renewed_by_asking_again(self) -> None:
        tokens = iter(["sig=2", "sig=3"])
        found = credentials.from_arm({}, {"secretsType": "Sas", "sasToken": "sig=1"}, lambda: next(tokens))
        assert isinstance(found, RenewedSas)
        assert [found.renew(), found.renew()] == ["sig=2", "sig=3"]

    @pytest.mark.parametrize(
        ("url", "host"),
        [
            (None, None),
            ("https://login.microsoftonline.com", None),
            ("https://login.microsoftonline.com/", None),
            ("https://login.microsoftonline.us", "login.microsoftonline.us"),
            ("login.partner.microsoftonline.cn", "login.partner.microsoftonline.cn"),
        ],
    )
    def test_authority(self, url: str | None, host: str | None) -> None:
        public = {**PRINCIPAL, "authorityUrl": url}
        secrets = {"secretsType": "ServicePrincipal", "clientSecret": "s"}
        assert credentials.from_arm(public, secrets, no_more) == ServicePrincipal(GUID, GUID, "s", host)

    @pytest.mark.parametrize(
        "secrets",
        [{}, {"secretsType": "Quantum"}, {"secretsType": "AccountKey"}, {"secretsType": "Sas", "sasToken": ""}],
    )
    def test_unusable_answer(self, secrets: dict[str, Any]) -> None:
        with pytest.raises((InvalidInput, Unsupported), match="its credential"):
            credentials.from_arm({}, secrets, no_more)

    @pytest.mark.parametrize("credential", [Login("a", "b"), AccessToken("t"), RenewedSas(no_more)])
    def test_that_a_datastore_cannot_have(self, credential: Credential) -> None:
        assert credentials.to_arm(credential) is None


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
COMMON = ("credentials", "datastoreType", "description", "isDefault", "properties", "tags")
OF_CONNECTIONS = ("category", "target", "metadata", "authType")
NAMES = st.sampled_from([*BLOB, *COMMON, *OF_CONNECTIONS, "later"])


class TestWhateverComes:
    @given(st.dictionaries(NAMES, JSON | st.sampled_from(["AzureBlob", "FileServer", "Databricks", "/mnt", "raw"])))
    def test_is_listed(self, properties: dict[str, Any]) -> None:
        kept = datastores.decode({"name": "x", "properties": properties})
        assert kept.datastore.name == "x"
        assert repr(kept.datastore.type)
        found = connections.decode({"name": "x", "properties": properties})
        assert found is None or found.datastore.name == "x"

    @pytest.mark.parametrize("answer", [{}, {"name": "x"}, {"name": "x", "properties": None}])
    def test_with_parts_missing(self, answer: dict[str, Any]) -> None:
        assert datastores.decode(answer).datastore.type == "None"
        assert connections.decode(answer) is None
