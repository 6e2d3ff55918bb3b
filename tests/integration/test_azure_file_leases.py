"""Leases on files of a share: writes that name a version, who has to wait for them, and holders that have died."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.fileshare import ShareLeaseClient

from airflow_azureml_datastores.errors import AccessDenied, Changed, Conflict
from airflow_azureml_datastores.stores import _file_leases
from airflow_azureml_datastores.stores.azure_file import AzureFileStore
from tests.integration.azure_file_site import MIB, Site, get, new_site, paths, put, warnings_of
from tests.servers.fault import Answer, LoseResponse, Meanwhile
from tests.servers.fixtures import Servers

SHORT = 0.3
"""Seconds of patience with a lease, in tests that wait until it is over."""
LONG = 20.0


@pytest.fixture
def site(servers: Servers) -> Iterator[Site]:
    with new_site(servers) as made:
        yield made


@pytest.fixture
def store(site: Site) -> Iterator[AzureFileStore]:
    with site.open(lease_patience=LONG) as opened:
        yield opened


@pytest.fixture
def hasty(site: Site) -> Iterator[AzureFileStore]:
    with site.open(lease_patience=SHORT) as opened:
        yield opened


def is_free(site: Site, path: str) -> bool:
    with site.sdk() as client:
        return bool(client.get_file_client(path).get_file_properties().lease.state in ("available", "broken"))


class TestOfOurs:
    def test_is_held_while_a_version_is_replaced(self, site: Site, store: AzureFileStore) -> None:
        etag = put(store, "a", b"old")
        tried: list[str] = []

        def theirs() -> None:
            with site.sdk() as client:
                file = client.get_file_client("a")
                for change in (
                    file.delete_file,
                    lambda: file.upload_range(b"x", 0, 1),
                    file.acquire_lease,
                    lambda: file.upload_file(b"theirs"),
                ):
                    with pytest.raises(HttpResponseError) as error:
                        change()
                    tried.append(str(error.value.error_code))  # type: ignore[attr-defined]

        site.files.plan(Meanwhile(site.match("PUT /a.comp=rename"), action=theirs))
        new = put(store, "a", b"new", if_match=etag)
        assert len(tried) == 4
        assert get(store, "a", if_match=new) == b"new"
        assert is_free(site, "a")

    @pytest.mark.parametrize("size", [3, 9 * MIB])
    def test_is_given_back_when_the_version_is_another(self, site: Site, store: AzureFileStore, size: int) -> None:
        old = put(store, "a", b"old")
        new = put(store, "a", b"new")
        with pytest.raises(Changed):
            put(store, "a", bytes(size), if_match=old)
        assert is_free(site, "a")
        assert get(store, "a", if_match=new) == b"new"

    def test_is_given_back_when_the_rename_is_refused(self, site: Site, store: AzureFileStore) -> None:
        etag = put(store, "a", b"old")
        site.files.plan(Answer(site.match("PUT /a.comp=rename"), 409, "SharingViolation"))
        with pytest.raises(Conflict, match="SMB client"):
            put(store, "a", b"new", if_match=etag)
        assert is_free(site, "a")
        assert site.everything() == ["a"]
        put(store, "a", b"new", if_match=etag)

    @pytest.mark.parametrize("action", ["acquire", "release"])
    def test_answer_that_gets_lost(self, site: Site, store: AzureFileStore, action: str) -> None:
        etag = put(store, "a", b"old")
        skip = 0 if action == "acquire" else 1
        site.files.plan(LoseResponse(site.match("PUT /a.comp=lease"), times=2, skip=skip))
        began = time.monotonic()
        new = put(store, "a", b"new", if_match=etag)
        assert time.monotonic() - began < 5
        assert get(store, "a", if_match=new) == b"new"
        assert is_free(site, "a")

    def test_is_not_kept_if_acquiring_it_fails(self, site: Site, store: AzureFileStore) -> None:
        """The service has given it and was then out of reach."""
        etag = put(store, "a", b"old")
        lease = site.match("PUT /a.comp=lease")
        site.files.plan(LoseResponse(lease), Answer(lease, 403, "AuthorizationFailure"))
        with pytest.raises(AccessDenied):
            put(store, "a", b"new", if_match=etag)
        assert is_free(site, "a")

    def test_that_somebody_broke_is_taken_again(self, site: Site, store: AzureFileStore) -> None:
        etag = put(store, "a", b"old")

        def break_it() -> None:
            with site.sdk() as client:
                ShareLeaseClient(client.get_file_client("a")).break_lease()

        site.files.plan(Meanwhile(site.match("PUT /a.comp=rename"), action=break_it))
        new = put(store, "a", b"new", if_match=etag)
        assert get(store, "a", if_match=new) == b"new"
        assert len(site.requests("/a?comp=rename")) == 3  # the first write, the one refused, and the one that did it
        assert is_free(site, "a")

    @pytest.mark.parametrize("theirs", ["replace", "delete"])
    def test_that_somebody_broke_to_change_the_file(self, site: Site, store: AzureFileStore, theirs: str) -> None:
        """Whoever was slower than the patience of others finds another version and does nothing to it."""
        etag = put(store, "a", b"old")
        with site.open(lease_patience=0) as impatient:
            act = (lambda: put(impatient, "a", b"theirs")) if theirs == "replace" else (lambda: impatient.delete("a"))
            site.files.plan(Meanwhile(site.match("PUT /a.comp=rename"), action=act))
            with pytest.raises(Changed):
                put(store, "a", b"new", if_match=etag)
        assert site.everything() == (["a"] if theirs == "replace" else [])
        if theirs == "replace":
            assert get(store, "a") == b"theirs"
            assert is_free(site, "a")


CALLS: dict[str, Callable[[AzureFileStore, str], object]] = {
    "write": lambda store, etag: put(store, "a", b"new"),
    "big write": lambda store, etag: put(store, "a", b"new" * 3 * MIB),
    "write of a version": lambda store, etag: put(store, "a", b"new", if_match=etag),
    "copy": lambda store, etag: store.copy_from(store, "b", "a"),
    "delete": lambda store, etag: store.delete("a"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
class TestOfOthers:
    @pytest.fixture
    def etag(self, store: AzureFileStore) -> str:
        put(store, "b", b"new")
        return put(store, "a", b"old")

    def test_is_waited_for(
        self, site: Site, store: AzureFileStore, etag: str, call: Callable[[AzureFileStore, str], object]
    ) -> None:
        with site.sdk() as client:
            lease = client.get_file_client("a").acquire_lease()
            timer = threading.Timer(SHORT, lease.release)
            timer.start()
            began = time.monotonic()
            call(store, etag)
            assert SHORT <= time.monotonic() - began < LONG / 2
            timer.join()
        assert "a" not in paths(store) or get(store, "a").startswith(b"new")

    def test_is_broken_when_its_holder_seems_dead(
        self, site: Site, hasty: AzureFileStore, etag: str, call: Callable[[AzureFileStore, str], object]
    ) -> None:
        with site.sdk() as client:
            lease = client.get_file_client("a").acquire_lease()
            began = time.monotonic()
            with warnings_of(_file_leases.log) as said:
                call(hasty, etag)
            assert time.monotonic() - began >= SHORT
            assert [line.partition(" in ")[0] for line in said] == ["Breaking the lease on 'a'"]
            assert "a" not in paths(hasty) or get(hasty, "a").startswith(b"new")
            with pytest.raises(HttpResponseError):
                lease.release()


def test_answer_to_breaking_a_lease_gets_lost(site: Site, hasty: AzureFileStore) -> None:
    put(hasty, "a")
    with site.sdk() as client:
        client.get_file_client("a").acquire_lease()
    site.files.plan(LoseResponse(site.match("PUT /a.comp=lease")))
    hasty.delete("a")
    assert site.everything() == []


def test_patience_starts_anew_when_the_file_changes(site: Site, hasty: AzureFileStore) -> None:
    """As long as others get their writes done nobody is dead."""
    put(hasty, "a", b"old")
    with site.sdk() as client, ThreadPoolExecutor(1) as pool:
        file = client.get_file_client("a")
        lease = file.acquire_lease()
        waiting = pool.submit(put, hasty, "a", b"new")
        for _ in range(5):
            time.sleep(SHORT / 2)
            file.upload_range(b"x", 0, 1, lease=lease)
            assert not waiting.done()
        lease.release()
        waiting.result()
    assert get(hasty, "a") == b"new"
    assert not [seen for seen in site.files.requests(rf"{site.share}/a\?comp=lease") if seen.status == 202]


def test_create_does_not_wait(site: Site, store: AzureFileStore) -> None:
    put(store, "a")
    with site.sdk() as client:
        client.get_file_client("a").acquire_lease()
    began = time.monotonic()
    with pytest.raises(FileExistsError):
        put(store, "a", create=True)
    assert time.monotonic() - began < LONG / 4


def test_killed_between_the_lease_and_the_rename(site: Site, hasty: AzureFileStore) -> None:
    """Its lease would keep all others out for ever."""
    etag = put(hasty, "counter", b"1")
    program = textwrap.dedent(
        """
        import os, signal, sys
        from airflow_azureml_datastores.core.credentials import AccountKey
        from airflow_azureml_datastores.stores._file_commit import Committer
        from airflow_azureml_datastores.stores.azure_file import AzureFile

        account, share, url, key, etag = sys.argv[1:]
        Committer._rename = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        AzureFile(account, share, url).open(AccountKey(key)).write("counter", [b"2"], if_match=etag)
        """
    )
    arguments = [site.files.account, site.share, site.files.plain_url, site.files.key, etag]
    died = subprocess.run([sys.executable, "-c", program, *arguments], timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    assert not is_free(site, "counter")
    assert get(hasty, "counter", if_match=etag) == b"1"
    assert paths(hasty) == ["counter"]
    assert get(hasty, "counter", if_match=put(hasty, "counter", b"3", if_match=etag)) == b"3"


def test_folder_with_leased_files_is_deleted(site: Site, hasty: AzureFileStore) -> None:
    for path in ("f/a", "f/g/b", "f/c"):
        put(hasty, path)
    with site.sdk() as client:
        client.get_file_client("f/a").acquire_lease()
        client.get_file_client("f/g/b").acquire_lease()
    hasty.delete_directory("f")
    assert site.everything() == []


def test_counting_by_impatient_writers(site: Site) -> None:
    """Nothing is lost though leases are broken all the time: a rename without its lease is refused."""
    with site.open() as store:
        put(store, "counter", b"0")

    def count(_: int) -> None:
        with site.open(lease_patience=0.0) as store:
            for _ in range(8):
                while True:
                    etag = store.stat("counter").etag
                    try:
                        put(store, "counter", b"%d" % (int(get(store, "counter", if_match=etag)) + 1), if_match=etag)
                        break
                    except Conflict:  # Changed, or a lease that was broken too often
                        continue

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    with site.open() as store:
        assert get(store, "counter") == b"32"
