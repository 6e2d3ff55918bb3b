"""The Files API below one root: https://docs.databricks.com/api/azure/workspace/files"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import PathNotFound, Unavailable
from airflow_azureml_datastores.stores._databricks import Answer, Databricks
from airflow_azureml_datastores.stores._databricks_errors import Refused, reasons_of
from airflow_azureml_datastores.stores._databricks_login import is_loopback
from airflow_azureml_datastores.stores._dbfs_versions import describe_file, seconds_of

T = TypeVar("T")

PART = 8 << 20
"""Bytes up to which a file travels in one request; parts of larger ones have as many."""

_FILES, _DIRECTORIES = "/api/2.0/fs/files", "/api/2.0/fs/directories"
_EXPIRED = ("Signature not valid in the specified time frame", "Request has expired")
_EXPIRED_CODES = ("ExpiredToken",)


class NoCloud(Exception):
    """From here the cloud storage behind the workspace cannot be reached, or presigned URLs are not to be had."""


class FilesApi:
    """The calls, with paths relative to the root. A path that is not there is :class:`PathNotFound`.

    :param root: absolute path of the root folder.
    """

    def __init__(self, databricks: Databricks, root: str) -> None:
        self.databricks = databricks
        self._root = root
        self._cloud: bool | None = None

    def place(self, path: str) -> str:
        """The absolute path of a file or folder; "" is the root."""
        return f"{self._root}/{path}".rstrip("/")

    def url(self, path: str) -> str:
        """Where the content of a file is got and put."""
        return f"{self.databricks.url}{_FILES}{quote(self.place(path))}"

    def stat(self, path: str) -> ObjectInfo:
        told = self.databricks.call(
            "HEAD", f"{_FILES}{quote(self.place(path))}", headers=("content-length", "last-modified"), of=path
        )
        return describe_file(path, int(told["content-length"]), seconds_of(told["last-modified"]))

    def delete(self, path: str) -> None:
        self.databricks.call("DELETE", f"{_FILES}{quote(self.place(path))}", of=path)

    def list_directory(self, path: str, *, size: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield what is in a directory, page after page, in any order.

        :param size: of a page, at most; then there is only the first one.
        """
        query: dict[str, Any] = {} if size is None else {"page_size": size}
        while True:
            page = self.databricks.call("GET", f"{_DIRECTORIES}{quote(self.place(path))}", query=query, of=path or None)
            yield from page.get("contents") or []
            query["page_token"] = page.get("next_page_token")
            if not query["page_token"] or size is not None:
                return

    def kind(self, path: str) -> Literal["file", "folder"] | None:
        """What is there, by up to two requests."""
        with suppress(PathNotFound):
            self.stat(path)
            return "file"
        with suppress(PathNotFound):
            self.databricks.call("HEAD", f"{_DIRECTORIES}{quote(self.place(path))}", of=path)
            return "folder"
        return None

    def children(self, path: str) -> Iterator[tuple[str, bool]]:
        """Names of what is in a directory, and whether it is one."""
        for told in self.list_directory(path):
            yield str(told["name"]).rstrip("/"), bool(told.get("is_directory"))

    def make_directory(self, path: str) -> None:
        self.databricks.call("PUT", f"{_DIRECTORIES}{quote(self.place(path))}", of=path or None)

    def delete_folder(self, path: str) -> None:
        """Delete an empty directory; the service refuses one that is not."""
        self.databricks.call("DELETE", f"{_DIRECTORIES}{quote(self.place(path))}", of=path)

    def upload(self, path: str, action: str, query: dict[str, Any], body: dict[str, Any] | None = None) -> Any:
        """A call on an upload in parts, once, raising what the clients raise."""
        return self.databricks.call_once(
            "POST", f"{_FILES}{quote(self.place(path))}", query={"action": f"{action}-upload", **query}, body=body
        )

    def presigned(self, call: str, query: dict[str, Any], body: dict[str, Any] | None = None) -> Any:
        """A call for presigned URLs, once, raising what the clients raise."""
        return self.databricks.call_once("POST", f"/api/2.0/fs/create-{call}", query=query, body=body)

    def by_cloud(self, attempt: Callable[[], T], of: str) -> T:
        """What an attempt that goes to cloud storage gives, made with patience once one has come through.

        :raises NoCloud: none has come through from this store, now or before.
        """
        if self._cloud is False:
            raise NoCloud
        proved = self._cloud is True
        try:
            result = self.databricks.patiently(attempt, of, retries=None if proved else 1)
        except (NoCloud, Unavailable) as error:
            if proved:
                raise
            self._cloud = False
            raise NoCloud from error
        self._cloud = True
        return result

    def send_to_cloud(self, method: str, signed: dict[str, Any], **options: Any) -> Answer:
        """A request to a presigned URL, once, raising what the clients raise.

        :param signed: the URL, and the headers that it asks for, as the service gives them.
        :raises NoCloud: cloud storage bars us, as its firewall may, or the URL is not https.
        """
        if not signed["url"].startswith("https:") and not is_loopback(signed["url"]):
            raise NoCloud
        told = {header["name"]: header["value"] for header in signed.get("headers") or []}
        headers = {**options.pop("headers", {}), **told}
        try:
            return self.databricks.send(method, signed["url"], headers=headers, signed=True, **options)
        except Refused as error:
            if error.error_code in _EXPIRED_CODES or any(words in str(error) for words in _EXPIRED):
                raise Refused(503, error.error_code, "the URL has expired", 0) from None
            if error.status in (401, 403):
                raise NoCloud from None
            raise


def is_not_offered(error: BaseException) -> bool:
    """Whether a call for presigned URLs failed because the workspace does not give any to us."""
    return bool(reasons_of(error) & {"FILES_API_API_IS_NOT_ENABLED", "FILES_API_REQUESTER_NETWORK_ZONE_UNKNOWN"})
