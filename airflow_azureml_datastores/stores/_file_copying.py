"""Copying files inside the service. https://learn.microsoft.com/rest/api/storageservices/copy-file"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow_azureml_datastores.core.credentials import AccountKey, RenewedSas, SasToken
from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import Changed, PathNotFound, Unavailable, Unsupported
from airflow_azureml_datastores.stores._azure_errors import code_of, status_of, without_secrets
from airflow_azureml_datastores.stores._file_commit import Committer, Condition
from airflow_azureml_datastores.stores._file_drafts import Draft, Drafts
from airflow_azureml_datastores.stores._file_names import check_file_name, folder_of
from airflow_azureml_datastores.stores._file_reading import stat_file
from airflow_azureml_datastores.stores._file_share import LONGEST_SOURCE, NOT_THERE, TIDYING, FileShare

if TYPE_CHECKING:
    from azure.storage.fileshare import FileProperties, ShareFileClient

COPY_PATIENCE = 600.0
"""Seconds without progress after which a copy that the service makes is given up."""

_VALID = timedelta(days=1)
"""How long the service may read the source of a copy with a signature made for it."""
_PAUSES = (0.05, 5.0)
"""Seconds between two looks at a copy: at first, and at most."""


class FileCopier:
    """Copies into one share."""

    def __init__(self, target: FileShare, drafts: Drafts, committer: Committer) -> None:
        self._target = target
        self._drafts = drafts
        self._committer = committer
        self._works = True

    def can_read(self, source: FileShare) -> bool:
        """Whether the service, as far as is known, can read files of a share by itself to copy them here."""
        here, there = urlsplit(self._target.account_url), urlsplit(source.account_url)
        reachable = here.netloc == there.netloc or here.scheme == there.scheme == "https"
        return self._works and reachable and (self._is_let_in(source) or _can_sign(source))

    def copy(self, source: FileShare, info: ObjectInfo, path: str, condition: Condition) -> str:
        """Copy just this version of a file; returns the copy's etag.

        :raises Unsupported: the service cannot do it.
        :raises Changed: the source is another version.
        """
        check_file_name(path)
        url = self._readable(source, info.path)

        def make(client: ShareFileClient, **rights: Any) -> dict[str, Any]:
            try:
                return client.start_copy_from_url(url, **rights)
            except self._target.errors.upstream as error:
                raise self._meant(error, source, info) from None

        with self._drafts.new(path, make) as (draft, made):
            done = self._finished(self._target.file(draft), made, path)
            if stat_file(source, info.path).etag != info.etag or done.size != info.size:
                raise Changed(f"{show(info.path)} in {source.url}: it changed while it was copied.")
            etag = self._committer.commit(Draft(draft, done.file_id), path, condition)
        self._drafts.sweep(folder_of(draft))
        return etag

    def _readable(self, source: FileShare, path: str) -> str:
        """A URL by which the service itself can read a file."""
        from azure.storage.fileshare import FileSasPermissions, generate_file_sas

        url = f"{source.account_url}/{quote(source.name)}/{quote(path, safe='~/')}"
        credential = source.access.credential
        if self._is_let_in(source):
            pass  # as the account's key and an identity's role are as good for the source as they are for the copy
        elif isinstance(credential, AccountKey):
            until = datetime.now(UTC) + _VALID
            names, name = path.split("/"), source.access.account_name
            permission = FileSasPermissions(read=True)
            url += f"?{generate_file_sas(name, source.name, names, credential.key, permission, until)}"
        elif isinstance(credential, SasToken):
            url += f"?{credential.token}"
        elif source.access.sas is not None:
            url += f"?{source.access.sas.token()}"
        else:
            raise Unsupported(f"{self._target.url}: the service cannot read from {source.url} by itself.")
        if len(url) > LONGEST_SOURCE:
            raise Unsupported(f"{show(path)}: its URL is too long for the service to copy from.")
        return url

    def _is_let_in(self, source: FileShare) -> bool:
        """Whether what authorizes the copy lets the service read the source, too: a SAS does not."""
        own = self._target.access.credential
        return self._target.account_url == source.account_url and not isinstance(own, SasToken | RenewedSas)

    def _meant(self, error: Exception, source: FileShare, info: ObjectInfo) -> Exception:
        """The error to raise for one of starting a copy, which may be about the source or the copy."""
        if status_of(error) == 501:
            self._works = False
            return Unsupported(f"{self._target.url}: the service does not copy by itself.")
        if code_of(error) == "CannotVerifyCopySource":
            return Unsupported(f"{self._target.url}: the service cannot read from {source.url} by itself.")
        if code_of(error) in NOT_THERE:
            try:
                stat_file(source, info.path)
            except PathNotFound:
                return Changed(f"{show(info.path)} in {source.url}: it is gone.")
        return error

    def _finished(self, client: ShareFileClient, started: dict[str, Any], path: str) -> FileProperties:
        """Wait until a copy has been made; one that is not waited for to its end is ended."""
        try:
            with self._target.errors.translated(path):
                return self._awaited(client, path)
        except BaseException:
            with self._target.quietly():
                client.abort_copy(started["copy_id"], **TIDYING)
            raise

    def _awaited(self, client: ShareFileClient, path: str) -> FileProperties:
        pause, progress, until = _PAUSES[0], None, time.monotonic() + COPY_PATIENCE
        while True:
            found = client.get_file_properties()
            copy = found.copy
            if copy.status == "success":
                return found
            if copy.status != "pending":
                said = f" ({without_secrets(copy.status_description)})" if copy.status_description else ""
                raise Unavailable(f"{show(path)} in {self._target.url}: its copy {copy.status or 'is gone'}{said}.")
            if copy.progress != progress:
                progress, until = copy.progress, time.monotonic() + COPY_PATIENCE
            if time.monotonic() > until:
                raise Unavailable(f"{show(path)} in {self._target.url}: its copy has come no further ({progress}).")
            time.sleep(pause)
            pause = min(2 * pause, _PAUSES[1])


def _can_sign(source: FileShare) -> bool:
    return isinstance(source.access.credential, AccountKey | SasToken | RenewedSas)
