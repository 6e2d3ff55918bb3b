"""The stand-in of Databricks, as the real client sees it: databricks-sdk."""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config, CredentialsStrategy
from databricks.sdk.errors import (
    AlreadyExists,
    BadRequest,
    DatabricksError,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceConflict,
    ResourceDoesNotExist,
    Unauthenticated,
)
from databricks.sdk.oauth import ClientCredentials
from databricks.sdk.service.files import DbfsAPI

from tests.servers.databricks import Databricks, Refused
from tests.servers.fault import CutResponse, FaultProxy, LoseResponse
from tests.servers.fixtures import Servers

MIB = 1 << 20


@pytest.fixture
def databricks(servers: Servers) -> Databricks:
    if not isinstance(servers.databricks, Databricks):
        pytest.skip("a real workspace is played with, not tested")
    return servers.databricks


@pytest.fixture
def folder(databricks: Databricks) -> Iterator[str]:
    with databricks.folder() as path:
        yield path


@pytest.fixture
def client(databricks: Databricks) -> WorkspaceClient:
    return databricks.client()


def connect(url: str, token: str, **options: Any) -> WorkspaceClient:
    config = Config(host=url, token=token, auth_type="pat", profile="", **options)
    for name, value in {"multipart_upload_min_stream_size": MIB, "multipart_upload_default_part_size": MIB}.items():
        setattr(config, f"files_ext_{name}", value)
    return WorkspaceClient(config=config)


def code(error: pytest.ExceptionInfo[DatabricksError]) -> str | None:
    return error.value.error_code


def reason(error: pytest.ExceptionInfo[DatabricksError]) -> str:
    (info,) = error.value.get_error_info()
    assert info.reason
    return info.reason


def put(client: WorkspaceClient, path: str, content: bytes, *, overwrite: bool = False) -> None:
    client.files.upload(path, io.BytesIO(content), overwrite=overwrite)


def get(client: WorkspaceClient, path: str) -> bytes:
    contents = client.files.download(path).contents
    assert contents
    return contents.read()


class TestFiles:
    def test_there_and_back(self, client: WorkspaceClient, folder: str, databricks: Databricks) -> None:
        put(client, f"{folder}/a/b/c.txt", b"content")
        assert get(client, f"{folder}/a/b/c.txt") == b"content"
        found = client.files.get_metadata(f"{folder}/a/b/c.txt")
        assert (found.content_length, found.content_type) == (7, "application/octet-stream")
        asked = [seen.request.partition("?")[0].split(folder)[0] for seen in databricks.requests(folder)]
        assert asked[-3:] == ["POST /api/2.0/fs/create-download-url", "GET /cloud-storage", "HEAD /api/2.0/fs/files"]

    def test_an_empty_file(self, client: WorkspaceClient, folder: str) -> None:
        put(client, f"{folder}/empty", b"")
        assert get(client, f"{folder}/empty") == b""
        assert client.files.get_metadata(f"{folder}/empty").content_length == 0

    def test_overwriting_has_to_be_asked_for(self, client: WorkspaceClient, folder: str) -> None:
        put(client, f"{folder}/a", b"old")
        with pytest.raises(AlreadyExists):
            put(client, f"{folder}/a", b"new")
        put(client, f"{folder}/a", b"new", overwrite=True)
        assert get(client, f"{folder}/a") == b"new"

    @pytest.mark.parametrize(
        "name", ["two words", "a%20b", "a#b", "a?b=c", "ü/文", "a+b&c", "it's", "{{a}}", "a;b,c", "🚀", "100%", "a:b"]
    )
    def test_names_come_through(self, client: WorkspaceClient, folder: str, name: str) -> None:
        put(client, f"{folder}/{name}", name.encode())
        assert get(client, f"{folder}/{name}") == name.encode()
        (entry,) = client.files.list_directory_contents(f"{folder}/{name}".rpartition("/")[0])
        assert (entry.path, entry.name) == (f"{folder}/{name}", name.rpartition("/")[2])
        client.files.delete(f"{folder}/{name}")

    def test_what_is_missing(self, client: WorkspaceClient, folder: str) -> None:
        files = client.files
        for call in (files.get_metadata, files.download, files.delete):
            with pytest.raises(NotFound):
                call(f"{folder}/no")
        with pytest.raises(NotFound) as error:
            files.delete(folder)
        assert (code(error), reason(error)) == ("NOT_FOUND", "FILES_API_FILE_IS_NOT_FOUND")

    def test_last_modified_is_in_whole_seconds(self, client: WorkspaceClient, folder: str) -> None:
        before = int(time.time())
        put(client, f"{folder}/a", b"x")
        (entry,) = client.files.list_directory_contents(folder)
        assert entry.last_modified
        assert entry.last_modified % 1000 == 0
        assert before <= entry.last_modified // 1000 <= time.time()
        shown = client.files.get_metadata(f"{folder}/a").last_modified
        assert shown == time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(entry.last_modified // 1000))

    def test_ranges(self, client: WorkspaceClient, folder: str, databricks: Databricks) -> None:
        put(client, f"{folder}/a", b"0123456789")
        url = f"{databricks.url}/api/2.0/fs/files{folder}/a"
        modified = client.files.get_metadata(f"{folder}/a").last_modified or ""

        def ask(**headers: str) -> requests.Response:
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            return requests.get(url, headers={"Authorization": f"Bearer {databricks.token}", **headers}, timeout=10)

        part = ask(Range="bytes=3-5", If_Unmodified_Since=modified)
        assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"345", "bytes 3-5/10")
        assert ask(Range="bytes=8-100").content == b"89"
        assert ask(Range="bytes=10-").status_code == 416
        refused = ask(If_Unmodified_Since="Sun, 06 Nov 1994 08:49:37 GMT")
        assert (refused.status_code, refused.json()["error_code"]) == (412, "PRECONDITION_FAILED")


class TestDirectories:
    def test_are_made_with_those_above_and_again(self, client: WorkspaceClient, folder: str) -> None:
        for _ in range(2):
            client.files.create_directory(f"{folder}/a/b")
        client.files.get_directory_metadata(f"{folder}/a")
        with pytest.raises(NotFound):
            client.files.get_directory_metadata(f"{folder}/b")

    def test_are_deleted_when_they_are_empty(self, client: WorkspaceClient, folder: str) -> None:
        put(client, f"{folder}/a/b", b"x")
        with pytest.raises(InvalidParameterValue) as error:
            client.files.delete_directory(f"{folder}/a")
        assert reason(error) == "FILES_API_DIRECTORY_IS_NOT_EMPTY"
        client.files.delete(f"{folder}/a/b")
        client.files.delete_directory(f"{folder}/a")
        with pytest.raises(NotFound) as missing:
            client.files.delete_directory(f"{folder}/a")
        assert reason(missing) == "FILES_API_DIRECTORY_IS_NOT_FOUND"

    def test_and_files_keep_out_of_each_others_way(self, client: WorkspaceClient, folder: str) -> None:
        put(client, f"{folder}/file", b"x")
        client.files.create_directory(f"{folder}/directory")
        for call in (
            lambda: client.files.create_directory(f"{folder}/file"),
            lambda: client.files.create_directory(f"{folder}/file/below"),
            lambda: put(client, f"{folder}/directory", b"x", overwrite=True),
            lambda: put(client, f"{folder}/file/below", b"x"),
        ):
            with pytest.raises(ResourceConflict) as error:
                call()
            assert code(error) == "CONFLICT"
        with pytest.raises(NotFound):
            client.files.download(f"{folder}/directory")
        with pytest.raises(NotFound):
            list(client.files.list_directory_contents(f"{folder}/file"))

    def test_are_listed_in_pages(self, client: WorkspaceClient, folder: str, databricks: Databricks) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: put(client, f"{folder}/{n:04}", b"x" * (n % 5)), range(1050)))
        client.files.create_directory(f"{folder}/sub")
        found = {entry.name: entry for entry in client.files.list_directory_contents(folder)}
        assert sorted(found) == [*(f"{n:04}" for n in range(1050)), "sub"]
        assert found["sub"].is_directory
        assert found["0003"].file_size == 3
        small = client.files.list_directory_contents(folder, page_size=400)
        assert [entry.name for entry in small] == list(found), "the same order, and not that of the names"
        assert list(found) != sorted(found)
        lists = [seen for seen in databricks.requests(f"GET .*/fs/directories{folder}") if seen.status == 200]
        assert len(lists) == 2 + 3


class TestVolumes:
    def test_that_are_missing_are_named(self, client: WorkspaceClient, databricks: Databricks) -> None:
        for path, told in (
            ("/Volumes/no/default/v", "Catalog 'no'"),
            ("/Volumes/main/no/v", "Schema 'main.no'"),
            ("/Volumes/main/default/no", "Volume 'main.default.no'"),
        ):
            for call in (
                lambda path=path: put(client, f"{path}/a", b"x"),
                lambda path=path: list(client.files.list_directory_contents(path)),
                lambda path=path: client.files.delete(f"{path}/a"),
            ):
                with pytest.raises(NotFound, match=told):
                    call()
            with pytest.raises(NotFound, match=told) as error:
                client.volumes.read(".".join(path.split("/")[2:]))
            assert code(error) == f"{told.split()[0].upper()}_DOES_NOT_EXIST"

    def test_without_anything_in_it_one_has_no_root(self, client: WorkspaceClient, databricks: Databricks) -> None:
        volume = databricks.new_volume()
        assert client.volumes.read(".".join(volume.split("/")[2:])).name == volume.rpartition("/")[2]
        for _ in range(2):
            with pytest.raises(NotFound):
                client.files.get_directory_metadata(volume)
            with pytest.raises(NotFound) as error:
                list(client.files.list_directory_contents(volume))
            assert reason(error) == "FILES_API_DIRECTORY_IS_NOT_FOUND"
            put(client, f"{volume}/a", b"x")
            client.files.get_directory_metadata(volume)
            client.files.delete(f"{volume}/a")

    def test_have_names_without_case(self, client: WorkspaceClient, folder: str) -> None:
        put(client, f"{folder}/a", b"x")
        assert get(client, f"{folder}/a".replace("main/default/tests", "Main/DEFAULT/Tests")) == b"x"

    def test_privileges(self, client: WorkspaceClient, folder: str, databricks: Databricks) -> None:
        put(client, f"{folder}/a", b"x")
        reader = connect(databricks.url, databricks.new_token("READ VOLUME"))
        writer = connect(databricks.url, databricks.new_token("WRITE VOLUME"))
        assert get(reader, f"{folder}/a") == b"x"
        put(writer, f"{folder}/b", b"x")
        with pytest.raises(PermissionDenied, match=r"User does not have WRITE VOLUME on Volume 'main\.default\.tests'"):
            reader.files.delete(f"{folder}/a")
        with pytest.raises(PermissionDenied, match="READ VOLUME"):
            list(writer.files.list_directory_contents(folder))

    @pytest.mark.parametrize("path", ["/Volumes/main/default", "/Workspace/a/b/c", "/Volumes/main/default/tests/a//b"])
    def test_paths_that_are_none(self, client: WorkspaceClient, path: str) -> None:
        with pytest.raises(InvalidParameterValue, match="Invalid path"):
            client.files.create_directory(path)


class TestUploadsInParts:
    CONTENT = os.urandom(5 * MIB + 17)

    def test_of_any_stream(self, folder: str, databricks: Databricks) -> None:
        class OnePass(io.RawIOBase):
            def __init__(self, content: bytes) -> None:
                self._left = io.BytesIO(content)

            def readable(self) -> bool:
                return True

            def read(self, size: int = -1) -> bytes:
                return self._left.read(size)

        client = connect(databricks.url, databricks.token)
        for number, stream in enumerate([io.BytesIO(self.CONTENT), OnePass(self.CONTENT)]):
            client.files.upload(f"{folder}/{number}", stream, overwrite=False, part_size=MIB, parallelism=2)  # type: ignore[arg-type]
            parts = databricks.requests(rf"PUT /cloud-storage{folder}/{number}")
            assert sorted(seen.size for seen in parts) == [17, *[MIB] * 5]
            assert {seen.how for seen in parts} == {""}, "no token goes to cloud storage"
            assert get(client, f"{folder}/{number}") == self.CONTENT
        assert not [path for path in databricks.open_uploads if path.startswith(folder)]

    def test_show_whole_at_the_end(self, folder: str, databricks: Databricks) -> None:
        client = connect(databricks.url, databricks.token)
        put(client, f"{folder}/a", b"old")
        seen = []

        class Watching(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                seen.append(get(client, f"{folder}/a"))
                return super().read(size)

        client.files.upload(f"{folder}/a", Watching(self.CONTENT), overwrite=True, part_size=MIB, use_parallel=False)
        assert set(seen) == {b"old"}
        assert get(client, f"{folder}/a") == self.CONTENT

    def test_are_refused_over_a_file(self, folder: str, databricks: Databricks) -> None:
        client = connect(databricks.url, databricks.token)
        put(client, f"{folder}/a", b"old")
        with pytest.raises(AlreadyExists):
            put(client, f"{folder}/a", self.CONTENT)
        assert get(client, f"{folder}/a") == b"old"

    def test_that_break_off_are_aborted(self, folder: str, databricks: Databricks) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                if self.tell() > 2 * MIB:
                    raise RuntimeError("the source broke")
                return super().read(size)

        client = connect(databricks.url, databricks.token)
        with pytest.raises(RuntimeError, match="the source broke"):
            client.files.upload(f"{folder}/a", Broken(self.CONTENT), overwrite=True, part_size=MIB, use_parallel=False)
        assert not [path for path in databricks.open_uploads if path.startswith(folder)]
        with pytest.raises(NotFound):
            client.files.get_metadata(f"{folder}/a")

    def test_go_on_with_new_urls_when_the_old_ones_expire(self, folder: str, databricks: Databricks) -> None:
        class Slow(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                if self.tell() == MIB:  # the URLs of the first three parts have been given, and one has been used
                    databricks.expire_urls()
                return super().read(size)

        client = connect(databricks.url, databricks.token)
        client.config.files_ext_multipart_upload_batch_url_count = 3
        client.files.upload(f"{folder}/a", Slow(self.CONTENT), overwrite=True, part_size=MIB, use_parallel=False)
        assert get(client, f"{folder}/a") == self.CONTENT
        parts = databricks.requests(rf"PUT /cloud-storage{folder}/a")
        assert [seen.status for seen in parts] == [201, 403, 403, 201, 201, 201, 201, 201]

    @pytest.mark.parametrize("offered", [True, False], ids=["behind a firewall", "not offered"])
    def test_are_one_request_without_cloud_storage(self, folder: str, databricks: Databricks, offered: bool) -> None:
        client = connect(databricks.url, databricks.token)
        with databricks.without_cloud(offered=offered):
            put(client, f"{folder}/a", self.CONTENT)
            assert get(client, f"{folder}/a") == self.CONTENT
        (request,) = databricks.requests(rf"PUT /api/2.0/fs/files{folder}/a")
        assert request.size == len(self.CONTENT)

    def test_cloud_storage_refuses_tokens(self, client: WorkspaceClient, folder: str, databricks: Databricks) -> None:
        put(client, f"{folder}/a", b"x")
        answer: Any = client.api_client.do("POST", "/api/2.0/fs/create-download-url", query={"path": f"{folder}/a"})
        assert requests.get(answer["url"], timeout=10).content == b"x"
        told = requests.get(answer["url"], headers={"Authorization": f"Bearer {databricks.token}"}, timeout=10)
        assert (told.status_code, told.headers["x-ms-error-code"]) == (400, "InvalidAuthenticationInfo")
        assert requests.put(answer["url"], data=b"y", timeout=10).status_code == 403


class TestDbfs:
    @pytest.fixture
    def root(self, databricks: Databricks) -> Iterator[str]:
        with databricks.dbfs_folder() as path:
            yield path.removeprefix("dbfs:")

    def test_there_and_back(self, client: WorkspaceClient, root: str) -> None:
        content = os.urandom(3 * MIB + 5)
        with client.dbfs.open(f"{root}/a/b", write=True) as file:
            for start in range(0, len(content), 700_000):
                file.write(content[start : start + 700_000])
        with client.dbfs.open(f"{root}/a/b", read=True) as file:
            assert b"".join(iter(lambda: file.read(MIB), b"")) == content
        status = client.dbfs.get_status(f"{root}/a/b")
        assert (status.path, status.is_dir, status.file_size) == (f"{root}/a/b", False, len(content))
        assert status.modification_time
        assert status.modification_time % 1000 == 0

    def test_put(self, client: WorkspaceClient, root: str) -> None:
        client.dbfs.put(f"{root}/a", contents=base64.b64encode(b"one").decode())
        with pytest.raises(ResourceAlreadyExists):
            client.dbfs.put(f"{root}/a", contents="")
        client.dbfs.put(f"{root}/a", contents=base64.b64encode(b"two").decode(), overwrite=True)
        assert client.dbfs.read(f"{root}/a").data == base64.b64encode(b"two").decode()
        with pytest.raises(DatabricksError) as error:
            client.dbfs.put(f"{root}/b", contents=base64.b64encode(bytes(MIB + 1)).decode())
        assert code(error) == "MAX_BLOCK_SIZE_EXCEEDED"

    def test_put_as_a_form(self, client: WorkspaceClient, root: str, databricks: Databricks) -> None:
        content = os.urandom(2 * MIB)
        answer = requests.post(
            f"{databricks.url}/api/2.0/dbfs/put",
            headers={"Authorization": f"Bearer {databricks.token}"},
            data={"path": f"{root}/a", "overwrite": "True"},
            files={"contents": ("", content)},
            timeout=10,
        )
        assert answer.status_code == 200
        assert client.dbfs.get_status(f"{root}/a").file_size == len(content)

    def test_blocks_have_bounds(self, client: WorkspaceClient, root: str) -> None:
        handle = client.dbfs.create(f"{root}/a").handle
        assert handle
        with pytest.raises(BadRequest) as error:
            client.dbfs.add_block(handle, base64.b64encode(bytes(MIB + 1)).decode())
        assert code(error) == "MAX_BLOCK_SIZE_EXCEEDED"
        client.dbfs.add_block(handle, base64.b64encode(bytes(MIB)).decode())
        client.dbfs.close(handle)
        with pytest.raises(ResourceDoesNotExist):
            client.dbfs.close(handle)
        with pytest.raises(BadRequest) as error:
            client.dbfs.read(f"{root}/a", length=MIB + 1)
        assert code(error) == "MAX_READ_SIZE_EXCEEDED"
        assert client.dbfs.read(f"{root}/a", offset=MIB - 3, length=MIB).bytes_read == 3
        assert client.dbfs.read(f"{root}/a", offset=MIB, length=1).bytes_read == 0

    def test_listing(self, client: WorkspaceClient, root: str) -> None:
        assert list(client.dbfs.list(root)) == []
        for name in ("b", "a/c"):
            client.dbfs.put(f"{root}/{name}", contents="")
        found = {entry.path: entry.is_dir for entry in client.dbfs.list(root)}
        assert found == {f"{root}/a": True, f"{root}/b": False}
        assert {entry.path for entry in client.dbfs.list(root, recursive=True)} == {f"{root}/a/c", f"{root}/b"}
        with pytest.raises(ResourceDoesNotExist):
            list(client.dbfs.list(f"{root}/no"))

    def test_moving(self, client: WorkspaceClient, root: str) -> None:
        for name in ("a", "b", "d/x"):
            client.dbfs.put(f"{root}/{name}", contents="")
        with pytest.raises(ResourceAlreadyExists):
            client.dbfs.move(f"{root}/a", f"{root}/b")
        client.dbfs.move(f"{root}/a", f"{root}/new/a")
        client.dbfs.move(f"{root}/b", f"{root}/d")
        found = [entry.path for entry in client.dbfs.list(root, recursive=True)]
        assert sorted(path or "" for path in found) == [f"{root}/d/b", f"{root}/d/x", f"{root}/new/a"]
        with pytest.raises(ResourceDoesNotExist):
            client.dbfs.move(f"{root}/a", f"{root}/c")

    def test_deleting(self, client: WorkspaceClient, root: str) -> None:
        client.dbfs.put(f"{root}/a/b", contents="")
        api = DbfsAPI(client.api_client)
        with pytest.raises(BadRequest, match="is non empty"):
            api.delete(f"{root}/a")
        api.delete(f"{root}/a", recursive=True)
        api.delete(f"{root}/a")
        assert list(client.dbfs.list(root)) == []

    def test_a_file_is_no_directory(self, client: WorkspaceClient, root: str) -> None:
        client.dbfs.put(f"{root}/a", contents="")
        for call in (
            lambda: client.dbfs.mkdirs(f"{root}/a/b"),
            lambda: client.dbfs.put(f"{root}/a/b", contents=""),
        ):
            with pytest.raises(ResourceAlreadyExists):
                call()
        with pytest.raises(InvalidParameterValue):
            client.dbfs.read(root)

    def test_volumes_are_not_to_be_had_this_way(self, client: WorkspaceClient, folder: str) -> None:
        with pytest.raises(PermissionDenied, match="No operations allowed on this path"):
            client.dbfs.get_status(folder)

    def test_new_accounts_have_no_root(self, client: WorkspaceClient, databricks: Databricks) -> None:
        with databricks.without_dbfs(), pytest.raises(PermissionDenied, match="Public DBFS root is disabled"):
            client.dbfs.get_status("/")


class Given(CredentialsStrategy):
    """A token of the stand-in's own making."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_type(self) -> str:
        return "given"

    def __call__(self, cfg: Config) -> Any:
        return lambda: {"Authorization": f"Bearer {self._token}"}


class TestWhoAsks:
    def test_nobody(self, databricks: Databricks, folder: str) -> None:
        url = f"{databricks.url}/api/2.0/fs/directories{folder}"
        for headers in ({}, {"Authorization": "Basic dXNlcjpwYXNz"}):
            told = requests.get(url, headers=headers, timeout=10)
            assert (told.status_code, told.json()["error_code"]) == (401, "401")
        client = WorkspaceClient(config=Config(host=databricks.url, credentials_strategy=Given("")))
        with pytest.raises(Unauthenticated, match="Credential was not sent"):
            list(client.files.list_directory_contents(folder))

    def test_a_wrong_token(self, databricks: Databricks, folder: str) -> None:
        for token in ("dapi-wrong", databricks.entra_token(expires_in=-1), databricks.entra_token(audience="other")):
            with pytest.raises(PermissionDenied, match="Invalid access token"):
                list(connect(databricks.url, token).files.list_directory_contents(folder))

    def test_a_member_by_entra_id(self, databricks: Databricks, folder: str) -> None:
        assert list(connect(databricks.url, databricks.entra_token()).files.list_directory_contents(folder)) == []
        assert databricks.requests(f"GET .*{folder}")[-1].how == "entra"

    def test_somebody_who_is_no_member(self, databricks: Databricks, folder: str) -> None:
        stranger = databricks._entra.register("stranger")
        databricks.deny(stranger)
        with pytest.raises(PermissionDenied):
            list(connect(databricks.url, databricks.entra_token(stranger)).files.list_directory_contents(folder))

    def test_a_client_of_databricks_own_oauth(self, databricks: Databricks, folder: str) -> None:
        client_id, secret = databricks.new_oauth_client()
        url = f"{databricks.url}/oidc/v1/token"

        def token(secret: str) -> str:
            source = ClientCredentials(client_id, secret, url, scopes="all-apis", use_header=True)
            return source.token().access_token or ""

        assert list(connect(databricks.url, token(secret)).files.list_directory_contents(folder)) == []
        assert databricks.requests(f"GET .*{folder}")[-1].how == "oauth"
        with pytest.raises(ValueError, match="invalid_client"):
            token("wrong")
        with databricks.oauth_lifetime(0):
            expired = connect(databricks.url, token(secret))
        with pytest.raises(PermissionDenied):
            list(expired.files.list_directory_contents(folder))

    def test_there_is_no_word_on_the_host(self, databricks: Databricks) -> None:
        told = requests.get(f"{databricks.url}/.well-known/databricks-config", timeout=10)
        assert told.status_code == 404

    def test_tls(self, databricks: Databricks, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(databricks.ca))
        assert list(connect(databricks.tls_url, databricks.token).files.list_directory_contents(folder)) == []


class TestFaults:
    def test_refusals(self, folder: str, databricks: Databricks, client: WorkspaceClient) -> None:
        databricks.plan(
            Refused(f"GET .*/fs/directories{folder}", 429, "REQUEST_LIMIT_EXCEEDED", headers={"Retry-After": "0"})
        )
        assert list(client.files.list_directory_contents(folder)) == []
        databricks.plan(Refused(f"GET .*/fs/directories{folder}", 500, "INTERNAL_ERROR"))
        with pytest.raises(DatabricksError, match="Injected"):
            list(client.files.list_directory_contents(folder))
        assert [seen.status for seen in databricks.requests(f"GET .*/fs/directories{folder}")] == [429, 200, 500]

    def test_refusals_of_cloud_storage_are_xml(
        self, folder: str, databricks: Databricks, client: WorkspaceClient
    ) -> None:
        put(client, f"{folder}/a", b"x")
        databricks.plan(Refused(f"GET /cloud-storage{folder}/a", 503, "ServerBusy"))
        assert get(client, f"{folder}/a") == b"x"

    def test_lost_answers(self, folder: str, databricks: Databricks, client: WorkspaceClient) -> None:
        databricks.plan(LoseResponse(f"PUT .*{folder}/a"))
        with pytest.raises(AlreadyExists):
            put(client, f"{folder}/a", b"x")
        assert get(client, f"{folder}/a") == b"x"

    def test_a_proxy_can_stand_in_between(self, folder: str, databricks: Databricks) -> None:
        content = os.urandom(4 * MIB)
        with FaultProxy(databricks.url) as proxy:
            client = connect(proxy.url, databricks.token)
            put(client, f"{folder}/a", content)
            proxy.plan(CutResponse(f"GET /cloud-storage{folder}/a", MIB, reset=True))
            assert get(client, f"{folder}/a") == content
            assert proxy.requests("PUT .*cloud-storage|PUT .*fs/files")

    def test_an_upload_that_breaks_leaves_nothing(self, folder: str, databricks: Databricks) -> None:
        def pieces() -> Iterator[bytes]:
            yield b"x" * MIB
            raise RuntimeError("the client dies")

        headers = {"Authorization": f"Bearer {databricks.token}"}
        with pytest.raises(RuntimeError):
            requests.put(f"{databricks.url}/api/2.0/fs/files{folder}/a", data=pieces(), headers=headers, timeout=10)
        assert list(databricks.client().files.list_directory_contents(folder)) == []
