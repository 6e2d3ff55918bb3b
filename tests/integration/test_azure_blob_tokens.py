"""The Blob store with tokens, which only travel over https: Azurite behind a certificate of the tests' own."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

from airflow_azureml_datastores.core.credentials import AccessToken, AccountKey, Credential, Identity
from airflow_azureml_datastores.errors import AccessDenied, Unavailable
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores.azure_blob import AzureBlob, AzureBlobStore
from tests.servers.azurite import BlobService, run_azurite
from tests.servers.fixtures import Servers

QUICK = Patience(retries=4, backoff=0.01, timeout=30)


@pytest.fixture(scope="module")
def secured(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlobService]:
    """Azurite over TLS; its authority is trusted by way of the variable that people set for the SDKs."""
    assert servers.azurite  # skips where there is no Azurite to start
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(folder / "ca.pem"))
        with run_azurite("--oauth=basic", f"--cert={folder / 'cert.pem'}", f"--key={folder / 'key.pem'}") as service:
            yield service


@pytest.fixture
def container(secured: BlobService) -> Iterator[str]:
    with secured.container() as name:
        yield name


def open_store(service: BlobService, container: str, credential: Credential) -> AzureBlobStore:
    return AzureBlobStore(AzureBlob(service.account, container, service.url), credential, QUICK)


def token(*, expires_in: float = 3600) -> str:
    """As Microsoft Entra ID makes them, but for the signature, which Azurite does not check."""
    now = time.time()
    claims = {
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/11111111-1111-1111-1111-111111111111/",
        "iat": int(now - 60),
        "nbf": int(now - 60),
        "exp": int(now + expires_in),
        "oid": "22222222-2222-2222-2222-222222222222",
    }
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)] + [b"unsigned"]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def work(store: AzureBlobStore) -> None:
    """Every way that a token travels: obstore, the SDK, our own pipeline, and as the right to read a copy's source."""
    store.check()
    content = bytes(9 << 20)
    store.write("big//one", iter([content]))
    etag = store.write("a", [b"content"], size=7)
    assert b"".join(store.read("a", if_match=etag)) == b"content"
    assert b"".join(store.read("big//one")) == content
    assert [info.path for info in store.list()] == ["a", "big//one"]
    store.delete("a")


def test_account_key(secured: BlobService, container: str) -> None:
    with open_store(secured, container, AccountKey(secured.key)) as store:
        work(store)


def test_access_token(secured: BlobService, container: str) -> None:
    with open_store(secured, container, AccessToken(token())) as store:
        work(store)
        assert store._container.fast("a")


@pytest.mark.parametrize("given", [token(expires_in=-3600), "nonsense"], ids=["expired", "nonsense"])
def test_token_that_is_refused(secured: BlobService, container: str, given: str) -> None:
    with open_store(secured, container, AccessToken(given)) as store:
        for call in (
            store.check,
            lambda: store.stat("a"),
            lambda: list(store.read("a")),
            lambda: store.write("a", [b"x"]),
        ):
            with pytest.raises(AccessDenied, match="the access token") as caught:
                call()
            assert given not in str(caught.value)


@contextmanager
def identity_endpoint(status: int = 200) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """The endpoint of a managed identity, and the queries it was asked.

    https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
    """
    asked: list[dict[str, list[str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(parse_qs(urlsplit(self.path).query))
            answer = {"access_token": token(), "expires_on": str(int(time.time() + 3600)), "token_type": "Bearer"}
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer if status == 200 else {"message": "no identity here"}).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/msi/token", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("client_id", [None, "33333333-3333-3333-3333-333333333333"], ids=["system", "user-assigned"])
def test_managed_identity(
    secured: BlobService, container: str, client_id: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with identity_endpoint() as (url, asked):
        monkeypatch.setenv("IDENTITY_ENDPOINT", url)
        monkeypatch.setenv("IDENTITY_HEADER", "x")
        with open_store(secured, container, Identity("managed", client_id)) as store:
            work(store)
    assert {query["resource"][0] for query in asked} == {"https://storage.azure.com"}
    assert {query.get("client_id", [None])[0] for query in asked} == {client_id}
    assert len(asked) == 1, "a token is kept while it is valid"


def test_managed_identity_that_is_none(secured: BlobService, container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with identity_endpoint(status=400) as (url, _):
        monkeypatch.setenv("IDENTITY_ENDPOINT", url)
        monkeypatch.setenv("IDENTITY_HEADER", "x")
        with open_store(secured, container, Identity("managed")) as store:
            for call in (store.check, lambda: list(store.read("a")), lambda: store.write("a", [b"x"])):
                with pytest.raises(AccessDenied, match=r"the managed identity of the worker: .*no identity here"):
                    call()


def test_certificate_of_somebody_else(secured: BlobService, container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with open_store(secured, container, AccessToken(token())) as store:
        for call in (store.check, lambda: store.stat("a"), lambda: store.write("a", [b"x"])):
            with pytest.raises(Unavailable, match="TLS failed, CERTIFICATE_VERIFY_FAILED"):
                call()
