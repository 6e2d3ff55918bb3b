"""One file share as its clients see it."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.core.credentials import RenewedSas, SasToken
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import DatastoresError
from airflow_azureml_datastores.stores._azure import AzureAccess, Patience, describe
from airflow_azureml_datastores.stores._azure_errors import AzureErrors, code_of
from airflow_azureml_datastores.stores._file_names import joined
from airflow_azureml_datastores.stores._tree_listing import Entry, FolderInfo

if TYPE_CHECKING:
    from azure.storage.fileshare import ShareDirectoryClient, ShareFileClient

PART = 4 << 20
"""Most bytes of a file that one request brings: https://learn.microsoft.com/rest/api/storageservices/put-range"""
PARTS_AT_ONCE = 4
"""Parts of one file that are on their way: what the memory of a read or write is made of."""

NOT_THERE = ("ResourceNotFound", "ParentNotFound", "ResourceTypeMismatch")
"""The codes that say that there is no such file, or no such folder."""

TRIES = 20
"""How often something is tried that others undo in the meantime, before it is given up."""
TIDYING: dict[str, Any] = {"retry_total": 1}
"""Options of calls that tidy up: whoever waits for an error should not wait for them, too."""

LONGEST_SOURCE = 2048
"""Characters of a URL in a header that names another file, in the generated clients' documentation."""

_DENIED = ("AuthorizationFailure", "AuthorizationPermissionMismatch")
_ROLE_FOR_SHARES = (
    "Making a share takes more than rights on files: the account's key, or a role such as 'Storage Account "
    "Contributor'."
)
_ROLE = (
    "Over REST a file share takes an identity with the backup intent only, which overrides the rights of single files "
    "and folders: it needs the role 'Storage File Data Privileged Contributor' (to read, 'Storage File Data Privileged "
    "Reader') on the account or the share."
)


class FileShare:
    """The clients of one share, opened together.

    :param account_url: of the account's Files service, without a trailing slash.
    """

    def __init__(self, account_url: str, name: str, access: AzureAccess, patience: Patience) -> None:
        from azure.storage.fileshare import ShareClient

        self.account_url = account_url
        self.name = name
        self.url = f"{account_url}/{name}"
        self.access = access
        self.patience = patience
        self.errors = AzureErrors(self.url, lambda: describe(access.credential), _remedies(access))
        self._heard = threading.local()
        self._sdk = ShareClient(
            account_url,
            name,
            credential=_sdk_credential(access),
            token_intent="backup",
            allow_trailing_dot=True,
            allow_source_trailing_dot=True,
            retry_policy=patience.retry_policy(),
            transport=access.transport(patience),
            raw_response_hook=self._hear,  # as the client forgets one that is for a single call when it retries that
            logger=_requests_log(),
        )

    def file(self, path: str) -> ShareFileClient:
        """The SDK's client of one file, whose name has been checked."""
        return self._sdk.get_file_client(path)

    def folder(self, path: str) -> ShareDirectoryClient:
        """The SDK's client of one folder; "" is the root."""
        return self._sdk.get_directory_client(path)

    def children(self, folder: str, starting: str = "") -> Iterator[Entry]:
        """What is directly in a folder ("" is the root), page by page, drafts too. Raises the SDK's errors.

        :param starting: only names that start so, whatever the case.
        """
        # Of a file that an SMB client is writing, only the extended information tells the size as it is now.
        for found in self.folder(folder).list_directories_and_files(
            starting or None, include=["timestamps", "Etag"], include_extended_info=True
        ):
            path = joined(folder, found.name)
            yield FolderInfo(path) if found.is_directory else described(path, found)

    def check_there(self) -> None:
        """List one name in the root: what every credential that is of use here may do.

        :raises ContainerNotFound: there is no such share.
        """
        with self.errors.translated():
            pages = self.folder("").list_directories_and_files(results_per_page=1).by_page()
            next(pages)

    def create(self) -> None:
        """Make the share; one that is there is no error."""
        errors = AzureErrors(
            self.url, lambda: describe(self.access.credential), dict.fromkeys(_DENIED, _ROLE_FOR_SHARES)
        )
        try:
            self._sdk.create_share()
        except errors.upstream as error:
            if code_of(error) != "ShareAlreadyExists":
                raise errors.translate(error) from None

    def is_too_long_a_source(self, path: str) -> bool:
        """Whether the URL of a file is longer than the service takes in the header of a rename or copy."""
        token = self.access.sas.token() if self.access.sas else ""
        return len(self.file(path).url) + len(token) > LONGEST_SOURCE

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """For tidying up, which is not worth an error: somebody else will do it later."""
        with suppress(DatastoresError, *self.errors.upstream):
            yield

    def pauses(self) -> Iterator[float]:
        """For what no client tries again by itself: seconds to wait before each further attempt."""
        for number in range(self.patience.retries):
            yield self.patience.backoff * 2**number * random.uniform(0.5, 1.5) if number else 0

    def told(self, header: str) -> str:
        """A header of the answer to this thread's last request, for what the SDK does not pass on."""
        value: str = self._heard.headers[header]
        return value

    def close(self) -> None:
        self._sdk.close()

    def _hear(self, response: Any) -> None:
        self._heard.headers = response.http_response.headers


def described(path: str, found: Any) -> ObjectInfo:
    """A file, as a listing or an answer about it alone shows it.

    :param found: the SDK's FileProperties, in which the time of the last write is a text in the former case.
    """
    written = found.last_write_time
    moment = datetime.fromisoformat(written) if isinstance(written, str) else written
    return ObjectInfo(path, found.size, found.etag.strip('"'), moment.astimezone(UTC))


def _sdk_credential(access: AzureAccess) -> Any:
    """With a SAS given as text the SDK signs the URLs of files that are to be renamed, too.

    It takes no credential at all for an error; if it is the transport that signs, an empty SAS changes nothing.
    """
    from azure.core.credentials import AzureSasCredential

    if isinstance(access.credential, SasToken):
        return access.credential.token
    return AzureSasCredential("") if isinstance(access.credential, RenewedSas) else access.sdk


def _remedies(access: AzureAccess) -> dict[str, str]:
    """What to do about the codes that mean another thing here than with blobs."""
    if not hasattr(access.sdk, "get_token"):
        return {"AuthorizationPermissionMismatch": "It lacks a letter in 'sp'.", "ResourceNotFound": ""}
    return dict.fromkeys((*_DENIED, "MissingRequiredHeader"), _ROLE) | {"ResourceNotFound": ""}


def _requests_log() -> logging.Logger:
    """Where the SDK writes ten lines about each request: not into a task's log, unless this logger is told to."""
    log = logging.getLogger(f"{__name__}.requests")
    if log.level == logging.NOTSET:
        log.setLevel(logging.WARNING)
    return log
