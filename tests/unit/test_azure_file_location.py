"""Where a file share is: names, endpoints, URLs, credentials, and which names its files can have."""

from __future__ import annotations

import pytest

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Anonymous,
    Credential,
    Login,
    RenewedSas,
    SasToken,
)
from airflow_azureml_datastores.errors import InvalidConnection, InvalidName, UnsafePath
from airflow_azureml_datastores.stores import make_location
from airflow_azureml_datastores.stores._file_names import (
    MAX_SEGMENTS,
    can_start_a_name,
    check_file_name,
    is_draft,
    is_file_name,
    is_name_in_folder,
    new_draft,
)
from airflow_azureml_datastores.stores.azure_file import AzureFile

LOCAL = "http://127.0.0.1:10004/contoso"
KEY = AccountKey("a2V5")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        (AzureFile("contoso", "raw"), "https://contoso.file.core.windows.net/raw"),
        (AzureFile("contoso", "raw", protocol="http"), "http://contoso.file.core.windows.net/raw"),
        (AzureFile("contoso", "raw", "core.usgovcloudapi.net"), "https://contoso.file.core.usgovcloudapi.net/raw"),
        (AzureFile("contoso", "raw", LOCAL), f"{LOCAL}/raw"),
        (AzureFile("contoso", "raw", "https://data.contoso.com/"), "https://data.contoso.com/raw"),
    ],
)
def test_url(location: AzureFile, url: str) -> None:
    assert location.url == url
    with location.open(KEY) as store:
        assert store.url == url
        assert repr(store) == f"AzureFileStore('{url}')"
        assert store.door == (location, KEY)


def test_round_trip_through_fields() -> None:
    location = AzureFile("contoso", "raw", "core.usgovcloudapi.net", "https", subscription_id="s")
    assert make_location("AzureFile", location.fields()) == location


def test_redirected() -> None:
    there = AzureFile("contoso", "raw").redirected("https://contoso.privatelink.file.core.windows.net")
    assert there.url == "https://contoso.privatelink.file.core.windows.net/raw"
    with pytest.raises(InvalidConnection, match="'fabrikam', but the datastore is in 'contoso'"):
        there.redirected("https://fabrikam.file.core.windows.net")


@pytest.mark.parametrize("name", ["raw", "a-b", "1a2", "x" * 63, "a-1-b"])
def test_share_name(name: str) -> None:
    AzureFile("contoso", name)


@pytest.mark.parametrize(
    "name", ["", "ab", "x" * 64, "Raw", "a--b", "-ab", "ab-", "a_b", "a.b", "a/b", "$root", "$web", "raw\n", None]
)
def test_bad_share_name(name: str) -> None:
    with pytest.raises(InvalidName, match="no file share name: 3 to 63 lowercase"):
        AzureFile("contoso", name)


def test_other_fields_are_checked_as_those_of_any_account() -> None:
    with pytest.raises(InvalidName, match="3 to 24 lowercase letters"):
        AzureFile("Contoso", "raw")
    with pytest.raises(InvalidName, match="endpoint of an AzureFile"):
        AzureFile("contoso", "raw", "https://host?sig=HUSH")
    with pytest.raises(InvalidName, match="protocol of an AzureFile"):
        AzureFile("contoso", "raw", protocol="smb")


def test_templates_are_checked_once_rendered() -> None:
    assert AzureFile("contoso", "{{ var.value.share }}").file_share_name == "{{ var.value.share }}"


@pytest.mark.parametrize("credential", [Login("me", "secret"), Anonymous()], ids=lambda c: type(c).__name__)
def test_useless_credential_makes_no_store(credential: Credential) -> None:
    assert not isinstance(credential, AzureFile.takes)
    with pytest.raises(InvalidConnection, match=r"takes an account key, a SAS token, .* not (anonymous|a user name)"):
        AzureFile("contoso", "raw").open(credential)


def test_token_travels_over_https_only() -> None:
    with pytest.raises(InvalidConnection, match="only travel over https"):
        AzureFile("contoso", "raw", LOCAL).open(AccessToken("token"))


@pytest.mark.parametrize("credential", [KEY, SasToken("sv=1&sig=HUSH"), RenewedSas(lambda: "sig=HUSH")], ids=repr)
def test_opening_makes_no_request_and_shows_no_secret(credential: Credential) -> None:
    with AzureFile("contoso", "raw", "http://127.0.0.1:1/contoso").open(credential) as store:
        assert "HUSH" not in f"{store!r} {store.url}"


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a/b",
        "a b",
        ".a",
        "a.",
        "...",
        "a./b",
        " ",
        "ü",
        "x" * 255,
        "🚀" * 127,
        "NULL",
        "con.txt",
        "COM0",
        "[a]{b}%$#@!&'+,;=~`^",
        "/".join(["x" * 255] * 7) + "/" + "y" * 206 + "/" + "z" * 49,
        "/".join("a" * MAX_SEGMENTS),
        ".datastore-draft-",
        ".datastore-draft-of-mine",
    ],
)
def test_file_name(name: str) -> None:
    check_file_name(name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("/a", "empty segment"),
        ("a/", "empty segment"),
        ("a//b", "empty segment"),
        (".", r"'\.' segment"),
        ("a/../b", r"'\.\.' segment"),
        *((f"a{character}b", "does not allow") for character in '"\\:|<>*?'),
        ("a\tb", "control"),
        ("a\x7f", "control"),
        ("a\x85b", "control"),
        ("a\ud800", "not valid Unicode"),
        ("a\uffff", "no characters"),
        ("x" * 256, "more than 255 characters"),
        ("🚀" * 128, "more than 255 characters"),
        ("/".join(["x" * 255] * 8) + "/x", "longer than 2048"),
        ("/".join(["x" * 255] * 7) + "/" + "y" * 207 + "/" + "z", "no room for a draft"),
        ("/".join("a" * (MAX_SEGMENTS + 1)), "250 segments"),
        ("a/nul/b", "device"),
        ("Com1", "device"),
        ("CLOCK$", "device"),
        (f"a/.datastore-draft-{'0a' * 16}", "draft"),
        (f".Datastore-DRAFT-{'0A' * 16}/b", "draft"),
    ],
)
def test_file_name_that_is_refused(name: str, why: str) -> None:
    with pytest.raises(UnsafePath, match=why):
        check_file_name(name)


def test_name_in_a_folder_is_checked_as_whole_paths_are() -> None:
    for name in ("a", "a.", "a\x7f", "nul", "x" * 256, "🚀" * 128, f".datastore-draft-{'0a' * 16}"):
        for folder in ("f", "/".join("a" * 240), "/".join(["x" * 255] * 7), "/".join(["ü" * 200] * 9 + ["y" * 180])):
            check_file_name(folder)
            path = f"{folder}/{name}"
            assert is_name_in_folder(path) == is_file_name(path), path


def test_prefixes_that_no_name_has() -> None:
    for prefix in ("", "a/", "a/.", "a/..", ".", "nul", "a/co", ".datastore-draft-", "a/b c"):
        assert can_start_a_name(prefix), prefix
    for prefix in ("/", "a//", "a/./", "../a", "nul/", "a*", "a/\n", "a\ud800", "x" * 256, f"{new_draft('a')}/"):
        assert not can_start_a_name(prefix), prefix


def test_drafts() -> None:
    assert new_draft("").count("/") == 0
    assert new_draft("a/b").startswith("a/b/.datastore-draft-")
    assert new_draft("a") != new_draft("a")
    assert is_draft(new_draft("a/b"))
    assert not is_draft(".datastore-draft-1")
    assert not is_draft(f"{new_draft('a')}.txt")
