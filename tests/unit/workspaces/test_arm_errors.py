"""The one translation of what Azure Resource Manager answers."""

from __future__ import annotations

import inspect
from typing import Any

import azure.core.exceptions
import azure.identity
import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.identity import CredentialUnavailableError

from airflow_azureml_datastores import errors
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
from airflow_azureml_datastores.workspaces._arm_errors import CODES, STATUSES, ArmErrors, secrets_in

ERRORS = ArmErrors("'lab' (Azure ML workspace contoso-ml)", "the service principal 1234")
RESOURCE = "Microsoft.MachineLearningServices/workspaces/contoso-ml"
SCOPE = f"/subscriptions/s/resourceGroups/rg/providers/{RESOURCE}"


def body(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def denied(action: str) -> dict[str, Any]:
    return body(
        "AuthorizationFailed",
        f"The client 'c' with object id 'o' does not have authorization to perform action "
        f"'Microsoft.MachineLearningServices/workspaces/{action}' over scope '{SCOPE}' or the scope is invalid. If "
        f"access was recently granted, please refresh your credentials.",
    )


def told(status: int, answer: object, sent: object = None) -> DatastoresError:
    return ERRORS.of_answer("PUT datastores/sales", status, answer, sent)


class TestAnswers:
    @pytest.mark.parametrize(
        ("status", "answer", "ours"),
        [
            (400, body("UserError", "The request is invalid."), InvalidInput),
            (400, body("ValidationError", "x"), InvalidInput),
            (400, body("InvalidSubscriptionId", "The subscription identifier 'x' is malformed."), WorkspaceNotFound),
            (400, body("NoRegisteredProviderFound", "No registered resource provider found."), Unsupported),
            (401, body("InvalidAuthenticationTokenTenant", "The access token is from the wrong issuer."), AccessDenied),
            (401, None, AccessDenied),
            (403, denied("datastores/read"), AccessDenied),
            (403, False, AccessDenied),
            (404, body("UserError", "Could not find datastore: x"), NotFound),
            (404, body("ResourceNotFound", f"The Resource '{RESOURCE}' was not found."), WorkspaceNotFound),
            (404, body("ResourceNotFound", f"The Resource '{RESOURCE}/connections/x' was not found."), NotFound),
            (404, body("ResourceGroupNotFound", "Resource group 'rg' could not be found."), WorkspaceNotFound),
            (404, body("SubscriptionNotFound", "The subscription 's' could not be found."), WorkspaceNotFound),
            (404, {"Message": "no RPC form"}, NotFound),
            (404, None, NotFound),
            (409, body("Conflict", "x"), Conflict),
            (409, body("ScopeLocked", "The scope cannot perform write operation."), AccessDenied),
            (412, body("PreconditionFailed", "x"), Changed),
            (429, body("TooManyRequests", "Please retry after '5' seconds."), Unavailable),
            (429, None, Unavailable),
            (500, body("InternalServerError", "x"), Unavailable),
            (302, None, Unavailable),
            (418, {"error": "tea"}, Unavailable),
            (599, {"error": {"code": 1, "message": None}}, Unavailable),
        ],
    )
    def test_meaning(self, status: int, answer: object, ours: type[DatastoresError]) -> None:
        error = told(status, answer)
        assert type(error) is ours
        assert "'lab' (Azure ML workspace contoso-ml)" in str(error)
        assert "[PUT datastores/sales]" in str(error)
        assert str(status) in str(error)

    @pytest.mark.parametrize("status", [*range(300, 600)])
    def test_every_status_can_be_said(self, status: int) -> None:
        assert type(told(status, None)) is STATUSES.get(status, Unavailable)

    @pytest.mark.parametrize("code", CODES)
    def test_every_code_can_be_said(self, code: str) -> None:
        error = told(400, body(code, "what the service says"))
        assert type(error) is CODES[code]
        assert code in str(error)
        assert "what the service says" in str(error)

    @pytest.mark.parametrize(
        ("action", "role"),
        [
            ("datastores/listSecrets/action", "'AzureML Data Scientist'"),
            ("datastores/write", "'AzureML Data Scientist'"),
            ("jobs/write", "'AzureML Data Scientist'"),
            ("datastores/read", "'Reader' or 'AzureML Data Scientist'"),
            ("connections/listsecrets/action", "'Azure Machine Learning Workspace Connection Secrets Reader'"),
            ("computes/write", "'AzureML Compute Operator'"),
            ("computes/read", "'Reader' or 'AzureML Data Scientist'"),
        ],
    )
    def test_missing_role(self, action: str, role: str) -> None:
        message = str(told(403, denied(action)))
        assert (
            f"the service principal 1234 may not do 'Microsoft.MachineLearningServices/workspaces/{action}'" in message
        )
        assert SCOPE in message
        assert f"the role {role} on" in message

    def test_what_is_not_found_is_told(self) -> None:
        said = f"The Resource '{RESOURCE}' under resource group 'rg' was not found."
        assert said.rstrip(".") in str(told(404, body("ResourceNotFound", said)))

    def test_quota_is_told_in_the_service_s_words(self) -> None:
        said = "The specified subscription has a total vCPU quota of 24 and is less than the requested 48 vCPUs."
        assert said.rstrip(".") in str(told(400, body("UserError", said)))


class TestSecrets:
    SENT = {
        "properties": {
            "tags": {"keynote": "harmless"},
            "credentials": {"tenantId": "t", "secrets": {"secretsType": "AccountKey", "key": "c2VjcmV0"}},
            "list": [{"password": "pa ss"}, {"clientSecret": "x~y.z"}],
        }
    }

    def test_found_in_a_body(self) -> None:
        assert sorted(secrets_in(self.SENT)) == ["c2VjcmV0", "pa ss", "x~y.z"]

    @pytest.mark.parametrize(
        "said",
        [
            "cannot use c2VjcmV0 nor pa ss nor x~y.z",
            "https://contoso.blob.core.windows.net/raw?sv=1&sig=abc%2Fdef",
            f"the key {'k' * 86}== is wrong",
            'got "sasToken": "sig=abcdef"',
        ],
    )
    def test_are_not_repeated(self, said: str) -> None:
        message = str(told(400, body("UserError", said), self.SENT))
        for secret in ("c2VjcmV0", "pa ss", "x~y.z", "abc", "kkk"):
            assert secret not in message


class TestNoAnswer:
    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("AADSTS90002: Tenant 'x' not found. Check to make sure …", "no such tenant"),
            ("AADSTS7000215: Invalid client secret provided.", "the client secret is wrong"),
            (
                "AADSTS7000222: The provided client secret keys for app 'x' are expired.",
                "the client secret has expired",
            ),
            ("AADSTS700016: Application with identifier 'x' was not found in the directory.", "no such application"),
            ("AADSTS700027: The certificate with identifier used to sign …", "the certificate is not one"),
            ("Unable to get authority configuration for https://login.microsoftonline.com/x.", "no such tenant"),
            ("AADSTS99999: Something new. Trace ID: 1", "AADSTS99999: Something new"),
        ],
    )
    def test_login(self, said: str, told: str) -> None:
        error = ERRORS.of_failure("GET datastores", ClientAuthenticationError(f"Authentication failed: {said}"))
        assert type(error) is AccessDenied
        assert told in str(error)
        assert "the service principal 1234 could not log in" in str(error)

    def test_no_managed_identity(self) -> None:
        error = CredentialUnavailableError("ManagedIdentityCredential authentication unavailable, no response from …")
        assert "no managed identity answers on this machine" in str(ERRORS.of_failure("GET datastores", error))

    def test_no_network(self) -> None:
        error = ERRORS.of_failure(
            "GET datastores", ServiceRequestError("x", error=ConnectionRefusedError(111, "Refused"))
        )
        assert type(error) is Unavailable
        assert ": refused [GET datastores]" in str(error)

    @pytest.mark.parametrize(
        "error",
        [
            found
            for module in (azure.core.exceptions, azure.identity)
            for found in vars(module).values()
            if inspect.isclass(found) and issubclass(found, Exception)
        ],
        ids=lambda error: error.__name__,
    )
    def test_nothing_is_unmapped(self, error: type[Exception]) -> None:
        upstream = error.__new__(error)
        upstream.args = ("upstream",)
        ours = ERRORS.of_failure("GET datastores", upstream)
        assert type(ours) in (AccessDenied, Unavailable, Unsupported)
        assert type(ours).__module__ == errors.__name__
