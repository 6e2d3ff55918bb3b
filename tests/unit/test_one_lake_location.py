"""Where an item of OneLake is."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_azureml_datastores.core.arm import ArmConnection, ArmDatastore
from airflow_azureml_datastores.core.credentials import AccountKey, Anonymous, Identity, SasToken
from airflow_azureml_datastores.errors import (
    InvalidConnection,
    InvalidInput,
    InvalidName,
    UnsafePath,
    Unsupported,
)
from airflow_azureml_datastores.stores import make_location
from airflow_azureml_datastores.stores.one_lake import OneLake

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize(
    ("location", "url"),
    [
        (OneLake("ml", "Sales/Files"), "https://onelake.dfs.fabric.microsoft.com/ml/Sales.Lakehouse/Files"),
        (OneLake("ml", "Sales.Lakehouse"), "https://onelake.dfs.fabric.microsoft.com/ml/Sales.Lakehouse"),
        (OneLake(GUID, f"{GUID}/Files/raw"), f"https://onelake.dfs.fabric.microsoft.com/{GUID}/{GUID}/Files/raw"),
        (
            OneLake("my space", "Sales/Files", endpoint="https://westeurope-onelake.dfs.fabric.microsoft.com/"),
            "https://westeurope-onelake.dfs.fabric.microsoft.com/my%20space/Sales.Lakehouse/Files",
        ),
    ],
)
def test_url(location: OneLake, url: str) -> None:
    assert location.url == url
    assert make_location("OneLake", location.fields()) == location
    assert OneLake.from_arm(location.to_arm()) == location


@pytest.mark.parametrize(
    "values",
    [
        ("", "Sales"),
        ("a/b", "Sales"),
        ("ml", ""),
        ("ml", "/Sales"),
        ("ml", "Sales/"),
        ("ml", "Sales/../Other"),
        ("ml", 1),
        ("ml", "Sales", "LakeHouse", "https://"),
        ("ml", "Sales", "LakeHouse", "https://host?sig=HUSH"),
    ],
)
def test_bad_names(values: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidName) as caught:
        OneLake(*values)
    assert "HUSH" not in str(caught.value)


def test_unknown_kind_of_item() -> None:
    with pytest.raises(InvalidInput, match="'Warehouse' is unknown; Azure ML knows LakeHouse"):
        OneLake("ml", "Sales", "Warehouse")


@pytest.mark.parametrize("credential", [AccountKey("a2V5"), SasToken("sv=1&sig=x"), Anonymous()])
def test_no_keys(credential: Any) -> None:
    with pytest.raises(InvalidConnection, match=r"OneLake takes a service principal, .* no account keys"):
        OneLake("ml", "Sales/Files").open(credential)


def test_levels_that_are_fabric_s() -> None:
    with OneLake("ml", "Sales").open(Identity()) as whole, OneLake("ml", "Sales/Files").open(Identity()) as files:
        files.check_path("a.csv")
        whole.check_path("Files/a.csv")
        whole.check_path("Tables/orders/part-0.parquet")
        for path in ("a.csv", "Files", ".staging"):
            with pytest.raises(UnsafePath, match="is Fabric's to manage: data goes below a folder of the item"):
                whole.check_path(path)


def test_connection_of_a_storage_account() -> None:
    lake = OneLake("ml", "Sales/Files")
    for endpoint in (
        "https://api-onelake.dfs.fabric.microsoft.com",
        "https://0f8fad5bd9cb469fa16570867728950e.z0f.dfs.fabric.microsoft.com",
        "http://127.0.0.1:1/onelake",
        "https://lake.contoso.com",
    ):
        assert lake.redirected(endpoint).account_url == endpoint
    with pytest.raises(InvalidConnection, match="storage account 'contoso', but the datastore is in OneLake"):
        lake.redirected("https://contoso.dfs.core.windows.net")


def test_as_others_registered_it() -> None:
    """azure-ai-ml's example has no scheme and, as its service does, leaves fields null."""
    properties = {
        "artifact": {"artifactType": "LakeHouse", "artifactName": f"{GUID}/Files"},
        "oneLakeWorkspaceName": GUID,
        "endpoint": None,
        "serviceDataAccessAuthIdentity": "None",
    }
    found = OneLake.from_arm(ArmDatastore(properties))
    assert found == OneLake(GUID, f"{GUID}/Files")
    assert found.service_data_access_auth_identity == "None"
    assert OneLake(GUID, f"{GUID}/Files").completed(found).fields() == found.fields()
    for broken in ({}, {"artifact": "x"}, {**properties, "oneLakeWorkspaceName": None}):
        with pytest.raises(InvalidInput):
            OneLake.from_arm(ArmDatastore(broken))
    with pytest.raises(Unsupported):
        OneLake.from_arm(ArmConnection("AzureOneLake", "https://x"))
