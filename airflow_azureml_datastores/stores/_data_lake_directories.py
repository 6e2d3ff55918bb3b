"""Directories of a hierarchical namespace, through the dfs endpoint.

Requests of our own: the SDK's client unquotes the source of a rename once too often, so that it would rename ``a%20b``
to what was to be ``a b``. https://learn.microsoft.com/rest/api/storageservices/data-lake-storage-gen2
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from airflow_azureml_datastores.errors import (
    AccessDenied,
    Conflict,
    PathExists,
    PathNotFound,
    Unavailable,
)
from airflow_azureml_datastores.stores._azure import AzureAccess, Patience
from airflow_azureml_datastores.stores._azure_errors import AzureErrors
from airflow_azureml_datastores.stores._azure_requests import StorageRequests

_VERSION = "2023-11-03"
_DEFAULT = "default:"
_NO_DEFAULT = "user::rwx,group::r-x,other::---"
"""What a directory gets where the one above has no default ACL: all rights less the service's umask of 0027."""


class DataLakeDirectories:
    """The directories of one filesystem. Paths are without a trailing slash; "" is the root.

    :param url: of the filesystem on the dfs endpoint.
    :param root: what all paths are prefixed with; empty, or ends with a slash.
    """

    def __init__(
        self, url: str, root: str, access: AzureAccess, patience: Patience, errors: AzureErrors, transport: Any
    ) -> None:
        self._path = "/" + url.rpartition("/")[2]
        self._root = root
        self._access = access
        self._patience = patience
        self._errors = errors
        once = replace(patience, retries=0)
        self._patient, self._once = (
            StorageRequests(
                url.rpartition("/")[0], _VERSION, [tries.retry_policy(), *access.auth_policies()], transport
            )
            for tries in (patience, once)
        )

    def namespace(self) -> bool:
        """Whether the account has a hierarchical namespace at all. :raises AccessDenied: that may not be asked."""
        with self._errors.translated():
            answer = self._patient.send("HEAD", self._path, {"resource": "filesystem"})
        return str(answer.headers.get("x-ms-namespace-enabled", "true")).lower() == "true"

    def is_directory(self, path: str) -> bool | None:
        """Whether there is a directory; None if there is nothing."""
        with suppress(PathNotFound):
            return self._status(path, "getStatus").get("x-ms-resource-type") == "directory"
        return None

    def make(self, path: str) -> bool:
        """Make a directory, and those above. Returns False if it is there. :raises PathExists: a file is."""
        try:
            self._send("PUT", path, {"resource": "directory"}, {"If-None-Match": "*"}, expect=(201,))
        except PathExists:
            if not self.is_directory(path):
                raise
            return False
        return True

    def remove_empty(self, path: str) -> bool:
        """Remove a directory unless there is a file somewhere below. Returns whether it is gone.

        One directory after the other, so that a file that comes meanwhile is not lost.
        """
        if self._remove_one(path):
            return True
        below = self._only_directories(path)
        return below is not None and all(map(self._remove_one, [*sorted(below, reverse=True), path]))

    def _remove_one(self, path: str) -> bool:
        try:
            self._send("DELETE", path, {"recursive": "false"}, expect=(200, 202))
        except PathNotFound:
            return True
        except Conflict:
            return False
        return True

    def _only_directories(self, path: str) -> list[str] | None:
        """All directories below one, which may be gone; None if there is a file, too."""
        query = {"resource": "filesystem", "recursive": "true", "directory": self._root + path}
        found: list[str] = []
        while True:
            try:
                with self._errors.translated(path):
                    answer = self._patient.send("GET", self._path, query)
            except PathNotFound:
                return []
            for entry in answer.json()["paths"]:
                if str(entry.get("isDirectory")).lower() != "true":
                    return None
                found.append(entry["name"].removeprefix(self._root))
            if not answer.headers.get("x-ms-continuation"):
                return found
            query["continuation"] = answer.headers["x-ms-continuation"]

    def remove(self, path: str) -> None:
        """Remove a directory with all that is in it, in one step; one that is not there is no error."""
        query = {"recursive": "true"}
        if hasattr(self._access.sdk, "get_token"):
            query["paginated"] = "true"  # only the rights are looked at page by page
        with suppress(PathNotFound):
            while more := self._send("DELETE", path, query, expect=(200, 202)).get("x-ms-continuation"):
                query["continuation"] = more

    def rename(self, source: str, target: str) -> None:
        """Rename a directory in one step; nothing is replaced. An answer that got lost is made up for.

        :raises PathNotFound: there is no directory ``source``.
        :raises PathExists: there is something at ``target``.
        """
        tries, pause = self._patience.retries, self._patience.backoff
        if not self.is_directory(source):
            raise PathNotFound(f"{self._errors.subject(source)}: there is no such folder.")
        while True:
            try:
                return self._rename_once(source, target)
            except Unavailable:
                if self.is_directory(source) is None and self.is_directory(target):
                    return None  # it was done, only the answer did not come
                if tries <= 0:
                    raise
            tries -= 1
            time.sleep(pause)
            pause *= 2

    def _rename_once(self, source: str, target: str) -> None:
        # Without a condition a directory that is there would take the other one in.
        headers = {"x-ms-rename-source": self._rename_source(source), "If-None-Match": "*"}
        for _ in range(2):
            try:
                with self._errors.translated(target):
                    self._once.send("PUT", self._url(target), {"mode": "legacy"}, headers, expect=(201,))
                return
            except PathNotFound:
                if self.is_directory(source) is None:
                    raise PathNotFound(f"{self._errors.subject(source)}: there is no such folder.") from None
                self.make(target.rpartition("/")[0])

    def _rename_source(self, path: str) -> str:
        """As the header has it: with the signature that opens it, if that is what opens things here."""
        source = quote(self._url(path), safe="/~")
        token = self._access.sas_token
        return f"{source}?{token}" if token else source

    def make_like(self, path: str, model: str) -> bool:
        """Make a directory with the rights of another one, there or not; see ``FileStore.make_directory_like``."""
        try:
            wanted = self._rights_in(model)
            made = self.make(path)
            if self._rights(path) == wanted:
                return True
            if not made and not self.remove_empty(path):
                return False
            self.make(path)
            self._send("PATCH", path, {"action": "setAccessControl"}, {"x-ms-acl": ",".join(sorted(wanted))})
        except AccessDenied:
            return False
        return True

    def _rights_in(self, path: str) -> frozenset[str]:
        """The ACL of a directory, or that which it would get if it were made."""
        with suppress(PathNotFound):
            return self._rights(path)
        while path:
            path = path.rpartition("/")[0]
            with suppress(PathNotFound):
                return inherited(self._rights(path))
        raise PathNotFound(f"{self._errors.subject(path)}: there is no such folder.")

    def _rights(self, path: str) -> frozenset[str]:
        return frozenset(self._status(path, "getAccessControl").get("x-ms-acl", "").split(","))

    def _status(self, path: str, action: str) -> Mapping[str, str]:
        return self._send("HEAD", path, {"action": action})

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        expect: tuple[int, ...] = (200,),
    ) -> Mapping[str, str]:
        with self._errors.translated(path):
            answer = self._patient.send(method, self._url(path), query, headers, expect=expect)
        found: Mapping[str, str] = answer.headers
        return found

    def _url(self, path: str) -> str:
        return f"{self._path}/{(self._root + path).rstrip('/')}"


def inherited(acl: frozenset[str]) -> frozenset[str]:
    """The ACL of a new directory in one with this ACL.

    https://learn.microsoft.com/azure/storage/blobs/data-lake-storage-access-control#default-permissions-on-new-files-and-directories
    """
    default = frozenset(entry for entry in acl if entry.startswith(_DEFAULT))
    if not default:
        return frozenset(_NO_DEFAULT.split(","))
    return default | {entry.removeprefix(_DEFAULT) for entry in default}
