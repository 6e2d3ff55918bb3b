"""Tokens for a workspace of Databricks, from credentials of ours."""

from __future__ import annotations

import ipaddress
import re
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    Certificate,
    Credential,
    DatabricksOAuth,
    Identity,
    ServicePrincipal,
)
from airflow_azureml_datastores.errors import InvalidConnection
from airflow_azureml_datastores.stores._azure import describe
from airflow_azureml_datastores.stores._databricks_errors import Refused
from airflow_azureml_datastores.stores._token_credential import token_credential

SCOPE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"
"""The application of Azure Databricks, the same in every tenant and cloud:
https://learn.microsoft.com/azure/databricks/dev-tools/service-prin-aad-token"""

AZURE_DOMAINS = (".azuredatabricks.net", ".databricks.azure.us", ".databricks.azure.cn")
DOMAINS = (*AZURE_DOMAINS, ".cloud.databricks.com", ".gcp.databricks.com", ".cloud.databricks.us")
"""Of workspaces in the clouds that Databricks is in (databricks.sdk.environments)."""

_TOKEN = re.compile(r"[\x21-\x7e]+")
_EARLY = 120
"""Seconds before its end that a token is renewed."""


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_source(credential: Credential, url: str, timeout: float) -> Callable[[], str]:
    """What gives a token that is valid now, kept while it is; for any number of threads. Making it asks no service.

    A token of Microsoft Entra ID opens every workspace that its owner is a member of. So it is sent to hosts of Azure
    Databricks only: who may edit a datastore could otherwise have it sent to a host of theirs.

    :param url: of the workspace.
    :param timeout: seconds to wait for an answer.
    :raises InvalidConnection: a workspace cannot use this kind of credential, or it is malformed.
    """
    match credential:
        case AccessToken(token):
            if not _TOKEN.fullmatch(token):
                raise InvalidConnection("the access token is empty, or has a character in it that no token has.")
            return lambda: token
        case DatabricksOAuth():
            return _OwnOAuth(credential, url, timeout)
        case ServicePrincipal() | Certificate() | Identity():
            host = urlsplit(url).hostname or ""
            if not host.endswith(AZURE_DOMAINS) and not is_loopback(url):
                raise InvalidConnection(
                    f"{describe(credential)} gets tokens that open every workspace of Azure Databricks, and {host} is "
                    f"none of its hosts (…{', …'.join(AZURE_DOMAINS)})."
                )
            entra = token_credential(credential)
            return lambda: entra.get_token(SCOPE).token
        case _:
            raise InvalidConnection(
                f"a Databricks workspace does not take {describe(credential)}: give an access token, a service "
                f"principal (of Microsoft Entra ID or of Databricks) or an identity."
            )


class _OwnOAuth:
    """Tokens of Databricks' own OAuth: https://docs.databricks.com/dev-tools/auth/oauth-m2m

    databricks-sdk would wait for the token endpoint without end, and take its trouble for a wrong secret.
    """

    def __init__(self, credential: DatabricksOAuth, url: str, timeout: float) -> None:
        self._credential = credential
        self._url = f"{url}/oidc/v1/token"
        self._timeout = timeout
        self._token = ""
        self._until = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """:raises Refused, requests.RequestException:"""
        with self._lock:
            if time.monotonic() >= self._until:
                asked = time.monotonic()
                answer = self._ask()
                lasts = float(answer["expires_in"])
                self._token, self._until = str(answer["access_token"]), asked + max(lasts - _EARLY, lasts / 2)
            return self._token

    def _ask(self) -> dict[str, Any]:
        import requests

        response = requests.post(
            self._url,
            data={"grant_type": "client_credentials", "scope": "all-apis"},
            auth=(self._credential.client_id, self._credential.client_secret),
            timeout=self._timeout,
            allow_redirects=False,
        )
        try:
            answer = response.json()
        except requests.JSONDecodeError:
            answer = {}
        if response.status_code == 200 and {"access_token", "expires_in"} <= set(answer):
            return dict(answer)
        status = response.status_code if response.status_code >= 400 else 502
        raise Refused(status, answer.get("error"), str(answer.get("error_description", "")))
