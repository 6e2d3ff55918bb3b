"""Requests and answers of the service, apart from sockets: errors, ranges, headers of all answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import formatdate
from uuid import uuid4
from xml.sax.saxutils import escape

MAX_RANGE = 4 << 20
"""Bytes of a Put Range at most: https://learn.microsoft.com/rest/api/storageservices/put-range"""

XML = '<?xml version="1.0" encoding="utf-8"?>'


@dataclass
class Response:
    """:param body: bytes as they are; of a HEAD only their number is sent."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    kind: str = ""

    def content(self) -> tuple[bytes, str]:
        """The body's bytes and their type."""
        return self.body, self.kind


def xml(body: str, **headers: str) -> Response:
    return Response(200, {name.replace("_", "-"): value for name, value in headers.items()}, body.encode(), "xml")


def finished(response: Response, version: str, client_request: str) -> Response:
    """With what every answer has."""
    response.headers |= {"x-ms-request-id": str(uuid4()), "x-ms-version": version}
    if client_request:
        response.headers["x-ms-client-request-id"] = client_request
    if response.kind == "xml":
        response.kind = "application/xml"
    return response


class Refusal(Exception):
    """An error as the service words it.

    https://learn.microsoft.com/rest/api/storageservices/file-service-error-codes and, of all storage services,
    https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
    """

    def __init__(
        self, status: int, code: str, message: str = "", *, headers: dict[str, str] | None = None, **details: str
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message or MESSAGES.get(code, code)
        self.headers = headers or {}
        self.details = details

    def response(self) -> Response:
        text = f"{self.message}\nRequestId:{uuid4()}\nTime:{formatdate(usegmt=True)}"
        details = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in self.details.items())
        body = f"{XML}<Error><Code>{self.code}</Code><Message>{escape(text)}</Message>{details}</Error>"
        return Response(self.status, {"x-ms-error-code": self.code, **self.headers}, body.encode(), "xml")


MESSAGES = {
    "AuthenticationFailed": "Server failed to authenticate the request. Make sure the value of Authorization header is "
    "formed correctly including the signature.",
    "AuthorizationPermissionMismatch": "This request is not authorized to perform this operation using this "
    "permission.",
    "AuthorizationProtocolMismatch": "This request is not authorized to perform this operation using this protocol.",
    "AuthorizationResourceTypeMismatch": "This request is not authorized to perform this operation using this resource "
    "type.",
    "AuthorizationServiceMismatch": "This request is not authorized to perform this operation using this service.",
    "CannotVerifyCopySource": "Could not verify the copy source within the specified time.",
    "DirectoryNotEmpty": "The specified directory is not empty.",
    "InvalidFileOrDirectoryPathName": "The file or directory path name is too long.",
    "InvalidHeaderValue": "The value for one of the HTTP headers is not in the correct format.",
    "InvalidQueryParameterValue": "Value for one of the query parameters specified in the request URI is invalid.",
    "InvalidRange": "The range specified is invalid for the current size of the resource.",
    "InvalidResourceName": "The specifed resource name contains invalid characters.",
    "LeaseAlreadyPresent": "There is already a lease present.",
    "LeaseIdMismatchWithFileOperation": "The lease ID specified did not match the lease ID for the file.",
    "LeaseIdMissing": "There is currently a lease on the file and no lease ID was specified in the request.",
    "Md5Mismatch": "The MD5 value specified in the request did not match with the MD5 value calculated by the server.",
    "MissingRequiredHeader": "An HTTP header that's mandatory for this request is not specified.",
    "NoAuthenticationInformation": "Server failed to authenticate the request. Please refer to the information in the "
    "www-authenticate header.",
    "ParentNotFound": "The specified parent path does not exist.",
    "ReadOnlyAttribute": "The specified resource is read-only and cannot be modified at this time.",
    "RequestBodyTooLarge": "The request body is too large and exceeds the maximum permissible limit.",
    "ResourceAlreadyExists": "The specified resource already exists.",
    "ResourceNotFound": "The specified resource does not exist.",
    "ResourceTypeMismatch": "The specified resource type does not match the type of the existing resource.",
    "ShareAlreadyExists": "The specified share already exists.",
    "ShareNotFound": "The specified share does not exist.",
    "UnsupportedHeader": "One of the HTTP headers specified in the request is not supported.",
}


def missing(header: str) -> Refusal:
    return Refusal(400, "MissingRequiredHeader", HeaderName=header)


def bad_header(header: str, value: str) -> Refusal:
    return Refusal(400, "InvalidHeaderValue", HeaderName=header, HeaderValue=value)


def byte_range(text: str, header: str = "Range") -> tuple[int, int | None]:
    """First byte and last byte, as they were asked for. :raises Refusal: it is not a range of bytes."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", text)
    if found is None or (found[2] and int(found[2]) < int(found[1])):
        raise bad_header(header, text)
    return int(found[1]), int(found[2]) if found[2] else None
