"""Errors in the words of the service: JSON from the workspace, XML from the cloud storage behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from tests.servers.azureml.web import Response

_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


class Refusal(Exception):
    """An error of the REST API: https://docs.databricks.com/api/azure/workspace/introduction

    :param code: ``error_code`` of the body.
    :param reason: of the ErrorInfo among its details; "" for none.
    """

    def __init__(
        self, status: int, code: str, message: str, *, reason: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.reason = reason
        self.headers = dict(headers or {})

    def response(self) -> Response:
        body: dict[str, Any] = {"error_code": self.code, "message": self.message}
        if self.reason:
            body["details"] = [{"@type": _ERROR_INFO, "reason": self.reason, "domain": "filesystem.databricks.com"}]
        return Response(self.status, body, self.headers)


class CloudRefusal(Refusal):
    """An error of the cloud storage that presigned URLs lead to, in the form that Azure gives it."""

    def __init__(self, status: int, code: str, message: str, *, detail: str = "") -> None:
        super().__init__(status, code, message)
        self.detail = detail

    def response(self) -> Response:
        detail = f"<AuthenticationErrorDetail>{escape(self.detail)}</AuthenticationErrorDetail>" if self.detail else ""
        body = (
            f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{self.code}</Code>'
            f"<Message>{escape(self.message)}</Message>{detail}</Error>"
        )
        return Response(self.status, body.encode(), {"Content-Type": "application/xml", "x-ms-error-code": self.code})


def no_such_endpoint(method: str, path: str) -> Refusal:
    return Refusal(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")


def unauthenticated() -> Refusal:
    told = "Credential was not sent or was of an unsupported type for this API."
    return Refusal(401, "401", told)


def invalid_token() -> Refusal:
    return Refusal(403, "403", "Invalid access token.")


def permission_denied(privilege: str, kind: str, name: str) -> Refusal:
    return Refusal(403, "PERMISSION_DENIED", f"User does not have {privilege} on {kind} '{name}'.")


def invalid(message: str, *, reason: str = "") -> Refusal:
    return Refusal(400, "INVALID_PARAMETER_VALUE", message, reason=reason)
