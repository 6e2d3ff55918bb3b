"""What the locations in a storage account have in common: endpoints, and what is left to the workspace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_azureml_datastores.core.credentials import AccountKey, Login
from airflow_azureml_datastores.core.datastore import Datastore
from airflow_azureml_datastores.errors import InvalidConnection, InvalidInput, InvalidName
from airflow_azureml_datastores.stores import LOCATIONS, location_class, make_location
from airflow_azureml_datastores.stores._storage_account import (
    StorageAccountLocation,
    account_of,
    domain_of,
    url_of_service,
)

TYPES = [found for found in map(location_class, LOCATIONS) if issubclass(found, StorageAccountLocation)]


@pytest.fixture(params=TYPES, ids=lambda found: found.type)
def location(request: pytest.FixtureRequest) -> StorageAccountLocation:
    """One of each type, in the account ``contoso``."""
    kind: type[StorageAccountLocation] = request.param
    return kind(**{"account_name": "contoso", kind.container_field: "raw"})


def test_there_are_some() -> None:
    assert len(TYPES) >= 2


@pytest.mark.parametrize("domain", ["core.windows.net", "core.usgovcloudapi.net", "core.chinacloudapi.cn"])
def test_url_in_a_cloud(location: StorageAccountLocation, domain: str) -> None:
    assert replace(location, endpoint=domain).url == f"https://contoso.{location.service}.{domain}/raw"
    assert replace(location, endpoint=domain, protocol="http").url == f"http://contoso.{location.service}.{domain}/raw"


def test_url_of_a_whole_endpoint(location: StorageAccountLocation) -> None:
    assert replace(location, endpoint="https://data.contoso.com/").url == "https://data.contoso.com/raw"


@pytest.mark.parametrize(
    "endpoint", ["", "core windows", "ftp://host", "https://h?sig=HUSH", "https://u:HUSH@h", "h/p"]
)
def test_bad_endpoint(location: StorageAccountLocation, endpoint: str) -> None:
    with pytest.raises(InvalidName) as caught:
        replace(location, endpoint=endpoint)
    assert "HUSH" not in str(caught.value)


def test_bad_values(location: StorageAccountLocation) -> None:
    with pytest.raises(InvalidName, match="3 to 24 lowercase"):
        replace(location, account_name="Contoso")
    with pytest.raises(InvalidName, match="3 to 63 lowercase"):
        replace(location, **{location.container_field: "No_Container"})
    with pytest.raises(InvalidName, match="'https' or 'http'"):
        replace(location, protocol="smb")
    with pytest.raises(InvalidInput, match="subscription_id"):
        replace(location, subscription_id=1)


def test_kept_as_fields(location: StorageAccountLocation) -> None:
    whole = replace(location, subscription_id="s", resource_group="r", service_data_access_auth_identity="None")
    kept = make_location(location.type, whole.fields())
    assert kept == whole == location
    assert kept.fields() == whole.fields() != location.fields()


def test_connections_of_another_account(location: StorageAccountLocation) -> None:
    here = f"https://contoso.privatelink.{location.service}.core.windows.net"
    assert location.redirected(here).url == f"{here}/raw"
    with pytest.raises(InvalidConnection, match="'fabrikam', but the datastore is in 'contoso'"):
        location.redirected(f"https://fabrikam.{location.service}.core.windows.net")


def test_what_is_left_to_the_workspace(location: StorageAccountLocation) -> None:
    """It is no other location for it; said, it counts."""
    registered = replace(
        location,
        subscription_id="s",
        resource_group="r",
        service_data_access_auth_identity="WorkspaceUserAssignedIdentity",
    )
    assert location.completed(registered).fields() == registered.fields()
    other = replace(location, resource_group="other")
    assert other.completed(registered).resource_group == "other"  # type: ignore[attr-defined]
    elsewhere = replace(location, account_name="fabrikam").completed(registered)
    assert (elsewhere.subscription_id, elsewhere.resource_group) == (None, None)
    assert elsewhere.service_data_access_auth_identity == "WorkspaceUserAssignedIdentity"
    assert Datastore("x", location).completed(Datastore("x", registered)).location.fields() == registered.fields()


def test_in_arm(location: StorageAccountLocation) -> None:
    whole = replace(location, subscription_id="s", resource_group="r", service_data_access_auth_identity="None")
    form = whole.to_arm()
    assert form.properties["endpoint"] == "core.windows.net"
    assert (form.properties["subscriptionId"], form.properties["resourceGroup"]) == ("s", "r")
    assert type(whole).from_arm(form).fields() == whole.fields()
    assert "subscriptionId" not in location.to_arm().properties


def test_useless_credential(location: StorageAccountLocation) -> None:
    with pytest.raises(InvalidConnection, match="account key, a SAS token"):
        location.open(Login("me", "secret"))
    with pytest.raises(InvalidConnection, match="base64"):
        location.open(AccountKey("no key"))


@pytest.mark.parametrize(
    ("url", "account", "domain"),
    [
        ("https://contoso.blob.core.windows.net", "contoso", "core.windows.net"),
        ("https://contoso.dfs.core.chinacloudapi.cn/", "contoso", "core.chinacloudapi.cn"),
        ("https://contoso.privatelink.file.core.windows.net/", "contoso", "core.windows.net"),
        ("https://contoso.z01.blob.storage.azure.net", "contoso", "storage.azure.net"),
        ("https://contoso-secondary.blob.core.chinacloudapi.cn", "contoso", "core.chinacloudapi.cn"),
        ("http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1", "core.windows.net"),
        ("http://[::1]:10000/devstoreaccount1", "devstoreaccount1", "core.windows.net"),
        ("http://127.0.0.1:10000", None, "core.windows.net"),
        ("https://data.contoso.com/blob", None, "core.windows.net"),
    ],
)
def test_what_a_url_says(url: str, account: str | None, domain: str) -> None:
    assert (account_of(url), domain_of(url)) == (account, domain)


@pytest.mark.parametrize(
    ("url", "blob"),
    [
        ("https://contoso.dfs.core.windows.net", "https://contoso.blob.core.windows.net"),
        (
            "https://contoso.privatelink.dfs.core.windows.net:443",
            "https://contoso.privatelink.blob.core.windows.net:443",
        ),
        ("https://onelake.dfs.fabric.microsoft.com", "https://onelake.blob.fabric.microsoft.com"),
        ("https://data.contoso.com", "https://data.contoso.com"),
        ("http://127.0.0.1:1/dfs.x", "http://127.0.0.1:1/dfs.x"),
    ],
)
def test_another_service_of_the_same_account(url: str, blob: str) -> None:
    assert url_of_service(url, "blob") == blob
