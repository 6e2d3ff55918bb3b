"""Where a blob container is: names, endpoints, URLs, and which names its blobs can have."""

from __future__ import annotations

import pytest

from airflow_azureml_datastores.errors import InvalidName, UnsafePath
from airflow_azureml_datastores.stores import make_location
from airflow_azureml_datastores.stores._blob_names import can_start_a_name, check_blob_name
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


def test_templates_are_checked_once_rendered() -> None:
    assert AzureBlob("{{ var.value.account }}", "raw").container_name == "raw"


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
