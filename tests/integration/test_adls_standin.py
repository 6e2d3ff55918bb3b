"""The stand-in of Data Lake Storage Gen2 and OneLake, as the real clients see it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import adlfs
import obstore
import pytest
import requests
from azure.core import MatchConditions
from azure.core.credentials import AccessToken, AzureNamedKeyCredential, AzureSasCredential, TokenCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobBlock, BlobClient, ContainerClient
from azure.storage.filedatalake import (
    ContentSettings,
    DataLakeServiceClient,
    FileSasPermissions,
    FileSystemClient,
    LinearRetry,
    generate_account_sas,
    generate_directory_sas,
    generate_file_sas,
    generate_file_system_sas,
)
from obstore.exceptions import AlreadyExistsError
from obstore.store import AzureStore

from tests.servers.adls import DataLake, Filesystem, LoseResponse, Meanwhile, Refused, StorageAccount
from tests.servers.fault import Answer, CutResponse, FaultProxy
from tests.servers.fixtures import Servers

QUICK = LinearRetry(backoff=0, retry_total=2, random_jitter_range=0)  # type: ignore[no-untyped-call]


class Given(TokenCredential):
    """A token of the stand-in's own making, as a credential."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        assert scopes == ("https://storage.azure.com/.default",)
        return AccessToken(self._token, int(time.time()) + 3600)


@pytest.fixture
def lake(servers: Servers) -> DataLake:
    return servers.adls


@pytest.fixture
def storage(servers: Servers) -> StorageAccount:
    return servers.adls_account


@pytest.fixture
def files(storage: StorageAccount) -> Iterator[FileSystemClient]:
    """A new filesystem in the account that tests share, opened with its key."""
    yield from fresh(storage)


@pytest.fixture
def played(lake: DataLake) -> Iterator[FileSystemClient]:
    """A new filesystem of the stand-in's, whatever account there is beside."""
    yield from fresh(lake.storage)


def fresh(storage: StorageAccount) -> Iterator[FileSystemClient]:
    with storage.filesystem() as name:
        key = AzureNamedKeyCredential(storage.account, storage.key)
        with FileSystemClient(storage.url, name, credential=key, retry_policy=QUICK) as client:
            yield client


@pytest.fixture
def workspace(lake: DataLake) -> Filesystem:
    return lake.onelake.new_workspace(f"ws-{uuid4().hex}")


def write(files: FileSystemClient, path: str, content: bytes = b"content", **kwargs: Any) -> dict[str, Any]:
    with files.get_file_client(path) as file:
        file.create_file(**kwargs)
        if content:
            file.append_data(content, 0)
        return file.flush_data(len(content))


def read(files: FileSystemClient, path: str, **kwargs: Any) -> bytes:
    return files.get_file_client(path).download_file(**kwargs).readall()


def names(files: FileSystemClient, path: str | None = None, *, recursive: bool = True, **kwargs: Any) -> list[str]:
    return [found.name for found in files.get_paths(path, recursive=recursive, **kwargs)]


def refused(error: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str | None]:
    assert error.value.response is not None
    code = error.value.response.headers["x-ms-error-code"]
    return error.value.status_code, code


def test_filesystems(lake: DataLake) -> None:
    account = lake.new_account()
    account.page = 2
    key = AzureNamedKeyCredential(account.name, account.key)
    with DataLakeServiceClient(lake.plain_url(account), credential=key) as service:
        for name in ("one", "three", "two"):
            service.create_file_system(name, metadata={"kind": name})
        with pytest.raises(ResourceExistsError) as caught:
            service.create_file_system("one")
        assert refused(caught) == (409, "ContainerAlreadyExists")
        with pytest.raises(HttpResponseError) as wrong:
            service.create_file_system("No_Such")
        assert refused(wrong) == (400, "InvalidResourceName")
        assert [found.name for found in service.list_file_systems()] == ["one", "three", "two"]
        assert [found.name for found in service.list_file_systems("t")] == ["three", "two"]
        assert service.get_file_system_client("one").get_file_system_properties().metadata == {"kind": "one"}
        service.delete_file_system("one")
        assert not service.get_file_system_client("one").exists()
        assert service.get_file_system_client("two").exists()
        for call in (
            lambda: service.delete_file_system("one"),
            lambda: list(service.get_file_system_client("one").get_paths()),
            lambda: service.get_file_client("one", "a").create_file(),
        ):
            with pytest.raises(ResourceNotFoundError):
                call()


def test_write_and_read(files: FileSystemClient) -> None:
    content = bytes(range(256)) * 64
    file = files.get_file_client("a/b c/ü+%.bin")
    assert not file.exists()
    created = file.create_file(metadata={"key": "välue"}, content_settings=ContentSettings(content_type="text/x"))
    file.append_data(content[:9000], 0)
    file.append_data(content[9000:], 9000)
    assert read(files, "a/b c/ü+%.bin") == b"", "what is not flushed is not there"
    flushed = file.flush_data(len(content))
    assert flushed["etag"] != created["etag"]
    found = file.get_file_properties()
    assert (found.size, found.etag, found.metadata) == (len(content), flushed["etag"], {"key": "välue"})
    assert found.content_settings.content_type == "text/x"
    assert found.content_settings.content_md5 is None
    assert found.name == "a/b c/ü+%.bin"
    assert file.download_file().readall() == content
    assert file.download_file(offset=100, length=50).readall() == content[100:150]
    assert b"".join(file.download_file(max_concurrency=4).chunks()) == content
    assert files.get_directory_client("a/b c").exists(), "parents are made"
    assert files.get_directory_client("a/b c").get_directory_properties().metadata == {"hdi_isfolder": "true"}
    with pytest.raises(HttpResponseError) as beyond:
        file.download_file(offset=len(content), length=1)
    assert refused(beyond) == (416, "InvalidRange")
    write(files, "empty", b"")
    assert read(files, "empty") == b""


def test_flush_wants_contiguous_content(files: FileSystemClient) -> None:
    file = files.get_file_client("a")
    file.create_file()
    file.append_data(b"world", 6)
    with pytest.raises(HttpResponseError) as caught:
        file.flush_data(11)
    assert refused(caught) == (400, "InvalidFlushPosition")
    file.append_data(b"hello ", 0)
    for position in (4, 12):
        with pytest.raises(HttpResponseError) as caught:
            file.flush_data(position)
        assert refused(caught) == (400, "InvalidFlushPosition")
    file.flush_data(6, retain_uncommitted_data=True)
    assert read(files, "a") == b"hello "
    file.flush_data(11)
    assert read(files, "a") == b"hello world"
    file.append_data(b"!", 11, flush=True)
    assert read(files, "a") == b"hello world!"
    with pytest.raises(HttpResponseError) as short:
        file.flush_data(3)
    assert refused(short) == (400, "InvalidFlushPosition")
    with pytest.raises(ResourceNotFoundError) as absent:
        files.get_file_client("none").append_data(b"x", 0)
    assert refused(absent) == (404, "PathNotFound")


def test_upload_data(files: FileSystemClient) -> None:
    file = files.get_file_client("a/b")
    content = bytes(9 << 20)
    file.upload_data(content, overwrite=True, chunk_size=2 << 20, max_concurrency=4, validate_content=True)
    assert read(files, "a/b", max_concurrency=4, validate_content=True) == content
    with pytest.raises(ResourceExistsError):
        file.upload_data(b"other", overwrite=False)
    file.upload_data(iter([b"new ", b"content"]), length=11, overwrite=True)
    assert read(files, "a/b") == b"new content"


def test_conditions(files: FileSystemClient) -> None:
    file = files.get_file_client("a")
    first = write(files, "a", b"one")["etag"]
    only_if = {"etag": first, "match_condition": MatchConditions.IfNotModified}
    with pytest.raises(ResourceExistsError) as there:
        file.create_file(match_condition=MatchConditions.IfMissing)
    assert refused(there) == (409, "PathAlreadyExists")
    assert read(files, "a", **only_if) == b"one"
    second = write(files, "a", b"two")["etag"]
    assert second != first
    with pytest.raises(ResourceModifiedError) as changed:
        read(files, "a", **only_if)
    assert refused(changed) == (412, "ConditionNotMet")
    for call in (
        lambda: file.get_file_properties(**only_if),
        lambda: file.delete_file(**only_if),
        lambda: file.flush_data(3, **only_if),
        lambda: file.create_file(**only_if),
        lambda: file.set_metadata({"a": "b"}, **only_if),
        lambda: file.delete_file(if_unmodified_since=datetime(2020, 1, 1, tzinfo=UTC)),
    ):
        with pytest.raises((ResourceModifiedError, HttpResponseError)) as unmet:
            call()
        assert unmet.value.status_code == 412
    with pytest.raises(ResourceModifiedError):
        files.get_file_client("none").create_file(match_condition=MatchConditions.IfPresent)
    file.delete_file(etag=second, match_condition=MatchConditions.IfNotModified)
    assert not file.exists()


def test_rename(files: FileSystemClient) -> None:
    etag = write(files, "a b/ö.txt")["etag"]
    files.create_directory("to")
    moved = files.get_file_client("a b/ö.txt").rename_file(f"{files.file_system_name}/to/new ü.txt")
    assert moved.get_file_properties().etag == etag
    assert read(files, "to/new ü.txt") == b"content"
    assert names(files) == ["a b", "to", "to/new ü.txt"]
    write(files, "other", b"other")
    target = f"{files.file_system_name}/to/new ü.txt"
    with pytest.raises(ResourceExistsError) as there:
        files.get_file_client("other").rename_file(target, match_condition=MatchConditions.IfMissing)
    assert refused(there) == (409, "PathAlreadyExists")
    assert read(files, "to/new ü.txt") == b"content"
    with pytest.raises(HttpResponseError) as changed:
        files.get_file_client("other").rename_file(
            target, source_etag='"0x1"', source_match_condition=MatchConditions.IfNotModified
        )
    assert refused(changed) == (412, "SourceConditionNotMet")
    files.get_file_client("other").rename_file(target)
    assert read(files, "to/new ü.txt") == b"other"
    with pytest.raises(HttpResponseError) as absent:
        files.get_file_client("other").rename_file(target)
    assert refused(absent) == (404, "SourcePathNotFound")
    with pytest.raises(HttpResponseError) as nowhere:
        files.get_file_client("to/new ü.txt").rename_file(f"{files.file_system_name}/no/such")
    assert refused(nowhere) == (404, "RenameDestinationParentPathNotFound")


def test_rename_of_a_directory(files: FileSystemClient) -> None:
    for path in ("a/b/1", "a/b/c/2", "a.txt", "ab"):
        write(files, path, path.encode())
    folder = files.get_directory_client("a")
    with pytest.raises(HttpResponseError) as inside:
        folder.rename_directory(f"{files.file_system_name}/a/b/z")
    assert refused(inside) == (409, "InvalidRenameSourcePath")
    with pytest.raises(HttpResponseError) as kind:
        folder.rename_directory(f"{files.file_system_name}/a.txt")
    assert refused(kind) == (409, "InvalidSourceOrDestinationResourceType")
    folder.rename_directory(f"{files.file_system_name}/z")
    assert names(files) == ["a.txt", "ab", "z", "z/b", "z/b/1", "z/b/c", "z/b/c/2"]
    assert read(files, "z/b/c/2") == b"a/b/c/2"


def test_one_of_many_renames_without_replacing_wins(files: FileSystemClient) -> None:
    for number in range(16):
        write(files, f"temp-{number}", str(number).encode())

    def publish(number: int) -> int | None:
        try:
            files.get_file_client(f"temp-{number}").rename_file(
                f"{files.file_system_name}/final", match_condition=MatchConditions.IfMissing
            )
        except ResourceExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        won = [number for number in pool.map(publish, range(16)) if number is not None]
    assert len(won) == 1
    assert read(files, "final") == str(won[0]).encode()


def test_list(files: FileSystemClient) -> None:
    for path in ("a/1", "a/b/2", "a/b/3", "a-b/4", "top"):
        write(files, path, path.encode())
    everything = ["a", "a/1", "a/b", "a/b/2", "a/b/3", "a-b", "a-b/4", "top"]
    assert names(files) == everything
    assert names(files, max_results=3) == everything
    pages = [len(list(page)) for page in files.get_paths(max_results=3).by_page()]
    assert pages == [3, 3, 2]
    assert names(files, recursive=False) == ["a", "a-b", "top"]
    assert names(files, "a", recursive=False, max_results=1) == ["a/1", "a/b"]
    assert names(files, "a/b") == ["a/b/2", "a/b/3"]
    found = {path.name: path for path in files.get_paths()}
    assert (found["a"].is_directory, found["a/1"].is_directory) == (True, False)
    assert found["a/1"].content_length == 3
    assert found["a/1"].etag == files.get_file_client("a/1").get_file_properties().etag.strip('"')
    with pytest.raises(ResourceNotFoundError) as absent:
        names(files, "none")
    assert refused(absent) == (404, "PathNotFound")
    with pytest.raises(HttpResponseError) as wrong:
        next(files.get_paths().by_page("***"))
    assert refused(wrong) == (400, "InvalidQueryParameterValue")


def test_delete(files: FileSystemClient) -> None:
    for path in ("a/1", "a/b/2", "ab/3"):
        write(files, path)
    with pytest.raises(HttpResponseError) as full:
        files.get_file_client("a").delete_file()
    assert refused(full) == (409, "DirectoryNotEmpty")
    files.delete_directory("a")
    assert names(files) == ["ab", "ab/3"]
    files.delete_file("ab/3")
    for call in (lambda: files.delete_file("ab/3"), lambda: files.delete_directory("a")):
        with pytest.raises(ResourceNotFoundError) as absent:
            call()
        assert refused(absent) == (404, "PathNotFound")


def test_the_root_is_not_for_taking_away(files: FileSystemClient) -> None:
    write(files, "a")
    with pytest.raises(HttpResponseError) as caught:
        files.delete_directory("/")
    assert caught.value.status_code == 400
    assert names(files) == ["a"]


def test_kinds_do_not_mix(files: FileSystemClient) -> None:
    write(files, "file")
    write(files, "folder/1")
    for call in (
        lambda: files.create_directory("file"),
        lambda: files.create_file("folder"),
        lambda: files.create_file("file/below"),
    ):
        with pytest.raises(ResourceExistsError) as caught:
            call()
        assert refused(caught) == (409, "PathConflict")
    files.create_directory("folder")
    assert names(files, "folder") == ["folder/1"], "what is in a directory that is made again stays"


def test_access_control(files: FileSystemClient) -> None:
    write(files, "a/1")
    folder, file = files.get_directory_client("a"), files.get_file_client("a/1")
    file.set_access_control(owner="me", group="us", permissions="0750")
    found = file.get_access_control()
    assert (found["owner"], found["group"], found["permissions"]) == ("me", "us", "rwxr-x---")
    acl = "user::rwx,user:11111111-1111-1111-1111-111111111111:r--,group::r--,mask::r--,other::---"
    folder.set_access_control(acl=acl)
    assert folder.get_access_control()["acl"] == acl
    assert folder.get_access_control()["permissions"].endswith("+")
    result = folder.update_access_control_recursive("user:22222222-2222-2222-2222-222222222222:rwx", batch_size=1)
    assert (result.counters.directories_successful, result.counters.files_successful) == (1, 1)
    assert "2222:rwx" in file.get_access_control()["acl"]
    created = files.create_file("b", permissions="0777", umask="0027").get_access_control()
    assert created["permissions"] == "rwxr-x---"


def test_default_access_control_is_inherited(storage: StorageAccount, files: FileSystemClient) -> None:
    folder = files.create_directory("a")
    access, default = "user::rwx,group::r-x,other::---", "default:user::rwx,default:group::rwx,default:other::---"
    folder.set_access_control(acl=f"{access},{default}")
    write(files, "a/file")
    write(files, "a/b/c/file")
    assert files.get_file_client("a/file").get_access_control()["acl"] == "user::rwx,group::rwx,other::---"
    made = files.get_directory_client("a/b/c").get_access_control()["acl"]
    assert made == f"user::rwx,group::rwx,other::---,{default}"
    assert files.get_directory_client("a/b/c").get_access_control()["permissions"] == "rwxrwx---"
    files.get_file_client("a/file").set_access_control(acl="user::r--,group::---,other::---")
    blob_client(storage, files, "a/file").upload_blob(b"again", overwrite=True)
    assert files.get_file_client("a/file").get_access_control()["acl"] == "user::r--,group::---,other::---"


def blob_client(storage: StorageAccount, files: FileSystemClient, path: str) -> BlobClient:
    """The same file as a blob."""
    key = AzureNamedKeyCredential(storage.account, storage.key)
    return BlobClient(storage.blob_url, files.file_system_name, path, credential=key, retry_policy=QUICK)


def test_copies_inside_the_service(storage: StorageAccount, files: FileSystemClient) -> None:
    write(files, "from/a b", b"content")
    source = blob_client(storage, files, "from/a b")
    opens = "?" + generate_file_sas(
        storage.account, files.file_system_name, "from", "a b", storage.key, FileSasPermissions(read=True), ago(-600)
    )
    etag = source.get_blob_properties().etag
    condition = {"source_etag": etag, "source_match_condition": MatchConditions.IfNotModified}
    target = blob_client(storage, files, "to/b")
    done = target.start_copy_from_url(source.url + opens, requires_sync=True, **condition)
    assert (done["copy_status"], read(files, "to/b")) == ("success", b"content")
    with pytest.raises(ResourceExistsError):
        target.start_copy_from_url(source.url + opens, requires_sync=True, match_condition=MatchConditions.IfMissing)
    target.stage_block_from_url("1", source.url + opens, 1, 3)
    target.commit_block_list([BlobBlock("1")])
    assert read(files, "to/b") == b"ont"
    write(files, "from/a b", b"changed")
    with pytest.raises(HttpResponseError) as caught:
        target.start_copy_from_url(source.url + opens, requires_sync=True, **condition)
    assert refused(caught) == (412, "SourceConditionNotMet")
    with pytest.raises(HttpResponseError) as caught:
        target.start_copy_from_url(source.url, requires_sync=True)
    assert refused(caught) == (403, "CannotVerifyCopySource")
    assert read(files, "to/b") == b"ont"


def test_blobs_are_listed_directory_by_directory(lake: DataLake, played: FileSystemClient) -> None:
    for path in ("a/b", "a-b", "a/b-c/d", "ab"):
        write(played, path)
    lake._shared.page = 2
    try:
        key = AzureNamedKeyCredential(lake.storage.account, lake.storage.key)
        container = ContainerClient(lake.storage.blob_url, played.file_system_name, credential=key)
        found = list(container.list_blob_names())
    finally:
        lake._shared.page = 5000
    assert found == ["a", "a/b", "a/b-c", "a/b-c/d", "a-b", "ab"]


def test_lease(files: FileSystemClient) -> None:
    write(files, "a")
    file = files.get_file_client("a")
    lease = file.acquire_lease()
    with pytest.raises(HttpResponseError) as missing:
        file.append_data(b"x", 0)
    assert refused(missing) == (412, "LeaseIdMissing")
    with pytest.raises(HttpResponseError) as taken:
        file.acquire_lease()
    assert refused(taken) == (409, "LeaseAlreadyPresent")
    with pytest.raises(HttpResponseError) as other:
        file.delete_file(lease=str(uuid4()))
    assert refused(other) == (412, "LeaseIdMismatchWithBlobOperation")
    assert file.get_file_properties().lease.state == "leased"
    file.append_data(b"x", 7, lease=lease)
    lease.renew()
    lease.release()
    file.delete_file()


def test_no_key_and_a_wrong_one(storage: StorageAccount, files: FileSystemClient) -> None:
    wrong = AzureNamedKeyCredential(storage.account, base64.b64encode(bytes(64)).decode())
    with FileSystemClient(storage.url, files.file_system_name, credential=wrong, retry_policy=QUICK) as client:
        for call in (client.exists, lambda: names(client), lambda: client.create_file("a")):
            with pytest.raises(HttpResponseError) as caught:
                call()
            assert refused(caught) == (403, "AuthenticationFailed")
    with FileSystemClient(storage.url, files.file_system_name, retry_policy=QUICK) as nobody:
        with pytest.raises(ClientAuthenticationError) as caught:
            names(nobody)
        assert refused(caught) == (401, "NoAuthenticationInformation")


def ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def test_account_sas(storage: StorageAccount, files: FileSystemClient) -> None:
    write(files, "a/b")

    def opened(permission: str, resources: str = "sco", **kwargs: Any) -> FileSystemClient:
        sas = generate_account_sas(
            storage.account, storage.key, resources, permission, **{"expiry": ago(-60), "start": ago(5), **kwargs}
        )
        credential = AzureSasCredential(sas)
        return FileSystemClient(storage.url, files.file_system_name, credential=credential, retry_policy=QUICK)

    with opened("rwdlacup") as client:
        write(client, "a/ü", b"by sas")
        assert read(client, "a/ü") == b"by sas"
        client.get_file_client("a/ü").rename_file(f"{files.file_system_name}/a/z")
        assert names(client, "a") == ["a/b", "a/z"]
        client.delete_directory("a")
    write(files, "a/b")
    for client, code in (
        (opened("r", expiry=ago(1)), "AuthenticationFailed"),
        (opened("r", start=ago(-5)), "AuthenticationFailed"),
        (opened("w"), "AuthorizationPermissionMismatch"),
        (opened("r", "sc"), "AuthorizationResourceTypeMismatch"),
        *(
            [(opened("r", protocol="https"), "AuthorizationProtocolMismatch")]
            if storage.url.startswith("http:")
            else []
        ),
    ):
        with client, pytest.raises(HttpResponseError) as caught:
            read(client, "a/b")
        assert refused(caught) == (403, code)


def test_service_sas(storage: StorageAccount, files: FileSystemClient) -> None:
    name = files.file_system_name
    write(files, "in/a b/ü", b"deep")
    write(files, "in/other", b"other")
    write(files, "out", b"out")

    def opened(sas: str) -> FileSystemClient:
        return FileSystemClient(storage.url, name, credential=AzureSasCredential(sas), retry_policy=QUICK)

    whole = generate_file_system_sas(storage.account, name, storage.key, "rwdl", ago(-60))
    with opened(whole) as client:
        assert names(client) == ["in", "in/a b", "in/a b/ü", "in/other", "out"]
        assert read(client, "in/a b/ü") == b"deep"
        with pytest.raises(HttpResponseError) as mismatch:
            client.get_file_client("out").set_access_control(permissions="0777")
        assert refused(mismatch) == (403, "AuthorizationPermissionMismatch")
    below = generate_directory_sas(storage.account, name, "in", storage.key, "rl", ago(-60))
    with opened(below) as client:
        assert names(client, "in/a b") == ["in/a b/ü"]
        assert read(client, "in/a b/ü") == b"deep"
        with pytest.raises(HttpResponseError) as outside:
            read(client, "out")
        assert refused(outside) == (403, "AuthenticationFailed")
    one = generate_file_sas(storage.account, name, "in", "other", storage.key, "r", ago(-60))
    with opened(one) as client:
        assert read(client, "in/other") == b"other"
        with pytest.raises(HttpResponseError) as outside:
            read(client, "in/a b/ü")
        assert refused(outside) == (403, "AuthenticationFailed")
        with pytest.raises(HttpResponseError) as mismatch:
            client.delete_file("in/other")
        assert refused(mismatch) == (403, "AuthorizationPermissionMismatch")
    with opened(whole.replace("sp=rwdl", "sp=rwdlp")) as client:
        with pytest.raises(HttpResponseError) as forged:
            names(client)
        assert refused(forged) == (403, "AuthenticationFailed")


def secure(lake: DataLake, token: str, account: Any) -> DataLakeServiceClient:
    return DataLakeServiceClient(
        lake.url(account), credential=Given(token), retry_policy=QUICK, connection_verify=str(lake.ca)
    )


def test_token(lake: DataLake) -> None:
    account = lake.new_account()
    account.page = 3
    someone = lake.entra.register("someone")
    with secure(lake, lake.token(someone), account) as service:
        files = service.create_file_system("data")
        for number in range(8):
            write(files, f"a/{number}")
        files.delete_directory("a")
        assert names(files) == []
        calls = [seen for seen in lake.requests(rf"DELETE /{account.name}/data/a\?") if seen.by == someone.client_id]
        assert [seen.status for seen in calls] == [202, 202, 200], "rights are looked at page by page"
        key = service.get_user_delegation_key(ago(5), ago(-60))
        write(files, "b", b"delegated")
    sas = generate_file_sas(account.name, "data", "", "b", key, "r", ago(-30))
    with FileSystemClient(lake.plain_url(account), "data", credential=AzureSasCredential(sas)) as client:
        assert read(client, "b") == b"delegated"
    account.denied.add(someone.client_id)
    for token, status, code in (
        (lake.token(someone), 403, "AuthorizationPermissionMismatch"),
        (lake.token(expires_in=-60), 401, "InvalidAuthenticationInfo"),
        (lake.token(audience="https://management.azure.com"), 401, "InvalidAuthenticationInfo"),
        ("nonsense", 401, "InvalidAuthenticationInfo"),
    ):
        with secure(lake, token, account) as service, pytest.raises(HttpResponseError) as caught:
            read(service.get_file_system_client("data"), "b")
        assert refused(caught) == (status, code)
    answer = requests.get(
        f"{lake.plain_url(account)}/data/b", headers={"Authorization": f"Bearer {lake.token()}"}, timeout=10
    )
    assert answer.status_code == 403, "no tokens over http"


def test_tokens_of_another_entra(lake: DataLake, servers: Servers) -> None:
    account = lake.new_account()
    token = servers.azureml.token(audience="https://storage.azure.com")
    with secure(lake, token, account) as service, pytest.raises(ClientAuthenticationError):
        service.create_file_system("data")
    lake.accept(servers.azureml._entra)
    with secure(lake, token, account) as service:
        service.create_file_system("data")
    assert list(account.filesystems) == ["data"]


def onelake(lake: DataLake, workspace: Filesystem) -> FileSystemClient:
    return secure(lake, lake.token(), lake.onelake).get_file_system_client(workspace.name)


def test_onelake(lake: DataLake, workspace: Filesystem) -> None:
    with onelake(lake, workspace) as files:
        assert files.exists()
        assert names(files) == ["Lake.Lakehouse", "Lake.Lakehouse/Files", "Lake.Lakehouse/Tables"]
        write(files, "Lake.Lakehouse/Files/a/b", b"content")
        assert read(files, "Lake.Lakehouse/Files/a/b", offset=0, length=3) == b"con"
        target = f"{workspace.name}/Lake.Lakehouse/Files/z"
        files.get_directory_client("Lake.Lakehouse/Files/a").rename_directory(target)
        assert names(files, "Lake.Lakehouse/Files") == ["Lake.Lakehouse/Files/z", "Lake.Lakehouse/Files/z/b"]
        owned = files.get_file_client("Lake.Lakehouse/Files/o").create_file(permissions="0777")
        assert owned["etag"]
        shown = files.get_file_client("Lake.Lakehouse/Files/o").get_access_control()
        assert shown["permissions"] == "rw-r-----", "Fabric manages permissions"
        files.delete_directory("Lake.Lakehouse/Files/z")
        assert names(files, "Lake.Lakehouse/Files") == ["Lake.Lakehouse/Files/o"]


def test_what_fabric_manages(lake: DataLake, workspace: Filesystem) -> None:
    with onelake(lake, workspace) as files:
        write(files, "Lake.Lakehouse/Files/a/b")
        for call in (
            files.delete_file_system,
            files.create_file_system,
            lambda: files.create_directory("New.Lakehouse"),
            lambda: files.create_directory("Lake.Lakehouse/Other"),
            lambda: files.create_file("Lake.Lakehouse/Other/a"),
            lambda: files.create_file("New.Lakehouse/Files/a"),
            lambda: files.delete_directory("Lake.Lakehouse"),
            lambda: files.delete_directory("Lake.Lakehouse/Files"),
            lambda: files.get_directory_client("Lake.Lakehouse/Files").rename_directory(
                f"{workspace.name}/Lake.Lakehouse/F"
            ),
            lambda: files.get_directory_client("Lake.Lakehouse/Files/a").rename_directory(f"{workspace.name}/a"),
            lambda: files.get_file_client("Lake.Lakehouse/Files/a/b").set_access_control(permissions="0777"),
        ):
            with pytest.raises(HttpResponseError) as caught:
                call()
            assert refused(caught) == (400, "OperationNotAllowedOnThePath")
        assert names(files, "Lake.Lakehouse/Files") == ["Lake.Lakehouse/Files/a", "Lake.Lakehouse/Files/a/b"]
    with secure(lake, lake.token(), lake.onelake) as service, pytest.raises(ResourceNotFoundError):
        names(service.get_file_system_client("none"))


def test_onelake_takes_only_tokens(lake: DataLake, workspace: Filesystem) -> None:
    sas = generate_file_system_sas("onelake", workspace.name, lake.onelake.key, "rwdl", ago(-60))
    for credential in (AzureNamedKeyCredential("onelake", lake.onelake.key), AzureSasCredential(sas)):
        client = FileSystemClient(
            lake.url(lake.onelake), workspace.name, credential=credential, connection_verify=str(lake.ca)
        )
        with client, pytest.raises(ClientAuthenticationError) as caught:
            names(client)
        assert caught.value.status_code == 401


def test_planned_faults(lake: DataLake, played: FileSystemClient) -> None:
    mine = played.file_system_name
    lake.plan(Refused(f"PATCH .*/{mine}/a.*append", 503), LoseResponse(f"PUT .*/{mine}/final.*legacy"))
    write(played, "a")
    assert [seen.status for seen in lake.requests(f"/{mine}/a.*append")] == [503, 202], "the client tries again"
    with pytest.raises(HttpResponseError) as lost:
        played.get_file_client("a").rename_file(f"{mine}/final", match_condition=MatchConditions.IfMissing)
    assert refused(lost) == (404, "SourcePathNotFound"), "the second try finds that the first one did it"
    assert read(played, "final") == b"content"
    lake.plan(Meanwhile(f"GET .*/{mine}/final", action=lambda: write(played, "final", b"changed")))
    etag = played.get_file_client("final").get_file_properties().etag
    with pytest.raises(ResourceModifiedError):
        read(played, "final", etag=etag, match_condition=MatchConditions.IfNotModified)
    lake.plan(Refused(f"GET .*/{mine}", 429, "TooManyRequests", headers={"Retry-After": "1"}))
    with pytest.raises(HttpResponseError) as throttled:
        read(played, "final")
    assert refused(throttled) == (429, "TooManyRequests")


def test_behind_the_proxy(lake: DataLake, played: FileSystemClient) -> None:
    storage = lake.storage
    key = AzureNamedKeyCredential(storage.account, storage.key)
    content = bytes(range(256)) * 4096
    with FaultProxy(storage.url) as proxy:
        proxy.plan(Answer(r"PUT .*resource=file", 500), CutResponse(r"GET ", 1000, reset=True))
        with FileSystemClient(proxy.url, played.file_system_name, credential=key, retry_policy=QUICK) as client:
            write(client, "a", content)
            assert read(client, "a") == content
        assert len(proxy.requests(r"GET ")) == 2


def test_many_writers(files: FileSystemClient) -> None:
    def work(number: int) -> bytes:
        write(files, f"{number}/a/b", str(number).encode() * 1000)
        return read(files, f"{number}/a/b")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(24))) == [str(number).encode() * 1000 for number in range(24)]
    assert len(names(files, max_results=7)) == 72


def test_obstore(storage: StorageAccount, files: FileSystemClient) -> None:
    """A client that knows nothing of directories."""
    store = AzureStore(
        files.file_system_name,
        config={"account_name": storage.account, "account_key": storage.key, "endpoint": storage.blob_url},
        client_options={"allow_http": True},
    )
    write(files, "a/b c/ü", b"content")
    assert bytes(obstore.get(store, "a/b c/ü").bytes()) == b"content"
    assert bytes(obstore.get_range(store, "a/b c/ü", start=2, length=3)) == b"nte"
    content = bytes(12 << 20)
    obstore.put(store, "a/big", content, chunk_size=5 << 20)
    assert read(files, "a/big") == content
    obstore.put(store, "small", b"small", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "small", b"again", mode="create")
    found = {entry["path"]: entry["size"] for entry in obstore.list(store).collect()}
    assert {path: size for path, size in found.items() if size} == {"a/b c/ü": 7, "a/big": 12 << 20, "small": 5}
    listed = obstore.list_with_delimiter(store, "a")
    assert (listed["common_prefixes"], [entry["path"] for entry in listed["objects"]]) == (["a/b c"], ["a/big"])
    files.delete_file("small")
    with pytest.raises(FileNotFoundError):
        obstore.head(store, "small")


def test_adlfs(storage: StorageAccount, files: FileSystemClient) -> None:
    mine = files.file_system_name
    connection = f"AccountName={storage.account};AccountKey={storage.key};BlobEndpoint={storage.blob_url}"
    system = adlfs.AzureBlobFileSystem(connection_string=connection, skip_instance_cache=True)
    write(files, "a/b/1", b"content")
    files.create_directory("a/empty")
    assert system.cat(f"{mine}/a/b/1") == b"content"
    assert sorted(system.ls(f"{mine}/a", detail=False)) == [f"{mine}/a/b", f"{mine}/a/empty"]
    assert system.isdir(f"{mine}/a/empty")
    system.pipe(f"{mine}/a/c", b"by adlfs")
    assert read(files, "a/c") == b"by adlfs"
    assert system.find(mine) == [f"{mine}/a/b/1", f"{mine}/a/c"]
    system.rm(f"{mine}/a/c")
    assert not files.get_file_client("a/c").exists()
