"""The one translation of what the Azure clients raise."""

from __future__ import annotations

import inspect
import re
from types import ModuleType

import azure.core.exceptions
import azure.identity
import obstore.exceptions
import pytest
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ServiceRequestError
from azure.storage.fileshare import StorageErrorCode

from airflow_azureml_datastores.errors import (
    AccessDenied,
    Changed,
    Conflict,
    ContainerNotFound,
    DatastoresError,
    PathExists,
    PathNotFound,
    Unavailable,
    UnsafePath,
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


# Codes of the Files service that cannot occur here: of calls that are not made, or of mistakes that a client makes.
NOT_MADE = {
    "AccountAlreadyExists",
    "ConditionHeadersNotSupported",
    "ContainerQuotaDowngradeNotAllowed",
    "EmptyMetadataKey",
    "FeatureVersionMismatch",
    "FileShareProvisionedBandwidthDowngradeNotAllowed",
    "FileShareProvisionedBandwidthInvalid",
    "FileShareProvisionedIopsDowngradeNotAllowed",
    "FileShareProvisionedIopsInvalid",
    "FileShareProvisionedStorageInvalid",
    "InfiniteLeaseDurationRequired",
    "InvalidHttpVerb",
    "InvalidMarker",
    "InvalidMd5",
    "InvalidMetadata",
    "InvalidQueryParameterValue",
    "InvalidXmlDocument",
    "InvalidXmlNodeValue",
    "LeaseAlreadyBroken",
    "LeaseIsBreakingAndCannotBeAcquired",
    "LeaseIsBreakingAndCannotBeChanged",
    "LeaseIsBrokenAndCannotBeRenewed",
    "Md5Mismatch",
    "MetadataTooLarge",
    "MissingContentLengthHeader",
    "MissingRequiredQueryParameter",
    "MissingRequiredXmlNode",
    "MultipleConditionHeadersNotSupported",
    "NoPendingCopyOperation",
    "OutOfRangeQueryParameterValue",
    "RequestUrlFailedToParse",
    "ShareHasSnapshots",
    "ShareSnapshotCountExceeded",
    "ShareSnapshotInProgress",
    "ShareSnapshotNotFound",
    "ShareSnapshotOperationNotSupported",
    "UnsupportedHeader",
    "UnsupportedHttpVerb",
    "UnsupportedQueryParameter",
    "UnsupportedXmlNode",
}
# Those whose status says what is meant.
LEFT_TO_STATUS = {
    "CannotVerifyCopySource",
    "CopyAcrossAccountsNotSupported",
    "CopyIdMismatch",
    "InvalidHeaderValue",
    "InvalidInput",
    "InvalidOperation",
    "InvalidRange",
    "MissingRequiredHeader",
    "RequestBodyTooLarge",
    "SystemInUse",
    "TotalSharesCountExceedsAccountLimit",
    "TotalSharesProvisionedBandwidthExceedsAccountLimit",
    "TotalSharesProvisionedCapacityExceedsAccountLimit",
    "TotalSharesProvisionedIopsExceedsAccountLimit",
}
# Those of the other services, whose enumeration is the same.
_OF_BLOBS = "Blob|Block|Page|Append|Incremental|Sequence|Tier|SourceUri|^Snapshot|PreviousSnapshot|Container"
_OF_QUEUES = "Queue|Message|PopReceipt"
_OF_DATA_LAKE = (
    "Filesystem|FlushPosition|PropertyName|RestVersion|ContentLengthMustBeZero|SourceOrDestinationResourceType"
    "|LeaseNameMismatch|LeaseIsAlreadyBroken|^Path|(Source|Parent|Destination)Path|DestinationPath$"
)
OF_OTHERS = re.compile(f"{_OF_BLOBS}|{_OF_QUEUES}|{_OF_DATA_LAKE}")


def test_no_code_of_the_files_service_is_left_out() -> None:
    """A code that an update of the client brings has to be given a meaning, or be known to need none."""
    codes = {code.value for code in StorageErrorCode}
    others = {code for code in codes - set(CODES) if OF_OTHERS.search(code)} - NOT_MADE - LEFT_TO_STATUS
    assert codes - others - set(CODES) == NOT_MADE | LEFT_TO_STATUS


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
        (answer(404, "ShareNotFound"), ContainerNotFound),
        (answer(409, "ShareBeingDeleted"), ContainerNotFound),
        (answer(403, "ShareDisabled"), AccessDenied),
        (answer(403, "ShareSizeLimitReached"), Conflict),
        (answer(404, "ParentNotFound"), PathNotFound),
        (answer(409, "ResourceTypeMismatch"), UnsafePath),
        (answer(409, "ResourceAlreadyExists"), PathExists),
        (answer(409, "SharingViolation"), Conflict),
        (answer(400, "InvalidFileOrDirectoryPathName"), UnsafePath),
        (answer(408, "ClientCacheFlushDelay"), Unavailable),
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


def test_token_without_the_intent_of_a_backup() -> None:
    """Azure Files takes no token without it, and says so with 400 only."""
    error = HttpResponseError(message="HeaderName:x-ms-file-request-intent", response=Response(400))  # type: ignore[arg-type]
    assert class_of(error, of_path=True) is AccessDenied


def test_remedies_of_a_service() -> None:
    errors = AzureErrors("https://x/y", lambda: "it", {"SharingViolation": "Close it.", "ResourceNotFound": ""})
    assert str(errors.translate(answer(409, "SharingViolation"), "a")).endswith("(409 SharingViolation). Close it.")
    assert str(errors.translate(answer(404, "ResourceNotFound"), "a")).endswith("(404 ResourceNotFound).")
    assert str(ERRORS.translate(answer(409, "SharingViolation"), "a")).endswith(
        "SMB client has it, or something in it, open."
    )


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
