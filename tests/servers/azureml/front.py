"""Who answers what: Resource Manager, run history, Entra ID and the managed identity endpoint, on one address."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import jwt

from tests.servers.azureml.azure_hosts import account, forward
from tests.servers.azureml.entra import Entra, Principal, TokenRefused
from tests.servers.azureml.faults import ArmError, LoseResponse, Meanwhile, Plan
from tests.servers.azureml.web import Refusal, Request, Response
from tests.servers.azureml.workspace import PROVIDER, Workspace

if TYPE_CHECKING:
    from tests.servers.azurite import BlobService

MANAGEMENT = re.compile(r"https://management\.(azure\.com|core\.windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)")
WORKSPACE = re.compile(
    r"(?:/history/v1\.0)?/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/"
    + re.escape(PROVIDER)
    + r"/(?P<workspace>[^/]+)(?P<rest>/.*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Seen:
    """A request as it came by.

    :param request: ``METHOD /path?query``, percent-encoded.
    :param api_version: which one it asked for; "" if none.
    :param client_id: of whom the token was; "" if there was none, or none that holds.
    :param status: the answer's; 0 if the answer was lost on purpose.
    :param content: the body that was sent.
    :param at: seconds of a monotonic clock.
    """

    request: str
    api_version: str
    client_id: str
    status: int
    content: bytes
    at: float


class Front:
    """Answers requests, whichever socket they came by."""

    def __init__(self, entra: Entra) -> None:
        self.entra = entra
        self.plan = Plan()
        self.seen: list[Seen] = []
        self.workspaces: dict[tuple[str, str, str], Workspace] = {}
        self.subscriptions: set[str] = set()
        self.groups: set[tuple[str, str]] = set()
        self.blobs: dict[str, BlobService] = {}
        self.tls_port = 0

    def add(self, workspace: Workspace) -> None:
        id = workspace.id
        if workspace.blob is not None:
            self.blobs[workspace.blob.account] = workspace.blob
        self.subscriptions.add(id.subscription.lower())
        self.groups.add((id.subscription.lower(), id.resource_group.lower()))
        self.workspaces[id.subscription.lower(), id.resource_group.lower(), id.workspace.lower()] = workspace

    def answer(self, request: Request) -> Response | None:
        """The answer; None if it is to be lost."""
        line = f"{request.method} {request.path}"
        if request.query:
            line += "?" + "&".join(f"{name}={value}" for name, value in request.query.items())
        fault = self.plan.strike(line)
        principal: list[Principal] = []
        response: Response | None
        try:
            if isinstance(fault, ArmError):
                raise fault.refusal()
            if isinstance(fault, Meanwhile):
                fault.action()
            response = self._dispatch(request, principal)
        except Refusal as refusal:
            response = refusal.response()
        if isinstance(fault, LoseResponse):
            response = None
        self.seen.append(
            Seen(
                line,
                request.query.get("api-version", ""),
                principal[0].client_id if principal else "",
                response.status if response else 0,
                request.content,
                time.monotonic(),
            )
        )
        return response

    def _dispatch(self, request: Request, principal: list[Principal]) -> Response:
        if storage := account(urlsplit(request.base).hostname or ""):
            return forward(request, self.blobs.get(storage))
        for pattern, handler in (
            (r"/(?P<tenant>[^/]+)/v2\.0/\.well-known/openid-configuration", self._openid),
            (r"/(?P<tenant>[^/]+)/oauth2/v2\.0/token", self._token),
            (r"/common/discovery/instance", self._instances),
            (r"/msi/token", self._managed),
            (r"/discovery", self._discovery),
            (r"/metadata/endpoints", self._clouds),
            (
                r"/logs/(?P<subscription>[^/]+)/(?P<workspace>[^/]+)/(?P<key>[^/]+)/(?P<job>[^/]+)/(?P<file>.+)",
                self._log,
            ),
        ):
            if found := re.fullmatch(pattern, request.path):
                return handler(request, **found.groupdict())
        found = WORKSPACE.fullmatch(request.path)
        if found is None:
            raise Refusal(404, "NotFound", f"There is nothing at {request.path}.")
        who, audience = self._authenticate(request)
        principal.append(who)
        workspace = self._workspace(*(unquote(found[name]) for name in ("subscription", "group", "workspace")))
        history = request.path.lower().startswith("/history/")
        if not MANAGEMENT.fullmatch(audience) and not (history and audience == "https://ml.azure.com"):
            raise _unauthorized(
                "InvalidAuthenticationTokenAudience",
                f"The access token has been obtained for wrong audience or resource '{audience}'. It should exactly "
                f"match with one of the allowed audiences 'https://management.core.windows.net/', "
                f"'https://management.azure.com/'.",
            )
        if who.tenant != workspace.tenant:
            raise _unauthorized(
                "InvalidAuthenticationTokenTenant",
                f"The access token is from the wrong issuer 'https://sts.windows.net/{who.tenant}/'. It must match the "
                f"tenant 'https://sts.windows.net/{workspace.tenant}/' associated with this subscription. Please use "
                f"the authority (URL) 'https://login.windows.net/{workspace.tenant}' to get the token.",
            )
        if not history and not request.query.get("api-version"):
            raise Refusal(
                400,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            )
        return workspace.answer(replace(request, principal=who), ("history" if history else "") + (found["rest"] or ""))

    def _authenticate(self, request: Request) -> tuple[Principal, str]:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise _unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        try:
            return self.entra.verify(token)
        except jwt.ExpiredSignatureError:
            raise _unauthorized(
                "ExpiredAuthenticationToken",
                f"The access token expiry UTC time is earlier than current UTC time "
                f"'{time.strftime('%m/%d/%Y %I:%M:%S %p', time.gmtime())}'.",
            ) from None
        except jwt.PyJWTError:
            raise _unauthorized("InvalidAuthenticationToken", "The access token is invalid.") from None

    def _workspace(self, subscription: str, group: str, name: str) -> Workspace:
        if subscription.lower() not in self.subscriptions:
            raise Refusal(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
        if (subscription.lower(), group.lower()) not in self.groups:
            raise Refusal(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        found = self.workspaces.get((subscription.lower(), group.lower(), name.lower()))
        if found is None:
            raise Refusal(
                404,
                "ResourceNotFound",
                f"The Resource '{PROVIDER}/{name}' under resource group '{group}' was not found. For more details "
                f"please go to https://aka.ms/ARMResourceNotFoundFix",
            )
        return found

    def _openid(self, request: Request, tenant: str) -> Response:
        return _entra(lambda: self.entra.openid(request.base, tenant))

    def _token(self, request: Request, tenant: str) -> Response:
        return _entra(lambda: self.entra.grant(request.base, tenant, request.content))

    def _instances(self, request: Request) -> Response:
        return Response(200, self.entra.instances(request.base, request.query.get("authorization_endpoint", "")))

    def _managed(self, request: Request) -> Response:
        return Response(*self.entra.managed(request.query, request.headers))

    def _discovery(self, request: Request) -> Response:
        return Response(200, {"api": request.base, "history": request.base, "studio": "https://ml.azure.com"})

    def _log(self, request: Request, subscription: str, workspace: str, key: str, job: str, file: str) -> Response:
        for (its, _, name), found in list(self.workspaces.items()):
            if (its, name) == (subscription.lower(), workspace.lower()) and (
                log := found.jobs.read_log(request, key, job, file)
            ):
                return log
        raise Refusal(404, "NotFound", f"There is nothing at {request.path}.")

    def _clouds(self, request: Request) -> Response:
        """https://learn.microsoft.com/azure/azure-resource-manager/management/control-plane-metrics"""
        cloud = {
            "name": "AzureCloud",
            "portal": "https://portal.azure.com/",
            "resourceManager": f"{request.base}/",
            "authentication": {"loginEndpoint": f"{request.base}/", "tenant": "common"},
            "suffixes": {"storage": "core.windows.net"},
        }
        return Response(200, [cloud])


def _unauthorized(code: str, message: str) -> Refusal:
    challenge = (
        f'Bearer authorization_uri="https://login.windows.net/", error="invalid_token", error_description="{code}"'
    )
    return Refusal(401, code, message, headers={"WWW-Authenticate": challenge})


def _entra(ask: Callable[[], dict[str, Any]]) -> Response:
    try:
        return Response(200, ask())
    except TokenRefused as refused:
        return Response(refused.status, refused.body())
