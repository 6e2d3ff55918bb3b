"""One container as its clients see it: obstore for speed, the SDK for all that obstore cannot be trusted with."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlsplit

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.errors import AccessDenied, DatastoresError, PathNotFound, Unavailable, UnsafePath
from airflow_azureml_datastores.stores._azure import AzureAccess, Patience, describe
from airflow_azureml_datastores.stores._azure_errors import CODES, AzureErrors, class_of, code_of
from airflow_azureml_datastores.stores._blob_listing import PAGE, BlobListing, Page
from airflow_azureml_datastores.stores._blob_names import check_blob_name, has_empty_segment

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient
    from obstore.store import AzureConfig, AzureStore

T = TypeVar("T")

PART = 8 << 20
"""Bytes up to which a blob travels in one request; blocks of larger ones have as many."""
PARTS_AT_ONCE = 4
"""Blocks of one blob that are on their way: what the memory of a write is made of."""

_obstore_process: int | None = None


class BlobContainer:
    """The clients of one container, opened together.

    Hot calls go to obstore first, one attempt each. Whatever it fails at without a clear answer of the service is done
    again through the SDK, which knows the service's codes, pauses as the service asks, and has the retries.

    :param account_url: of the account's Blob service, without a trailing slash.
    :param root: what all names are prefixed with in the container; empty, or ends with a slash.
    :param shown: how messages call the container; None is its URL.
    """

    def __init__(
        self,
        account_url: str,
        name: str,
        access: AzureAccess,
        patience: Patience,
        *,
        root: str = "",
        shown: str | None = None,
    ) -> None:
        from azure.storage.blob import ContainerClient

        self.account_url = account_url
        self.name = name
        self.root = root
        self.url = shown or f"{account_url}/{name}"
        self.access = access
        self.errors = AzureErrors(self.url, lambda: describe(access.credential))
        self._patience = patience
        self._transport = access.transport(patience)
        self._sdk = ContainerClient(
            account_url,
            name,
            credential=access.sdk,
            retry_policy=patience.retry_policy(),
            transport=self._transport,
            logger=_requests_log(),
        )
        self._listing = BlobListing(
            f"{account_url}/{quote(name)}", [patience.retry_policy(), *access.auth_policies()], self._transport
        )

    def check_name(self, path: str) -> None:
        """:raises UnsafePath: the container cannot hold a blob of exactly this name."""
        check_blob_name(path)
        if has_empty_segment(path) and not self._is_flat:
            raise UnsafePath(f"{show(path)} is no name for {self.url}: a hierarchical namespace drops empty segments.")

    def blob(self, path: str) -> BlobClient:
        """The SDK's client of one blob, whose name has been checked. Making one costs more than a call of obstore."""
        return self._sdk.get_blob_client(self.root + path)

    def blob_url(self, path: str) -> str:
        """Where a blob is, without what lets somebody in."""
        return f"{self.account_url}/{quote(self.name)}/{quote(self.root + path, safe='~/')}"

    def pages(self, prefix: str, *, size: int = PAGE) -> Iterator[Page]:
        """Yield page after page of a listing, each asked for when it is wanted. Raises azure-core's errors."""
        pages = self._listing.pages(self.root + prefix, size=size)
        if not self.root:
            yield from pages
            return
        for page in pages:
            yield Page([replace(b, path=b.path.removeprefix(self.root)) for b in page.blobs], page.next_marker)

    def in_free_place(self, path: str, write: Callable[[], T]) -> T:
        """Write a blob, where something may be in the way that can be put out of it."""
        return write()

    def fast(self, path: str) -> AzureStore | None:
        """Obstore's client; None where it may not be used.

        That is for names that it bends, and in a process that was forked from one in which it has been used: there its
        calls would never return.
        """
        global _obstore_process
        if has_empty_segment(path):
            return None
        if _obstore_process is None:
            _obstore_process = os.getpid()
        return self._obstore if _obstore_process == os.getpid() else None

    def clear_answer(self, error: Exception, path: str) -> DatastoresError | None:
        """What an error of obstore means, if that is the service's last word; None if the SDK should ask again."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        final = isinstance(error, AlreadyExistsError | PreconditionError) or code_of(error) in CODES
        ours = class_of(error, of_path=True)
        if not final or ours is Unavailable or (ours is AccessDenied and self.access.sas is not None):
            return None
        return self.errors.translate(error, path)

    def check_is_file(self, path: str, metadata: Mapping[str, str]) -> None:
        """:raises PathNotFound: the metadata is that of a directory, which looks like an empty blob otherwise."""
        if metadata.get("hdi_isfolder", "").lower() == "true":
            raise PathNotFound(f"{show(path)} in {self.url}: it is a directory, no file.")

    def create(self) -> None:
        """Make the container; one that is there is no error."""
        with self.errors.translated():
            try:
                self._sdk.create_container()
            except self.errors.upstream as error:
                if code_of(error) != "ContainerAlreadyExists":
                    raise

    def close(self) -> None:
        self._sdk.close()

    @cached_property
    def _obstore(self) -> AzureStore:
        from obstore.store import AzureStore

        provider = self.access.obstore_provider()
        # Set here, all of these, as obstore takes from the environment what it is not told.
        config: AzureConfig = {
            "account_name": self.access.account_name,
            "endpoint": self.account_url,
            "use_emulator": False,
            "use_fabric_endpoint": False,
            "skip_signature": provider is None,
        }
        options = self._patience.obstore_options()
        options["allow_http"] = urlsplit(self.account_url).scheme == "http"
        return AzureStore(
            self.name,
            prefix=self.root.rstrip("/") or None,
            config=config,
            client_options=options,
            retry_config={"max_retries": 0},
            credential_provider=provider,
        )

    @cached_property
    def _is_flat(self) -> bool:
        """Whether names may have empty segments. Unless the service says so they may not."""
        with self.errors.translated():
            try:
                return not self._sdk.get_account_information().get("is_hns_enabled")
            except self.errors.upstream as error:
                if class_of(error, of_path=False) is not AccessDenied:
                    raise
            next(self.pages("", size=1))  # denied here too, the credential is the trouble and not the name
            return False


def _requests_log() -> logging.Logger:
    """Where the SDK writes ten lines about each request: not into a task's log, unless this logger is told to."""
    log = logging.getLogger(f"{__name__}.requests")
    if log.level == logging.NOTSET:
        log.setLevel(logging.WARNING)
    return log
