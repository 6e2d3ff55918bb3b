"""The store of file shares with each kind of credential, and copies between stores that have different ones."""

from __future__ import annotations

import logging
import re
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import product

import pytest
from azure.storage.fileshare import AccountSasPermissions, ResourceTypes, Services, generate_account_sas

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Credential,
    RenewedSas,
    SasToken,
)
from airflow_azureml_datastores.errors import (
    AccessDenied,
    Changed,
    DatastoresError,
    PathExists,
    PathNotFound,
    Unavailable,
    Unsupported,
)
from airflow_azureml_datastores.stores import _file_copying, _renewed_sas
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores.azure_file import AzureFileStore
from tests.integration.azure_file_site import MIB, Site, get, new_site, paths, put
from tests.servers.azurefiles import SlowCopy, run_azurefiles
from tests.servers.fault import Answer, LoseResponse, Meanwhile
from tests.servers.fixtures import Servers

BIG = bytes(range(256)) * (9 << 12)
"""Three ranges."""


@pytest.fixture
def site(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with new_site(servers) as made:
        assert made.files.ca is not None
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.files.ca))
        yield made


def work(store: AzureFileStore) -> None:
    """Every call that there is."""
    store.check()
    old = put(store, "f/a", b"old", create=True)
    new = put(store, "f/a", b"content", if_match=old)
    with pytest.raises(PathExists):
        put(store, "f/a", create=True)
    with pytest.raises(Changed):
        put(store, "f/a", if_match=old)
    assert get(store, "f/a", if_match=new) == b"content"
    store.write("f/big", iter([BIG]))
    assert get(store, "f/big") == BIG
    assert list(store.list()) == [store.stat("f/a"), store.stat("f/big")]
    assert store.can_copy_from(store)
    store.copy_from(store, "f/big", "g/copy", create=True)
    assert get(store, "g/copy") == BIG
    assert store.make_directory_like("staged", "g")
    put(store, "staged/x")
    store.rename_directory("staged", "done/staged")
    store.delete("f/a")
    store.delete_directory("f")
    assert paths(store) == ["done/staged/x", "g/copy"]


class Issuer:
    """Gives out SAS tokens of a site's share, each of which lasts about so many seconds."""

    def __init__(self, site: Site, life: float = 3600) -> None:
        self._site, self.life = site, life
        self.given: list[str] = []

    def renew(self) -> str:
        valid = timedelta(seconds=self.life + len(self.given))  # never the same token twice
        self.given.append(self._site.sas(valid=valid).token)
        return self.given[-1]


@pytest.mark.parametrize("kind", ["key", "SAS", "renewed SAS", "account SAS", "token"])
def test_every_call(site: Site, kind: str) -> None:
    everything = AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True)
    credentials: dict[str, Credential] = {
        "key": AccountKey(site.files.key),
        "SAS": site.sas(),
        "renewed SAS": RenewedSas(Issuer(site).renew),
        "account SAS": SasToken(
            generate_account_sas(
                site.files.account,
                site.files.key,
                ResourceTypes(object=True, container=True),
                everything,
                "2030-01-01T00:00:00Z",
                services=Services(fileshare=True),
            )
        ),
        "token": AccessToken(site.files.token()),
    }
    with site.open(credentials[kind], url=site.files.url) as store:
        work(store)
    how = {seen.how for seen in site.files.requests(rf"/{site.share}/(f|g|done)/")}
    assert how == {"key" if kind == "key" else "token" if kind == "token" else "sas"}
    assert site.everything() == ["done/", "done/staged/", "done/staged/x", "g/", "g/copy"]


class TestSas:
    def test_expired(self, site: Site) -> None:
        with (
            site.open(site.sas(valid=timedelta(seconds=-5))) as store,
            pytest.raises(AccessDenied, match=r"the SAS token \(it expired at 20.*has not expired or been rotated"),
        ):
            store.check()

    def test_lacks_a_letter(self, site: Site) -> None:
        with site.open() as owner:
            put(owner, "a", b"content")
            put(owner, "f/a")
        with site.open(site.sas(read=True, list=True)) as store:
            assert get(store, "a") == b"content"
            for call in (lambda: put(store, "a"), lambda: store.delete("a"), lambda: store.delete_directory("f")):
                with pytest.raises(AccessDenied, match="It lacks a letter in 'sp'") as error:
                    call()
                assert "sig=" not in str(error.value)
        assert site.everything() == ["a", "f/", "f/a"]

    def test_makes_no_share(self, site: Site) -> None:
        with site.open(site.sas()) as store, pytest.raises(AccessDenied, match="takes more than rights on files"):
            store.create_if_missing()

    def test_renewed_one_that_the_service_refuses(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """The clock here says that there is time, the service that there is none: each request is signed anew, also
        the source of a rename, which stands in a header."""
        monkeypatch.setattr(_renewed_sas, "_DOUBT", 0)
        issuer = Issuer(site)
        credential = RenewedSas(issuer.renew)
        with site.open(credential) as store:
            put(store, "a")
            for path, seen in (("b", "PUT /.datastore-draft-"), ("c", "PUT /c.comp=rename")):
                site.files.plan(Answer(site.match(seen), 403, "AuthenticationFailed"))
                put(store, path, b"content")
                assert get(store, path) == b"content"
        assert len(issuer.given) == 3

    def test_renewed_one_that_expires_while_it_is_used(self, site: Site) -> None:
        issuer = Issuer(site, 2)
        with site.open(RenewedSas(issuer.renew)) as store:
            until = time.monotonic() + 5
            while time.monotonic() < until:
                work(store)
                for folder in ("g", "done"):
                    store.delete_directory(folder)
        assert len(issuer.given) >= 3
        assert {seen.status for seen in site.files.requests(rf"/{site.share}/")} & {401, 403} == set()


class TestTokens:
    def test_without_the_role(self, site: Site) -> None:
        nobody = site.files.new_app("nobody")
        site.files.deny(nobody)
        with site.open(AccessToken(site.files.token(nobody)), url=site.files.url) as store:
            for call in (store.check, lambda: put(store, "a"), lambda: store.stat("a"), lambda: paths(store)):
                with pytest.raises(AccessDenied, match=r"backup intent.*'Storage File Data Privileged Contributor'"):
                    call()

    @pytest.mark.parametrize("given", ["expired", "nonsense"])
    def test_that_is_refused(self, site: Site, given: str) -> None:
        token = site.files.token(expires_in=-5) if given == "expired" else given
        with site.open(AccessToken(token), url=site.files.url) as store:
            for call in (store.check, lambda: put(store, "a"), lambda: store.stat("a")):
                with pytest.raises(AccessDenied, match="the access token") as error:
                    call()
                assert token not in str(error.value)

    def test_goes_with_the_backup_intent(self, site: Site) -> None:
        """The stand-in, as the service, takes none without."""
        with site.open(AccessToken(site.files.token()), url=site.files.url) as store:
            store.check()
        assert [seen.status for seen in site.files.requests(rf"/{site.share}\?")][-1] == 200


CALLS: list[Callable[[AzureFileStore], object]] = [
    lambda store: store.check(),
    lambda store: paths(store),
    lambda store: store.stat("a"),
    lambda store: get(store, "a"),
    lambda store: put(store, "a"),
    lambda store: put(store, "f/a", create=True),
    lambda store: put(store, "a", BIG),
    lambda store: put(store, "a", if_match="0x0"),
    lambda store: store.delete("a"),
    lambda store: store.copy_from(store, "a", "b"),
    lambda store: store.rename_directory("f", "g"),
    lambda store: store.make_directory_like("f", "g"),
    lambda store: store.delete_directory("f"),
    lambda store: store.create_if_missing(),
]


def test_requests_are_no_news_for_a_tasks_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with site.open() as store:
        work(store)
    assert caplog.messages == []


def test_no_error_shows_a_secret(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """No log either, but for one: when debugging, the SDK's HTTP library shows URLs, with the SAS token in them."""
    other_key, sas, issuer = "c2VjcmV0IG9mIGFub3RoZXIgYWNjb3VudA==", site.sas(read=True), Issuer(site)
    token = site.files.token(expires_in=-5)
    credentials = [AccountKey(site.files.key), AccountKey(other_key), sas, RenewedSas(issuer.renew), AccessToken(token)]
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "urllib3")
    shown = []
    with site.files.share(make=False) as absent:
        places = product([site.share, absent], [site.files.url, "https://127.0.0.1:1/filesaccount1"])
        for (share, url), credential in product(places, credentials):
            with site.open(credential, share=share, url=url, patience=Patience(retries=0, timeout=10)) as store:
                shown += [repr(store), repr(vars(store)), repr(vars(store._share)), store.url]
                for call in CALLS:
                    try:
                        call(store)
                    except DatastoresError as error:
                        shown += traceback.format_exception(error)
    shown += [record.getMessage() for record in caplog.records]
    assert len(shown) > 500
    signatures = [given.rpartition("sig=")[2] for given in (sas.token, *issuer.given)]
    secrets = [site.files.key, other_key, token, *signatures]
    assert [text for text in shown for secret in secrets if secret in text] == []
    assert [text for text in shown if re.search("sig=(?!REDACTED)", text)] == []


class TestCopies:
    @pytest.fixture
    def store(self, site: Site) -> Iterator[AzureFileStore]:
        with site.open() as opened:
            put(opened, "a", b"content")
            yield opened

    def ranges(self, site: Site) -> int:
        return len(site.requests("comp=range")) + len(site.requests("GET /a"))

    @pytest.mark.parametrize("to", ["key", "SAS", "renewed SAS", "token"])
    @pytest.mark.parametrize("source", ["key", "SAS", "renewed SAS", "token"])
    def test_within_an_account(self, site: Site, source: str, to: str) -> None:
        """A key and a role are good for both ends; a SAS is good for its own share."""

        def credential(kind: str, site: Site) -> Credential:
            return {
                "key": AccountKey(site.files.key),
                "SAS": site.sas(),
                "renewed SAS": RenewedSas(Issuer(site).renew),
                "token": AccessToken(site.files.token()),
            }[kind]

        with site.files.share() as other:
            there = Site(site.files, other)
            with (
                site.open(credential(source, site), url=site.files.url) as here,
                there.open(credential(to, there), url=site.files.url) as target,
            ):
                put(here, "f/a ü", b"content")
                possible = target.can_copy_from(here)
                assert possible == (source != "token" or "SAS" not in to)
                target.copy_from(here, "f/a ü", "g/b")
                assert get(target, "g/b") == b"content"
            made = site.files.requests(rf"PUT /\w+/{other}/g/.datastore-draft-\w+($|\?(?!.*comp=))")
            assert (made[-1].status, made[-1].size) == ((202, 0) if possible else (201, 7))

    @pytest.mark.parametrize("kind", ["key", "SAS", "renewed SAS"])
    def test_from_another_account(self, site: Site, kind: str) -> None:
        """Signed for by the other account's key, or SAS. The service that is played here does not reach others."""
        with run_azurefiles("another1") as files, files.share() as share:
            there = Site(files, share)
            given: dict[str, Credential] = {
                "key": AccountKey(files.key),
                "SAS": there.sas(),
                "renewed SAS": RenewedSas(Issuer(there).renew),
            }
            with there.open(given[kind]) as source, site.open() as target:
                put(source, "a", b"content")
                assert not target.can_copy_from(source)  # http, on another host
                target.copy_from(source, "a", "b")
                assert get(target, "b") == b"content"

    def test_that_takes_its_time(self, site: Site, store: AzureFileStore) -> None:
        site.files.plan(SlowCopy(site.match("PUT /.datastore-draft-"), 3))
        etag = store.copy_from(store, "a", "b")
        assert get(store, "b", if_match=etag) == b"content"
        assert site.everything() == ["a", "b"]

    def test_that_fails(self, site: Site, store: AzureFileStore) -> None:
        said = "500 OperationCancelled https://x/a?sig=HUSH"
        site.files.plan(SlowCopy(site.match("PUT /.datastore-draft-"), 1, fails=said))
        with pytest.raises(Unavailable, match=r"'b' in .*its copy failed.*500 OperationCancelled") as error:
            store.copy_from(store, "a", "b")
        assert "HUSH" not in str(error.value)
        assert site.everything() == ["a"]

    def test_that_comes_no_further(self, site: Site, store: AzureFileStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_file_copying, "COPY_PATIENCE", -1)
        site.files.plan(SlowCopy(site.match("PUT /.datastore-draft-"), 1000))
        with pytest.raises(Unavailable, match="has come no further"):
            store.copy_from(store, "a", "b")
        assert len(site.requests("comp=copy")) == 1  # ended, so that the draft can be deleted
        assert site.everything() == ["a"]

    def test_source_that_changes_meanwhile(self, site: Site, store: AzureFileStore) -> None:
        with site.open() as other:
            copy = site.match("PUT /.datastore-draft-")
            site.files.plan(Meanwhile(copy, action=lambda: put(other, "a", b"another")))
            with pytest.raises(Changed, match="'a'"):
                store.copy_from(store, "a", "b")
            site.files.plan(Meanwhile(copy, action=lambda: other.delete("a")))
            with pytest.raises(Changed, match=r"'a'.*gone"):
                store.copy_from(store, "a", "b")
            with pytest.raises(PathNotFound, match="'a'"):
                store.copy_from(store, "a", "b")
        assert site.everything() == []

    def test_service_that_does_not_copy(self, site: Site, store: AzureFileStore) -> None:
        """It is asked once, and the bytes pass through here."""
        site.files.plan(Answer(site.match("PUT /.datastore-draft-"), 501, "NotImplemented"))
        store.copy_from(store, "a", "b")
        assert not store.can_copy_from(store)
        store.copy_from(store, "a", "c")
        assert (get(store, "b"), get(store, "c")) == (b"content", b"content")
        assert site.everything() == ["a", "b", "c"]

    def test_source_that_the_service_cannot_read(self, site: Site, store: AzureFileStore) -> None:
        """As behind a firewall that lets us in: the bytes pass through here, this time."""
        site.files.plan(Answer(site.match("PUT /.datastore-draft-"), 403, "CannotVerifyCopySource"))
        store.copy_from(store, "a", "b")
        assert get(store, "b") == b"content"
        assert store.can_copy_from(store)

    def test_source_whose_url_is_too_long(self, store: AzureFileStore) -> None:
        name = "/".join(["文" * 80] * 3)
        put(store, name, b"content")
        store.copy_from(store, name, "b")
        assert get(store, "b") == b"content"

    @pytest.mark.parametrize("size", [3, 9 * MIB])
    def test_create(self, site: Site, store: AzureFileStore, size: int) -> None:
        put(store, "a", bytes(size))
        store.copy_from(store, "a", "f/b", create=True)
        with pytest.raises(PathExists):
            store.copy_from(store, "a", "f/b", create=True)
        assert site.everything() == ["a", "f/", "f/b"]

    @pytest.mark.parametrize("match", ["PUT /.datastore-draft-", "PUT /b.comp=rename"])
    def test_answer_that_gets_lost(self, site: Site, store: AzureFileStore, match: str) -> None:
        site.files.plan(LoseResponse(site.match(match), times=2))
        etag = store.copy_from(store, "a", "b", create=True)
        assert get(store, "b", if_match=etag) == b"content"
        assert site.everything() == ["a", "b"]

    def test_from_another_kind_of_store(self, store: AzureFileStore, tmp_path_factory: pytest.TempPathFactory) -> None:
        from airflow_azureml_datastores.stores.local_directory import LocalDirectoryStore

        other = LocalDirectoryStore(str(tmp_path_factory.mktemp("local")))
        assert not store.can_copy_from(other)
        with pytest.raises(Unsupported, match="copies from other file shares only"):
            store.copy_from(other, "a", "b")
