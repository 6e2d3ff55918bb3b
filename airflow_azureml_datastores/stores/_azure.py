"""Credentials and patience for the clients of Azure storage: the Azure SDKs, obstore, and plain pipelines."""

from __future__ import annotations

import base64
import binascii
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Anonymous,
    Certificate,
    Credential,
    DatabricksOAuth,
    Identity,
    Login,
    RenewedSas,
    SasToken,
    ServicePrincipal,
)
from airflow_azureml_datastores.errors import InvalidConnection
from airflow_azureml_datastores.stores._azure_requests import shared_key_policy
from airflow_azureml_datastores.stores._renewed_sas import CurrentSas, expiry_of, sas_transport, tidy_sas
from airflow_azureml_datastores.stores._token_credential import token_credential

if TYPE_CHECKING:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential, TokenCredential
    from azure.core.pipeline import PipelineRequest, PipelineResponse
    from azure.core.pipeline.policies import RetryPolicy
    from azure.core.pipeline.transport import RequestsTransport
    from obstore.store import AzureCredential as ObstoreCredential
    from obstore.store import ClientConfig

SCOPE = "https://storage.azure.com/.default"
"""What tokens are asked for: the same audience in every cloud."""

CONNECTIONS = 64
"""Connections that are kept open to one host; as many threads may use a store without waiting or reconnecting."""

_DOWNLOAD_BLOCK = 256 << 10


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the clients go on trying.

    :param retries: attempts after the first; the first of them follows at once.
    :param backoff: seconds before the next; doubles with each. A service that asks for a pause (Retry-After) gets it.
    :param timeout: seconds without a connection, or without a byte, after which an attempt has failed.
    """

    retries: int = 6
    backoff: float = 0.8
    timeout: float = 60

    def retry_policy(self) -> RetryPolicy[Any, Any]:
        """azure-core's policy: unlike that of the storage SDKs it retries 429, and heeds Retry-After."""
        from azure.core.pipeline.policies import RetryPolicy

        class StorageRetryPolicy(RetryPolicy[Any, Any]):
            def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
                """Take on the storage SDKs' talk with their own policy, which is about secondary locations."""
                for option in ("hosts", "location_mode", "retry_to_secondary"):
                    request.context.options.pop(option, None)
                response = super().send(request)
                response.http_response.location_mode = "primary"
                return response

            def get_backoff_time(self, settings: dict[str, Any]) -> float:
                """Scattered, so that threads that failed together do not come back together."""
                return super().get_backoff_time(settings) * random.uniform(0.5, 1.5)

        return StorageRetryPolicy(
            retry_total=self.retries,
            retry_connect=self.retries,
            retry_read=self.retries,
            retry_status=self.retries,
            retry_backoff_factor=self.backoff,
            retry_backoff_max=60,
        )

    def transport(self, sas: CurrentSas | None = None) -> RequestsTransport:
        """A pool of connections, for any number of threads; closing it is its user's job.

        :param sas: what signs every request.
        """
        import requests
        from azure.core.pipeline.transport import RequestsTransport

        session = requests.Session()
        for scheme in ("https://", "http://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS))
        options = {
            "session": session,
            "connection_timeout": self.timeout,
            "read_timeout": self.timeout,
            "connection_data_block_size": _DOWNLOAD_BLOCK,
        }
        return RequestsTransport(**options) if sas is None else sas_transport(sas, **options)

    def obstore_options(self) -> ClientConfig:
        options: ClientConfig = {"timeout": f"{self.timeout:g}s", "connect_timeout": f"{min(self.timeout, 10):g}s"}
        bundle = Path(os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or "")
        if bundle.is_file():  # which the SDKs' transport trusts: one rule for both clients
            options["root_certificate"] = bundle.read_bytes()
        return options


class AzureAccess:
    """A credential of ours in the forms that the clients of one storage account take.

    Clients take both ``sdk`` (pipelines ``auth_policies``) and ``transport``: one of the two signs.

    :param credential: how to get in.
    :param account_name: whose key it is, if it is one.
    :param url: of the service; a bearer token is only sent over https.
    :raises InvalidConnection: a storage account cannot use this kind of credential, or it is malformed.
    """

    def __init__(self, credential: Credential, account_name: str, url: str) -> None:
        self.credential = _checked(credential, url)
        self.account_name = account_name
        self.sdk = _sdk_credential(self.credential, account_name)
        self.sas = CurrentSas(self.credential) if isinstance(self.credential, RenewedSas) else None

    def __repr__(self) -> str:
        return f"AzureAccess({describe(self.credential)})"

    def transport(self, patience: Patience) -> RequestsTransport:
        """A pool of connections; it signs if nothing else does. Closing it is its user's job."""
        return patience.transport(self.sas)

    def auth_policies(self) -> list[Any]:
        """What signs the requests of a pipeline of ours, unless the transport does."""
        from azure.core.credentials import AzureSasCredential
        from azure.core.pipeline.policies import AzureSasCredentialPolicy, BearerTokenCredentialPolicy

        if isinstance(self.credential, Anonymous | RenewedSas):
            return []
        if isinstance(self.credential, AccountKey):
            return [shared_key_policy(self.account_name, self.credential.key)]
        if isinstance(self.sdk, AzureSasCredential):
            return [AzureSasCredentialPolicy(self.sdk)]
        return [BearerTokenCredentialPolicy(self.token_credential, SCOPE)]

    def obstore_provider(self) -> Callable[[], ObstoreCredential] | None:
        """What obstore calls for the credential; None if there is none. So it is in no configuration of obstore's."""
        credential = self.credential
        if isinstance(credential, Anonymous):
            return None
        if isinstance(credential, AccountKey):
            return lambda: {"access_key": credential.key, "expires_at": None}
        if isinstance(credential, SasToken):
            return lambda: {"sas_token": credential.token, "expires_at": None}
        if self.sas is not None:
            # Over at once, so that obstore asks for every request: it cannot be told that a token has been refused.
            sas = self.sas
            return lambda: {"sas_token": sas.token(), "expires_at": datetime.now(UTC)}

        def token() -> ObstoreCredential:
            found = self.token_credential.get_token(SCOPE)
            return {"token": found.token, "expires_at": datetime.fromtimestamp(found.expires_on, UTC)}

        return token

    @property
    def sas_token(self) -> str | None:
        """The shared access signature that is valid now; None if it is another kind of credential."""
        if isinstance(self.credential, SasToken):
            return self.credential.token
        return self.sas.token() if self.sas is not None else None

    @property
    def token_credential(self) -> TokenCredential:
        """:raises TypeError: the credential is none that makes tokens."""
        if self.sdk is None or not hasattr(self.sdk, "get_token"):
            raise TypeError(f"{describe(self.credential)} makes no tokens")
        return self.sdk


def describe(credential: Credential) -> str:
    """The credential as messages call it."""
    match credential:
        case AccountKey():
            return "the account key"
        case SasToken(token):
            return f"the SAS token{_expired(token)}"
        case RenewedSas():
            return "the SAS token"
        case ServicePrincipal(client_id=client) | Certificate(client_id=client):
            return f"the service principal {client}"
        case Identity(kind="default", client_id=client):
            return f"the worker's default identity{f' ({client})' if client else ''}"
        case Identity(kind=kind, client_id=client):
            return f"the {kind} identity{f' {client}' if client else ' of the worker'}"
        case AccessToken():
            return "the access token"
        case DatabricksOAuth(client_id=client):
            return f"the Databricks service principal {client}"
        case Anonymous():
            return "anonymous access"
        case Login():
            return "a user name and password"


def _expired(sas_token: str) -> str:
    until = expiry_of(sas_token)
    said = dict(parse_qsl(sas_token)).get("se")
    return f" (it expired at {said})" if until and until < datetime.now(UTC) else ""


def _checked(credential: Credential, url: str) -> Credential:
    """The credential, tidied. :raises InvalidConnection: it is of no use here."""
    match credential:
        case AccountKey(key):
            try:
                base64.b64decode(key, validate=True)
            except (binascii.Error, ValueError):
                raise InvalidConnection("the account key is not base64 text, so it cannot be complete.") from None
            if not key:
                raise InvalidConnection("the account key is empty.")
        case SasToken(token):
            return SasToken(tidy_sas(token))
        case Login() | DatabricksOAuth():
            refused = "user name and password" if isinstance(credential, Login) else "service principal of Databricks"
            raise InvalidConnection(
                f"a storage account takes no {refused}: give an account key, a SAS token, a service principal, an "
                f"identity or an access token."
            )
        case ServicePrincipal() | Certificate() | Identity() | AccessToken() if urlsplit(url).scheme != "https":
            raise InvalidConnection(f"{describe(credential)} may only travel over https, and {url} is not.")
        case _:
            pass
    return credential


def _sdk_credential(
    credential: Credential, account_name: str
) -> AzureNamedKeyCredential | AzureSasCredential | TokenCredential | None:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    match credential:
        case AccountKey(key):
            return AzureNamedKeyCredential(account_name, key)
        case SasToken(token):
            return AzureSasCredential(token)
        case ServicePrincipal() | Certificate() | Identity() | AccessToken():
            return token_credential(credential)
        case _:
            return None
