"""The stores in a Databricks workspace: what the contract does not say of them, and databricks-sdk as a witness."""

from __future__ import annotations

import io
import logging
import os
import random
import socket
import subprocess
import sys
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    Credential,
    DatabricksOAuth,
    Identity,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import (
    AccessDenied,
    Changed,
    ContainerNotFound,
    DatastoresError,
    InvalidInput,
    PathNotFound,
    Unavailable,
    UnsafePath,
    Unsupported,
)
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores._dbfs_names import parse_root
from airflow_azureml_datastores.stores._dbfs_root import DbfsRootStore
from airflow_azureml_datastores.stores._dbfs_store import DbfsStore
from airflow_azureml_datastores.stores._dbfs_volume import VolumeStore
from airflow_azureml_datastores.stores._dbfs_volume_api import FilesApi
from airflow_azureml_datastores.stores._dbfs_volume_writing import MAX_PARTS, part_size
from airflow_azureml_datastores.stores.dbfs import Dbfs
from tests.servers.databricks import Databricks
from tests.servers.fixtures import Servers

MIB = 1 << 20
QUICK = Patience(retries=2, backoff=0.01, timeout=10)
BIG = random.Random(1).randbytes(20 * MIB + 17)


@pytest.fixture
def databricks(servers: Servers) -> Databricks:
    if not isinstance(servers.databricks, Databricks):
        pytest.skip("it takes a workspace that can be told what to do")
    return servers.databricks


@pytest.fixture
def folder(databricks: Databricks) -> Iterator[str]:
    with databricks.folder() as path:
        yield path


@pytest.fixture
def dbfs_folder(databricks: Databricks) -> Iterator[str]:
    with databricks.dbfs_folder() as path:
        yield path


@pytest.fixture(params=["volume", "DBFS root"])
def place(request: pytest.FixtureRequest) -> str:
    """A new folder in either."""
    path: str = request.getfixturevalue("folder" if request.param == "volume" else "dbfs_folder")
    return path


@contextmanager
def opened(
    databricks: Databricks, path: str, credential: Credential | None = None, url: str = "", patience: Patience = QUICK
) -> Iterator[DbfsStore]:
    location = Dbfs(url or databricks.url, path)
    in_dbfs_root, root = parse_root(path)
    kind = DbfsRootStore if in_dbfs_root else VolumeStore
    with kind(location, location.address, root, credential or AccessToken(databricks.token), patience) as store:
        yield store


@pytest.fixture
def store(databricks: Databricks, place: str) -> Iterator[DbfsStore]:
    with opened(databricks, place) as found:
        yield found


def put(store: FileStore, path: str, content: bytes = b"x", **options: Any) -> str:
    return store.write(path, [content], size=len(content), **options)


def get(store: FileStore, path: str) -> bytes:
    return b"".join(store.read(path))


def paths(store: FileStore) -> list[str]:
    return [info.path for info in store.list()]


class Witness:
    """databricks-sdk, reading and writing the same folder."""

    def __init__(self, databricks: Databricks, place: str) -> None:
        self._client = databricks.client()
        self._in_dbfs_root, self._root = parse_root(place)

    def write(self, path: str, content: bytes) -> None:
        if not self._in_dbfs_root:
            self._client.files.upload(f"{self._root}/{path}", io.BytesIO(content), overwrite=True)
            return
        with self._client.dbfs.open(f"{self._root}/{path}", write=True, overwrite=True) as file:
            file.write(content)

    def read(self, path: str) -> bytes:
        if not self._in_dbfs_root:
            contents = self._client.files.download(f"{self._root}/{path}").contents
            assert contents
            return contents.read()
        with self._client.dbfs.open(f"{self._root}/{path}", read=True) as file:
            return b"".join(iter(lambda: file.read(MIB), b""))

    def make_folder(self, path: str) -> None:
        (self._client.dbfs.mkdirs if self._in_dbfs_root else self._client.files.create_directory)(
            f"{self._root}/{path}"
        )

    def list(self, path: str = "") -> list[str]:
        folder = f"{self._root}/{path}".rstrip("/")
        listed: Any = self._client.files.list_directory_contents(folder)
        if self._in_dbfs_root:
            listed = self._client.dbfs.list(folder)
        return sorted(entry.path.rpartition("/")[2] for entry in listed)


@pytest.fixture
def witness(databricks: Databricks, place: str) -> Witness:
    return Witness(databricks, place)


class TestWitness:
    @pytest.mark.parametrize("content", [b"", b"small", BIG], ids=["empty", "small", "big"])
    def test_reads_what_we_write(self, store: DbfsStore, witness: Witness, content: bytes) -> None:
        put(store, "a/ü b#c%20.bin", content)
        assert witness.read("a/ü b#c%20.bin") == content
        assert witness.list("a") == ["ü b#c%20.bin"], "nothing else is left there"

    @pytest.mark.parametrize("content", [b"", b"small", BIG], ids=["empty", "small", "big"])
    def test_writes_what_we_read(self, store: DbfsStore, witness: Witness, content: bytes) -> None:
        witness.write("a/ü b#c%20.bin", content)
        (info,) = store.list()
        assert (info.path, info.size) == ("a/ü b#c%20.bin", len(content))
        assert store.stat("a/ü b#c%20.bin") == info
        assert get(store, info.path) == content

    def test_replaces_what_we_wrote(self, store: DbfsStore, witness: Witness) -> None:
        etag = put(store, "a", b"ours")
        witness.write("a", b"theirs now")
        assert store.stat("a").etag != etag
        with pytest.raises(Changed):
            put(store, "a", b"ours again", if_match=etag)
        assert get(store, "a") == b"theirs now"

    def test_leaves_folders_with_nothing_in_them(self, store: DbfsStore, witness: Witness) -> None:
        for name in ("empty", "deep/er/empty", "full"):
            witness.make_folder(name)
        put(store, "full/a")
        assert paths(store) == ["full/a"]
        for path in ("empty", "deep", "deep/er"):
            with pytest.raises(PathNotFound):
                store.stat(path)
            store.delete(path)
        put(store, "deep", b"a file now", create=True)
        put(store, "empty", BIG)
        assert paths(store) == ["deep", "empty", "full/a"]

    def test_leaves_names_that_cannot_be_used(
        self, store: DbfsStore, witness: Witness, caplog: pytest.LogCaptureFixture
    ) -> None:
        """They fail and bend no listing; what is in a folder of such a name is out of reach with it."""
        for name in ("a\\b", "dot.", "dots./x", "x\x01y"):
            witness.write(name, b"odd")
        put(store, "b")
        assert paths(store) == ["b"]
        told = [message for message in caplog.messages if "is left out" in message]
        assert len(told) == 4
        assert any("'dot.'" in message for message in told)


class TestInTheWay:
    @pytest.mark.parametrize("content", [b"small", BIG], ids=["small", "big"])
    @pytest.mark.parametrize("create", [True, False], ids=["create", "overwrite"])
    def test_a_folder_that_is_not_empty(self, store: DbfsStore, content: bytes, create: bool) -> None:
        put(store, "a/b/c", b"below")
        with pytest.raises(UnsafePath, match="it is a folder with files in it"):
            put(store, "a/b", content, create=create)
        assert {path: get(store, path) for path in paths(store)} == {"a/b/c": b"below"}

    @pytest.mark.parametrize("content", [b"small", BIG], ids=["small", "big"])
    @pytest.mark.parametrize("create", [True, False], ids=["create", "overwrite"])
    def test_a_file_above(self, store: DbfsStore, content: bytes, create: bool) -> None:
        put(store, "a/b", b"file")
        with pytest.raises(UnsafePath, match="'a/b/c/d' cannot be: 'a/b' is a file"):
            put(store, "a/b/c/d", content, create=create)
        assert {path: get(store, path) for path in paths(store)} == {"a/b": b"file"}


class TestMissing:
    def test_volume(self, databricks: Databricks) -> None:
        with opened(databricks, "/Volumes/main/default/nope/landing") as store:
            for call in (store.check, lambda: paths(store), lambda: put(store, "a"), lambda: store.delete("a")):
                with pytest.raises(ContainerNotFound, match=r"Volume 'main\.default\.nope' does not exist"):
                    call()
            with pytest.raises(
                Unsupported, match=r"not made from here, but in Databricks: CREATE VOLUME main\.default"
            ):
                store.create_if_missing()

    @pytest.mark.parametrize(
        ("path", "told"), [("/Volumes/nope/s/v", "Catalog 'nope'"), ("/Volumes/main/nope/v", r"Schema 'main\.nope'")]
    )
    def test_catalog_and_schema(self, databricks: Databricks, path: str, told: str) -> None:
        with opened(databricks, path) as store:
            with pytest.raises(ContainerNotFound, match=told):
                store.check()
            with pytest.raises(Unsupported, match=told):
                store.create_if_missing()

    def test_folder(self, databricks: Databricks, folder: str) -> None:
        with opened(databricks, f"{folder}/landing/zone") as store:
            for call in (store.check, lambda: paths(store), lambda: put(store, "a"), lambda: store.stat("a")):
                with pytest.raises(
                    ContainerNotFound, match=r"landing/zone: there is no such folder in the volume main\."
                ):
                    call()
            store.create_if_missing()
            store.create_if_missing()
            store.check()
            assert paths(store) == []

    def test_folder_of_the_dbfs_root(self, databricks: Databricks, dbfs_folder: str) -> None:
        with opened(databricks, f"{dbfs_folder}/landing") as store:
            with pytest.raises(ContainerNotFound, match="landing"):
                put(store, "a")
            store.create_if_missing()
            put(store, "a")
        file = opened(databricks, f"{dbfs_folder}/landing/a")
        with file as store, pytest.raises(ContainerNotFound, match="it is a file, no folder"):
            store.check()

    def test_volume_with_nothing_in_it_is_none(self, databricks: Databricks) -> None:
        """Though the service says that its folder is not there."""
        volume = databricks.new_volume()
        for _ in range(2):
            with opened(databricks, volume) as store:
                store.check()
                store.create_if_missing()
                assert paths(store) == []
                with pytest.raises(PathNotFound):
                    store.stat("a")
                put(store, "a")
                store.delete("a")

    def test_a_store_that_has_seen_its_root_asks_no_more(self, databricks: Databricks, folder: str) -> None:
        with opened(databricks, folder) as store:
            put(store, "a")
            before = len(databricks.requests(folder))
            for _ in range(3):
                with pytest.raises(PathNotFound):
                    store.stat("b")
            assert len(databricks.requests(folder)) == before + 3

    def test_no_dbfs_root(self, databricks: Databricks) -> None:
        with (
            databricks.without_dbfs(),
            opened(databricks, "dbfs:/") as store,
            pytest.raises(AccessDenied, match=r"Public DBFS root is disabled.*no longer to be had in new accounts"),
        ):
            store.check()


class TestRequests:
    """What goes over the wire, as it costs time and money."""

    def asked(self, databricks: Databricks, place: str, call: Callable[[], object]) -> list[str]:
        root = parse_root(place)[1]
        before = len(databricks.requests(""))
        call()
        seen = [found.request for found in databricks.requests("")[before:] if root in found.request]
        return [request.replace(root, "").partition("?")[0] for request in seen]

    def test_opening_makes_none(self, databricks: Databricks, place: str) -> None:
        assert self.asked(databricks, place, lambda: Dbfs(databricks.url, place).open(AccessToken("x")).close()) == []

    def test_checking_makes_one(self, databricks: Databricks, store: DbfsStore, place: str, folder: str) -> None:
        asked = self.asked(databricks, place, store.check)
        assert asked in (["GET /api/2.0/fs/directories"], ["GET /api/2.0/dbfs/get-status"])

    def test_of_a_volume(self, databricks: Databricks, folder: str) -> None:
        with opened(databricks, folder) as store:
            store.check()
            assert self.asked(databricks, folder, lambda: put(store, "a", b"x")) == [
                "PUT /api/2.0/fs/files/a",
                "HEAD /api/2.0/fs/files/a",
            ]
            assert self.asked(databricks, folder, lambda: get(store, "a")) == ["GET /api/2.0/fs/files/a"]
            assert self.asked(databricks, folder, lambda: store.delete("a")) == ["DELETE /api/2.0/fs/files/a"]

    def test_of_a_big_file(self, databricks: Databricks, folder: str) -> None:
        with opened(databricks, folder) as store:
            put(store, "big", BIG)
            parts = databricks.requests(rf"PUT /cloud-storage{folder}/big")
            assert sorted(seen.size for seen in parts) == [4 * MIB + 17, 8 * MIB, 8 * MIB]
            assert get(store, "big") == BIG
            assert len(databricks.requests(rf"GET /api/2\.0/fs/files{folder}/big")) == 1
            assert len(databricks.requests(rf"create-download-url\?path={folder}/big")) == 1
            assert len(databricks.requests(rf"GET /cloud-storage{folder}/big")) == 4
            told = databricks.requests(f"/cloud-storage{folder}")
            assert {seen.how for seen in told} == {""}, "no token goes to cloud storage"
            assert not [seen for seen in told if seen.status >= 400]

    def test_of_the_dbfs_root(self, databricks: Databricks, dbfs_folder: str) -> None:
        with opened(databricks, dbfs_folder) as store:
            store.check()
            before = len(databricks.requests("/dbfs/"))
            put(store, "a", b"x")
            put(store, "a", b"xy")
            called = [
                seen.request.split("/dbfs/")[1].partition("?")[0] for seen in databricks.requests("/dbfs/")[before:]
            ]
            assert called == ["put", "get-status"] * 2

    def test_are_those_of_the_sdk(self, databricks: Databricks, folder: str) -> None:
        """Methods, paths and queries, of files with names that have to be quoted."""
        name = "ü b#c%20?.bin"
        with opened(databricks, folder) as store:
            store.check()
            before = len(databricks.requests(""))
            put(store, name, b"x" * 9 * MIB, create=True)
            get(store, name)
            store.delete(name)
            ours = {self.shape(seen.request, folder) for seen in databricks.requests("")[before:]}
        config = Config(host=databricks.url, token=databricks.token, auth_type="pat", profile="")
        config.files_ext_multipart_upload_min_stream_size = MIB
        client = WorkspaceClient(config=config)
        before = len(databricks.requests(""))
        client.files.upload(f"{folder}/{name}", io.BytesIO(b"x" * 9 * MIB), overwrite=False, part_size=8 * MIB)
        contents = client.files.download(f"{folder}/{name}").contents
        assert contents
        contents.read()
        client.files.get_metadata(f"{folder}/{name}")
        client.files.delete(f"{folder}/{name}")
        theirs = {self.shape(seen.request, folder) for seen in databricks.requests("")[before:]}
        extra = {f"GET /api/2.0/fs/files{folder}/{name}"}
        assert ours - theirs == extra, "the first range comes from the workspace"
        assert {shape for shape in theirs - ours if "well-known" not in shape} == set()

    def shape(self, request: str, folder: str) -> str:
        path, _, query = request.rpartition("?") if "=" in request.rpartition("?")[2] else (request, "", "")
        kept = [pair for pair in query.split("&") if not pair.startswith(("expire_time=", "part="))]
        return "?".join(filter(None, [path, "&".join(sorted(kept)).lower()]))


class TestBigFiles:
    def test_take_little_memory(self, databricks: Databricks, folder: str) -> None:
        """The stand-in, which is in this process, keeps the content: that is subtracted."""
        size = 96 * MIB

        def chunks() -> Iterator[bytes]:
            for _ in range(size // MIB):
                yield os.urandom(MIB)

        with opened(databricks, folder) as store:
            put(store, "warm", b"up")
            tracemalloc.start()
            try:
                store.write("big", chunks(), size=size)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        assert peak < 2 * size + 64 * MIB, f"{peak >> 20} MiB"

    def test_have_parts_that_get_bigger_with_them(self) -> None:
        for size in (0, 1, 80 << 30, 5 << 40):
            assert part_size(size) % (8 * MIB) == 0
            assert part_size(size) * MAX_PARTS >= size
        assert part_size(80 << 30) == 16 * MIB

    @pytest.mark.parametrize("offered", [True, False], ids=["behind a firewall", "not offered"])
    @pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
    def test_go_through_the_workspace_without_cloud_storage(
        self, databricks: Databricks, folder: str, offered: bool, known: bool
    ) -> None:
        with databricks.without_cloud(offered=offered), opened(databricks, folder) as store:
            for create in (True, False):
                etag = store.write("big", iter([BIG]), size=len(BIG) if known else None, create=create)
                assert store.stat("big").etag == etag
            assert get(store, "big") == BIG
            assert paths(store) == ["big"]
        sent = databricks.requests(rf"PUT /api/2\.0/fs/files{folder}/big")
        assert [seen.size for seen in sent] == [len(BIG)] * 2
        assert not [path for path in databricks.open_uploads if path.startswith(folder)]
        assert len(databricks.requests(f"/cloud-storage{folder}")) <= 1, "cloud storage is tried once"

    @pytest.mark.parametrize("error", [RuntimeError("broke"), PermissionError(13, "broke"), Unavailable("broke")])
    def test_whose_source_breaks_on_that_way(self, databricks: Databricks, folder: str, error: Exception) -> None:
        def chunks() -> Iterator[bytes]:
            yield BIG
            raise error

        with databricks.without_cloud(), opened(databricks, folder) as store:
            put(store, "big", b"old")
            with pytest.raises(type(error)) as caught:
                store.write("big", chunks())
            assert caught.value is error
            assert get(store, "big") == b"old"

    def test_never_travel_to_cloud_storage_in_the_clear(
        self, databricks: Databricks, folder: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Even if the URLs say so; the host is not so much as looked up."""
        presigned, look_up = FilesApi.presigned, socket.getaddrinfo
        given: list[str] = []
        hosts: list[Any] = []

        def in_the_clear(api: FilesApi, call: str, *args: Any) -> Any:
            answer = presigned(api, call, *args)
            for signed in answer.get("upload_part_urls", [answer]):
                signed["url"] = f"http://cloud.example.net{urlsplit(signed['url']).path}"
                given.append(call)
            return answer

        def seen(host: Any, *args: Any, **options: Any) -> Any:
            hosts.append(host)
            return look_up(host, *args, **options)

        monkeypatch.setattr(FilesApi, "presigned", in_the_clear)
        monkeypatch.setattr(socket, "getaddrinfo", seen)
        with opened(databricks, folder) as store:
            store.write("big", iter([BIG]))
        with opened(databricks, folder) as store:
            assert get(store, "big") == BIG
        assert set(given) == {"upload-part-urls", "download-url"}
        assert "cloud.example.net" not in hosts

    def test_urls_that_expire_are_renewed(self, databricks: Databricks, folder: str) -> None:
        def chunks() -> Iterator[bytes]:
            for start in range(0, len(BIG), MIB):
                databricks.expire_urls()
                yield BIG[start : start + MIB]

        with opened(databricks, folder) as store:
            store.write("big", chunks())
            reader = store.read("big")
            parts = [next(reader), next(reader)]
            databricks.expire_urls()
            parts.extend(reader)
        assert b"".join(parts) == BIG

    @pytest.mark.parametrize("sent", [0, 9 * MIB, 30 * MIB])
    def test_that_break_off_leave_no_upload(self, databricks: Databricks, folder: str, sent: int) -> None:
        def chunks() -> Iterator[bytes]:
            yield from (bytes(MIB) for _ in range(sent // MIB))
            raise RuntimeError("broke")

        with opened(databricks, folder) as store, pytest.raises(RuntimeError):
            store.write("big", chunks())
        assert not [path for path in databricks.open_uploads if path.startswith(folder)]

    @pytest.mark.parametrize("size", [len(BIG) - 1, len(BIG) + 1])
    def test_of_another_size_than_was_announced(self, store: DbfsStore, size: int) -> None:
        with pytest.raises(InvalidInput, match=f"was to have {size} bytes but {len(BIG)} came"):
            store.write("big", iter([BIG]), size=size)
        assert paths(store) == []

    def test_changed_within_a_second_while_being_read(self, databricks: Databricks, folder: str, place: str) -> None:
        """Of the same size and second: cloud storage tells parts of one from those of the other."""
        if place != folder:
            pytest.skip("there is no cloud storage to tell")
        with opened(databricks, folder) as store:
            put(store, "big", BIG * 3)
            file = databricks._front.files.need_file(f"{folder}/big", databricks._front.guard.tokens[databricks.token])
            reader = store.read("big")
            chunks = [next(reader), next(reader)]
            file.data, file.etag = bytes(len(file.data)), '"other"'
            with pytest.raises(Changed):
                chunks.extend(reader)
        assert (BIG * 3).startswith(b"".join(chunks))


class TestVersions:
    def test_are_in_whole_seconds(self, store: DbfsStore) -> None:
        etag = put(store, "a", b"12345")
        info = store.stat("a")
        assert info.etag == etag
        assert info.modified == info.modified.replace(microsecond=0)
        assert etag.split("-")[:2] == [str(int(info.modified.timestamp())), "5"]

    def test_of_others_in_the_same_second_look_alike(self, databricks: Databricks, place: str) -> None:
        """What cannot be had; should the service get finer one day, this fails and the store can too."""
        with opened(databricks, place) as one, opened(databricks, place) as other:
            for _ in range(20):
                etags = put(one, "a", b"12345"), put(other, "a", b"54321")
                if len(set(etags)) == 1:
                    return
        pytest.fail("never in twenty tries")


class TestWhoAsks:
    @pytest.fixture
    def secured(self, databricks: Databricks, monkeypatch: pytest.MonkeyPatch) -> Databricks:
        """Over TLS; its authority is trusted by way of the variable that people set for the SDKs."""
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(databricks.ca))
        return databricks

    def work(self, databricks: Databricks, folder: str, credential: Credential) -> set[str]:
        """Every way that a token travels; returns how they were understood."""
        before = len(databricks.requests(folder))
        with opened(databricks, folder, credential, databricks.tls_url) as store:
            put(store, "small")
            put(store, "big", BIG)
            assert get(store, "big") == BIG
            assert paths(store) == ["big", "small"]
            store.delete("small")
        return {seen.how for seen in databricks.requests(folder)[before:]}

    def test_personal_access_token(self, secured: Databricks, folder: str) -> None:
        assert self.work(secured, folder, AccessToken(secured.token)) == {"pat", ""}

    def test_token_of_entra_id(self, secured: Databricks, folder: str) -> None:
        assert self.work(secured, folder, AccessToken(secured.entra_token())) == {"entra", ""}

    def test_service_principal(self, secured: Databricks, folder: str, servers: Servers) -> None:
        """Logged in at Entra ID as the stand-in of Azure ML plays it, by azure-identity."""
        azureml = servers.azureml
        secured.trust(azureml._entra)
        authority, app = azureml.login_url.removeprefix("https://"), azureml.tester
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", str(both(secured, azureml)))
            principal = ServicePrincipal(app.tenant, app.client_id, app.secret, authority)
            assert self.work(secured, folder, principal) == {"entra", ""}
            wrong = ServicePrincipal(app.tenant, app.client_id, "HUSH", authority)
            with opened(secured, folder, wrong, secured.tls_url) as store:
                with pytest.raises(AccessDenied, match=f"the service principal {app.client_id}") as caught:
                    store.check()
                assert "HUSH" not in str(caught.value)

    def test_managed_identity(
        self, secured: Databricks, folder: str, servers: Servers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        azureml = servers.azureml
        secured.trust(azureml._entra)
        azureml.new_app("worker", managed=True)
        for name, value in azureml.identity_environment.items():
            monkeypatch.setenv(name, value)
        assert self.work(secured, folder, Identity("managed")) == {"entra", ""}

    def test_service_principal_of_databricks(self, secured: Databricks, folder: str) -> None:
        client, secret = secured.new_oauth_client()
        before = len(secured.requests("/oidc/v1/token"))
        assert self.work(secured, folder, DatabricksOAuth(client, secret)) == {"oauth", ""}
        assert len(secured.requests("/oidc/v1/token")) == before + 1, "a token is kept while it is valid"

    def test_token_that_ends_soon_is_renewed(self, secured: Databricks, folder: str) -> None:
        client, secret = secured.new_oauth_client()
        before = len(secured.requests("/oidc/v1/token"))
        with secured.oauth_lifetime(0), opened(secured, folder, DatabricksOAuth(client, secret)) as store:
            for _ in range(2):
                with pytest.raises(AccessDenied):
                    store.check()
        assert len(secured.requests("/oidc/v1/token")) == before + 2

    @pytest.mark.parametrize(("client", "secret"), [("", "HUSH-but-wrong"), ("nobody", "HUSH")])
    def test_wrong_secret(self, databricks: Databricks, place: str, client: str, secret: str) -> None:
        client = client or databricks.new_oauth_client()[0]
        with opened(databricks, place, DatabricksOAuth(client, secret)) as store:
            for call in (store.check, lambda: put(store, "a"), lambda: put(store, "a", BIG), lambda: get(store, "a")):
                told = f"the Databricks service principal {client}: Client authentication failed .*invalid_client"
                with pytest.raises(AccessDenied, match=told) as caught:
                    call()
                assert "HUSH" not in str(caught.value)

    @pytest.mark.parametrize("token", ["dapi-HUSH", "expired"])
    def test_wrong_token(self, databricks: Databricks, place: str, token: str) -> None:
        token = databricks.entra_token(expires_in=-5) if token == "expired" else token
        with opened(databricks, place, AccessToken(token)) as store:
            calls = store.check, lambda: paths(store), lambda: put(store, "a"), lambda: store.delete("a")
            for call in (*calls, lambda: put(store, "a", BIG), lambda: get(store, "a")):
                with pytest.raises(AccessDenied, match=r"the access token.*has not expired or been revoked") as caught:
                    call()
                assert token not in str(caught.value)

    def test_missing_privilege(self, databricks: Databricks, folder: str) -> None:
        with opened(databricks, folder) as store:
            put(store, "a", BIG)
        with opened(databricks, folder, AccessToken(databricks.new_token("READ VOLUME"))) as store:
            assert get(store, "a") == BIG
            for call in (lambda: put(store, "b"), lambda: put(store, "b", BIG), lambda: store.delete("a")):
                with pytest.raises(
                    AccessDenied, match=r"User does not have WRITE VOLUME on Volume 'main\.default\.tests'"
                ):
                    call()
        with opened(databricks, folder, AccessToken(databricks.new_token("WRITE VOLUME"))) as store:
            for call in (store.check, lambda: get(store, "a"), lambda: store.stat("a")):
                with pytest.raises(AccessDenied, match="the access token"):
                    call()

    def test_not_a_member(self, secured: Databricks, folder: str) -> None:
        stranger = secured._entra.register("stranger")
        secured.deny(stranger)
        token = AccessToken(secured.entra_token(stranger))
        with opened(secured, folder, token, secured.tls_url) as store, pytest.raises(AccessDenied):
            store.check()

    def test_a_certificate_of_somebody_else(self, databricks: Databricks, place: str) -> None:
        with opened(databricks, place, url=databricks.tls_url) as store:
            for call in (store.check, lambda: put(store, "a"), lambda: get(store, "a")):
                with pytest.raises(Unavailable, match="TLS failed, CERTIFICATE_VERIFY_FAILED"):
                    call()


def both(databricks: Databricks, azureml: Any) -> Any:
    """A file with the authorities of both stand-ins."""
    path = databricks.ca.with_name("both.pem")
    path.write_bytes(databricks.ca.read_bytes() + azureml.ca.read_bytes())
    return path


class TestSurroundings:
    def test_a_process_that_has_never_used_the_sdk(self, databricks: Databricks, place: str) -> None:
        code = (
            "import sys; from airflow_azureml_datastores.core.credentials import AccessToken;"
            "from airflow_azureml_datastores import Dbfs;"
            "assert 'databricks.sdk' not in sys.modules;"
            "store = Dbfs(*sys.argv[1:3]).open(AccessToken(sys.argv[3]));"
            "store.write('a', [b'x']); print([info.path for info in store.list()])"
        )
        command = [sys.executable, "-c", code, databricks.url, place, databricks.token]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.stderr) == ("['a']\n", "")

    def test_nothing_is_taken_from_the_environment(
        self, databricks: Databricks, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        """Nor does anything of a profile or ~/.netrc go anywhere."""
        profile = tmp_path / "databrickscfg"
        profile.write_text("[DEFAULT]\nhost = https://elsewhere.invalid\ntoken = HUSH\n")
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password HUSH\n")
        for name, value in {
            "DATABRICKS_HOST": "https://elsewhere.invalid",
            "DATABRICKS_TOKEN": "HUSH",
            "DATABRICKS_CONFIG_FILE": str(profile),
            "DATABRICKS_CONFIG_PROFILE": "DEFAULT",
            "DATABRICKS_CLIENT_ID": "other",
            "DATABRICKS_CLIENT_SECRET": "HUSH",
            "DATABRICKS_WORKSPACE_ID": "5",
            "DATABRICKS_DEBUG_HEADERS": "1",
            "DATABRICKS_AUTH_TYPE": "oauth-m2m",
            "ARM_CLIENT_ID": "other",
            "NETRC": str(netrc),
        }.items():
            monkeypatch.setenv(name, value)
        before = len(databricks.requests(""))
        with opened(databricks, place) as store:
            put(store, "big", BIG)
            assert get(store, "big") == BIG
        seen = databricks.requests("")[before:]
        assert not [found for found in seen if found.status >= 400 and found.status != 404]
        assert not [found for found in seen if "well-known" in found.request]

    def test_requests_are_no_news_for_a_tasks_log(self, store: DbfsStore, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        put(store, "a")
        put(store, "b", BIG)
        assert (get(store, "b"), paths(store)) == (BIG, ["a", "b"])
        store.delete("a")
        assert caplog.messages == []

    def test_no_log_and_no_error_shows_a_secret(
        self, databricks: Databricks, place: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """At level DEBUG, too, where the HTTP library tells whole URLs."""
        caplog.set_level(logging.DEBUG)
        client, secret = databricks.new_oauth_client()
        shown: list[str] = []
        for credential in (AccessToken(databricks.token), DatabricksOAuth(client, secret), AccessToken("dapi-other")):
            with opened(databricks, place, credential) as store:
                for call in (
                    lambda: put(store, "a", BIG),
                    lambda: get(store, "a"),
                    lambda: get(store, "missing"),
                    lambda: put(store, "a/below"),
                ):
                    try:
                        call()
                    except DatastoresError as error:
                        shown += traceback.format_exception(error)
                shown += [repr(store), repr(vars(store)), repr(vars(store._databricks)), store.url]
        messages = [record.getMessage() for record in caplog.records]
        assert len(messages) > 50
        grants = list(databricks._front.uploads._grants)
        assert grants or "dbfs" in place
        secrets = [databricks.token, secret, "dapi-other", *grants, *databricks._front.guard.tokens]
        assert [text for text in [*shown, *messages] for hidden in secrets if hidden in text] == []

    def test_times_are_with_time_zone(self, store: DbfsStore) -> None:
        put(store, "a")
        assert store.stat("a").modified.tzinfo is UTC
        assert abs((store.stat("a").modified - datetime.now(UTC)).total_seconds()) < 5
