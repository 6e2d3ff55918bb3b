"""The one translation of what the Azure clients raise."""

from __future__ import annotations

import inspect
from types import ModuleType

import azure.core.exceptions
import azure.identity
import obstore.exceptions
import pytest
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ServiceRequestError

from airflow_azureml_datastores.errors import (
    AccessDenied,
    Changed,
    Conflict,
    ContainerNotFound,
    DatastoresError,
    PathExists,
    PathNotFound,
    Unavailable,
    Unsupported,
)
from airflow_azureml_datastores.stores._azure_errors import CLASSES, CODES, STATUSES, AzureErrors, class_of

ERRORS = AzureErrors("https://contoso.blob.core.windows.net/raw", lambda: "the account key")


def exceptions_of(module: ModuleType) -> set[str]:
    """Every exception class that a client library lets out of this module."""
    found = (value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, Exception))
    return {f"{error.__module__}.{error.__qualname__}" for error in found}


@pytest.mark.parametrize(
    "module", [azure.core.exceptions, azure.identity, obstore.exceptions], ids=lambda m: m.__name__
)
def test_no_class_is_left_out(module: ModuleType) -> None:
    """A class that an update of a client brings has to be given a meaning here, rather than that of its base."""
    assert exceptions_of(module) - set(CLASSES) == set()


def test_classes_that_are_named_exist() -> None:
    known = {
        f"{error.__module__}.{error.__qualname__}"
        for module in (azure.core.exceptions, azure.identity, obstore.exceptions)
        for error in vars(module).values()
        if inspect.isclass(error)
    }
    assert {name for name in CLASSES if not name.startswith("builtins.")} <= known


class Response:
    """As much of an HTTP response as an error of the SDK needs. Stands in for a service that gives any answer."""

    reason = "said the service"
    content_type = "application/xml"

    def __init__(self, status_code: int, code: str | None = None) -> None:
        self.status_code = status_code
        self.headers = {"x-ms-error-code": code} if code else {}

    def text(self, encoding: str | None = None) -> str:
        return ""


def answer(status: int, code: str | None = None) -> HttpResponseError:
    return HttpResponseError(message="?sv=2020&sig=SECRET", response=Response(status, code))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (answer(404, "ContainerNotFound"), ContainerNotFound),
        (answer(404, "BlobNotFound"), PathNotFound),
        (answer(404), PathNotFound),
        (answer(403, "AuthenticationFailed"), AccessDenied),
        (answer(403, "A code that nobody knows"), AccessDenied),
        (answer(401), AccessDenied),
        (answer(409, "BlobAlreadyExists"), PathExists),
        (answer(409, "SnapshotsPresent"), Conflict),
        (answer(409, "PublicAccessNotPermitted"), AccessDenied),
        (answer(412, "ConditionNotMet"), Changed),
        (answer(412, "LeaseIdMissing"), Conflict),
        (answer(429), Unavailable),
        (answer(500, "InternalError"), Unavailable),
        (answer(599), Unavailable),
        (answer(501, "NotImplemented"), Unsupported),
        (answer(418), Unavailable),
        (ServiceRequestError("no route"), Unavailable),
        (ClientAuthenticationError("AADSTS7000215: Invalid client secret provided."), AccessDenied),
        (AzureError("?"), Unavailable),
        (FileNotFoundError("Object at location x not found"), PathNotFound),
    ],
    ids=str,
)
def test_meaning(error: Exception, ours: type[DatastoresError]) -> None:
    translated = ERRORS.translate(error, "some/path")
    assert type(translated) is ours
    assert "raw" in str(translated)
    assert "SECRET" not in str(translated)


@pytest.mark.parametrize("table", [CLASSES, CODES, STATUSES], ids=["classes", "codes", "statuses"])
def test_every_meaning_can_be_said(table: dict[object, type[DatastoresError]]) -> None:
    for key in table:
        error = answer(key) if isinstance(key, int) else answer(400, str(key))
        assert str(ERRORS.translate(error, "a"))


def test_container_rather_than_path() -> None:
    assert class_of(answer(404), of_path=False) is ContainerNotFound
    assert "some/path" not in str(ERRORS.translate(answer(404, "ContainerNotFound"), "some/path"))


def test_what_obstore_was_answered() -> None:
    text = (
        "Generic MicrosoftAzure error: Error performing GET http://x/c/a in 2ms - Server returned non-2xx status code: "
        "403 Forbidden: <Error><Code>KeyBasedAuthenticationNotPermitted</Code></Error> sig=SECRET"
    )
    translated = ERRORS.translate(obstore.exceptions.GenericError(text), "a")
    assert isinstance(translated, AccessDenied)
    assert "403 KeyBasedAuthenticationNotPermitted" in str(translated)
    assert "use an identity" in str(translated)
    assert "SECRET" not in str(translated)


def test_messages_say_what_was_tried_and_what_to_do() -> None:
    message = str(ERRORS.translate(answer(403, "AuthorizationPermissionMismatch"), "a/b"))
    assert message.startswith(
        "'a/b' in https://contoso.blob.core.windows.net/raw: access was denied to the account key"
    )
    assert "Storage Blob Data Contributor" in message


def test_what_the_login_service_said_without_what_it_may_quote() -> None:
    error = ClientAuthenticationError("AADSTS900: bad request client_secret=HUSH&x=1\nTrace ID: 1")
    message = str(ERRORS.translate(error))
    assert "AADSTS900" in message
    assert "HUSH" not in message
    assert "Trace ID" not in message


def test_network_reasons() -> None:
    def wrapped(cause: OSError) -> ServiceRequestError:
        return ServiceRequestError("HTTPSConnectionPool url: /c?sig=SECRET", error=RuntimeError(cause))

    refused = str(ERRORS.translate(wrapped(ConnectionRefusedError(111, "Connection refused"))))
    assert "connection refused" in refused
    assert "SECRET" not in refused
    assert "time ran out" in str(ERRORS.translate(wrapped(TimeoutError())))


def test_only_upstream_errors_are_translated() -> None:
    with pytest.raises(ZeroDivisionError), ERRORS.translated("a"):
        raise ZeroDivisionError
    with pytest.raises(Unavailable) as caught, ERRORS.translated("a"):
        raise ServiceRequestError("url: ?sig=SECRET")
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None
