"""The OneLake store: what Fabric does otherwise than a storage account."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from azure.core.credentials import AccessToken as SdkToken
from azure.storage.filedatalake import FileSystemClient

from airflow_azureml_datastores.core.credentials import AccessToken
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import AccessDenied, ContainerNotFound, UnsafePath, Unsupported
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores.adls_gen2 import AzureDataLakeGen2
from airflow_azureml_datastores.stores.one_lake import OneLake, OneLakeStore
from tests.servers.adls import DataLake, Filesystem
from tests.servers.fixtures import Servers
from tests.unit.transfer.publishing import Rig

QUICK = Patience(retries=2, backoff=0.01, timeout=10)


@pytest.fixture
def lake(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> DataLake:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(servers.adls.ca))
    return servers.adls


@pytest.fixture
def workspace(lake: DataLake) -> Filesystem:
    return lake.onelake.new_workspace(f"ml {uuid4().hex}", ["Sales.Lakehouse", "Other.Lakehouse"])


def open_item(lake: DataLake, workspace: str, item: str, token: str | None = None) -> OneLakeStore:
    location = OneLake(workspace, item, endpoint=lake.url(lake.onelake))
    return OneLakeStore(location, AccessToken(token or lake.token()), QUICK)


@pytest.fixture
def files(lake: DataLake, workspace: Filesystem) -> Iterator[OneLakeStore]:
    """The files of an item."""
    with open_item(lake, workspace.name, "Sales/Files") as store:
        yield store


@pytest.fixture
def item(lake: DataLake, workspace: Filesystem) -> Iterator[OneLakeStore]:
    """The whole item."""
    with open_item(lake, workspace.name, "Sales") as store:
        yield store


def put(store: FileStore, path: str, content: bytes = b"x") -> str:
    return store.write(path, [content], size=len(content))


def paths(store: FileStore, prefix: str = "") -> list[str]:
    return [info.path for info in store.list(prefix)]


def test_paths_are_below_the_item(workspace: Filesystem, item: OneLakeStore, files: OneLakeStore) -> None:
    item.check()
    files.check()
    put(item, "Files/a/b c.csv", b"content")
    assert b"".join(files.read("a/b c.csv")) == b"content"
    assert paths(files) == ["a/b c.csv"]
    assert paths(item) == ["Files/a/b c.csv"]
    assert workspace.paths["Sales.Lakehouse/Files/a/b c.csv"].content == b"content"
    assert files.stat("a/b c.csv").etag == item.stat("Files/a/b c.csv").etag


@pytest.mark.parametrize("path", ["a.csv", "Files", "Tables", ".staging"])
def test_what_fabric_manages_is_refused_before_anything_moves(lake: DataLake, item: OneLakeStore, path: str) -> None:
    def content() -> Iterator[bytes]:
        raise AssertionError("nobody asked for it")
        yield b""

    for call in (
        lambda: item.write(path, content()),
        lambda: item.stat(path),
        lambda: item.delete(path),
        lambda: list(item.read(path)),
        lambda: item.rename_directory("Files/x", path),
        lambda: item.delete_directory(path),
        lambda: item.make_directory_like(path, "Files/x"),
    ):
        with pytest.raises(UnsafePath, match="is Fabric's to manage"):
            call()


def test_a_folder_that_fabric_has_not_made(item: OneLakeStore) -> None:
    with pytest.raises(UnsafePath, match=r"OperationNotAllowedOnThePath.*Fabric manages it"):
        put(item, "Mine/a.csv")


def test_items_that_are_not_there(lake: DataLake, workspace: Filesystem) -> None:
    for name, item in (("missing", "Sales"), (workspace.name, "Missing"), (workspace.name, "Sales/Missing")):
        with open_item(lake, name, item) as store:
            for call in (store.check, lambda store=store: paths(store)):
                with pytest.raises(ContainerNotFound, match=r"(?i)missing"):
                    call()  # type: ignore[operator]


def test_nothing_is_made_that_fabric_makes(files: OneLakeStore) -> None:
    with pytest.raises(Unsupported, match="made in Fabric"):
        files.create_if_missing()


def test_publish(files: OneLakeStore, lake: DataLake) -> None:
    """By a rename; nobody asks for access control, which is Fabric's."""
    rig = Rig(files, "gold/")
    rig.publish({"a": b"0"}, publisher="earlier")
    rig.publish({"a": b"1", "b/c": b"2"}, "overwrite")
    assert rig.found() == {"a": b"1", "b/c": b"2"}
    assert rig.backstage() == []
    assert lake.requests(r"onelake/ml.*AccessControl") == []
    assert lake.requests(r"PUT /onelake/ml.*/gold\?mode=legacy")


def test_copies_between_items_and_accounts(lake: DataLake, workspace: Filesystem, files: OneLakeStore) -> None:
    """Inside OneLake nothing passes through here; from a storage account it does, as its token is none of OneLake's."""
    put(files, "a", b"content")
    with open_item(lake, workspace.name, "Other/Files") as other:
        assert other.can_copy_from(files)
        other.copy_from(files, "a", "copied")
        assert b"".join(other.read("copied")) == b"content"
    account = lake.new_account()
    account.create("data")
    location = AzureDataLakeGen2(account.name, "data", endpoint=lake.url(account))
    with location.open(AccessToken(lake.token())) as store:
        assert not files.can_copy_from(store)


def test_an_expired_token(lake: DataLake, workspace: Filesystem) -> None:
    with open_item(lake, workspace.name, "Sales/Files", lake.token(expires_in=-60)) as store:
        for call in (store.check, lambda: paths(store), lambda: put(store, "a")):
            with pytest.raises(AccessDenied, match="the access token"):
                call()


def test_the_sdk_reads_what_we_wrote(lake: DataLake, workspace: Filesystem, files: OneLakeStore) -> None:
    class Given:
        def get_token(self, *scopes: str, **_: Any) -> SdkToken:
            return SdkToken(lake.token(), 2**31)

    with FileSystemClient(lake.url(lake.onelake), workspace.name, credential=Given()) as client:  # type: ignore[arg-type]
        put(files, "ours/ü.csv", b"ours")
        root = "Sales.Lakehouse/Files"
        assert client.get_file_client(f"{root}/ours/ü.csv").download_file().readall() == b"ours"
        client.get_file_client(f"{root}/theirs/b").upload_data(b"theirs", overwrite=True)
    assert b"".join(files.read("theirs/b")) == b"theirs"
    assert paths(files) == ["ours/ü.csv", "theirs/b"]
