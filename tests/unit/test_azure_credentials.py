"""Our credentials in the forms that the Azure clients take."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.pipeline.policies import AzureSasCredentialPolicy, BearerTokenCredentialPolicy
from azure.identity import (
    CertificateCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import NameOID

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Anonymous,
    Certificate,
    Credential,
    Identity,
    Login,
    RenewedSas,
    SasToken,
    ServicePrincipal,
)
from airflow_azureml_datastores.errors import InvalidConnection
from airflow_azureml_datastores.stores._azure import AzureAccess, Patience, describe

URL = "https://contoso.blob.core.windows.net"
KEY = base64.b64encode(b"a secret of 64 bytes, or so").decode()
TENANT, CLIENT = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
PRINCIPAL = ServicePrincipal(TENANT, CLIENT, "HUSH")


def access(credential: Credential, url: str = URL) -> AzureAccess:
    return AzureAccess(credential, "contoso", url)


@pytest.mark.parametrize(
    ("credential", "kind"),
    [
        (AccountKey(KEY), AzureNamedKeyCredential),
        (SasToken("?sv=1&sig=HUSH"), AzureSasCredential),
        (PRINCIPAL, ClientSecretCredential),
        (Identity(), DefaultAzureCredential),
        (Identity("managed", CLIENT), ManagedIdentityCredential),
        (Anonymous(), type(None)),
        (RenewedSas(lambda: "sig=x"), type(None)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sdk_credential(credential: Credential, kind: type) -> None:
    assert isinstance(access(credential).sdk, kind)


def test_workload_identity(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "token").write_text("federated")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    assert isinstance(access(Identity("workload")).sdk, WorkloadIdentityCredential)
    assert isinstance(access(Identity("workload", CLIENT, TENANT)).sdk, WorkloadIdentityCredential)


def test_workload_identity_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidConnection, match="no workload identity on this machine: AZURE_FEDERATED_TOKEN_FILE"):
        access(Identity("workload", CLIENT, TENANT))


def test_tenant_that_is_none() -> None:
    with pytest.raises(InvalidConnection, match=f"service principal {CLIENT} .* GUID or a domain, not 'a/b'") as caught:
        access(ServicePrincipal("a/b", CLIENT, "HUSH"))
    assert "HUSH" not in str(caught.value)


class TestCertificate:
    @pytest.mark.parametrize("password", [None, "HUSH"])
    @pytest.mark.parametrize("form", ["PEM", "PKCS12"])
    def test_from_a_file_and_as_bytes(self, form: str, password: str | None, tmp_path: Path) -> None:
        content = certificate(password, pkcs12=form == "PKCS12")
        (tmp_path / "app").write_bytes(content)
        for given in (
            Certificate(TENANT, CLIENT, path=str(tmp_path / "app"), password=password),
            Certificate(TENANT, CLIENT, content=content, password=password),
        ):
            assert isinstance(access(given).sdk, CertificateCredential)

    @pytest.mark.parametrize(
        ("content", "password", "words"),
        [
            (lambda: certificate("HUSH"), None, "is encrypted, but no password is given"),
            (lambda: certificate(None), "HUSH", "is not encrypted"),
            (lambda: certificate("other"), "HUSH", "the password has to be the key's"),
            (lambda: certificate("other", pkcs12=True), "HUSH", "the password has to be the key's"),
            (lambda: b"nonsense HUSH", None, "PEM or PKCS#12 with an RSA private key"),
            (lambda: b"", None, "PEM or PKCS#12 with an RSA private key"),
            (lambda: certificate(None).partition(b"-----BEGIN CERT")[0], None, "PEM or PKCS#12"),
            (lambda: certificate(None, rsa_key=False), None, "with an RSA private key"),
        ],
        ids=["no password", "needless password", "wrong password", "PKCS12", "nonsense", "empty", "no cert", "EC key"],
    )
    def test_that_cannot_be_used(
        self, content: Callable[[], bytes], password: str | None, words: str, tmp_path: Path
    ) -> None:
        (tmp_path / "app.pem").write_bytes(content())
        with pytest.raises(InvalidConnection, match=words) as caught:
            access(Certificate(TENANT, CLIENT, path=str(tmp_path / "app.pem"), password=password))
        assert str(tmp_path / "app.pem") in str(caught.value)
        assert "HUSH" not in str(caught.value)

    def test_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidConnection, match=r"none\.pem' cannot be read on this machine: No such file"):
            access(Certificate(TENANT, CLIENT, path=str(tmp_path / "none.pem")))


def certificate(password: str | None, *, pkcs12: bool = False, rsa_key: bool = True) -> bytes:
    """A certificate with its private key."""
    key = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    locked = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    if pkcs12:
        return serialize_key_and_certificates(b"app", key, made, None, locked)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked) + made.public_bytes(Encoding.PEM)


def test_given_token() -> None:
    token = access(AccessToken("HUSH")).token_credential.get_token("scope")
    assert token.token == "HUSH"
    assert token.expires_on > datetime.now(UTC).timestamp()


@pytest.mark.parametrize(
    ("credential", "policy"),
    [
        (SasToken("sv=1&sig=x"), AzureSasCredentialPolicy),
        (AccessToken("t"), BearerTokenCredentialPolicy),
        (PRINCIPAL, BearerTokenCredentialPolicy),
    ],
    ids=lambda value: type(value).__name__,
)
def test_auth_policy(credential: Credential, policy: type) -> None:
    (found,) = access(credential).auth_policies()
    assert isinstance(found, policy)


def test_anonymous_signs_nothing() -> None:
    assert access(Anonymous()).auth_policies() == []
    assert access(Anonymous()).obstore_provider() is None


def test_renewed_sas_is_signed_with_last_of_all() -> None:
    """By the transport, so that each attempt has the token of its moment; obstore asks each time."""
    renewed = access(RenewedSas(lambda: "?sv=1&sig=HUSH"))
    assert renewed.auth_policies() == []
    transport = renewed.transport(Patience())
    assert type(transport) is not type(access(SasToken("sig=x")).transport(Patience()))
    transport.close()
    provider = renewed.obstore_provider()
    assert provider is not None
    given = provider()
    assert given["sas_token"] == "sv=1&sig=HUSH"  # type: ignore[typeddict-item]
    assert given["expires_at"] is not None
    assert given["expires_at"] <= datetime.now(UTC)
    assert "HUSH" not in repr(renewed)


@pytest.mark.parametrize(
    ("credential", "given"),
    [
        (AccountKey(KEY), {"access_key": KEY, "expires_at": None}),
        (SasToken(" ?sv=1&sig=x"), {"sas_token": "sv=1&sig=x", "expires_at": None}),
    ],
    ids=["key", "sas"],
)
def test_what_obstore_is_given(credential: Credential, given: dict[str, object]) -> None:
    provider = access(credential).obstore_provider()
    assert provider is not None
    assert provider() == given


def test_what_obstore_is_given_of_a_token() -> None:
    provider = access(AccessToken("HUSH")).obstore_provider()
    assert provider is not None
    given = provider()
    assert given["token"] == "HUSH"  # type: ignore[typeddict-item]
    expires_at = given["expires_at"]
    assert expires_at is not None
    assert expires_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("credential", "message"),
    [
        (Login("user", "HUSH"), "takes no user name and password"),
        (AccountKey("not base64 HUSH"), "not base64"),
        (AccountKey("HUSHé"), "not base64"),
        (AccountKey(""), "empty"),
        (SasToken("sv=1&HUSH"), "no signature"),
        (SasToken(""), "no signature"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_useless_credential(credential: Credential, message: str) -> None:
    with pytest.raises(InvalidConnection, match=message) as caught:
        access(credential)
    assert "HUSH" not in str(caught.value)


@pytest.mark.parametrize(
    "credential",
    [PRINCIPAL, Certificate(TENANT, CLIENT, content=b"HUSH"), Identity(), AccessToken("HUSH")],
    ids=lambda c: type(c).__name__,
)
def test_token_never_travels_in_the_clear(credential: Credential) -> None:
    with pytest.raises(InvalidConnection, match="only travel over https") as caught:
        access(credential, "http://127.0.0.1:10000/devstoreaccount1")
    assert "HUSH" not in str(caught.value)


@pytest.mark.parametrize(
    ("credential", "words"),
    [
        (AccountKey(KEY), "account key"),
        (SasToken("sv=1&sig=HUSH"), "SAS token"),
        (SasToken("se=2020-01-02T03:04:05Z&sig=HUSH"), "SAS token (it expired at 2020-01-02T03:04:05Z)"),
        (SasToken("se=2020-01-02&sig=HUSH"), "it expired at 2020-01-02"),
        (SasToken("se=nonsense&sig=HUSH"), "SAS token"),
        (PRINCIPAL, f"service principal {CLIENT}"),
        (Certificate(TENANT, CLIENT, content=b"HUSH", password="HUSH"), f"service principal {CLIENT}"),
        (RenewedSas(lambda: "sig=HUSH"), "the SAS token"),
        (Identity("managed"), "managed identity"),
        (Identity("managed", CLIENT), f"managed identity {CLIENT}"),
        (Identity("workload", CLIENT), f"workload identity {CLIENT}"),
        (Identity(), "default identity"),
        (AccessToken("HUSH"), "access token"),
        (Anonymous(), "anonymous"),
        (Login("u", "HUSH"), "user name"),
    ],
    ids=str,
)
def test_description(credential: Credential, words: str) -> None:
    assert words in describe(credential)
    assert "HUSH" not in describe(credential)
    assert KEY not in describe(credential)


def test_valid_sas_is_not_called_expired() -> None:
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert "expired" not in describe(SasToken(f"se={until}&sig=x"))


def test_representation_shows_no_secret() -> None:
    for credential in (AccountKey(KEY), SasToken("sv=1&sig=HUSH"), PRINCIPAL, AccessToken("HUSH")):
        shown = repr(access(credential))
        assert "HUSH" not in shown
        assert KEY not in shown


def test_sovereign_cloud() -> None:
    """The authority's host takes the place of the public one in what the SDK would ask."""
    credential = access(ServicePrincipal(TENANT, CLIENT, "HUSH", "login.microsoftonline.us")).sdk
    assert "login.microsoftonline.us" in credential._authority  # type: ignore[union-attr]


class TestPatience:
    def test_bundle_of_the_sdks_is_trusted_by_obstore(self, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
        bundle = tmp_path / "ca.pem"
        bundle.write_bytes(b"certificates")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        assert Patience().obstore_options()["root_certificate"] == b"certificates"

    def test_folder_of_certificates_is_left_alone(self, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
        assert "root_certificate" not in Patience().obstore_options()
