"""The Data Lake Gen2 store: what is not as with any other store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product

import adlfs
import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.filedatalake import FileSystemClient, generate_file_system_sas

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Credential,
    RenewedSas,
    SasToken,
)
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import (
    AccessDenied,
    Conflict,
    ContainerNotFound,
    InvalidConnection,
    PathExists,
    PathNotFound,
    UnsafePath,
    Unsupported,
)
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores.adls_gen2 import AzureDataLakeGen2, AzureDataLakeGen2Store
from airflow_azureml_datastores.stores.azure_blob import AzureBlob
from tests.servers.adls import Account, DataLake, Meanwhile, Refused
from tests.servers.fixtures import Servers
from tests.unit.transfer.publishing import Rig

QUICK = Patience(retries=2, backoff=0.01, timeout=10)
MIB = 1 << 20
ODD = ["two words", "a%20b", "100%", "a#b", "a?b=c", "ü/文", "a+b&c", "a;b,c=d", "~x", "a'b"]


@dataclass
class Lake:
    """An account of the stand-in's, for one test alone."""

    server: DataLake
    account: Account

    @property
    def url(self) -> str:
        return self.server.plain_url(self.account)

    def location(self, *, tls: bool = False) -> AzureDataLakeGen2:
        url = self.server.url(self.account) if tls else self.url
        return AzureDataLakeGen2(self.account.name, "data", endpoint=url)

    def open(self, credential: Credential | None = None, *, tls: bool = False) -> AzureDataLakeGen2Store:
        return AzureDataLakeGen2Store(self.location(tls=tls), credential or AccountKey(self.account.key), QUICK)

    def sas(self, permission: str = "racwdlmeop") -> str:
        until = datetime.now(UTC) + timedelta(hours=1)
        return str(generate_file_system_sas(self.account.name, "data", self.account.key, permission, until))

    def sdk(self) -> FileSystemClient:
        key = AzureNamedKeyCredential(self.account.name, self.account.key)
        return FileSystemClient(self.url, "data", credential=key)

    def requests(self, pattern: str) -> list[str]:
        return [seen.request for seen in self.server.requests(rf"/{self.account.name}/.*{pattern}")]


@pytest.fixture
def lake(servers: Servers) -> Lake:
    account = servers.adls.new_account()
    account.create("data")
    return Lake(servers.adls, account)


@pytest.fixture
def store(lake: Lake) -> Iterator[AzureDataLakeGen2Store]:
    with lake.open() as opened:
        yield opened


def put(store: FileStore, path: str, content: bytes = b"x", *, create: bool = False) -> str:
    return store.write(path, [content], size=len(content), create=create)


def get(store: FileStore, path: str) -> bytes:
    return b"".join(store.read(path))


def paths(store: FileStore, prefix: str = "") -> list[str]:
    return [info.path for info in store.list(prefix)]


class TestTraps:
    """What clients of the dfs endpoint stumble over."""

    def test_an_empty_file_is_made(self, store: FileStore) -> None:
        put(store, "a/empty", b"")
        put(store, "a/empty", b"")
        put(store, "b/empty", b"", create=True)
        assert [(info.path, info.size) for info in store.list()] == [("a/empty", 0), ("b/empty", 0)]

    def test_what_must_not_be_overwritten_is_made_where_nothing_is(self, store: FileStore) -> None:
        put(store, "a", b"first", create=True)
        with pytest.raises(PathExists):
            put(store, "a", b"second", create=True)
        assert get(store, "a") == b"first"

    @pytest.mark.parametrize("name", ODD)
    def test_a_folder_is_renamed_by_its_exact_name(self, store: FileStore, name: str) -> None:
        """The SDK would rename ``a b`` where ``a%20b`` is meant."""
        decoy = name.replace("%20", " ")
        put(store, f"{name}/{name}", b"meant")
        if decoy != name:
            put(store, f"{decoy}/x", b"decoy")
        store.rename_directory(name, f"to/{name}")
        assert get(store, f"to/{name}/{name}") == b"meant"
        assert paths(store) == sorted([f"to/{name}/{name}", *([f"{decoy}/x"] if decoy != name else [])])
        store.delete_directory(f"to/{name}")
        assert paths(store, "to/") == []

    def test_a_file_is_not_renamed_as_a_folder(self, store: FileStore) -> None:
        put(store, "file")
        with pytest.raises(PathNotFound, match="no such folder"):
            store.rename_directory("file", "other")

    def test_a_folder_is_not_put_into_one_that_is_there(self, store: FileStore) -> None:
        """As the service would do without a condition."""
        put(store, "new/a")
        put(store, "old/b")
        with pytest.raises(PathExists):
            store.rename_directory("new", "old")
        assert paths(store) == ["new/a", "old/b"]


class TestFolders:
    def test_they_stay_when_they_become_empty(self, lake: Lake, store: FileStore) -> None:
        put(store, "a/b/c")
        store.delete("a/b/c")
        assert "a/b" in lake.account.filesystems["data"].paths
        store.delete("a/b")
        store.delete("a")
        assert paths(store) == []

    def test_a_folder_with_something_in_it_is_no_object(self, store: FileStore) -> None:
        put(store, "a/b")
        store.delete("a")
        with pytest.raises(PathNotFound, match="directory, no file"):
            store.stat("a")
        with pytest.raises(UnsafePath, match=r"'a' in .* is a folder"):
            put(store, "a")
        with pytest.raises(UnsafePath, match="'a/b' is a file and no folder"):
            put(store, "a/b/c/d")
        with pytest.raises(UnsafePath, match="is a folder"):
            put(store, "a", bytes(9 * MIB))
        assert paths(store) == ["a/b"]

    def test_a_file_that_somebody_holds_is_not_taken_for_deleted(self, lake: Lake, store: FileStore) -> None:
        put(store, "a")
        lease = lake.sdk().get_file_client("a").acquire_lease()
        with pytest.raises(Conflict, match="Somebody holds a lease on it"):
            store.delete("a")
        lease.release()
        store.delete("a")
        assert paths(store) == []

    def test_only_empty_folders_give_way(self, lake: Lake, store: FileStore) -> None:
        """However deep; but not if a file comes into one of them just then."""
        for folder in ("a/b/c", "a/d"):
            lake.sdk().create_directory(folder)
        put(store, "a", b"file")
        assert get(store, "a") == b"file"
        for folder in ("e/f/g", "e/h"):
            lake.sdk().create_directory(folder)
        once = iter([True])

        def meanwhile() -> None:
            if next(once, False):
                put(store, "e/f/g/late")

        lake.server.plan(Meanwhile(rf"DELETE /{lake.account.name}/data/e/f\?recursive=false", action=meanwhile))
        with pytest.raises(UnsafePath, match="is a folder"):
            put(store, "e", b"file")
        assert paths(store) == ["a", "e/f/g/late"]

    def test_listing_in_pages_is_in_the_order_of_paths(self, lake: Lake, store: FileStore) -> None:
        names = [f"{a}{b}{c}" for a, b, c in product("ab", ["", "-", "/", "0/"], ["x", "y/z", "-"])]
        names = [name for name in names if not any(other.startswith(f"{name}/") for other in names)]
        for name in names:
            put(store, name)
        lake.account.page = 3
        assert paths(store) == sorted(names)
        assert paths(store, "a/") == sorted(name for name in names if name.startswith("a/"))
        assert paths(store, "a") == sorted(name for name in names if name.startswith("a"))


ACCESS = "user::rwx,user:11111111-1111-1111-1111-111111111111:r-x,group::r-x,mask::r-x,other::---"
DEFAULT = ",".join(f"default:{entry}" for entry in ACCESS.split(","))


class TestAccessControl:
    def acl(self, lake: Lake, path: str) -> set[str]:
        return set(lake.account.filesystems["data"].paths[path].acl.split(","))

    def test_of_a_file_that_is_overwritten_stays(self, lake: Lake, store: FileStore) -> None:
        put(store, "a")
        lake.sdk().get_file_client("a").set_access_control(acl=ACCESS)
        put(store, "a", b"again")
        put(store, "a", bytes(9 * MIB))
        assert self.acl(lake, "a") == set(ACCESS.split(","))

    @pytest.mark.parametrize("there", [True, False], ids=["folder is there", "only the one above is"])
    def test_a_published_folder_has_that_of_the_target(self, lake: Lake, store: FileStore, there: bool) -> None:
        folder = lake.sdk().create_directory("gold/churn" if there else "gold")
        folder.set_access_control(acl=f"{ACCESS},{DEFAULT}")
        if there:
            put(store, "gold/churn/old")
        Rig(store, "gold/churn/").publish({"a": b"1", "sub/b": b"2"}, "overwrite")
        assert self.acl(lake, "gold/churn") == {*ACCESS.split(","), *DEFAULT.split(",")}
        assert self.acl(lake, "gold/churn/sub") == {*ACCESS.split(","), *DEFAULT.split(",")}
        for file in ("a", "sub/b", "_SUCCESS", "_manifest.json"):
            assert self.acl(lake, f"gold/churn/{file}") == set(ACCESS.split(","))
        assert not [request for request in lake.requests("gold/churn/a") if request.startswith("PUT")], "it was renamed"
        assert not [path for path in lake.account.filesystems["data"].paths if path.startswith(".staging/0")]

    def test_nothing_is_set_where_there_is_nothing_to_keep(self, lake: Lake, store: FileStore) -> None:
        Rig(store, "gold/").publish({"a": b"1"})
        assert lake.requests("action=setAccessControl") == []

    def test_where_it_cannot_be_kept_files_are_copied_to_their_places(self, lake: Lake) -> None:
        """A SAS without the permissions to look at access control or to set it."""
        lake.sdk().create_directory("gold").set_access_control(acl=f"{ACCESS},{DEFAULT}")
        with lake.open(SasToken(lake.sas("racwdl"))) as store:
            Rig(store, "gold/").publish({"a": b"1", "sub/b": b"2"})
            assert Rig(store, "gold/").found() == {"a": b"1", "sub/b": b"2"}
        assert self.acl(lake, "gold/a") == self.acl(lake, "gold/sub/b") == set(ACCESS.split(","))
        assert lake.requests("mode=legacy") == []

    def test_a_staged_folder_with_other_rights_is_not_taken(self, lake: Lake, store: FileStore) -> None:
        lake.sdk().create_directory("gold").set_access_control(acl=f"{ACCESS},{DEFAULT}")
        put(store, "staged/has/files")
        assert not store.make_directory_like("staged", "gold")
        lake.sdk().create_directory("empty/sub")
        assert store.make_directory_like("empty", "gold")
        assert self.acl(lake, "empty") == {*ACCESS.split(","), *DEFAULT.split(",")}


@pytest.mark.parametrize("kind", ["key", "SAS", "renewed SAS", "token"])
def test_every_way_in(lake: Lake, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(lake.server.ca))
    credential: Credential = {
        "key": AccountKey(lake.account.key),
        "SAS": SasToken(lake.sas()),
        "renewed SAS": RenewedSas(lake.sas),
        "token": AccessToken(lake.server.token()),
    }[kind]
    with lake.open(credential, tls=kind == "token") as store:
        store.check()
        put(store, "a b/c%20d", b"content")
        put(store, "big", bytes(17 * MIB))
        assert [info.size for info in store.list()] == [7, 17 * MIB]
        assert store.copy_from(store, "a b/c%20d", "copied") == store.stat("copied").etag
        assert get(store, "copied") == b"content"
        assert store.make_directory_like("staged/x", "a b")
        put(store, "staged/x/y")
        store.rename_directory("staged/x", "published")
        assert get(store, "published/y") == b"x"
        store.delete_directory("published")
        store.delete("big")
        assert paths(store) == ["a b/c%20d", "copied"]
    assert {seen.by for seen in lake.server.requests(f"/{lake.account.name}/")} & {"key", "sas", ""} == (
        {"key"} if kind == "key" else {"sas"} if "SAS" in kind else set()
    )


class TestCopies:
    def test_between_blob_and_data_lake_nothing_passes_through_here(self, lake: Lake, store: FileStore) -> None:
        """Both types lead to one account."""
        lake.account.create("blobs")
        container = AzureBlob(lake.account.name, "blobs", endpoint=lake.url)
        with container.open(AccountKey(lake.account.key)) as blobs:
            put(store, "from/a", bytes(3 * MIB))
            for target, source in ((blobs, store), (store, blobs)):
                assert target.can_copy_from(source)
                target.copy_from(source, "from/a", "from/a")
            assert get(blobs, "from/a") == bytes(3 * MIB)
        sizes = [seen.size for seen in lake.server.requests(f"PUT /{lake.account.name}/.*/from/a$")]
        assert sizes == [3 * MIB, 0, 0]
        reads = [request for request in lake.requests("from/a$") if request.startswith("GET")]
        assert len(reads) == 1, "the last one, of the test's own"


class TestOthers:
    """Clients that know nothing of this package."""

    def test_data_lake_sdk(self, lake: Lake, store: FileStore) -> None:
        with lake.sdk() as client:
            for name in ODD:
                put(store, f"ours/{name}", name.encode())
                client.get_file_client(f"theirs/{name}").upload_data(name.encode(), overwrite=True)
            for name in ODD:
                assert client.get_file_client(f"ours/{name}").download_file().readall() == name.encode()
                assert get(store, f"theirs/{name}") == name.encode()
            listed = {p.name: p.content_length for p in client.get_paths("ours", recursive=True) if not p.is_directory}
            assert listed == {info.path: info.size for info in store.list("ours/")}
            etags = {p.name: p.etag for p in client.get_paths(recursive=True) if not p.is_directory}
            assert etags == {info.path: info.etag for info in store.list()}
            client.get_directory_client("ours").rename_directory(f"{client.file_system_name}/moved")
        assert paths(store, "ours/") == []
        assert len(paths(store, "moved/")) == len(ODD)

    def test_adlfs(self, lake: Lake, store: FileStore) -> None:
        connection = f"AccountName={lake.account.name};AccountKey={lake.account.key};BlobEndpoint={lake.url}"
        system = adlfs.AzureBlobFileSystem(connection_string=connection, skip_instance_cache=True)
        put(store, "ours/deep/a", b"ours")
        assert system.cat_file("data/ours/deep/a") == b"ours"
        system.pipe_file("data/theirs/deep/b", b"theirs")
        assert get(store, "theirs/deep/b") == b"theirs"
        assert paths(store) == ["ours/deep/a", "theirs/deep/b"]


class TestRefusals:
    def test_no_such_filesystem(self, lake: Lake) -> None:
        location = replace(lake.location(), filesystem="missing")
        with location.open(AccountKey(lake.account.key)) as store:
            for call in (store.check, lambda: put(store, "a"), lambda: store.make_directory_like("a", "b")):
                with pytest.raises(ContainerNotFound, match=r"/missing: it does not exist"):
                    call()

    def test_keys_are_switched_off(self, lake: Lake, store: FileStore) -> None:
        """A policy of the account; what is signed with a key is refused just so."""
        lake.server.plan(Refused(rf"/{lake.account.name}/", 403, "KeyBasedAuthenticationNotPermitted", times=20))
        for call in (store.check, lambda: put(store, "a"), lambda: store.rename_directory("a", "b")):
            with pytest.raises(AccessDenied, match=r"allows neither its key nor .*: use an identity"):
                call()
        lake.server.clear_plan()

    def test_no_hierarchical_namespace(self, lake: Lake, store: FileStore) -> None:
        lake.account.hierarchical = False
        with pytest.raises(Unsupported, match=r"has no hierarchical namespace. Register it as an AzureBlob"):
            store.check()

    def test_a_token_without_a_role(self, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(lake.server.ca))
        lake.account.denied.add(lake.server.entra.tester.client_id)
        with lake.open(AccessToken(lake.server.token()), tls=True) as store:
            with pytest.raises(AccessDenied, match="Storage Blob Data Contributor"):
                store.check()
            with pytest.raises(AccessDenied, match="AuthorizationPermissionMismatch"):
                store.rename_directory("a", "b")

    def test_a_token_over_http(self, lake: Lake) -> None:
        with pytest.raises(InvalidConnection, match="only travel over https"):
            lake.open(AccessToken("x"))
