"""Credentials of ours that make tokens of Microsoft Entra ID, as azure-identity has them."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.core.credentials import AccessToken, Certificate, Identity, ServicePrincipal
from airflow_azureml_datastores.errors import InvalidConnection

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_VOUCHED_FOR = frozenset({"login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn"})
"""Login services that azure-identity asks Microsoft about. A private cloud's is the user's own word."""

_NAMED_IDENTITIES = ("managed_identity", "workload_identity")


def token_credential(credential: ServicePrincipal | Certificate | Identity | AccessToken) -> TokenCredential:
    """What gets tokens, and keeps each while it is valid. Making it asks no service; a certificate's file is read.

    :raises InvalidConnection: it is malformed, a certificate that cannot be used, or an identity that is not there.
    """
    match credential:
        case AccessToken(token):
            return _GivenToken(token)
        case ServicePrincipal():
            return _service_principal(credential)
        case Certificate():
            return _certificate(credential)
        case Identity(kind="workload"):
            return _workload_identity(credential)
        case Identity():
            return _identity(credential)


def _service_principal(credential: ServicePrincipal) -> TokenCredential:
    from azure.identity import ClientSecretCredential

    try:
        return ClientSecretCredential(
            credential.tenant_id, credential.client_id, credential.client_secret, **_cloud(credential.authority)
        )
    except ValueError:
        raise InvalidConnection(
            f"the service principal {credential.client_id} cannot be used: its tenant's id is a GUID or a domain, not "
            f"{credential.tenant_id!r}."
        ) from None


def _certificate(credential: Certificate) -> TokenCredential:
    from azure.identity import CertificateCredential
    from cryptography.exceptions import UnsupportedAlgorithm

    content, name = credential.content, f"the certificate of {credential.client_id}"
    if credential.path is not None:
        name = f"the certificate {credential.path!r}"
        try:
            content = Path(credential.path).read_bytes()
        except OSError as error:
            raise InvalidConnection(f"{name} cannot be read on this machine: {error.strerror}.") from None
    try:
        return CertificateCredential(
            credential.tenant_id,
            credential.client_id,
            certificate_data=content,
            password=credential.password,
            **_cloud(credential.authority),
        )
    except TypeError:  # cryptography's word for a password that is missing, or that there is no need for
        lacks = "is encrypted, but no password is given" if not credential.password else "is not encrypted"
        raise InvalidConnection(f"the private key of {name} {lacks}.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidConnection(
            f"{name} cannot be used: it has to be PEM or PKCS#12 with an RSA private key"
            + (", and the password has to be the key's." if credential.password else ".")
            + " Check the tenant's id, too."
        ) from None


def _workload_identity(credential: Identity) -> TokenCredential:
    from azure.identity import WorkloadIdentityCredential

    try:
        return WorkloadIdentityCredential(
            tenant_id=credential.tenant_id, client_id=credential.client_id, **_cloud(credential.authority)
        )
    except ValueError:
        raise InvalidConnection(
            "there is no workload identity on this machine: AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID and "
            "AZURE_TENANT_ID are set in pods whose service account has one; the latter two may stand in the connection."
        ) from None


def _identity(credential: Identity) -> TokenCredential:
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

    client: dict[str, Any] = {"client_id": credential.client_id} if credential.client_id else {}
    if credential.kind == "managed":
        return ManagedIdentityCredential(**client, logger=_requests_log())
    named = {f"{identity}_{name}": value for name, value in client.items() for identity in _NAMED_IDENTITIES}
    tenant = {"workload_identity_tenant_id": credential.tenant_id} if credential.tenant_id else {}
    return DefaultAzureCredential(**named, **tenant, **_cloud(credential.authority))


def _cloud(authority: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {"logger": _requests_log()}
    if authority is not None:
        options |= {"authority": f"https://{authority}", "disable_instance_discovery": authority not in _VOUCHED_FOR}
    return options


def _requests_log() -> logging.Logger:
    """Where azure-identity writes ten lines about each request: into a task's log only if its level is set."""
    log = logging.getLogger(f"{__name__}.requests")
    if log.level == logging.NOTSET:
        log.setLevel(logging.WARNING)
    return log


class _GivenToken:
    """A token of somebody else's, as azure-core takes it. How long it lasts is not known, the service will tell."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *scopes: str, **_: Any) -> Any:
        from azure.core.credentials import AccessToken as SdkToken

        return SdkToken(self._token, int(time.time()) + 3600)
