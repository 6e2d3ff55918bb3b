"""Where a blob container is: names, endpoints, URLs, and which names its blobs can have."""

from __future__ import annotations

import pytest

from airflow_azureml_datastores.core.credentials import Login
from airflow_azureml_datastores.errors import InvalidConnection, InvalidName, UnsafePath
from airflow_azureml_datastores.stores import make_location
from airflow_azureml_datastores.stores._blob_names import can_start_a_name, check_blob_name
from airflow_azureml_datastores.stores._storage_account import account_of
from airflow_azureml_datastores.stores.azure_blob import AzureBlob

LOCAL = "http://127.0.0.1:10000/devstoreaccount1"


@pytest.mark.parametrize(
    ("location", "url"),
    [
        (AzureBlob("contoso", "raw"), "https://contoso.blob.core.windows.net/raw"),
        (AzureBlob("contoso", "raw", protocol="http"), "http://contoso.blob.core.windows.net/raw"),
        (AzureBlob("contoso", "raw", "core.usgovcloudapi.net"), "https://contoso.blob.core.usgovcloudapi.net/raw"),
        (AzureBlob("contoso", "raw", "core.chinacloudapi.cn"), "https://contoso.blob.core.chinacloudapi.cn/raw"),
        (AzureBlob("devstoreaccount1", "raw", LOCAL), f"{LOCAL}/raw"),
        (AzureBlob("contoso", "raw", "https://data.contoso.com/"), "https://data.contoso.com/raw"),
        (AzureBlob("contoso", "$web"), "https://contoso.blob.core.windows.net/$web"),
    ],
)
def test_url(location: AzureBlob, url: str) -> None:
    assert location.url == url


def test_round_trip_through_fields() -> None:
    location = AzureBlob("contoso", "raw", "core.usgovcloudapi.net", "https")
    assert make_location("AzureBlob", location.fields()) == location


def test_redirected() -> None:
    there = AzureBlob("contoso", "raw").redirected("https://contoso.privatelink.example")
    assert there.url == "https://contoso.privatelink.example/raw"
    assert there.account_name == "contoso"


@pytest.mark.parametrize("name", ["abc", "a1b2", "x" * 24, "123"])
def test_account_name(name: str) -> None:
    AzureBlob(name, "raw")


@pytest.mark.parametrize("name", ["", "ab", "x" * 25, "Contoso", "con-toso", "con toso", "contoso\n", None])
def test_bad_account_name(name: str) -> None:
    with pytest.raises(InvalidName, match="3 to 24 lowercase letters"):
        AzureBlob(name, "raw")


def test_stand_in_may_have_other_account_names() -> None:
    AzureBlob("my_test-account", "raw", LOCAL)
    with pytest.raises(InvalidName, match="name of its storage account"):
        AzureBlob("", "raw", LOCAL)


@pytest.mark.parametrize("name", ["raw", "a-b", "1a2", "x" * 63, "$root", "$web", "$logs"])
def test_container_name(name: str) -> None:
    AzureBlob("contoso", name)


@pytest.mark.parametrize(
    "name", ["", "ab", "x" * 64, "Raw", "a--b", "-ab", "ab-", "a_b", "a.b", "a/b", "$other", "raw\n", None]
)
def test_bad_container_name(name: str) -> None:
    with pytest.raises(InvalidName, match="3 to 63 lowercase"):
        AzureBlob("contoso", name)


@pytest.mark.parametrize(
    "endpoint",
    ["", "core windows", "https://", "ftp://host", "https://host?sig=HUSH", "https://user:HUSH@host", "host/path"],
)
def test_bad_endpoint(endpoint: str) -> None:
    with pytest.raises(InvalidName) as caught:
        AzureBlob("contoso", "raw", endpoint)
    assert "HUSH" not in str(caught.value)


def test_bad_protocol() -> None:
    with pytest.raises(InvalidName, match="protocol"):
        AzureBlob("contoso", "raw", protocol="wasbs")


def test_templates_are_checked_once_rendered() -> None:
    assert AzureBlob("{{ var.value.account }}", "raw").container_name == "raw"


def test_useless_credential_makes_no_store() -> None:
    with pytest.raises(InvalidConnection, match="account key, a SAS token"):
        AzureBlob("contoso", "raw").open(Login("me", "secret"))


@pytest.mark.parametrize("name", ["a", "a/b", "a//b", "/a", "a/", "a b", "a.b", ".a", "ü", "🚀" * 512, "x" * 1024])
def test_blob_name(name: str) -> None:
    check_blob_name(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("a\\b", "backslash"),
        ("a.", "ends in a dot"),
        ("a./b", "ends in a dot"),
        ("../a", "ends in a dot"),
        ("a\tb", "control"),
        ("a\x7f", "control"),
        ("a\ud800", "not valid Unicode"),
        ("a\uffff", "no characters"),
        ("x" * 1025, "longer than 1024"),
        ("🚀" * 513, "longer than 1024"),
        ("a/" * 254 + "b", "254 segments"),
    ],
)
def test_blob_name_that_would_bend(name: str, why: str) -> None:
    with pytest.raises(UnsafePath, match=why):
        check_blob_name(name)


def test_prefixes_that_no_name_has() -> None:
    assert can_start_a_name("")
    assert can_start_a_name("a/.")
    assert not can_start_a_name("a\n")
    assert not can_start_a_name("a\ud800")
    assert not can_start_a_name("x" * 1025)


@pytest.mark.parametrize(
    ("url", "account"),
    [
        ("https://contoso.blob.core.windows.net", "contoso"),
        ("https://contoso.privatelink.blob.core.windows.net/", "contoso"),
        ("https://contoso.z01.blob.storage.azure.net", "contoso"),
        ("https://contoso-secondary.blob.core.chinacloudapi.cn", "contoso"),
        ("http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1"),
        ("http://localhost:10000/devstoreaccount1/", "devstoreaccount1"),
        ("http://[::1]:10000/devstoreaccount1", "devstoreaccount1"),
        ("http://127.0.0.1:10000", None),
        ("https://data.contoso.com", None),
        ("https://data.contoso.com/blob", None),
    ],
)
def test_account_of_a_url(url: str, account: str | None) -> None:
    assert account_of(url) == account


def test_redirected_to_another_account() -> None:
    blob = AzureBlob("contoso", "raw")
    assert blob.redirected("https://data.contoso.com").url == "https://data.contoso.com/raw"
    assert blob.redirected("https://contoso.blob.core.windows.net").account_name == "contoso"
    with pytest.raises(InvalidConnection, match="'fabrikam', but the datastore is in 'contoso'"):
        blob.redirected("https://fabrikam.blob.core.windows.net")
