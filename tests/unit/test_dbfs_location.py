"""Where files in Databricks are: addresses, paths, redirection, and which names files can have."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from airflow_azureml_datastores.core.arm import ArmConnection, ArmDatastore
from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Anonymous,
    Certificate,
    Credential,
    DatabricksOAuth,
    Identity,
    Login,
    SasToken,
    ServicePrincipal,
)
from airflow_azureml_datastores.errors import InvalidConnection, InvalidInput, MissingExtra, UnsafePath, Unsupported
from airflow_azureml_datastores.stores import make_location
from airflow_azureml_datastores.stores._dbfs_names import check_file_name
from airflow_azureml_datastores.stores._dbfs_root import DbfsRootStore
from airflow_azureml_datastores.stores._dbfs_volume import VolumeStore
from airflow_azureml_datastores.stores.dbfs import Dbfs

ADB = "https://adb-1234567890123456.7.azuredatabricks.net"
OTHER = "https://adb-6543210987654321.0.azuredatabricks.net"
VOLUME = "/Volumes/main/sales/raw"
GUID = "00000000-1111-2222-3333-444444444444"


@pytest.mark.parametrize(
    ("location", "url"),
    [
        (Dbfs(ADB, VOLUME), f"{ADB}/Volumes/main/sales/raw"),
        (Dbfs(f"{ADB}/", f"{VOLUME}/"), f"{ADB}/Volumes/main/sales/raw"),
        (Dbfs(ADB.upper().replace("HTTPS", "https"), f"{VOLUME}/a b/ü"), f"{ADB}/Volumes/main/sales/raw/a b/ü"),
        (Dbfs(f"{ADB}:443", f"dbfs:{VOLUME}/x"), f"{ADB}/Volumes/main/sales/raw/x"),
        (Dbfs("https://databricks.contoso.example:8443", VOLUME), f"https://databricks.contoso.example:8443{VOLUME}"),
        (Dbfs("http://127.0.0.1:8080", VOLUME), f"http://127.0.0.1:8080{VOLUME}"),
        (Dbfs("http://[::1]:8080", VOLUME), f"http://[::1]:8080{VOLUME}"),
        (Dbfs("http://localhost", VOLUME), f"http://localhost{VOLUME}"),
        (Dbfs(ADB, "dbfs:/"), f"{ADB}/dbfs"),
        (Dbfs(ADB, "dbfs:/FileStore/sales/"), f"{ADB}/dbfs/FileStore/sales"),
        (Dbfs(ADB, "dbfs:/VolumesOfOld/x"), f"{ADB}/dbfs/VolumesOfOld/x"),
    ],
    ids=str,
)
def test_url(location: Dbfs, url: str) -> None:
    assert location.url == url


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/Volumes", "names no catalog; a volume's path has three parts: /Volumes/<catalog>/<schema>/<volume>"),
        ("/Volumes/main", "names a catalog"),
        ("/Volumes/main/sales", "'/Volumes/main/sales' names a schema"),
        ("dbfs:/Volumes/main/sales/", "names a schema"),
        ("/Volumes/main//raw", "no folder can be called ''"),
        ("/Volumes/main/sales/../raw", r"no folder can be called '\.\.'"),
        (f"{VOLUME}/a//b", "no folder can be called ''"),
        (f"{VOLUME}/a\\b", "no folder can be called"),
        (f"{VOLUME}/.datastore-draft-x", "no folder can be called"),
        ("dbfs:/a:b", "no folder can be called 'a:b'"),
        ("dbfs://raw", "no folder can be called ''"),
        ("dbfs:raw", "is /Volumes/<catalog>/<schema>/<volume> or dbfs:/<folder>, not 'dbfs:raw'"),
        ("/dbfs/raw", "For the DBFS root write 'dbfs:/raw'"),
        ("/mnt/raw", "For the DBFS root write 'dbfs:/mnt/raw'"),
        ("raw", "not 'raw'"),
        ("", "not ''"),
        ("abfss://c@a.dfs.core.windows.net/x", "not 'abfss"),
        (5, "is a text, not 5"),
        (None, "is a text"),
    ],
)
def test_bad_path(path: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        Dbfs(ADB, path)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("adb-1.2.azuredatabricks.net", "is the address of the workspace, https://adb-"),
        ("", "is the address of the workspace"),
        ("https://", "is the address of the workspace"),
        ("ftp://host", "is the address of the workspace"),
        ("https://host:port", "is no URL"),
        ("https://[::1", "is no URL"),
        (f"{ADB}/?o=1234", f"scheme and host only: '{ADB}'"),
        (f"{ADB}/browse", "scheme and host only"),
        (f"{ADB}#x", "scheme and host only"),
        ("https://token:HUSH@host", "scheme and host only: 'https://host'"),
        ("http://databricks.contoso.example", "is not https, and tokens may only travel over that"),
        (5, "is a text"),
    ],
)
def test_bad_address(url: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        Dbfs(url, VOLUME)
    assert "HUSH" not in str(caught.value)


@pytest.mark.parametrize("path", [VOLUME, f"dbfs:{VOLUME}/x/", "dbfs:/", "dbfs:/raw"])
def test_round_trips(path: str) -> None:
    location = Dbfs(f"{ADB}/", path)
    assert make_location("DBFS", location.fields()) == location
    assert Dbfs.from_arm(location.to_arm()) == location
    assert location.to_arm() == ArmConnection("Databricks", f"{ADB}/", {"path": path})


def test_templates_are_checked_when_they_are_rendered() -> None:
    location = Dbfs("{{ var.value.databricks }}", "/Volumes/{{ params.catalog }}")
    with pytest.raises(InvalidInput, match="names a catalog"):
        location.rendered(lambda text: ADB if "var" in text else "/Volumes/main")


class TestOthersConnections:
    def test_with_a_path(self) -> None:
        assert Dbfs.from_arm(ArmConnection("Databricks", ADB, {"path": VOLUME, "theirs": "1"})) == Dbfs(ADB, VOLUME)

    @pytest.mark.parametrize(
        "form",
        [
            ArmConnection("Databricks", ADB),
            ArmConnection("Databricks", ADB, {"path": "/Volumes/main"}),
            ArmConnection("Databricks", "", {"path": VOLUME}),
            ArmConnection("AzureDatabricksDeltaLake", ADB, {"path": VOLUME}),
            ArmDatastore({"path": VOLUME}),
        ],
        ids=str,
    )
    def test_that_are_no_datastores(self, form: Any) -> None:
        with pytest.raises((InvalidInput, Unsupported)):
            Dbfs.from_arm(form)


class TestRedirected:
    @pytest.mark.parametrize(
        "endpoint",
        [ADB, f"{ADB}/", ADB.upper().replace("HTTPS", "https"), "https://databricks.contoso.example"],
    )
    def test_to_where_the_connection_says(self, endpoint: str) -> None:
        there = Dbfs(ADB, VOLUME).redirected(endpoint)
        assert there.path == VOLUME
        assert there.address == endpoint.lower().rstrip("/")

    def test_from_an_address_of_its_own(self) -> None:
        assert Dbfs("https://databricks.contoso.example", VOLUME).redirected(ADB) == Dbfs(ADB, VOLUME)

    @pytest.mark.parametrize("endpoint", [OTHER, "https://dbc-a1b2.cloud.databricks.com"])
    def test_not_to_another_workspace(self, endpoint: str) -> None:
        with pytest.raises(InvalidConnection, match=f"is for the workspace {endpoint}, but the datastore is in {ADB}"):
            Dbfs(ADB, VOLUME).redirected(endpoint)

    @pytest.mark.parametrize("endpoint", ["http://databricks.contoso.example", f"{ADB}/x", "https://"])
    def test_not_to_what_is_no_address(self, endpoint: str) -> None:
        with pytest.raises(InvalidConnection, match="the connection's host cannot be used"):
            Dbfs(ADB, VOLUME).redirected(endpoint)


class TestOpening:
    @pytest.mark.parametrize(
        ("path", "store"), [(VOLUME, VolumeStore), (f"dbfs:{VOLUME}", VolumeStore), ("dbfs:/raw", DbfsRootStore)]
    )
    def test_what_the_path_says(self, path: str, store: type) -> None:
        location = Dbfs(ADB, path)
        with location.open(AccessToken("dapi-x")) as opened:
            assert type(opened) is store
            assert opened.door == (location, AccessToken("dapi-x"))
            assert repr(opened) == f"{store.__name__}({location.url!r})"

    @pytest.mark.parametrize(
        "credential",
        [
            AccessToken("dapi-x"),
            DatabricksOAuth("client", "HUSH"),
            ServicePrincipal(GUID, GUID, "HUSH"),
            Identity("managed"),
        ],
        ids=lambda credential: type(credential).__name__,
    )
    def test_with_what_it_takes(self, credential: Credential) -> None:
        assert isinstance(credential, Dbfs.takes)
        Dbfs(ADB, VOLUME).open(credential).close()

    @pytest.mark.parametrize(
        ("credential", "called"),
        [
            (AccountKey("HUSH"), "the account key"),
            (SasToken("sig=HUSH"), "the SAS token"),
            (Login("me", "HUSH"), "a user name and password"),
            (Anonymous(), "anonymous access"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_not_with_what_is_of_no_use(self, credential: Credential, called: str) -> None:
        assert not isinstance(credential, Dbfs.takes)
        told = f"does not take {called}: give an access token, a service principal .* or an identity"
        with pytest.raises(InvalidConnection, match=told) as caught:
            Dbfs(ADB, VOLUME).open(credential)
        assert "HUSH" not in str(caught.value)

    @pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "ü"])
    def test_not_with_what_is_no_token(self, token: str) -> None:
        with pytest.raises(InvalidConnection, match="the access token is empty, or has a character"):
            Dbfs(ADB, VOLUME).open(AccessToken(token))

    @pytest.mark.parametrize(
        "credential",
        [ServicePrincipal(GUID, GUID, "HUSH"), Certificate(GUID, GUID, path="/no"), Identity(), Identity("workload")],
        ids=lambda credential: type(credential).__name__,
    )
    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.example",
            "https://azuredatabricks.net.evil.example",
            "https://xazuredatabricks.net",
            "https://dbc-a1b2.cloud.databricks.com",
        ],
    )
    def test_tokens_of_entra_id_go_to_azure_databricks_only(self, url: str, credential: Credential) -> None:
        with pytest.raises(InvalidConnection, match=r"open every workspace of Azure Databricks, and .* none of its"):
            Dbfs(url, VOLUME).open(credential)

    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "databricks.sdk", None)
        with pytest.raises(
            MissingExtra, match=r"datastores of type DBFS needs: pip install 'airflow-azureml-datastores\[databricks\]'"
        ):
            Dbfs(ADB, VOLUME).open(AccessToken("dapi-x"))


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "a",
            "a b",
            " ",
            "100%",
            "a%2Fb",
            "a#b?c",
            "a+b&c=d;e,f",
            "ü/文/🚀",
            ".hidden",
            "...x",
            "~",
            "{{x}}",
            "a" * 255,
        ],
    )
    @pytest.mark.parametrize("dbfs", [True, False], ids=["DBFS root", "volume"])
    def test_held(self, name: str, dbfs: bool) -> None:
        check_file_name(name, dbfs=dbfs)

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("a\\b", "backslash"),
            ("a\tb", "control character"),
            ("a\x7f", "control character"),
            ("a\uffff", "no characters"),
            ("a.", "ends in a dot"),
            ("a./b", "ends in a dot"),
            ("a//b", "empty segment"),
            ("a/", "empty segment"),
            ("../a", "segment"),
            ("/".join("x" * 51), "more than 50 segments"),
            ("/".join(["x" * 90] * 10), "longer than 900 bytes"),
            ("a/.datastore-new-b", "being written"),
        ],
    )
    def test_refused(self, name: str, told: str) -> None:
        with pytest.raises(UnsafePath, match=told):
            check_file_name(name, dbfs=False)

    def test_colons_are_for_volumes_only(self) -> None:
        check_file_name("2026-01-01T00:00:00", dbfs=False)
        with pytest.raises(UnsafePath, match="colon"):
            check_file_name("2026-01-01T00:00:00", dbfs=True)
