"""Credentials as ARM's datastores have them.

https://learn.microsoft.com/rest/api/azureml/datastores/create-or-update, under ``credentials``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_azureml_datastores.core.credentials import (
    AccountKey,
    Anonymous,
    Certificate,
    Credential,
    Identity,
    RenewedSas,
    SasToken,
    ServicePrincipal,
)
from airflow_azureml_datastores.errors import InvalidConnection, InvalidInput, Unsupported

AUTHORITY = "https://login.microsoftonline.com"
RESOURCE = "https://storage.azure.com/"

NONE = {"credentialsType": "None"}


def to_arm(credential: Credential) -> dict[str, Any] | None:
    """A credential as ``credentials`` of a datastore; None if ARM has no such kind."""
    match credential:
        case Identity() | Anonymous():
            return dict(NONE)
        case AccountKey(key):
            return _with_secrets("AccountKey", {}, key=key)
        case SasToken(token):
            return _with_secrets("Sas", {}, sasToken=token.strip().lstrip("?"))
        case ServicePrincipal(client_secret=secret):
            return _with_secrets("ServicePrincipal", _application(credential), clientSecret=secret)
        case Certificate():
            certificate, thumbprint = _certificate(credential)
            public = {**_application(credential), "thumbprint": thumbprint}
            return _with_secrets("Certificate", public, certificate=certificate)
        case _:
            return None


def from_arm(credentials: Mapping[str, Any], secrets: Mapping[str, Any], renew: Callable[[], str]) -> Credential:
    """The credential that a datastore's ``credentials`` and the answer to listSecrets make.

    :param renew: asks for another SAS token.
    :raises Unsupported: it is of a kind that this version does not know.
    :raises InvalidInput: a part is missing.
    """
    # The service may give out a short-lived SAS in place of the key that it keeps.
    match secrets.get("secretsType"):
        case "AccountKey":
            return AccountKey(_text(secrets, "key"))
        case "Sas":
            sas_token(secrets)
            return RenewedSas(renew)
        case "ServicePrincipal":
            return ServicePrincipal(
                _text(credentials, "tenantId"),
                _text(credentials, "clientId"),
                _text(secrets, "clientSecret"),
                _authority(credentials),
            )
        case "Certificate":
            return Certificate(
                _text(credentials, "tenantId"),
                _text(credentials, "clientId"),
                content=_text(secrets, "certificate").encode(),
                authority=_authority(credentials),
            )
        case other:
            raise Unsupported(f"its credential is of a kind that is not known here ({other!r}).")


def sas_token(secrets: Mapping[str, Any]) -> str:
    """The SAS token in an answer to listSecrets. :raises InvalidInput: there is none."""
    return _text(secrets, "sasToken")


def public_part(credentials: Mapping[str, Any]) -> dict[str, Any]:
    """What may be shown of a datastore's ``credentials``, in a form that can be compared."""
    shown = {name: value for name, value in credentials.items() if name != "secrets" and value is not None}
    return {name: value.casefold().rstrip("/") if isinstance(value, str) else value for name, value in shown.items()}


def _with_secrets(kind: str, public: Mapping[str, str], **secrets: str) -> dict[str, Any]:
    return {"credentialsType": kind, **public, "secrets": {"secretsType": kind, **secrets}}


def _application(credential: ServicePrincipal | Certificate) -> dict[str, str]:
    return {
        "authorityUrl": f"https://{credential.authority}" if credential.authority else AUTHORITY,
        "resourceUrl": RESOURCE,
        "tenantId": credential.tenant_id,
        "clientId": credential.client_id,
    }


def _authority(credentials: Mapping[str, Any]) -> str | None:
    url = str(credentials.get("authorityUrl") or AUTHORITY)
    host = urlsplit(url).hostname if "://" in url else url.partition("/")[0]
    return None if host == urlsplit(AUTHORITY).hostname else host


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"its credential has no {name}.")
    return value


def _certificate(credential: Certificate) -> tuple[str, str]:
    """Certificate and private key as PEM without a password, as Azure ML's computes need them; and the thumbprint."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.serialization import pkcs12

    password = credential.password.encode() if credential.password else None
    try:
        content = credential.content if credential.path is None else Path(credential.path).read_bytes()
        content = content or b""
        if b"-----BEGIN" in content:
            key: Any = serialization.load_pem_private_key(content, password)
            chain = x509.load_pem_x509_certificates(content)
        else:
            loaded = pkcs12.load_pkcs12(content, password)
            key = loaded.key
            chain = [found.certificate for found in [loaded.cert, *loaded.additional_certs] if found]
    except (OSError, TypeError, ValueError):
        raise InvalidConnection(
            "the certificate cannot be read: it is a PEM or PKCS#12 file with the private key, and its password."
        ) from None
    if key is None or not chain:
        raise InvalidConnection("the certificate's file holds no private key, or no certificate.")
    form = serialization.Encoding.PEM
    private = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = b"".join([private, *(found.public_bytes(form) for found in chain)])
    return pem.decode(), chain[0].fingerprint(hashes.SHA1()).hex().upper()
