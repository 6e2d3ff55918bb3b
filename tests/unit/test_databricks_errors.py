"""The one translation of what the clients of Databricks raise."""

from __future__ import annotations

import inspect
import socket

import databricks.sdk.errors
import pytest
import requests
import urllib3
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from databricks.sdk.errors import platform
from databricks.sdk.errors.base import DatabricksError

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
from airflow_azureml_datastores.stores._databricks_errors import (
    CLASSES,
    CODES,
    STATUSES,
    DatabricksErrors,
    Refused,
    class_of,
    reasons_of,
)

PLACE = "https://adb-1.1.azuredatabricks.net/Volumes/main/sales/raw"
ERRORS = DatabricksErrors(PLACE, lambda: "the access token")


def test_no_class_is_left_out() -> None:
    """A class that an update of the SDK brings has to be given a meaning here, rather than that of its base."""
    modules = [databricks.sdk.errors, platform]
    found = {
        f"{error.__module__}.{error.__qualname__}"
        for module in modules
        for error in vars(module).values()
        if inspect.isclass(error) and issubclass(error, Exception)
    }
    assert found == {name for name in CLASSES if name.startswith("databricks.")}


def test_no_code_and_no_status_of_the_sdk_is_left_out() -> None:
    assert set(platform.ERROR_CODE_MAPPING) <= set(CODES)
    for status, theirs in platform.STATUS_CODE_MAPPING.items():
        ours = CLASSES[f"{theirs.__module__}.{theirs.__qualname__}"]
        assert STATUSES.get(status, Unavailable) is ours, status


@pytest.mark.parametrize(("code", "theirs"), platform.ERROR_CODE_MAPPING.items())
def test_codes_mean_what_the_classes_mean(code: str, theirs: type[DatabricksError]) -> None:
    assert class_of(theirs("x")) is class_of(Refused(400, code)) is CODES[code]


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (platform.NotFound("x", error_code="NOT_FOUND"), PathNotFound),
        (platform.NotFound("x", error_code="VOLUME_DOES_NOT_EXIST"), ContainerNotFound),
        (platform.NotFound("x", error_code="ENDPOINT_NOT_FOUND"), Unsupported),
        (platform.NotFound("x"), PathNotFound),
        (platform.PermissionDenied("x", error_code="PERMISSION_DENIED"), AccessDenied),
        (platform.ResourceConflict("x", error_code="A code that nobody knows"), Conflict),
        (platform.BadRequest("x", error_code="RESOURCE_ALREADY_EXISTS"), PathExists),
        (DatabricksError("x"), Unavailable),
        (Refused(412), Changed),
        (Refused(302), AccessDenied),
        (Refused(403, "AuthorizationFailure"), AccessDenied),
        (Refused(418), Unavailable),
        (Refused(502), Unavailable),
        (Refused(401, "invalid_client"), AccessDenied),
        (requests.ConnectionError("?sig=SECRET"), Unavailable),
        (requests.exceptions.ChunkedEncodingError("?sig=SECRET"), Unavailable),
        (urllib3.exceptions.ProtocolError("?sig=SECRET"), Unavailable),
        (ClientAuthenticationError("AADSTS7000215: Invalid client secret provided."), AccessDenied),
        (ServiceRequestError("no route"), Unavailable),
    ],
    ids=repr,
)
def test_meaning(error: Exception, ours: type[DatastoresError]) -> None:
    translated = ERRORS.translate(error, "some/path")
    assert type(translated) is ours
    assert "raw" in str(translated)
    assert "SECRET" not in str(translated)


@pytest.mark.parametrize("table", [CODES, STATUSES], ids=["codes", "statuses"])
def test_every_meaning_can_be_said(table: dict[object, type[DatastoresError]]) -> None:
    for key in table:
        error = Refused(key) if isinstance(key, int) else Refused(400, str(key))
        assert str(ERRORS.translate(error, "a"))


def test_place_rather_than_path() -> None:
    missing = platform.NotFound("Volume 'main.sales.raw' does not exist.", error_code="VOLUME_DOES_NOT_EXIST")
    told = str(ERRORS.translate(missing, "some/path"))
    assert told.startswith(f"{PLACE}: there is no such place: Volume 'main.sales.raw' does not exist")
    assert isinstance(ERRORS.translate(platform.NotFound("x")), ContainerNotFound)


def test_messages_say_what_the_service_said_and_what_to_do() -> None:
    said = "User does not have WRITE VOLUME on Volume 'main.sales.raw'."
    message = str(ERRORS.translate(platform.PermissionDenied(said, error_code="PERMISSION_DENIED"), "a/b"))
    assert message.startswith(
        f"'a/b' in {PLACE}: access was denied to the access token: {said[:-1]} (PERMISSION_DENIED)"
    )
    assert "WRITE VOLUME, with USE CATALOG and USE SCHEMA" in message
    assert "has not expired" in str(ERRORS.translate(Refused(403, "403", "Invalid access token."), "a"))


def test_what_the_service_said_is_no_place_for_secrets() -> None:
    said = "bad request sig=HUSH&x=1 session_token=HUSH\nsecond line"
    message = str(ERRORS.translate(platform.BadRequest(said), "a"))
    assert "bad request" in message
    assert "HUSH" not in message
    assert "second line" not in message


def test_reasons() -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "FILES_API_DIRECTORY_IS_NOT_EMPTY"}
    assert reasons_of(platform.BadRequest("x", details=[detail])) == {"FILES_API_DIRECTORY_IS_NOT_EMPTY"}
    assert reasons_of(platform.BadRequest("x")) == reasons_of(Refused(400)) == set()


def test_network_reasons() -> None:
    unknown = requests.ConnectionError(urllib3.exceptions.HTTPError(socket.gaierror(-2, "Name not known")))
    assert "does not resolve; check the address of the workspace" in str(ERRORS.translate(unknown, "a"))
    refused = requests.ConnectionError(ConnectionRefusedError(111, "Connection refused"))
    assert "connection refused" in str(ERRORS.translate(refused))


def test_only_upstream_errors_are_translated() -> None:
    with pytest.raises(ZeroDivisionError), ERRORS.translated("a"):
        raise ZeroDivisionError
    with pytest.raises(Unavailable) as caught, ERRORS.translated("a"):
        raise requests.ConnectionError("url: ?sig=SECRET")
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None
