"""The Blob store with SAS tokens that expire while it is used: Azurite checks their signature and their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import generate_container_sas

from airflow_azureml_datastores.core.credentials import AccountKey, Credential, RenewedSas, SasToken
from airflow_azureml_datastores.errors import AccessDenied, DatastoresError, Unavailable
from airflow_azureml_datastores.stores import _renewed_sas
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores._blob_writing import Condition
from airflow_azureml_datastores.stores.azure_blob import AzureBlob, AzureBlobStore
from tests.servers.azurite import BlobService
from tests.servers.fixtures import Servers

QUICK = Patience(retries=4, backoff=0.01, timeout=30)
BIG = bytes(range(256)) * (9 << 12)
"""Bytes that travel in more than one block."""


class Issuer:
    """Gives out SAS tokens of a container.

    :param life: seconds that each lasts.
    """

    def __init__(self, service: BlobService, container: str, life: float, permission: str = "racwdl") -> None:
        self._service, self._container, self._permission = service, container, permission
        self.life = life
        self.given: list[str] = []
        self.failure: DatastoresError | None = None
        self.asked = 0

    def renew(self) -> str:
        self.asked += 1
        if self.failure:
            raise self.failure
        token = generate_container_sas(
            self._service.account,
            self._container,
            account_key=self._service.key,
            permission=self._permission,
            expiry=datetime.now(UTC) + timedelta(seconds=self.life),
        )
        self.given.append(token)
        return token


@pytest.fixture
def service(servers: Servers) -> BlobService:
    return servers.azurite


@pytest.fixture
def container(service: BlobService) -> Iterator[str]:
    with service.container() as name:
        yield name


def open_store(service: BlobService, container: str, credential: Credential) -> AzureBlobStore:
    return AzureBlobStore(AzureBlob(service.account, container, service.url), credential, QUICK)


def work(store: AzureBlobStore) -> None:
    """Every way that a token travels: obstore, the SDK, our own pipeline."""
    store.check()
    store.write("big//one", iter([BIG]))
    etag = store.write("a", [b"content"], size=7)
    assert b"".join(store.read("a", if_match=etag)) == b"content"
    assert b"".join(store.read("big//one")) == BIG
    assert [info.path for info in store.list()] == ["a", "big//one"]
    assert store.stat("a").size == 7
    store.delete("a")


CALLS: dict[str, Callable[[AzureBlobStore], object]] = {
    "check": lambda store: store.check(),
    "stat": lambda store: store.stat("a"),
    "read": lambda store: list(store.read("a")),
    "read a name that only the SDK can": lambda store: list(store.read("big//one")),
    "list": lambda store: list(store.list()),
    "write": lambda store: store.write("b", [b"x"]),
    "write blocks": lambda store: store.write("b", [BIG]),
    "delete": lambda store: store.delete("b"),
}


def fill(service: BlobService, container: str) -> None:
    with open_store(service, container, AccountKey(service.key)) as store:
        store.write("a", [b"content"])
        store.write("big//one", [b"content"])


def expired(token: str) -> bool:
    until = _renewed_sas.expiry_of(token)
    return until is not None and datetime.now(UTC) > until + timedelta(seconds=0.5)


def wait_until_expired(token: str) -> None:
    deadline = time.monotonic() + 20
    while not expired(token):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_work(service: BlobService, container: str) -> None:
    issuer = Issuer(service, container, 3600)
    with open_store(service, container, RenewedSas(issuer.renew)) as store:
        assert store._container.fast("a")
        work(store)
    assert issuer.asked == 1


def test_work_that_takes_longer_than_a_token_lasts(service: BlobService, container: str) -> None:
    """Nobody is ever refused, on either client, while three tokens expire."""
    issuer = Issuer(service, container, 3)
    with open_store(service, container, RenewedSas(issuer.renew)) as store:
        deadline = time.monotonic() + 60
        while not (len(issuer.given) > 3 and expired(issuer.given[-2])):
            assert time.monotonic() < deadline
            work(store)
    assert issuer.asked == len(issuer.given) < 10, "a token is kept while it is valid"


@pytest.mark.parametrize("call", CALLS)
def test_refused_token_is_renewed_once(
    service: BlobService, container: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock here says that there is time, the service that there is none."""
    monkeypatch.setattr(_renewed_sas, "_DOUBT", 0)
    fill(service, container)
    issuer = Issuer(service, container, -60)
    with open_store(service, container, RenewedSas(issuer.renew)) as store:
        sas = store._container.access.sas
        assert sas is not None
        sas.token()
        issuer.life = 3600
        CALLS[call](store)
    assert len(issuer.given) == 2
    assert expired(issuer.given[0])


def test_fixed_token_that_expires_says_so(service: BlobService, container: str) -> None:
    fill(service, container)
    token = Issuer(service, container, 2).renew()
    with open_store(service, container, SasToken(token)) as store:
        store.check()
        wait_until_expired(token)
        for call in CALLS.values():
            with pytest.raises(AccessDenied, match=r"the SAS token \(it expired at 2") as caught:
                call(store)
            assert "sig=" not in str(caught.value)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "error", [AccessDenied("listSecrets is denied"), Unavailable("ARM is away")], ids=lambda error: type(error).__name__
)
def test_renewal_that_fails_is_the_error(
    service: BlobService, container: str, call: str, error: DatastoresError
) -> None:
    issuer = Issuer(service, container, 3600)
    issuer.failure = error
    with (
        open_store(service, container, RenewedSas(issuer.renew)) as store,
        pytest.raises(type(error), match=f"^{error}$"),
    ):
        CALLS[call](store)
    assert issuer.asked == 1


def test_missing_permission_is_no_reason_to_ask_again_and_again(service: BlobService, container: str) -> None:
    fill(service, container)
    issuer = Issuer(service, container, 3600, permission="r")
    with open_store(service, container, RenewedSas(issuer.renew)) as store:
        assert list(store.read("a")) == [b"content"]
        for _ in range(3):
            with pytest.raises(AccessDenied, match="denied to the SAS token"):
                store.write("b", [b"x"])
    assert issuer.asked == 1


def test_many_threads(service: BlobService, container: str) -> None:
    issuer = Issuer(service, container, 3600)
    fill(service, container)
    with (
        open_store(service, container, RenewedSas(issuer.renew)) as store,
        ThreadPoolExecutor(16) as pool,
    ):
        found = list(pool.map(lambda _: b"".join(store.read("a")), range(64)))
    assert found == [b"content"] * 64
    assert issuer.asked == 1


def test_copy_inside_the_service(service: BlobService, container: str) -> None:
    """The source's token is in the URL that the service reads from."""
    fill(service, container)
    issuer = Issuer(service, container, 3600, permission="r")
    with (
        service.container() as other,
        open_store(service, container, RenewedSas(issuer.renew)) as source,
        open_store(service, other, AccountKey(service.key)) as target,
    ):
        assert target.can_copy_from(source)
        # Not copy_from, which lets the bytes pass through here if the service cannot do it.
        copied = target._copier.copy(source._container, source.stat("a"), "copy", Condition())
        assert target.stat("copy").etag == copied
        assert b"".join(target.read("copy")) == b"content"
