"""What Azure Resource Manager answers, in this package's own errors: the one translation for Azure ML's workspaces.

Messages say what the service says, less what looks like a secret, and the remedy. Nothing upstream is chained.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_azureml_datastores.errors import (
    AccessDenied,
    Changed,
    Conflict,
    DatastoresError,
    InvalidInput,
    NotFound,
    Unavailable,
    Unsupported,
    WorkspaceNotFound,
)
from airflow_azureml_datastores.stores._azure_errors import (
    class_of,
    in_brackets,
    is_login_outage,
    network_reason,
    without_secrets,
)

# https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors
CODES: Mapping[str, type[DatastoresError]] = {
    "AuthenticationFailed": AccessDenied,
    "AuthorizationFailed": AccessDenied,
    "ExpiredAuthenticationToken": AccessDenied,
    "InvalidApiVersionParameter": Unsupported,
    "InvalidAuthenticationToken": AccessDenied,
    "InvalidAuthenticationTokenTenant": AccessDenied,
    "InvalidResourceType": Unsupported,
    "InvalidSubscriptionId": WorkspaceNotFound,
    "LinkedAuthorizationFailed": AccessDenied,
    "MissingSubscriptionRegistration": Unsupported,
    "NoRegisteredProviderFound": Unsupported,
    "ReadOnlyDisabledSubscription": AccessDenied,
    "RequestDisallowedByPolicy": AccessDenied,
    "ResourceGroupNotFound": WorkspaceNotFound,
    "ScopeLocked": AccessDenied,
    "SubscriptionNotFound": WorkspaceNotFound,
    "SubscriptionRequestsThrottled": Unavailable,
    "TooManyRequests": Unavailable,
    "WorkspaceNotFound": WorkspaceNotFound,
}

STATUSES: Mapping[int, type[DatastoresError]] = {
    400: InvalidInput,
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    405: Unsupported,
    408: Unavailable,
    409: Conflict,
    410: NotFound,
    412: Changed,
    413: InvalidInput,
    415: Unsupported,
    422: InvalidInput,
    423: Conflict,
    428: Changed,
    429: Unavailable,
    501: Unsupported,
}
"""Where the code says nothing. Any other status is :class:`Unavailable`."""

_REMEDIES = {
    "ExpiredAuthenticationToken": "Give a new access token, or a credential that renews its own.",
    "InvalidAuthenticationTokenTenant": "The subscription belongs to another tenant: check the tenant's id.",
    "InvalidApiVersionParameter": "This cloud does not have that version of Azure ML's API.",
    "MissingSubscriptionRegistration": "Register Microsoft.MachineLearningServices in the subscription.",
    "NoRegisteredProviderFound": "This cloud does not have that version of Azure ML's API.",
    "InvalidSubscriptionId": "The subscription's id is a GUID: check the workspace's connection.",
    "ResourceGroupNotFound": "Check the resource group in the workspace's connection.",
    "ScopeLocked": "A lock forbids it: have it removed, or work on another workspace.",
    "SubscriptionNotFound": "Check the subscription's id and the tenant; to those without any role in it, too, it "
    "looks as if it were not there.",
    "WorkspaceNotFound": "Check the workspace's name in its connection.",
}

# https://learn.microsoft.com/entra/identity-platform/reference-error-codes
_LOGINS = {
    "AADSTS50034": "there is no such user in this tenant",
    "AADSTS53003": "a Conditional Access policy forbids it: ask the tenant's administrator",
    "AADSTS65001": "the application has not been consented to: ask the tenant's administrator",
    "AADSTS70021": "no federated identity credential of the application matches the worker's token: check its issuer, "
    "subject and audience",
    "AADSTS90002": "there is no such tenant: check the tenant's id, and that the cloud is the right one",
    "AADSTS500011": "the tenant does not know the resource: check that the cloud is the right one",
    "AADSTS700016": "the tenant has no such application: check the client's id and the tenant's id",
    "AADSTS700024": "the token of the worker is not valid at this time: check its clock",
    "AADSTS700027": "the certificate is not one of the application's: upload it there, or give another one",
    "AADSTS700211": "no federated identity credential of the application matches the worker's token: check its issuer, "
    "subject and audience",
    "AADSTS700213": "no federated identity credential of the application matches the worker's token: check its issuer, "
    "subject and audience",
    "AADSTS900023": "the tenant's id is none: it is a GUID or a domain",
    "AADSTS7000112": "the application has been disabled",
    "AADSTS7000215": "the client secret is wrong: give the secret's value, not its id",
    "AADSTS7000222": "the client secret has expired: make a new one and put it into the connection",
}

_ACTION = re.compile(r"perform action '([^']+)' over scope '([^']+)'")
_WORKSPACE = re.compile(r"Microsoft\.MachineLearningServices/workspaces/[^/']+'", re.IGNORECASE)
_KEY = re.compile(r"[A-Za-z0-9+/]{86}==")
_SAID = 500
_SECRETS = frozenset(
    {"certificate", "clientsecret", "key", "pat", "password", "sas", "sastoken", "secret", "secretaccesskey"}
)


class ArmErrors:
    """The translation for one workspace.

    :param workspace: how messages call it.
    :param credential: how messages call the credential that is used, for example ``the managed identity``.
    """

    def __init__(self, workspace: str, credential: str) -> None:
        self._workspace = workspace
        self._credential = credential

    def of_answer(self, request: str, status: int, body: object, sent: object = None) -> DatastoresError:
        """The error to raise for an answer that is no success.

        :param request: the method and path that was asked for.
        :param body: of the answer, as far as it is JSON.
        :param sent: body of the request: what is secret in it is left out of what the service says.
        """
        code, said = _code_and_message(body)
        ours = _class(status, code, said)
        parts = [f"{self._workspace}: {self._happened(ours, said)}{in_brackets(code, status)}"]
        if not (ours is AccessDenied and _ACTION.search(said)) and said:
            parts[0] += f": {_tidy(said, sent)}"
        parts[0] += f" [{request}]."
        remedy = _role_for(said) or _REMEDIES.get(code or "")
        return ours(" ".join([*parts, remedy] if remedy else parts))

    def of_failure(self, request: str, error: Exception) -> DatastoresError:
        """The error to raise where there was no answer: no login, or no connection."""
        ours = class_of(error, of_path=False)
        if ours is AccessDenied:
            return AccessDenied(f"{self._workspace}: {self._credential} could not log in: {_why_no_login(error)}.")
        if ours not in (Unavailable, Unsupported):
            ours = Unavailable
        who = "Microsoft Entra ID" if is_login_outage(error) else "Azure Resource Manager"
        return ours(f"{self._workspace}: {who} did not answer properly{network_reason(error)} [{request}].")

    def of_nonsense(self, request: str) -> DatastoresError:
        """The error to raise for an answer that Azure Resource Manager never gives."""
        return Unavailable(
            f"{self._workspace}: the answer is not one of Azure Resource Manager's; is there a proxy in between, or is "
            f"the address another service's? [{request}]."
        )

    def _happened(self, ours: type[DatastoresError], said: str) -> str:
        if ours is AccessDenied:
            found = _ACTION.search(said)
            return (
                f"{self._credential} may not do {found[1]!r} on {found[2]!r}"
                if found
                else (f"access was denied to {self._credential}")
            )
        return {
            Changed: "somebody else changed it meanwhile",
            Conflict: "the service refuses this in the present state",
            InvalidInput: "the service does not take this",
            NotFound: "there is no such thing",
            Unavailable: "the service did not answer properly",
            Unsupported: "the service cannot do this",
            WorkspaceNotFound: "the workspace was not found",
        }[ours]


def secrets_in(body: object) -> Iterable[str]:
    """The values in a request's body that nobody may read."""
    if isinstance(body, Mapping):
        for name, value in body.items():
            if isinstance(value, str) and name.casefold() in _SECRETS:
                yield value
            else:
                yield from secrets_in(value)
    elif isinstance(body, list):
        for value in body:
            yield from secrets_in(value)


def _class(status: int, code: str | None, said: str) -> type[DatastoresError]:
    if code is not None and code in CODES:
        return CODES[code]
    # The code that Azure Resource Manager has for any resource; Azure ML's own answers have others.
    if code == "ResourceNotFound" and _WORKSPACE.search(said):
        return WorkspaceNotFound
    return STATUSES.get(status, Unavailable)


def _code_and_message(body: Any) -> tuple[str | None, str]:
    """https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md#handling-errors"""
    error = body.get("error", body) if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return None, ""
    code, message = error.get("code"), error.get("message")
    return code if isinstance(code, str) else None, message if isinstance(message, str) else ""


def _tidy(said: str, sent: object) -> str:
    for secret in sorted(filter(None, secrets_in(sent)), key=len, reverse=True):
        said = said.replace(secret, "…")
    return _KEY.sub("…", without_secrets(" ".join(said.split())))[:_SAID].rstrip(". ")


def _role_for(said: str) -> str | None:
    """https://learn.microsoft.com/azure/machine-learning/how-to-assign-roles"""
    found = _ACTION.search(said)
    if not found:
        return None
    action = found[1].casefold()
    role = "'AzureML Data Scientist'"
    if "/computes/" in action and not action.endswith("/read"):
        role = "'AzureML Compute Operator'"
    elif "/connections/" in action and action.endswith("/listsecrets/action"):
        role = "'Azure Machine Learning Workspace Connection Secrets Reader'"
    elif action.endswith("/read"):
        role = "'Reader' or 'AzureML Data Scientist'"
    return f"Give it the role {role} on the workspace, or a custom role with this action; new roles take some minutes."


def _why_no_login(error: Exception) -> str:
    text = str(getattr(error, "message", error)).strip()
    found = re.search(r"AADSTS\d+", text)
    if found and found[0] in _LOGINS:
        return f"{_LOGINS[found[0]]} ({found[0]})"
    if "Unable to get authority configuration" in text:  # msal's words for AADSTS90002, which it does not pass on
        return _LOGINS["AADSTS90002"]
    if re.search("ManagedIdentityCredential|managed identity", text, re.I) and "DefaultAzureCredential" not in text:
        return (
            "no managed identity answers on this machine: assign one to it, check the client's id, or use another way"
        )
    said = _tidy(text.splitlines()[0] if text else "", None)
    return said or type(error).__name__
