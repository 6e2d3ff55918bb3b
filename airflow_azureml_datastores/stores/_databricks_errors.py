"""What the clients of Databricks raise, in this package's own errors: the one translation for workspaces.

Understood are databricks-sdk, which makes the calls, and what requests and azure-identity raise below it and beside it.
Nothing of an upstream error is chained, as its text may hold a URL with a signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow_azureml_datastores.core.paths import show
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
from airflow_azureml_datastores.stores import _azure_errors
from airflow_azureml_datastores.stores._azure_errors import in_brackets, network_reason, without_secrets

# ``error_code`` of the REST API, and reasons in its details where they say more (databricks.sdk.errors.platform, and
# https://docs.databricks.com/api/azure/workspace of the calls that are made here).
CODES: Mapping[str, type[DatastoresError]] = {
    "ABORTED": Unavailable,
    "ALREADY_EXISTS": PathExists,
    "BAD_REQUEST": Unsupported,
    "CANCELLED": Unavailable,
    "CATALOG_DOES_NOT_EXIST": ContainerNotFound,
    "CONFLICT": Conflict,
    "DATA_LOSS": Unavailable,
    "DEADLINE_EXCEEDED": Unavailable,
    "ENDPOINT_NOT_FOUND": Unsupported,
    "FEATURE_DISABLED": Unsupported,
    "INTERNAL_ERROR": Unavailable,
    "INVALID_PARAMETER_VALUE": Unsupported,
    "INVALID_STATE": Conflict,
    "IO_ERROR": Unavailable,
    "MAX_BLOCK_SIZE_EXCEEDED": Unsupported,
    "MAX_READ_SIZE_EXCEEDED": Unsupported,
    "NOT_FOUND": PathNotFound,
    "NOT_IMPLEMENTED": Unsupported,
    "PARTIAL_DELETE": Unavailable,
    "PERMISSION_DENIED": AccessDenied,
    "PRIVATE_LINK_VALIDATION_ERROR": AccessDenied,
    "QUOTA_EXCEEDED": Unavailable,
    "REQUEST_LIMIT_EXCEEDED": Unavailable,
    "RESOURCE_ALREADY_EXISTS": PathExists,
    "RESOURCE_CONFLICT": Conflict,
    "RESOURCE_DOES_NOT_EXIST": PathNotFound,
    "RESOURCE_EXHAUSTED": Unavailable,
    "SCHEMA_DOES_NOT_EXIST": ContainerNotFound,
    "TEMPORARILY_UNAVAILABLE": Unavailable,
    "UNAUTHENTICATED": AccessDenied,
    "UNKNOWN": Unavailable,
    "VOLUME_DOES_NOT_EXIST": ContainerNotFound,
    # The token endpoint's: https://datatracker.ietf.org/doc/html/rfc6749#section-5.2
    "invalid_client": AccessDenied,
    "invalid_grant": AccessDenied,
    "invalid_request": AccessDenied,
    "invalid_scope": AccessDenied,
    "unauthorized_client": AccessDenied,
    "unsupported_grant_type": AccessDenied,
}

STATUSES: Mapping[int, type[DatastoresError]] = {
    302: AccessDenied,
    303: AccessDenied,
    400: Unsupported,
    401: AccessDenied,
    403: AccessDenied,
    404: PathNotFound,
    405: Unsupported,
    408: Unavailable,
    409: Conflict,
    412: Changed,
    413: Unsupported,
    416: Changed,
    429: Unavailable,
    501: Unsupported,
    505: Unsupported,
}
"""Where the code says nothing; any other is :class:`Unavailable`. Who is let in is led to no other page."""

# Where neither says more. A class that is missing here counts as the nearest of its bases that is not.
CLASSES: Mapping[str, type[DatastoresError]] = {
    "databricks.sdk.errors.base.DatabricksError": Unavailable,
    "databricks.sdk.errors.platform.Aborted": Unavailable,
    "databricks.sdk.errors.platform.AlreadyExists": PathExists,
    "databricks.sdk.errors.platform.BadRequest": Unsupported,
    "databricks.sdk.errors.platform.Cancelled": Unavailable,
    "databricks.sdk.errors.platform.DataLoss": Unavailable,
    "databricks.sdk.errors.platform.DeadlineExceeded": Unavailable,
    "databricks.sdk.errors.platform.InternalError": Unavailable,
    "databricks.sdk.errors.platform.InvalidParameterValue": Unsupported,
    "databricks.sdk.errors.platform.InvalidState": Conflict,
    "databricks.sdk.errors.platform.NotFound": PathNotFound,
    "databricks.sdk.errors.platform.NotImplemented": Unsupported,
    "databricks.sdk.errors.platform.PermissionDenied": AccessDenied,
    "databricks.sdk.errors.platform.RequestLimitExceeded": Unavailable,
    "databricks.sdk.errors.platform.ResourceAlreadyExists": PathExists,
    "databricks.sdk.errors.platform.ResourceConflict": Conflict,
    "databricks.sdk.errors.platform.ResourceDoesNotExist": PathNotFound,
    "databricks.sdk.errors.platform.ResourceExhausted": Unavailable,
    "databricks.sdk.errors.platform.TemporarilyUnavailable": Unavailable,
    "databricks.sdk.errors.platform.TooManyRequests": Unavailable,
    "databricks.sdk.errors.platform.Unauthenticated": AccessDenied,
    "databricks.sdk.errors.platform.Unknown": Unavailable,
    "databricks.sdk.errors.private_link.PrivateLinkValidationError": AccessDenied,
    "databricks.sdk.errors.sdk.OperationFailed": Unavailable,
    "databricks.sdk.errors.sdk.OperationTimeout": Unavailable,
    "requests.exceptions.RequestException": Unavailable,
    "urllib3.exceptions.HTTPError": Unavailable,
}

_TOKEN = "Check that it is valid for this workspace and has not expired or been revoked."
_REMEDIES = {
    "401": _TOKEN,
    "403": _TOKEN,
    "PERMISSION_DENIED": "Reading a volume takes READ VOLUME on it, and writing WRITE VOLUME, with USE CATALOG and USE "
    "SCHEMA above; files that are not in volumes are no longer to be had in new accounts.",
    "QUOTA_EXCEEDED": "A quota of the workspace is used up.",
    "UNAUTHENTICATED": _TOKEN,
}
_SAID = 300


class Refused(Exception):
    """An answer that is an error, where databricks-sdk was not asked.

    :param code: in its own words; None if it has none.
    :param pause: seconds that it asks for before another try; None if it does not.
    """

    def __init__(self, status: int, code: str | None = None, said: str = "", pause: float | None = None) -> None:
        super().__init__(said)
        self.status = status
        self.error_code = code
        self.retry_after_secs = pause


def code_of(error: BaseException) -> str | None:
    """The service's own code of an error, for example ``NOT_FOUND``; None if it gave none."""
    code = getattr(error, "error_code", None)
    return str(code) if code else None


def reasons_of(error: BaseException) -> set[str]:
    """What the details of an error give as its reasons, for example ``FILES_API_DIRECTORY_IS_NOT_EMPTY``."""
    told: list[Any] = getattr(error, "get_error_info", list)()
    return {str(info.reason) for info in told if info.reason}


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an error; None if there was no answer, or databricks-sdk keeps it to itself."""
    return error.status if isinstance(error, Refused) else None


def class_of(error: BaseException) -> type[DatastoresError]:
    """Which of our errors an upstream error is."""
    if type(error).__module__.startswith("azure."):
        return _azure_errors.class_of(error, of_path=True)
    code, status = code_of(error), status_of(error)
    if code is not None and code in CODES:
        return CODES[code]
    if status is not None:
        return STATUSES.get(status, Unavailable)
    names = (f"{base.__module__}.{base.__qualname__}" for base in type(error).__mro__)
    return next((CLASSES[name] for name in names if name in CLASSES), Unavailable)


def upstream_errors() -> tuple[type[Exception], ...]:
    """The base classes of all that the clients raise."""
    import requests
    import urllib3
    from azure.core.exceptions import AzureError
    from databricks.sdk.errors.base import DatabricksError

    return Refused, DatabricksError, requests.RequestException, urllib3.exceptions.HTTPError, AzureError


class DatabricksErrors:
    """The translation for one location.

    :param place: how messages call it, for example ``https://adb-1.1.azuredatabricks.net/Volumes/main/sales/raw``.
    :param credential: how messages call the credential that is used, for example ``the access token``.
    """

    def __init__(self, place: str, credential: Callable[[], str]) -> None:
        self._place = place
        self._credential = credential

    def translate(self, error: BaseException, path: str | None = None) -> DatastoresError:
        """The error to raise instead, with ``from None``.

        :param path: the file or folder that the call was about; None if it was about the location.
        """
        ours, code = class_of(error), code_of(error)
        if ours is PathNotFound and path is None:
            ours = ContainerNotFound
        subject = self._place if path is None or ours is ContainerNotFound else f"{show(path)} in {self._place}"
        parts = [f"{subject}: {self._happened(ours, error)}{in_brackets(code, status_of(error))}."]
        if ours is AccessDenied and code is None:
            code = "PERMISSION_DENIED"  # an answer to HEAD has no body to say it
        if code in _REMEDIES:
            parts.append(_REMEDIES[code])
        return ours(" ".join(parts))

    @contextmanager
    def translated(self, path: str | None = None) -> Iterator[None]:
        """Raise what the clients raise inside as one of our errors."""
        try:
            yield
        except upstream_errors() as error:
            raise self.translate(error, path) from None

    def _happened(self, ours: type[DatastoresError], error: BaseException) -> str:
        said = said_by(error)
        if ours is AccessDenied:
            return f"access was denied to {self._credential()}{said}"
        if ours is Unavailable:
            return f"the service did not answer properly{network_reason(error, check='the address of the workspace')}"
        if ours is Unsupported:
            return f"the service does not take this request{said}"
        return {
            Changed: "it is not, or no longer, the version that was asked for",
            Conflict: f"the service refuses this at present{said}",
            ContainerNotFound: f"there is no such place{said}",
            PathExists: "there is something already",
            PathNotFound: "there is no such file",
        }[ours]


def said_by(error: BaseException) -> str:
    """The service's words, led in by a colon, less what looks like a secret in them; "" if it has none."""
    text: Any = getattr(error, "message", None) or str(error)
    lines = str(text).strip().splitlines()
    said = without_secrets(lines[0] if lines else "")[:_SAID].rstrip(".")
    return f": {said}" if said else ""
