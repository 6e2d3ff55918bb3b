"""Azure Resource Manager, as far as one workspace of Azure ML goes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    Certificate,
    Credential,
    Identity,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.uri import WorkspaceId
from airflow_azureml_datastores.errors import InvalidConnection, InvalidInput, NotFound, Unavailable, WorkspaceNotFound
from airflow_azureml_datastores.stores._azure import Patience, describe
from airflow_azureml_datastores.stores._azure_errors import upstream_errors
from airflow_azureml_datastores.stores._token_credential import token_credential
from airflow_azureml_datastores.workspaces._arm_errors import ArmErrors

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.rest import HttpRequest, HttpResponse
    from azure.mgmt.core import ARMPipelineClient

RESOURCE_MANAGERS: Mapping[str, str] = {
    "AzurePublicCloud": "https://management.azure.com",
    "AzureUSGovernment": "https://management.usgovcloudapi.net",
    "AzureChinaCloud": "https://management.chinacloudapi.cn",
}
"""https://learn.microsoft.com/azure/azure-government/compare-azure-government-global-azure and the like."""

DATASTORES = DATA = JOBS = WORKSPACE = "2024-10-01"
CONNECTIONS = "2024-04-01-preview"
"""Versions of the API: the stable one where there is one that has it all."""

_ANY_METHOD = frozenset({"GET", "PUT", "POST", "DELETE"})
_MOST_PAGES = 10_000


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


class ArmClient:
    """Requests about one workspace, with one session for any number of threads.

    Paths are below the workspace's own, without a slash in front, with :func:`segment` for every name in them; ``""``
    is the workspace. Every request is one that may be made twice, as retries do, the POSTs too. What is no success is
    raised as one of our errors: see :class:`ArmErrors`.

    Building one makes no request.

    :param name: how messages call the workspace.
    :param id: where it is.
    :param credential: a ServicePrincipal, Certificate, Identity or AccessToken.
    :param cloud: one of RESOURCE_MANAGERS, whose Resource Manager tokens are asked for.
    :param resource_manager: https URL where that Resource Manager is reached instead.
    :param patience: retries and timeouts.
    :raises InvalidConnection: another kind of credential, an unknown cloud, or an address that is not https.
    """

    def __init__(
        self,
        name: str,
        id: WorkspaceId,
        credential: Credential,
        *,
        cloud: str = "AzurePublicCloud",
        resource_manager: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        if not isinstance(credential, ServicePrincipal | Certificate | Identity | AccessToken):
            raise InvalidConnection(
                f"{name}: Azure Resource Manager takes a service principal, an identity or an access token, not "
                f"{describe(credential)}."
            )
        if cloud not in RESOURCE_MANAGERS:
            raise InvalidConnection(f"{name}: unknown cloud {cloud!r}; known: {', '.join(RESOURCE_MANAGERS)}.")
        self.name = name
        self.id = id
        self.credential = credential
        self.base = (resource_manager or RESOURCE_MANAGERS[cloud]).rstrip("/")
        self.scope = f"{RESOURCE_MANAGERS[cloud]}/.default"
        if urlsplit(self.base).scheme != "https" or not urlsplit(self.base).hostname:
            raise InvalidConnection(
                f"{name}: the address of Azure Resource Manager is an https URL, not {self.base!r}: tokens may not "
                f"travel otherwise."
            )
        self.path = (
            f"/subscriptions/{segment(id.subscription)}/resourceGroups/{segment(id.resource_group)}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{segment(id.workspace)}"
        )
        self.errors = ArmErrors(name, describe(credential))
        self.token_credential = token_credential(credential)
        self._pipeline = _pipeline(self.base, self.scope, self.token_credential, patience or Patience())

    def __repr__(self) -> str:
        return f"ArmClient({self.base + self.path!r})"

    def get(self, path: str, api_version: str, **params: str) -> dict[str, Any]:
        """:raises NotFound: there is no such thing. WorkspaceNotFound, if not even the workspace."""
        return self.send("GET", self.url(path), api_version, params)

    def find(self, path: str, api_version: str, **params: str) -> dict[str, Any] | None:
        """What is at a path; None if there is nothing in this workspace. :raises WorkspaceNotFound:"""
        try:
            return self.get(path, api_version, **params)
        except WorkspaceNotFound:
            raise
        except NotFound:
            return None

    def put(self, path: str, body: Mapping[str, Any], api_version: str, **params: str) -> dict[str, Any]:
        return self.send("PUT", self.url(path), api_version, params, body)

    def upsert(
        self, path: str, body: Mapping[str, Any], api_version: str, **params: str
    ) -> tuple[bool, dict[str, Any]]:
        """A PUT: whether there had been nothing, and the answer."""
        status, answer = self._send("PUT", self.url(path), api_version, params, body)
        return status == 201, answer

    def post(self, path: str, api_version: str, body: Mapping[str, Any] | None = None, **params: str) -> dict[str, Any]:
        return self.send("POST", self.url(path), api_version, params, body)

    def delete(self, path: str, api_version: str, **params: str) -> None:
        self.send("DELETE", self.url(path), api_version, params)

    def pages(self, path: str, api_version: str, **params: str) -> Iterator[dict[str, Any]]:
        """Every item of a list, page after page."""
        url, seen = self.url(path), 0
        answer = self.send("GET", url, api_version, params)
        while True:
            items = answer.get("value")
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise self.errors.of_nonsense(f"GET {path}")
            yield from items
            following, seen = answer.get("nextLink"), seen + 1
            if not following:
                return
            if seen >= _MOST_PAGES:
                raise Unavailable(f"{self.name}: the list of {path} does not end [GET {path}].")
            # Its host may be another name of the same service, but the token is for this one.
            parts = urlsplit(str(following))
            if not parts.path.startswith("/"):
                raise self.errors.of_nonsense(f"GET {path}")
            answer = self.send("GET", f"{self.base}{parts.path}?{parts.query}", None)

    def url(self, path: str) -> str:
        return f"{self.base}{self.path}{'/' if path else ''}{path}"

    def send(
        self,
        method: str,
        url: str,
        api_version: str | None,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """One request to any URL of this Resource Manager; the answer's JSON, {} if it has none.

        :param api_version: None if the URL has one, as those in answers do.
        :raises InvalidInput: the URL is another host's, which must not see the token.
        """
        return self._send(method, url, api_version, params, body)[1]

    def close(self) -> None:
        """Release connections."""
        self._pipeline.close()
        close: Callable[[], None] = getattr(self.token_credential, "close", _nothing)
        close()

    def _send(
        self,
        method: str,
        url: str,
        api_version: str | None,
        params: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
    ) -> tuple[int, dict[str, Any]]:
        from azure.core.rest import HttpRequest

        if not url.startswith(f"{self.base}/"):
            raise InvalidInput(f"{self.name}: {urlsplit(url).netloc} is not {self.base}; no token goes there.")
        query = {**(params or {}), **({"api-version": api_version} if api_version else {})}
        request = HttpRequest(method, url, params=query, json=body, headers={"Accept": "application/json"})
        shown = f"{method} {urlsplit(url).path.removeprefix(self.path).lstrip('/') or 'workspace'}"
        response = self._answer(request, shown)
        answer = _json(response)
        if not 200 <= response.status_code < 300:
            raise self.errors.of_answer(shown, response.status_code, answer, body)
        if not isinstance(answer, dict | None):
            raise self.errors.of_nonsense(shown)
        return response.status_code, answer or {}

    def _answer(self, request: HttpRequest, shown: str) -> HttpResponse:
        try:
            return self._pipeline.send_request(request, retry_on_methods=_ANY_METHOD)
        except upstream_errors() as error:
            raise self.errors.of_failure(shown, error) from None


def _pipeline(
    base: str, scope: str, credential: TokenCredential, patience: Patience
) -> ARMPipelineClient[HttpRequest, HttpResponse]:
    from azure.core.pipeline.policies import RequestIdPolicy, UserAgentPolicy
    from azure.mgmt.core import ARMPipelineClient
    from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy, ARMHttpLoggingPolicy

    policies = [
        RequestIdPolicy(),
        UserAgentPolicy("airflow-azureml-datastores"),
        patience.retry_policy(),
        ARMChallengeAuthenticationPolicy(credential, scope),
        ARMHttpLoggingPolicy(logger=_requests_log()),
    ]
    return ARMPipelineClient(base, policies=policies, transport=patience.transport())


def _nothing() -> None:
    pass


def _json(response: HttpResponse) -> object:
    """The body; None if it is empty, False if it is no JSON."""
    if not response.content:
        return None
    try:
        found: object = response.json()
    except ValueError:
        return False
    return found


def _requests_log() -> logging.Logger:
    """Where the SDK writes about each request: not into a task's log, unless this logger is told to."""
    log = logging.getLogger(f"{__name__}.requests")
    if log.level == logging.NOTSET:
        log.setLevel(logging.WARNING)
    return log
