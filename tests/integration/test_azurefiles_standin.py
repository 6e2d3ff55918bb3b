"""The stand-in of Azure Files, as the real clients see it: azure-storage-file-share, and rclone."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from azure.core.credentials import AccessToken, AzureNamedKeyCredential, AzureSasCredential, TokenCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.fileshare import (
    AccountSasPermissions,
    ContentSettings,
    FileSasPermissions,
    LinearRetry,
    ResourceTypes,
    Services,
    ShareClient,
    ShareLeaseClient,
    ShareSasPermissions,
    ShareServiceClient,
    generate_account_sas,
    generate_file_sas,
    generate_share_sas,
)

from tests.servers.azurefiles import AzureFiles, SlowCopy
from tests.servers.fault import Answer, CutResponse, FaultProxy, LoseResponse, Meanwhile
from tests.servers.fixtures import Servers

MIB = 1 << 20


class Given(TokenCredential):
    """A token of the stand-in's own making, as a credential."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)


@pytest.fixture
def files(servers: Servers) -> AzureFiles:
    if not isinstance(servers.azurefiles, AzureFiles):
        pytest.skip("a real account is played with, not tested")
    return servers.azurefiles


@pytest.fixture
def name(files: AzureFiles) -> Iterator[str]:
    with files.share() as name:
        yield name


@pytest.fixture
def share(files: AzureFiles, name: str) -> Iterator[ShareClient]:
    with open_share(files, name) as client:
        yield client


def open_share(files: AzureFiles, name: str, credential: Any = None, *, url: str = "", **options: Any) -> ShareClient:
    return ShareClient(
        url or files.plain_url,
        name,
        credential=credential or AzureNamedKeyCredential(files.account, files.key),
        connection_verify=str(files.ca),
        retry_policy=LinearRetry(backoff=0.01, retry_total=3, random_jitter_range=0),
        **options,
    )


def code(error: pytest.ExceptionInfo[HttpResponseError]) -> tuple[int | None, str]:
    told = error.value.error_code  # type: ignore[attr-defined]
    return error.value.status_code, getattr(told, "value", told)


def test_shares_are_made_told_of_listed_and_deleted(files: AzureFiles) -> None:
    service = ShareServiceClient(files.plain_url, AzureNamedKeyCredential(files.account, files.second_key))
    prefix = f"made-{uuid4().hex[:8]}"
    for number in range(5):
        service.create_share(f"{prefix}-{number}", quota=number + 1, metadata={"number": str(number)})
    with pytest.raises(ResourceExistsError) as error:
        service.create_share(f"{prefix}-0")
    assert code(error) == (409, "ShareAlreadyExists")
    pages = list(service.list_shares(prefix, include_metadata=True, results_per_page=2).by_page())
    listed = [[(share.name, share.quota, share.metadata["number"]) for share in page] for page in pages]
    assert [len(page) for page in listed] == [2, 2, 1]
    assert [share for page in listed for share in page] == [
        (f"{prefix}-{number}", number + 1, str(number)) for number in range(5)
    ]
    client = service.get_share_client(f"{prefix}-3")
    assert client.get_share_properties().quota == 4
    client.delete_share()
    with pytest.raises(ResourceNotFoundError) as error:
        client.get_share_properties()
    assert code(error)[0] == 404
    with pytest.raises(ResourceNotFoundError) as error:
        client.delete_share()
    assert code(error) == (404, "ShareNotFound")
    with pytest.raises(HttpResponseError) as refused:
        service.create_share("Not--A-Share")
    assert code(refused) == (400, "InvalidResourceName")


def test_directories_need_their_parents_and_are_deleted_when_empty(share: ShareClient) -> None:
    with pytest.raises(ResourceNotFoundError) as error:
        share.create_directory("a/b")
    assert code(error) == (404, "ParentNotFound")
    share.create_directory("a", metadata={"of": "test"})
    share.create_directory("a/b")
    with pytest.raises(ResourceExistsError) as exists:
        share.create_directory("A/B")
    assert code(exists) == (409, "ResourceAlreadyExists")
    assert share.get_directory_client("a").get_directory_properties().metadata == {"of": "test"}
    with pytest.raises(HttpResponseError) as full:
        share.delete_directory("a")
    assert code(full) == (409, "DirectoryNotEmpty")
    share.delete_directory("a/b")
    share.delete_directory("a")
    assert not share.get_directory_client("a").exists()


def test_a_directory_is_listed_in_pages(share: ShareClient) -> None:
    share.create_directory("d")
    for number in range(7):
        share.get_file_client(f"d/File {number} & (é).txt").upload_file(b"x" * number)
    share.create_directory("d/folder")
    folder = share.get_directory_client("d")
    pages = [list(page) for page in folder.list_directories_and_files(results_per_page=3).by_page()]
    assert [len(page) for page in pages] == [3, 3, 2]
    items = sorted((item for page in pages for item in page), key=lambda item: item.name)
    assert [item.name for item in items] == [*(f"File {number} & (é).txt" for number in range(7)), "folder"]
    assert [item.get("size") for item in items[:7]] == list(range(7))
    assert items[7].is_directory
    assert items[0].etag is None
    found = list(
        folder.list_directories_and_files("file 3", include=["timestamps", "Etag"], include_extended_info=True)
    )
    properties = share.get_file_client("d/File 3 & (é).txt").get_file_properties()
    assert [item.name for item in found] == ["File 3 & (é).txt"]
    assert (found[0].etag, found[0].file_id) == (properties.etag, properties.file_id)
    assert datetime.fromisoformat(found[0].last_write_time) == properties.last_write_time
    with pytest.raises(ResourceNotFoundError) as error:
        list(share.get_directory_client("d/no").list_directories_and_files())
    assert code(error) == (404, "ResourceNotFound")


def test_a_file_goes_up_in_ranges_and_comes_down(share: ShareClient, files: AzureFiles) -> None:
    content = os.urandom(9 * MIB + 17)
    client = share.get_file_client("big.bin")
    client.upload_file(content, max_concurrency=3, content_settings=ContentSettings(content_type="a/b"))
    sizes = [seen.size for seen in files.requests(rf"PUT .*{share.share_name}/big\.bin\?comp=range")]
    assert sorted(sizes) == [MIB + 17, 4 * MIB, 4 * MIB]
    assert client.download_file(max_concurrency=3).readall() == content
    assert client.download_file(offset=4 * MIB - 3, length=7).readall() == content[4 * MIB - 3 : 4 * MIB + 4]
    assert client.download_file(offset=MIB, length=MIB, validate_content=True).readall() == content[MIB : 2 * MIB]
    properties = client.get_file_properties()
    assert (properties.size, properties.content_settings.content_type) == (len(content), "a/b")
    assert properties.content_settings.content_md5 is None
    client.upload_file(b"small", content_settings=ContentSettings(content_md5=hashlib.md5(b"small").digest()))
    assert client.get_file_properties().content_settings.content_md5 == hashlib.md5(b"small").digest()
    assert client.download_file().readall() == b"small"


def test_a_file_is_made_of_zeros_and_replaces_another(share: ShareClient) -> None:
    client = share.get_file_client("f")
    client.upload_file(b"before")
    before = client.get_file_properties()
    client.create_file(1000)
    assert client.download_file().readall() == bytes(1000)
    assert client.get_file_properties().etag != before.etag
    assert list(client.list_ranges()) == []
    client.upload_range(b"abc", offset=500, length=3)
    client.upload_range(b"def", offset=503, length=3)
    client.upload_range(b"z", offset=0, length=1)
    pages = [[(found.start, found.end) for found in page] for page in client.list_ranges(results_per_page=1).by_page()]
    assert pages == [[(0, 0)], [(500, 505)]]
    client.clear_range(offset=0, length=512)
    assert client.download_file().readall() == bytes(1000)[:503] + bytes(9) + bytes(488)
    client.resize_file(2)
    assert client.get_file_properties().size == 2
    with pytest.raises(ResourceNotFoundError) as error:
        share.get_file_client("no/f").create_file(1)
    assert code(error) == (404, "ParentNotFound")


def test_an_empty_file_has_no_range(share: ShareClient, files: AzureFiles) -> None:
    client = share.get_file_client("empty")
    client.upload_file(b"")
    assert client.download_file().readall() == b""
    statuses = [seen.status for seen in files.requests(rf"GET .*{share.share_name}/empty")]
    assert statuses == [416, 200]
    with pytest.raises(HttpResponseError) as error:
        client.download_file(offset=0, length=1)
    assert code(error) == (416, "InvalidRange")


def test_ranges_have_bounds(share: ShareClient) -> None:
    client = share.get_file_client("f")
    client.create_file(5 * MIB)
    with pytest.raises(HttpResponseError) as error:
        client.upload_range(bytes(4 * MIB + 1), offset=0, length=4 * MIB + 1)
    assert code(error) == (413, "RequestBodyTooLarge")
    with pytest.raises(HttpResponseError) as error:
        client.upload_range(b"abc", offset=5 * MIB - 1, length=3)
    assert code(error) == (416, "InvalidRange")
    assert client.download_file().readall() == bytes(5 * MIB)


def test_names_compare_without_case_and_keep_it(share: ShareClient) -> None:
    share.create_directory("Data")
    share.get_file_client("data/Report.CSV").upload_file(b"1")
    assert share.get_file_client("DATA/report.csv").download_file().readall() == b"1"
    assert [item.name for item in share.list_directories_and_files("DATA")] == ["Report.CSV"]
    share.get_file_client("data/report.csv").upload_file(b"2")
    assert [item.name for item in share.list_directories_and_files("Data")] == ["report.csv"]
    share.get_file_client("data/report.csv").rename_file("data/REPORT.csv")
    assert [item.name for item in share.list_directories_and_files("Data")] == ["REPORT.csv"]


def test_names_compare_character_by_character(share: ShareClient) -> None:
    """What only looks or sounds alike is another name: a ligature, a sharp s, a composed character."""
    names = ["file", "ﬁle", "strasse", "straße", "é", "e\u0301"]
    for name in names:
        share.get_file_client(name).upload_file(name.encode())
    assert sorted(item.name for item in share.list_directories_and_files()) == sorted(names)
    assert share.get_file_client("É").download_file().readall() == "é".encode()


@pytest.mark.parametrize("bad", ["a:b", "a|b", "a*b", "a?b", 'a"b', "a<b", "a\\b", "a\x01b", "NUL", "com1", "x" * 256])
def test_illegal_names_are_refused(share: ShareClient, bad: str) -> None:
    with pytest.raises(HttpResponseError) as error:
        share.get_file_client(bad).create_file(1)
    assert code(error) == (400, "InvalidResourceName")


def test_trailing_dots_go_unless_they_are_asked_for(share: ShareClient, files: AzureFiles) -> None:
    share.get_file_client("a...").upload_file(b"1")
    assert share.get_file_client("a").download_file().readall() == b"1"
    with open_share(files, share.share_name, allow_trailing_dot=True) as exact:
        exact.get_file_client("a...").upload_file(b"2")
    assert [item.name for item in share.list_directories_and_files()] == ["a", "a..."]


def test_renaming_publishes_in_one_step(share: ShareClient) -> None:
    share.create_directory("d")
    for number in (1, 2):
        share.get_file_client(f"tmp {number}").upload_file(b"%d" % number)
    share.get_file_client("tmp 1").rename_file("d/out é.txt")
    with pytest.raises(ResourceExistsError) as error:
        share.get_file_client("tmp 2").rename_file("d/OUT é.txt")
    assert code(error) == (409, "ResourceAlreadyExists")
    assert share.get_file_client("d/out é.txt").download_file().readall() == b"1"
    share.get_file_client("tmp 2").rename_file("d/out é.txt", overwrite=True)
    assert share.get_file_client("d/out é.txt").download_file().readall() == b"2"
    assert [item.name for item in share.list_directories_and_files()] == ["d"]
    with pytest.raises(ResourceNotFoundError) as gone:
        share.get_file_client("tmp 2").rename_file("d/x")
    assert code(gone) == (404, "ResourceNotFound")
    with pytest.raises(ResourceNotFoundError) as gone:
        share.get_file_client("d/out é.txt").rename_file("none/x")
    assert code(gone) == (404, "ParentNotFound")


def test_a_directory_is_renamed_with_all_that_is_in_it(share: ShareClient) -> None:
    for path in ("a", "a/b", "other"):
        share.create_directory(path)
    share.get_file_client("a/b/f").upload_file(b"1")
    with pytest.raises(ResourceExistsError) as error:
        share.get_directory_client("a").rename_directory("other", overwrite=True)
    assert code(error) == (409, "ResourceAlreadyExists")
    share.get_directory_client("a").rename_directory("other/a2")
    assert share.get_file_client("other/a2/b/f").download_file().readall() == b"1"
    assert not share.get_directory_client("a").exists()


def test_only_one_of_many_wins_a_name(share: ShareClient) -> None:
    for number in range(12):
        share.get_file_client(f"tmp{number}").upload_file(b"%d" % number)

    def publish(number: int) -> bool:
        try:
            share.get_file_client(f"tmp{number}").rename_file("out")
        except ResourceExistsError:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        won = list(pool.map(publish, range(12)))
    assert won.count(True) == 1
    assert share.get_file_client("out").download_file().readall() == b"%d" % won.index(True)


def test_files_are_copied(share: ShareClient, files: AzureFiles) -> None:
    source, copy = share.get_file_client("from é"), share.get_file_client("to")
    source.upload_file(b"copied", metadata={"a": "b"}, content_settings=ContentSettings(content_type="a/b"))
    assert copy.start_copy_from_url(source.url)["copy_status"] == "success"
    properties = copy.get_file_properties()
    assert (copy.download_file().readall(), properties.metadata) == (b"copied", {"a": "b"})
    assert (properties.content_settings.content_type, properties.copy.status) == ("a/b", "success")
    with pytest.raises(ResourceNotFoundError) as error:
        copy.start_copy_from_url(share.get_file_client("none").url)
    assert code(error) == (404, "ResourceNotFound")

    copy.create_file(10)
    with pytest.raises(HttpResponseError) as refused:
        copy.upload_range_from_url(source.url, offset=2, length=3, source_offset=1)
    assert code(refused) == (401, "CannotVerifyCopySource")
    sas = generate_file_sas(
        files.account, share.share_name, ["from é"], files.key, FileSasPermissions(read=True), soon(1)
    )
    copy.upload_range_from_url(f"{source.url}?{sas}", offset=2, length=3, source_offset=1)
    assert copy.download_file().readall() == b"\0\0opi" + bytes(5)


def test_a_copy_may_take_its_time(share: ShareClient, files: AzureFiles) -> None:
    source, copy = share.get_file_client("from"), share.get_file_client("to")
    source.upload_file(b"copied")
    files.plan(SlowCopy(rf"PUT /.*/{share.share_name}/to$", 2))
    assert copy.start_copy_from_url(source.url)["copy_status"] == "pending"
    with pytest.raises(HttpResponseError) as error:
        copy.delete_file()
    assert code(error) == (409, "PendingCopyOperation")
    assert [copy.get_file_properties().copy.status for _ in range(3)] == ["pending", "pending", "success"]
    assert copy.download_file().readall() == b"copied"

    files.plan(SlowCopy(rf"PUT /.*/{share.share_name}/to$", 1, fails="500 OperationCancelled"))
    copy.start_copy_from_url(source.url)
    copy.get_file_properties()
    found = copy.get_file_properties()
    assert (found.copy.status, found.copy.status_description, found.size) == ("failed", "500 OperationCancelled", 0)

    files.plan(SlowCopy(rf"PUT /.*/{share.share_name}/to$", 9))
    started = copy.start_copy_from_url(source.url)
    copy.abort_copy(started["copy_id"])
    assert copy.get_file_properties().copy.status == "aborted"
    with pytest.raises(HttpResponseError) as error:
        copy.abort_copy(started["copy_id"])
    assert code(error) == (409, "NoPendingCopyOperation")


def test_rights_are_inherited_or_given_by_key(share: ShareClient) -> None:
    def rights(path: str) -> str:
        return str(share.get_directory_client(path).get_directory_properties().permission_key)

    key = share.create_permission_for_share("O:BAG:BAD:(A;;FA;;;BA)")
    assert share.get_permission_for_share(key) == "O:BAG:BAD:(A;;FA;;;BA)"
    share.create_directory("plain")
    share.create_directory("plain/below")
    assert rights("plain") == rights("plain/below") != rights("")
    own = share.get_directory_client("own")
    own.create_directory(file_permission_key=key, file_property_semantics="Restore")
    assert rights("own") == key
    share.get_directory_client("mixed").create_directory(file_permission_key=key)
    assert rights("mixed") not in (key, rights("plain"))
    file = share.get_file_client("own/f")
    assert file.create_file(1)["file_permission_key"] not in (key, rights("plain"))
    file.rename_file("plain/f")
    assert share.get_file_client("plain/f").get_file_properties().permission_key != rights("plain")
    share.get_file_client("plain/f").rename_file("plain/f2", permission_key=rights("plain"))
    assert share.get_file_client("plain/f2").get_file_properties().permission_key == rights("plain")
    own.set_http_headers(permission_key=rights("plain"))
    assert rights("own") == rights("plain")
    (listed,) = (item for item in share.list_directories_and_files(include=["PermissionKey"]) if item.name == "own")
    assert listed.permission_key == rights("plain")
    with pytest.raises(HttpResponseError):
        share.get_directory_client("d").create_directory(file_permission_key="1*1")


def test_a_lease_is_gone_with_the_file_that_a_rename_replaces(share: ShareClient) -> None:
    for name in ("a", "b", "c"):
        share.get_file_client(name).upload_file(name.encode())
    lease = share.get_file_client("b").acquire_lease()
    with pytest.raises(HttpResponseError) as error:
        share.get_file_client("a").rename_file("b", overwrite=True)
    assert code(error) == (412, "LeaseIdMissing")
    with pytest.raises(HttpResponseError) as error:
        share.get_file_client("a").rename_file("b", overwrite=True, destination_lease=str(uuid4()))
    assert code(error) == (412, "LeaseIdMismatchWithFileOperation")
    share.get_file_client("a").rename_file("b", overwrite=True, destination_lease=lease)
    with pytest.raises(HttpResponseError) as error:
        lease.release()
    assert code(error) == (409, "LeaseNotPresentWithLeaseOperation")

    lease = share.get_file_client("b").acquire_lease()
    ShareLeaseClient(share.get_file_client("b")).break_lease()
    with pytest.raises(HttpResponseError) as error:
        share.get_file_client("c").rename_file("b", overwrite=True, destination_lease=lease)
    assert code(error) == (412, "LeaseNotPresentWithFileOperation")
    with pytest.raises(HttpResponseError) as error:
        share.get_file_client("c").rename_file("d", destination_lease=lease)
    assert code(error) == (412, "LeaseNotPresentWithFileOperation")
    assert share.get_file_client("b").download_file().readall() == b"a"


def test_a_lease_keeps_others_out(share: ShareClient) -> None:
    client = share.get_file_client("f")
    client.upload_file(b"1")
    lease = client.acquire_lease()
    assert client.get_file_properties().lease.state == "leased"
    for change in (client.delete_file, lambda: client.upload_file(b"2"), lambda: client.rename_file("g")):
        with pytest.raises(HttpResponseError) as error:
            change()
        assert code(error) == (412, "LeaseIdMissing")
    with pytest.raises(HttpResponseError) as error:
        client.delete_file(lease=str(uuid4()))
    assert code(error) == (412, "LeaseIdMismatchWithFileOperation")
    with pytest.raises(HttpResponseError) as error:
        ShareLeaseClient(client).acquire()
    assert code(error) == (409, "LeaseAlreadyPresent")
    client.upload_file(b"2", lease=lease)
    lease.release()
    client.delete_file()


def test_a_download_notices_that_the_file_changed(share: ShareClient, files: AzureFiles) -> None:
    client = share.get_file_client("f")
    client.upload_file(bytes(3 * MIB))
    with open_share(files, share.share_name, max_single_get_size=MIB, max_chunk_get_size=MIB) as slow:
        stream = slow.get_file_client("f").download_file()
        client.upload_file(b"\1" * 3 * MIB)
        with pytest.raises(ResourceModifiedError):
            stream.readall()


def test_conditions_are_not_taken(share: ShareClient) -> None:
    client = share.get_file_client("f")
    client.upload_file(b"1")
    with pytest.raises(HttpResponseError) as error:
        client.get_file_properties(headers={"If-Match": '"other"'})
    assert error.value.status_code == 400


def soon(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


def test_a_wrong_key_is_refused(files: AzureFiles, name: str) -> None:
    for credential in (
        AzureNamedKeyCredential(files.account, "d3Jvbmc="),
        AzureNamedKeyCredential("another", files.key),
    ):
        with open_share(files, name, credential) as client, pytest.raises(ClientAuthenticationError) as error:
            client.create_directory("d")
        assert code(error) == (403, "AuthenticationFailed")
    answer = requests.get(f"{files.plain_url}/{name}/f", timeout=5)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (401, "NoAuthenticationInformation")


def test_an_account_sas_may_what_it_says(files: AzureFiles, share: ShareClient) -> None:
    share.get_file_client("f").upload_file(b"1")

    def sas(**changed: Any) -> str:
        given = {
            "resource_types": ResourceTypes(object=True),
            "permission": AccountSasPermissions(read=True),
            "expiry": soon(1),
            "services": Services(fileshare=True),
        }
        return generate_account_sas(files.account, files.key, **(given | changed))

    with open_share(files, share.share_name, AzureSasCredential(sas())) as client:
        assert client.get_file_client("f").download_file().readall() == b"1"
        with pytest.raises(HttpResponseError) as error:
            client.get_file_client("f").delete_file()
        assert code(error) == (403, "AuthorizationPermissionMismatch")
        with pytest.raises(HttpResponseError) as error:
            client.get_share_properties()
        assert error.value.status_code == 403
    for changed, why in (
        ({"expiry": soon(-1)}, "AuthenticationFailed"),
        ({"start": soon(0.5)}, "AuthenticationFailed"),
        ({"services": Services(blob=True)}, "AuthorizationServiceMismatch"),
        ({"resource_types": ResourceTypes(container=True)}, "AuthorizationResourceTypeMismatch"),
        ({"protocol": "https"}, "AuthorizationProtocolMismatch"),
    ):
        with (
            open_share(files, share.share_name, AzureSasCredential(sas(**changed))) as client,
            pytest.raises(HttpResponseError) as error,
        ):
            client.get_file_client("f").download_file()
        assert code(error) == (403, why)
    forged = sas().replace("sp=r", "sp=rwdlc")
    with (
        open_share(files, share.share_name, AzureSasCredential(forged)) as client,
        pytest.raises(HttpResponseError) as error,
    ):
        client.get_file_client("f").delete_file()
    assert code(error) == (403, "AuthenticationFailed")


def test_a_service_sas_holds_for_its_share_or_file(files: AzureFiles, share: ShareClient) -> None:
    share.create_directory("d")
    share.get_file_client("d/f").upload_file(b"1")
    share.get_file_client("g").upload_file(b"2")
    of_share = generate_share_sas(
        files.account,
        share.share_name,
        files.key,
        ShareSasPermissions(read=True, write=True, list=True, create=True, delete=True),
        soon(1),
    )
    with open_share(files, share.share_name, AzureSasCredential(of_share)) as client:
        client.get_file_client("d/h").upload_file(b"3")
        with pytest.raises(ClientAuthenticationError):  # as the client signs the new name only
            client.get_file_client("d/h").rename_file("d/i")
    with open_share(files, share.share_name, of_share) as client:
        client.get_file_client("d/h").rename_file("d/i")
        assert [item.name for item in client.list_directories_and_files("d")] == ["f", "i"]
        with pytest.raises(HttpResponseError):
            client.delete_share()
    with files.share() as other, open_share(files, other, AzureSasCredential(of_share)) as client:
        with pytest.raises(HttpResponseError) as error:
            client.create_directory("x")
        assert code(error) == (403, "AuthenticationFailed")
    of_file = generate_file_sas(
        files.account, share.share_name, ["d", "f"], files.key, FileSasPermissions(read=True), soon(1)
    )
    with open_share(files, share.share_name, AzureSasCredential(of_file)) as client:
        assert client.get_file_client("d/f").download_file().readall() == b"1"
        with pytest.raises(HttpResponseError) as error:
            client.get_file_client("g").download_file()
        assert code(error) == (403, "AuthenticationFailed")


def test_a_token_needs_https_and_an_intent(files: AzureFiles, share: ShareClient) -> None:
    share.get_file_client("f").upload_file(b"1")

    def refused(token: str, status: int, why: str, **options: Any) -> None:
        given = {"url": files.url, "token_intent": "backup"} | options
        with (
            open_share(files, share.share_name, Given(token), **given) as client,
            pytest.raises(HttpResponseError) as error,
        ):
            client.get_file_client("f").download_file()
        assert code(error) == (status, why)

    token = files.token()
    with open_share(files, share.share_name, Given(token), url=files.url, token_intent="backup") as client:
        assert client.get_file_client("f").download_file().readall() == b"1"
        client.get_file_client("f").rename_file("g")
        client.get_file_client("g").rename_file("f")
    nobody = files.new_app("nobody")
    files.deny(nobody)
    refused(files.token(audience="https://management.azure.com"), 401, "InvalidAuthenticationInfo")
    refused(files.token(expires_in=-5), 401, "InvalidAuthenticationInfo")
    refused(f"{token}x", 401, "InvalidAuthenticationInfo")
    refused(files.token(nobody), 403, "AuthorizationPermissionMismatch")
    bearer = {"Authorization": f"Bearer {token}", "x-ms-version": "2025-05-05"}
    answer = requests.get(f"{files.url}/{share.share_name}/f", headers=bearer, verify=str(files.ca), timeout=5)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, "MissingRequiredHeader")
    bearer["x-ms-file-request-intent"] = "backup"
    answer = requests.get(f"{files.plain_url}/{share.share_name}/f", headers=bearer, timeout=5)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")


def test_it_fails_as_it_is_told_to(files: AzureFiles, share: ShareClient) -> None:
    client, its = share.get_file_client("f"), f"/{share.share_name}/"
    files.plan(Answer(rf"PUT .*{its}f\?comp=range", 503, times=2))
    client.upload_file(b"1")
    assert [seen.status for seen in files.requests(rf"PUT .*{its}f\?comp=range")] == [503, 503, 201]
    files.plan(LoseResponse(rf"PUT .*{its}g\?comp=rename"))
    with pytest.raises(ResourceNotFoundError):  # done the first time, so there is nothing left to rename
        client.rename_file("g")
    assert share.get_file_client("g").download_file().readall() == b"1"
    files.plan(Meanwhile(rf"GET .*{its}g", action=share.get_file_client("g").delete_file))
    with pytest.raises(ResourceNotFoundError):
        share.get_file_client("g").download_file()


def test_it_stands_behind_the_proxy_of_faults(files: AzureFiles, share: ShareClient) -> None:
    share.get_file_client("f").upload_file(bytes(2 * MIB))
    with FaultProxy(files.plain_url) as proxy:
        proxy.plan(CutResponse(r"GET .*/f", after=MIB))
        with open_share(files, share.share_name, url=proxy.url) as client:
            with pytest.raises(HttpResponseError, match="interrupted"):  # which the client does not try again by itself
                client.get_file_client("f").download_file().readall()
            assert client.get_file_client("f").download_file().readall() == bytes(2 * MIB)
        assert len(proxy.requests(r"GET .*/f")) == 2


def test_rclone_agrees(files: AzureFiles, share: ShareClient, tmp_path: Path) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    (here / "deep" / "er").mkdir(parents=True)
    contents = {"empty": b"", "a b.txt": b"text", "deep/é&+.bin": os.urandom(5 * MIB), "deep/er/x": b"x"}
    for path, content in contents.items():
        (here / path).write_bytes(content)
    files.rclone(share.share_name, "copy", str(here), "files:to/here")
    for path, content in contents.items():
        assert share.get_file_client(f"to/here/{path}").download_file().readall() == content
    files.rclone(share.share_name, "check", str(here), "files:to/here", "--download")
    share.get_file_client("to/here/new").upload_file(b"by the other client")
    files.rclone(share.share_name, "sync", "files:to/here", str(back))
    assert (back / "new").read_bytes() == b"by the other client"
    assert (back / "deep/é&+.bin").read_bytes() == contents["deep/é&+.bin"]
    files.rclone(share.share_name, "moveto", "files:to/here/new", "files:to/there/moved")
    files.rclone(share.share_name, "copyto", "files:to/there/moved", "files:to/there/copied")
    assert sorted(files.rclone(share.share_name, "lsf", "files:to/there").split()) == ["copied", "moved"]
    files.rclone(share.share_name, "purge", "files:to")
    assert list(share.list_directories_and_files()) == []
    shutil.rmtree(back)


def test_rclone_comes_with_a_sas_over_https(files: AzureFiles, share: ShareClient) -> None:
    share.create_directory("d")
    share.get_file_client("d/f").upload_file(b"text")
    sas = generate_account_sas(
        files.account,
        files.key,
        ResourceTypes(object=True, container=True, service=True),
        AccountSasPermissions(read=True, list=True),
        soon(1),
        services=Services(fileshare=True),
        protocol="https",
    )
    assert files.rclone(share.share_name, "cat", "files:d/f", sas=sas) == "text"
    assert {seen.how for seen in files.requests(rf"GET .*/{share.share_name}/d/f")} == {"sas"}
