"""What the Azure clients raise, in this package's own errors: the one translation for all Azure storage.

Two clients are understood: the Azure SDKs (azure-core, azure-storage-*, azure-identity) and obstore. Nothing of an
upstream error is chained, as its text may hold a URL with a signature.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

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
    UnsafePath,
    Unsupported,
)

# https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes, .../blob-service-error-codes and
# .../file-service-error-codes
CODES: Mapping[str, type[DatastoresError]] = {
    "AccountBeingCreated": Unavailable,
    "AccountIsDisabled": AccessDenied,
    "AuthenticationFailed": AccessDenied,
    "AuthorizationFailure": AccessDenied,
    "AuthorizationPermissionMismatch": AccessDenied,
    "AuthorizationProtocolMismatch": AccessDenied,
    "AuthorizationResourceTypeMismatch": AccessDenied,
    "AuthorizationServiceMismatch": AccessDenied,
    "AuthorizationSourceIPMismatch": AccessDenied,
    "BlobAlreadyExists": PathExists,
    "BlobArchived": Unsupported,
    "BlobBeingRehydrated": Unavailable,
    "BlobImmutableDueToPolicy": Conflict,
    "BlobNotFound": PathNotFound,
    "BlockCountExceedsLimit": Unsupported,
    "BlockListTooLong": Unsupported,
    "CannotDeleteFileOrDirectory": Conflict,
    "ClientCacheFlushDelay": Unavailable,
    "ConditionNotMet": Changed,
    "ContainerBeingDeleted": ContainerNotFound,
    "ContainerDisabled": AccessDenied,
    "ContainerNotFound": ContainerNotFound,
    "DeletePending": Conflict,
    "DestinationPathIsBeingDeleted": Unavailable,
    "DirectoryIsNotEmpty": Conflict,
    "DirectoryNotEmpty": Conflict,
    "FileLockConflict": Conflict,
    "FilesystemBeingDeleted": ContainerNotFound,
    "FilesystemNotFound": ContainerNotFound,
    "InsufficientAccountPermissions": AccessDenied,
    "InternalError": Unavailable,
    "InvalidAuthenticationInfo": AccessDenied,
    "InvalidBlobOrBlock": Changed,
    "InvalidBlobType": Unsupported,
    "InvalidBlockList": Changed,
    "InvalidDestinationPath": UnsafePath,
    "InvalidFileOrDirectoryPathName": UnsafePath,
    "InvalidRenameSourcePath": UnsafePath,
    "InvalidResourceName": UnsafePath,
    "InvalidSourceOrDestinationResourceType": PathExists,
    "InvalidUri": UnsafePath,
    "KeyBasedAuthenticationNotPermitted": AccessDenied,
    "LeaseAlreadyPresent": Conflict,
    "LeaseIdMismatchWithFileOperation": Conflict,
    "LeaseIdMismatchWithLeaseOperation": Conflict,
    "LeaseIdMissing": Conflict,
    "LeaseLost": Conflict,
    "LeaseNotPresentWithFileOperation": Conflict,
    "LeaseNotPresentWithLeaseOperation": Conflict,
    "NoAuthenticationInformation": AccessDenied,
    "OperationNotAllowedOnThePath": UnsafePath,
    "OperationTimedOut": Unavailable,
    "OutOfRangeInput": UnsafePath,
    "ParentNotFound": PathNotFound,
    "PathAlreadyExists": PathExists,
    "PathConflict": UnsafePath,
    "PathNotFound": PathNotFound,
    "PendingCopyOperation": Conflict,
    "PublicAccessNotPermitted": AccessDenied,
    "ReadOnlyAttribute": Conflict,
    "RenameDestinationParentPathNotFound": PathNotFound,
    "ResourceAlreadyExists": PathExists,
    "ResourceNotFound": PathNotFound,
    "ResourceTypeMismatch": UnsafePath,
    "SMBDeletePending": Conflict,
    "ServerBusy": Unavailable,
    "ShareAlreadyExists": PathExists,
    "ShareBeingDeleted": ContainerNotFound,
    "ShareDisabled": AccessDenied,
    "ShareNotFound": ContainerNotFound,
    "ShareSizeLimitReached": Conflict,
    "SharingViolation": Conflict,
    "SnapshotsPresent": Conflict,
    "SourceConditionNotMet": Changed,
    "SourcePathIsBeingDeleted": PathNotFound,
    "SourcePathNotFound": PathNotFound,
    "TargetConditionNotMet": Changed,
    "UnauthorizedBlobOverwrite": AccessDenied,
}

STATUSES: Mapping[int, type[DatastoresError]] = {
    304: Changed,
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
"""Where the code says nothing. Any other status of 500 and above is :class:`Unavailable`."""

# Where neither code nor status says more. A class that is missing here counts as the nearest of its bases that is not.
CLASSES: Mapping[str, type[DatastoresError]] = {
    "azure.core.exceptions.AzureError": Unavailable,
    "azure.core.exceptions.ClientAuthenticationError": AccessDenied,
    "azure.core.exceptions.DecodeError": Unavailable,
    "azure.core.exceptions.DeserializationError": Unavailable,
    "azure.core.exceptions.HttpResponseError": Unavailable,
    "azure.core.exceptions.IncompleteReadError": Unavailable,
    "azure.core.exceptions.ODataV4Error": Unavailable,
    "azure.core.exceptions.ResourceExistsError": PathExists,
    "azure.core.exceptions.ResourceModifiedError": Changed,
    "azure.core.exceptions.ResourceNotFoundError": PathNotFound,
    "azure.core.exceptions.ResourceNotModifiedError": Changed,
    "azure.core.exceptions.ResponseNotReadError": Unavailable,
    "azure.core.exceptions.SerializationError": Unsupported,
    "azure.core.exceptions.ServiceRequestError": Unavailable,
    "azure.core.exceptions.ServiceRequestTimeoutError": Unavailable,
    "azure.core.exceptions.ServiceResponseError": Unavailable,
    "azure.core.exceptions.ServiceResponseTimeoutError": Unavailable,
    "azure.core.exceptions.StreamClosedError": Unavailable,
    "azure.core.exceptions.StreamConsumedError": Unavailable,
    "azure.core.exceptions.TooManyRedirectsError": Unavailable,
    "azure.identity._exceptions.AuthenticationRequiredError": AccessDenied,
    "azure.identity._exceptions.CredentialUnavailableError": AccessDenied,
    "builtins.FileNotFoundError": PathNotFound,
    "builtins.ValueError": UnsafePath,
    "obstore.exceptions.AlreadyExistsError": PathExists,
    "obstore.exceptions.BaseError": Unavailable,
    "obstore.exceptions.GenericError": Unavailable,
    "obstore.exceptions.InvalidPathError": UnsafePath,
    "obstore.exceptions.JoinError": Unavailable,
    "obstore.exceptions.NotFoundError": PathNotFound,
    "obstore.exceptions.NotModifiedError": Changed,
    "obstore.exceptions.NotSupportedError": Unsupported,
    "obstore.exceptions.PermissionDeniedError": AccessDenied,
    "obstore.exceptions.PreconditionError": Changed,
    "obstore.exceptions.UnauthenticatedError": AccessDenied,
    "obstore.exceptions.UnknownConfigurationKeyError": Unsupported,
}

_REMEDIES = {
    "AuthenticationFailed": "Check that it belongs to this account and has not expired or been rotated.",
    "AuthorizationFailure": "Check its permissions, and the account's firewall and network rules.",
    "AuthorizationPermissionMismatch": "It lacks a permission: for an identity a role such as 'Storage Blob Data "
    "Contributor' on the account or container, for a SAS token the right letter in 'sp'.",
    "AuthorizationSourceIPMismatch": "It is valid for other IP addresses only.",
    "BlobArchived": "It is in the archive tier: rehydrate it first.",
    "CannotDeleteFileOrDirectory": "An SMB client has it open.",
    "CannotVerifyCopySource": "The service could not read the source of the copy.",
    "BlockListTooLong": "Give the size in advance: then its blocks are made large enough.",
    "ClientCacheFlushDelay": "An SMB client has it open, and did not hand over in time what it had not written yet.",
    "ContainerBeingDeleted": "It is just being deleted.",
    "DeletePending": "An SMB client is deleting it, while one has it open.",
    "DirectoryNotEmpty": "There is something in it.",
    "FileLockConflict": "An SMB client has locked a part of it.",
    "InvalidBlobOrBlock": "Somebody else's upload to the same blob is not finished.",
    "InvalidBlockList": "Somebody else wrote the same blob during the upload.",
    "KeyBasedAuthenticationNotPermitted": "The account allows neither its key nor what is signed with it: use an "
    "identity (service principal, managed or workload identity).",
    "LeaseAlreadyPresent": "Somebody holds a lease on it.",
    "LeaseIdMissing": "Somebody holds a lease on it.",
    "NoAuthenticationInformation": "It is not public: give a credential.",
    "OperationNotAllowedOnThePath": "Fabric manages it: data goes below the item's folders, such as Files.",
    "PublicAccessNotPermitted": "It is not public: give a credential.",
    "ReadOnlyAttribute": "It has the attribute ReadOnly: take that off first, through SMB.",
    "ResourceNotFound": "To those who may not read it, too, it looks as if it were not there.",
    "ResourceTypeMismatch": "A folder is where a file is meant, or a file where a folder is.",
    "SMBDeletePending": "An SMB client is deleting it, while one has it open.",
    "ShareBeingDeleted": "It is just being deleted.",
    "ShareSizeLimitReached": "The share is full: raise its quota, or make room in it.",
    "SharingViolation": "An SMB client has it, or something in it, open.",
    "SnapshotsPresent": "It has snapshots: delete them first.",
}

_OBSTORE_CODE = re.compile(r"<Code>(\w+)</Code>")
_OBSTORE_STATUS = re.compile(r"status code: (\d{3})\b")
_SECRET = re.compile(r"(?i)(sig|signature|key|secret|token|assertion)(=|%3D|\": *\")[^&\s\"']+")
_LOGIN_STATUS = re.compile(r"HTTP Error: (429|5\d\d)\b")
_SAID = 300

_INTENT = "x-ms-file-request-intent"
"""The header without which Azure Files takes no token: https://learn.microsoft.com/azure/storage/files/authorize-oauth-rest"""


def code_of(error: BaseException) -> str | None:
    """The service's own code of an error, for example ``BlobNotFound``; None if it gave none."""
    code = getattr(error, "error_code", None)
    if code:
        return str(getattr(code, "value", code))
    response = getattr(error, "response", None)
    if response is not None:
        header: str | None = response.headers.get("x-ms-error-code")
        return header
    found = _OBSTORE_CODE.search(str(error)) if _is_obstore(error) else None
    return found[1] if found else None


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an error; None if there was no answer."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status
    found = _OBSTORE_STATUS.search(str(error)) if _is_obstore(error) else None
    return int(found[1]) if found else None


def class_of(error: BaseException, *, of_path: bool) -> type[DatastoresError]:
    """Which of our errors an upstream error is.

    :param of_path: whether the call was about one object, rather than about the container.
    """
    code, status = code_of(error), status_of(error)
    if code is not None and code in CODES:
        ours = CODES[code]
    elif status == 400 and _INTENT in str(error):
        ours = AccessDenied
    elif status is not None and status in STATUSES:
        ours = STATUSES[status]
    elif status is not None and status >= 500:
        ours = Unavailable
    else:
        names = (f"{base.__module__}.{base.__qualname__}" for base in type(error).__mro__)
        ours = next((CLASSES[name] for name in names if name in CLASSES), Unavailable)
    if ours is PathNotFound and not of_path:
        return ContainerNotFound
    return Unavailable if ours is AccessDenied and is_login_outage(error) else ours


def is_login_outage(error: BaseException) -> bool:
    """Whether a login failed because Microsoft Entra ID was not reached, or is in trouble.

    azure-identity has the one error for this and for credentials that are wrong.
    """
    if f"{type(error).__module__}.{type(error).__qualname__}" != "azure.core.exceptions.ClientAuthenticationError":
        return False
    if status_of(error):
        return False
    from azure.core.exceptions import ServiceRequestError, ServiceResponseError

    # What msal says of an answer that it does not look into.
    in_trouble = _LOGIN_STATUS.search(str(getattr(error, "message", error)))
    return bool(in_trouble) or any(isinstance(e, ServiceRequestError | ServiceResponseError) for e in _causes(error))


def upstream_errors() -> tuple[type[Exception], ...]:
    """The base classes of all that the Azure SDKs raise."""
    from azure.core.exceptions import AzureError, DeserializationError, SerializationError

    return AzureError, DeserializationError, SerializationError


class AzureErrors:
    """The translation for one container.

    :param place: how messages call the container, for example ``https://a.blob.core.windows.net/c``.
    :param credential: how messages call the credential that is used, for example ``the account key``: asked for with
        each error, as a token may have expired meanwhile.
    :param remedies: what to do about a code, where it is another thing than for most services.
    """

    def __init__(self, place: str, credential: Callable[[], str], remedies: Mapping[str, str] | None = None) -> None:
        self._place = place
        self._credential = credential
        self._remedies = {**_REMEDIES, **(remedies or {})}
        self.upstream = upstream_errors()

    def translate(self, error: BaseException, path: str | None = None) -> DatastoresError:
        """The error to raise instead, with ``from None``.

        :param path: the object that the call was about; None if it was about the container.
        """
        ours, code = class_of(error, of_path=path is not None), code_of(error)
        subject = self._place if path is None or ours is ContainerNotFound else self.subject(path)
        happened = f"{subject}: {self._happened(ours, error)}{in_brackets(code, status_of(error))}."
        return ours(" ".join(filter(None, [happened, self._remedies.get(code or "")])))

    def subject(self, path: str) -> str:
        """How messages call an object."""
        return f"{show(path)} in {self._place}"

    @contextmanager
    def translated(self, path: str | None = None) -> Iterator[None]:
        """Raise what the Azure SDKs raise inside as one of our errors."""
        try:
            yield
        except self.upstream as error:
            raise self.translate(error, path) from None

    def _happened(self, ours: type[DatastoresError], error: BaseException) -> str:
        if ours is AccessDenied:
            said = "" if status_of(error) else _said_by_identity(error)
            return f"access was denied to {self._credential()}{said}"
        if ours is Unavailable:
            return f"the service did not answer properly{network_reason(error)}"
        return {
            Changed: "it is not, or no longer, the version that was asked for",
            Conflict: "the service refuses this in its present state",
            ContainerNotFound: "it does not exist",
            PathExists: "there is something already",
            PathNotFound: "there is no such file",
            UnsafePath: "the service cannot hold this name",
            Unsupported: "the service does not take this request",
        }[ours]


def in_brackets(code: str | None, status: int | None) -> str:
    known = " ".join(str(part) for part in (status, code) if part)
    return f" ({known})" if known else ""


def _said_by_identity(error: BaseException) -> str:
    """What azure-identity says of a login that failed; it never had an answer of the storage service."""
    if _is_obstore(error):
        return ""
    lines = str(getattr(error, "message", error)).strip().splitlines()
    said = without_secrets(lines[0] if lines else "")[:_SAID].rstrip(".")
    return f": {said}" if said else ""


def without_secrets(text: str) -> str:
    """What a service says, less what looks like a secret in it."""
    return _SECRET.sub(r"\1\2…", text)


def network_reason(error: BaseException, *, check: str = "the account's name and the endpoint") -> str:
    """Why there was no answer, in few words.

    :param check: what may be mistyped if the host is not known.
    """
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return f": its host name does not resolve; check {check}"
        if isinstance(cause, ssl.SSLError):
            return f": TLS failed, {cause.reason or type(cause).__name__}"
        if isinstance(cause, TimeoutError):
            return ": time ran out"
        if isinstance(cause, OSError) and cause.strerror:
            return f": {cause.strerror.lower()}"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that is wrapped in it, outermost first, as the HTTP clients nest them."""
    pending: list[object] = [error]
    seen: set[int] = set()
    while pending:
        cause = pending.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            nested = (getattr(cause, name, None) for name in ("inner_exception", "reason", "__cause__", "__context__"))
            pending += [*nested, *cause.args]


def _is_obstore(error: BaseException) -> bool:
    return type(error).__module__.startswith(("obstore", "builtins"))
