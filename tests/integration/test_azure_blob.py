"""The Blob store against the service: credentials, odd corners of the service, and other clients as witnesses."""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import random
import re
import signal
import subprocess
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import (
    ContainerClient,
    ContainerSasPermissions,
    ContentSettings,
    PublicAccess,
    generate_container_sas,
)

from airflow_azureml_datastores.core.credentials import AccountKey, Anonymous, Credential, SasToken
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import (
    AccessDenied,
    Changed,
    Conflict,
    ContainerNotFound,
    DatastoresError,
    InvalidInput,
    PathExists,
    PathNotFound,
    Unavailable,
    UnsafePath,
)
from airflow_azureml_datastores.stores import _blob_copying
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores._blob_container import PART, PARTS_AT_ONCE
from airflow_azureml_datastores.stores._blob_writing import BlobWriter, block_size
from airflow_azureml_datastores.stores._content import regrouped
from airflow_azureml_datastores.stores.azure_blob import AzureBlob, AzureBlobStore
from tests.servers.azurite import BlobService
from tests.servers.fixtures import Servers

MIB = 1 << 20
QUICK = Patience(retries=4, backoff=0.01, timeout=30)
OTHER_KEY = "c2VjcmV0IG9mIGFub3RoZXIgYWNjb3VudCwgbm90IG9mIHRoaXMgb25l"


@dataclass
class Site:
    """A container of the test's own, and ways into it."""

    service: BlobService
    container: str

    def open(self, credential: Credential | None = None, container: str | None = None) -> AzureBlobStore:
        location = AzureBlob(self.service.account, container or self.container, endpoint=self.service.url)
        return AzureBlobStore(location, credential or AccountKey(self.service.key), QUICK)

    def sdk(self) -> ContainerClient:
        """The Azure SDK's own client, as a witness."""
        key = AzureNamedKeyCredential(self.service.account, self.service.key)
        return ContainerClient(self.service.url, self.container, credential=key)

    def sas(self, *, valid: timedelta = timedelta(hours=1), **permissions: bool) -> SasToken:
        token = generate_container_sas(
            self.service.account,
            self.container,
            self.service.key,
            permission=ContainerSasPermissions(**permissions),
            expiry=datetime.now(UTC) + valid,
        )
        return SasToken(token)


@pytest.fixture
def site(servers: Servers) -> Iterator[Site]:
    with servers.azurite.container() as container:
        yield Site(servers.azurite, container)


@pytest.fixture
def store(site: Site) -> Iterator[AzureBlobStore]:
    with site.open() as opened:
        yield opened


def put(store: FileStore, path: str, content: bytes = b"x", *, create: bool = False) -> str:
    return store.write(path, [content], size=len(content), create=create)


def get(store: FileStore, path: str) -> bytes:
    return b"".join(store.read(path))


def paths(store: FileStore) -> list[str]:
    return [info.path for info in store.list()]


class TestCredentials:
    def test_sas_token(self, site: Site) -> None:
        token = site.sas(read=True, list=True, write=True, create=True, delete=True)
        with site.open(SasToken("?" + token.token)) as store:
            store.check()
            put(store, "a/b", b"content")
            put(store, "big//one", bytes(9 * MIB))
            assert get(store, "a/b") == b"content"
            assert paths(store) == ["a/b", "big//one"]
            assert store.stat("a/b").size == 7
            store.copy_from(store, "a/b", "copy")
            store.delete("a/b")
            assert paths(store) == ["big//one", "copy"]

    def test_sas_token_that_may_only_read(self, site: Site, store: AzureBlobStore) -> None:
        put(store, "a", b"content")
        with site.open(site.sas(read=True, list=True)) as reader:
            assert get(reader, "a") == b"content"
            with pytest.raises(AccessDenied, match="the SAS token"):
                put(reader, "a", b"new")
            with pytest.raises(AccessDenied):
                reader.delete("a")
        assert get(store, "a") == b"content"

    def test_sas_token_that_has_expired(self, site: Site) -> None:
        with (
            site.open(site.sas(read=True, list=True, valid=-timedelta(days=1))) as store,
            pytest.raises(AccessDenied, match=r"the SAS token \(it expired at 20"),
        ):
            store.check()

    def test_anonymous_in_a_public_container(self, site: Site, store: AzureBlobStore) -> None:
        put(store, "a", b"content")
        with site.sdk() as client:
            client.set_container_access_policy({}, public_access=PublicAccess.CONTAINER)
        with site.open(Anonymous()) as public:
            public.check()
            assert paths(public) == ["a"]
            assert get(public, "a") == b"content"
            with pytest.raises(AccessDenied, match="anonymous"):
                put(public, "b")

    def test_anonymous_in_a_private_container(self, site: Site) -> None:
        with site.open(Anonymous()) as store, pytest.raises((AccessDenied, ContainerNotFound)):
            store.check()

    @pytest.mark.parametrize(
        "credential",
        [AccountKey(OTHER_KEY), SasToken("sv=2021-12-02&sr=c&sp=rl&se=2050-01-01&sig=Zm9yZ2Vk")],
        ids=["key", "sas"],
    )
    def test_wrong_one(self, site: Site, credential: Credential) -> None:
        with site.open(credential) as store:
            for call in CALLS:
                with pytest.raises(AccessDenied) as caught:
                    call(store)
                assert "account key" in str(caught.value) or "SAS token" in str(caught.value)

    def test_environment_has_no_say(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """Obstore reads variables that are meant for others."""
        for name, value in {
            "AZURE_STORAGE_ACCOUNT_NAME": "somebodyelse",
            "AZURE_STORAGE_ACCOUNT_KEY": OTHER_KEY,
            "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=x",
            "AZURE_STORAGE_TOKEN": "token",
            "AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:9",
            "AZURE_STORAGE_USE_EMULATOR": "true",
            "AZURE_SKIP_SIGNATURE": "true",
            "AZURE_CREDENTIAL_TYPE": "managed_identity",
            "AZURE_CLIENT_ID": "x",
            "AZURE_CONTAINER_NAME": "other",
        }.items():
            monkeypatch.setenv(name, value)
        with site.open() as store:
            fast = store._container.fast("a")
            assert fast is not None
            import obstore

            obstore.put(fast, "a", b"content", use_multipart=False)
            assert bytes(obstore.get(fast, "a").bytes()) == b"content"
            assert paths(store) == ["a"]


CALLS: Sequence[Callable[[FileStore], object]] = [
    lambda store: store.check(),
    lambda store: list(store.list()),
    lambda store: store.stat("a"),
    lambda store: get(store, "a"),
    lambda store: get(store, "a//b"),
    lambda store: put(store, "a"),
    lambda store: put(store, "a", create=True),
    lambda store: put(store, "a", bytes(9 * MIB)),
    lambda store: store.delete("a"),
    lambda store: store.copy_from(store, "a", "b"),
]


@contextmanager
def closed_port() -> Iterator[str]:
    """URL at which nothing listens."""
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/devstoreaccount1"


class TestNobodyThere:
    def test_refused(self, site: Site) -> None:
        with closed_port() as url:
            store = AzureBlobStore(AzureBlob("devstoreaccount1", "raw", url), AccountKey(site.service.key), QUICK)
            with store:
                for call in CALLS:
                    with pytest.raises(Unavailable, match="connection refused"):
                        call(store)

    def test_no_such_host(self, site: Site) -> None:
        location = AzureBlob("contoso", "raw", "https://contoso.blob.core.windows.invalid")
        with AzureBlobStore(location, AccountKey(site.service.key), QUICK) as store:
            for call in CALLS[:4]:
                with pytest.raises(Unavailable, match="does not resolve; check the account's name"):
                    call(store)


def test_requests_are_no_news_for_a_tasks_log(store: AzureBlobStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    put(store, "a//b")
    assert (get(store, "a//b"), paths(store)) == (b"x", ["a//b"])
    store.copy_from(store, "a//b", "c")
    store.delete("a//b")
    assert caplog.messages == []


def test_no_error_shows_a_secret(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """No log either, but for one: when debugging, the SDK's HTTP library shows URLs, with the SAS token in them."""
    key, sas, impatient = site.service.key, site.sas(read=True), Patience(retries=0, timeout=10)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "urllib3")
    shown = []
    with closed_port() as nowhere:
        credentials = [AccountKey(key), AccountKey(OTHER_KEY), sas]
        places = [(site.service.url, site.container), (site.service.url, "no-such-container"), (nowhere, "raw")]
        for (url, container), credential in product(places, credentials):
            with AzureBlobStore(AzureBlob("devstoreaccount1", container, url), credential, impatient) as store:
                shown += [repr(store), repr(vars(store)), repr(vars(store._container)), store.url]
                shown.append(repr(store._container.fast("a")))
                shown += [text for call in CALLS for text in outcome(store, call)]
    shown += [record.getMessage() for record in caplog.records]
    assert len(shown) > 200
    secrets = [key, OTHER_KEY, sas.token, sas.token.rpartition("sig=")[2]]
    assert [text for text in shown for secret in secrets if secret in text] == []
    assert [text for text in shown if re.search("sig=(?!REDACTED)", text)] == []


def outcome(store: FileStore, call: Callable[[FileStore], object]) -> list[str]:
    """What is to be seen of an error, as a traceback shows it."""
    try:
        call(store)
    except DatastoresError as error:
        return traceback.format_exception(error)
    return []


class TestListing:
    def test_names_that_other_clients_wrote(self, site: Site, store: AzureBlobStore) -> None:
        """Also those that this store refuses to write: one odd name bends or fails no listing."""
        names = [
            "a//b",
            "/lead",
            "trail/",
            "dot.",
            "a./b",
            "x\ty",
            "x\ny",
            "x\r\ny",
            "x\x7fy",
            " ",
            "<&>'\"",
            "%41",
            "é",
        ]
        with site.sdk() as client:
            for name in names:
                client.upload_blob(name, b"x")
        assert sorted(paths(store)) == sorted(names)
        with pytest.raises(UnsafePath, match="control character"):
            get(store, "x\ty")

    def test_pages(self, store: AzureBlobStore) -> None:
        names = [f"f{number:02}" for number in range(10)]
        for name in names:
            put(store, name)
        pages = [[blob.path for blob in page.blobs] for page in store._container.pages("", size=4)]
        assert pages == [names[:4], names[4:8], names[8:]]

    def test_nothing_is_asked_before_it_is_wanted(self, site: Site) -> None:
        with site.open(AccountKey(OTHER_KEY)) as store:
            listing = store.list()
            with pytest.raises(AccessDenied):
                next(listing)


class TestDirectories:
    """The markers that a hierarchical namespace, and clients that imitate one, put for directories."""

    @pytest.fixture(autouse=True)
    def _marker(self, site: Site) -> None:
        with site.sdk() as client:
            client.upload_blob("folder", b"", metadata={"hdi_isfolder": "true"})

    def test_is_no_file(self, store: AzureBlobStore) -> None:
        for call in (store.stat, lambda path: get(store, path)):
            with pytest.raises(PathNotFound, match="it is a directory"):
                call("folder")


class TestReading:
    def test_compressed_content_comes_as_it_is(self, site: Site, store: AzureBlobStore) -> None:
        packed = gzip.compress(b"content" * 1000)
        settings = ContentSettings(content_encoding="gzip")
        with site.sdk() as client:
            for path in ("packed", "odd//packed"):
                client.upload_blob(path, packed, content_settings=settings)
                assert get(store, path) == packed

    def test_closed_early_it_ends_its_threads(self, store: AzureBlobStore) -> None:
        put(store, "big", bytes(40 * MIB))
        reader = store.read("big")
        next(reader), next(reader)
        assert readers()
        reader.close()
        deadline = time.monotonic() + 10
        while readers():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_odd_name_of_something_big(self, store: AzureBlobStore) -> None:
        content = random.Random(1).randbytes(21 * MIB)
        etag = store.write("a//b/", iter([content]))
        assert store.stat("a//b/").etag == etag
        assert get(store, "a//b/") == content
        assert b"".join(store.read("a//b/", start=7 * MIB, length=9 * MIB)) == content[7 * MIB : 16 * MIB]

    @pytest.mark.parametrize(("start", "length"), [(-1, None), (0, -1)])
    def test_negative_range(self, store: AzureBlobStore, start: int, length: int | None) -> None:
        with pytest.raises(InvalidInput):
            list(store.read("a", start=start, length=length))


class CountedBytes(bytes):
    """Bytes of which it is known how many there are: they take no weak references."""

    alive = 0

    def __init__(self, size: int) -> None:
        CountedBytes.alive += 1

    def __del__(self) -> None:
        CountedBytes.alive -= 1


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("read-blob")]


class TestWriting:
    @pytest.mark.parametrize("size", [3, 9 * MIB])
    @pytest.mark.parametrize("announced", [2, 10 * MIB])
    def test_size_that_is_not_so(self, store: AzureBlobStore, size: int, announced: int) -> None:
        with pytest.raises(InvalidInput, match=f"to have {announced} bytes but {size} came"):
            store.write("a", [bytes(size)], size=announced)
        assert paths(store) == []

    def test_big_create_over_something_does_not_upload(self, store: AzureBlobStore) -> None:
        """What is in the way is learned of after two parts, not after all of them."""
        put(store, "a")
        taken = 0

        def chunks() -> Iterator[bytes]:
            nonlocal taken
            for _ in range(100):
                taken += 1
                yield bytes(MIB)

        with pytest.raises(PathExists):
            store.write("a", chunks(), create=True)
        assert taken == 2 * PART // MIB

    def test_memory_does_not_grow_with_the_content(self, store: AzureBlobStore) -> None:
        """So many parts are on their way, one waits for its turn, one is just being made."""
        most = 0

        def parts() -> Iterator[bytes]:
            nonlocal most
            for _ in range(40):
                part = CountedBytes(1000)
                most = max(most, CountedBytes.alive)
                yield part

        assert len(BlobWriter(store._container)._stage("x", parts())) == 40
        assert most <= PARTS_AT_ONCE + 2

    def test_snapshots_protect_from_deletion(self, site: Site, store: AzureBlobStore) -> None:
        put(store, "a", b"first")
        with site.sdk() as client:
            client.get_blob_client("a").create_snapshot()
            put(store, "a", b"second")
            with pytest.raises(Conflict, match="It has snapshots"):
                store.delete("a")
            assert get(store, "a") == b"second"
            client.delete_blob("a", delete_snapshots="include")

    def test_leased_blob(self, site: Site, store: AzureBlobStore) -> None:
        put(store, "a", b"first")
        with site.sdk() as client:
            lease = client.get_blob_client("a").acquire_lease()
            with pytest.raises(Conflict, match="holds a lease"):
                put(store, "a", b"second")
            lease.release()
        assert get(store, "a") == b"first"


def test_parts() -> None:
    chunks = [b"", b"abc", b"", b"defghij", b"klmn", b"o"]
    assert list(regrouped(chunks, 4)) == [b"abcd", b"efgh", b"ijkl", b"mno"]
    assert list(regrouped([b"abcd", b"efgh"], 4)) == [b"abcd", b"efgh"]
    assert list(regrouped([b"x" * 11], 4)) == [b"xxxx", b"xxxx", b"xxx"]
    assert list(regrouped([], 4)) == []


def test_blocks_are_large_enough_that_they_suffice() -> None:
    assert block_size(0) == block_size(50_000 * PART) == PART
    assert block_size(50_000 * PART + 1) == 2 * PART
    assert block_size(50_000 * 4000 * MIB) == 4000 * MIB


class TestCopying:
    @pytest.fixture(autouse=True)
    def _small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_blob_copying, "ONE_REQUEST", MIB)
        monkeypatch.setattr(_blob_copying, "BLOCK", MIB)

    def test_in_blocks(self, store: AzureBlobStore) -> None:
        content = random.Random(1).randbytes(5 * MIB + 1)
        put(store, "a b%/ü", content)
        etag = store.copy_from(store, "a b%/ü", "copy//of it")
        assert store.stat("copy//of it").etag == etag
        assert hashlib.sha256(get(store, "copy//of it")).digest() == hashlib.sha256(content).digest()

    def test_in_blocks_create(self, store: AzureBlobStore) -> None:
        put(store, "a", bytes(2 * MIB))
        put(store, "b", b"there")
        with pytest.raises(PathExists):
            store.copy_from(store, "a", "b", create=True)
        assert get(store, "b") == b"there"

    def test_source_that_changes(self, store: AzureBlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
        put(store, "a", bytes(2 * MIB))
        info = store.stat("a")
        put(store, "a", b"1" * (2 * MIB))
        for size in (ONE_BYTE, info.size):
            with pytest.raises(Changed):
                store._copier.copy(
                    store._container, type(info)("a", size, info.etag, info.modified), "b", _blob_copying.Condition()
                )
        assert paths(store) == ["a"]

    def test_from_a_store_with_a_token(self, site: Site, store: AzureBlobStore) -> None:
        put(store, "a", b"content")
        with site.open(site.sas(read=True)) as source:
            assert store.can_copy_from(source)
            store.copy_from(source, "a", "b")
        assert get(store, "b") == b"content"

    def test_where_it_works(self, site: Site, store: AzureBlobStore) -> None:
        def there(url: str, credential: Credential) -> AzureBlobStore:
            return AzureBlobStore(AzureBlob("fabrikam", "raw", url), credential)

        key, sas = AccountKey(OTHER_KEY), SasToken("sv=1&sig=x")
        cloud, other_cloud = (there(f"https://{name}.blob.core.windows.net", key) for name in ("contoso", "fabrikam"))
        assert store.can_copy_from(site.open(Anonymous()))
        assert cloud.can_copy_from(other_cloud)
        assert cloud.can_copy_from(there("https://fabrikam.blob.core.windows.net", sas))
        assert not cloud.can_copy_from(there("https://fabrikam.blob.core.windows.net", Anonymous()))
        assert not cloud.can_copy_from(store), "the cloud does not reach a service on this machine"
        assert not store.can_copy_from(cloud)

    def test_name_too_long_for_a_url_passes_through(self, store: AzureBlobStore) -> None:
        path = "文" * 900
        put(store, path, b"content")
        store.copy_from(store, path, "b")
        assert get(store, "b") == b"content"


ONE_BYTE = 1


def test_in_a_forked_process(store: AzureBlobStore, site: Site) -> None:
    """Obstore's calls never return there once it has been used in the parent."""
    put(store, "a", b"content")
    assert get(store, "a") == b"content"
    child = os.fork()
    if not child:
        signal.alarm(20)
        with site.open() as other:
            put(other, "b", b"from the child")
            os._exit(0 if get(other, "a") == b"content" and other.stat("a").size == 7 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert get(store, "b") == b"from the child"


class TestRclone:
    """An independent client sees what we wrote, byte for byte, and we what it wrote."""

    FILES = {
        "plain.txt": b"content",
        "empty": b"",
        "a b/ü %41 #?&+.bin": random.Random(1).randbytes(100_000),
        "文/🚀.csv": b"1,2\n",
        "big": random.Random(2).randbytes(17 * MIB),
    }

    @pytest.fixture
    def rclone(self, site: Site) -> Callable[..., str]:
        environment = {
            **os.environ,
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_AZUREBLOB_ACCOUNT": site.service.account,
            "RCLONE_AZUREBLOB_KEY": site.service.key,
            "RCLONE_AZUREBLOB_ENDPOINT": site.service.url,
        }
        program = Path(sysconfig.get_path("scripts"), "rclone")

        def run(*arguments: str) -> str:
            command = [str(program), *arguments]
            return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

        return run

    def test_reads_what_we_wrote(
        self, site: Site, store: AzureBlobStore, rclone: Callable[..., str], tmp_path: Path
    ) -> None:
        for path, content in self.FILES.items():
            put(store, path, content)
        listed = rclone("lsf", "--recursive", "--files-only", "--format", "sp", f":azureblob:{site.container}")
        assert sorted(listed.splitlines()) == sorted(f"{len(c)};{p}" for p, c in self.FILES.items())
        rclone("copy", f":azureblob:{site.container}", str(tmp_path))
        assert {path: (tmp_path / path).read_bytes() for path in self.FILES} == self.FILES

    def test_wrote_what_we_read(
        self, site: Site, store: AzureBlobStore, rclone: Callable[..., str], tmp_path: Path
    ) -> None:
        for path, content in self.FILES.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(content)
        rclone("copy", "--azureblob-upload-cutoff", "8Mi", str(tmp_path), f":azureblob:{site.container}")
        assert {info.path: info.size for info in store.list()} == {p: len(c) for p, c in self.FILES.items()}
        assert {path: get(store, path) for path in self.FILES} == self.FILES
