"""Certificates of applications, as an Azure ML datastore takes them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from azure.ai.ml._restclient.arm_ml_service import models
from azure.ai.ml._restclient.arm_ml_service._utils.model_base import _deserialize
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from airflow_azureml_datastores.core.credentials import Certificate
from airflow_azureml_datastores.errors import InvalidConnection
from airflow_azureml_datastores.workspaces import _arm_credentials as credentials

GUID = "00000000-1111-2222-3333-444444444444"
PASSWORD = b"open sesame"
PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8


@cache
def made() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "airflow")])
    start = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(start + timedelta(days=1))
    return key, builder.sign(key, hashes.SHA256())


def pem(encryption: serialization.KeySerializationEncryption) -> bytes:
    key, certificate = made()
    return key.private_bytes(PEM, PKCS8, encryption) + certificate.public_bytes(PEM)


def forms() -> dict[str, tuple[bytes, str | None]]:
    key, certificate = made()
    locked = serialization.BestAvailableEncryption(PASSWORD)
    open_ = serialization.NoEncryption()
    return {
        "PEM": (pem(open_), None),
        "PEM with a password": (pem(locked), PASSWORD.decode()),
        "PKCS#12": (pkcs12.serialize_key_and_certificates(None, key, certificate, None, open_), None),
        "PKCS#12 with a password": (
            pkcs12.serialize_key_and_certificates(None, key, certificate, None, locked),
            PASSWORD.decode(),
        ),
    }


@pytest.mark.parametrize("form", ["PEM", "PEM with a password", "PKCS#12", "PKCS#12 with a password"])
@pytest.mark.parametrize("as_file", [True, False])
def test_is_sent_so_that_it_can_be_used(form: str, as_file: bool, tmp_path: Path) -> None:
    content, password = forms()[form]
    path = tmp_path / "certificate"
    path.write_bytes(content)
    given = {"path": str(path)} if as_file else {"content": content}
    sent = credentials.to_arm(Certificate(GUID, GUID, password=password, **given))  # type: ignore[arg-type]
    assert sent is not None
    model = _deserialize(models.CertificateDatastoreCredentials, sent)
    key, certificate = made()
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert model.thumbprint == hashlib.sha1(der).hexdigest().upper()
    assert (model.tenant_id, model.client_id) == (GUID, GUID)
    text = model.secrets.certificate.encode()
    loaded = serialization.load_pem_private_key(text, None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    assert loaded.private_numbers() == key.private_numbers()
    assert x509.load_pem_x509_certificate(text) == certificate


def test_there_and_back() -> None:
    sent = credentials.to_arm(Certificate(GUID, GUID, content=forms()["PEM"][0], authority="login.microsoftonline.us"))
    assert sent is not None
    found = credentials.from_arm(sent, sent["secrets"], lambda: "")
    assert isinstance(found, Certificate)
    assert (found.tenant_id, found.client_id, found.authority) == (GUID, GUID, "login.microsoftonline.us")
    assert credentials.to_arm(found) == sent


@pytest.mark.parametrize(
    ("content", "password"),
    [(b"", None), (b"nonsense", None), (b"-----BEGIN nothing", None), ("locked", "wrong"), ("bare", None)],
)
def test_unreadable(content: bytes | str, password: str | None) -> None:
    if content == "locked":
        content = forms()["PEM with a password"][0]
    if content == "bare":
        content = made()[1].public_bytes(PEM)
    assert isinstance(content, bytes)
    with pytest.raises(InvalidConnection, match="the certificate cannot be read"):
        credentials.to_arm(Certificate(GUID, GUID, content=content, password=password))
