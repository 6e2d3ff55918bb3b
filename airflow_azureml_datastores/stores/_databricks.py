"""A workspace of Databricks as its clients see it: databricks-sdk for calls, plain requests for the bytes of files.

See docs/decisions/0010-databricks-two-clients.md for why there are two.
"""

from __future__ import annotations

import functools
import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from airflow_azureml_datastores import __version__
from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.errors import Unavailable
from airflow_azureml_datastores.stores import _databricks_sdk
from airflow_azureml_datastores.stores._azure import CONNECTIONS, Patience
from airflow_azureml_datastores.stores._azure_errors import without_secrets
from airflow_azureml_datastores.stores._databricks_errors import (
    DatabricksErrors,
    Refused,
    class_of,
    upstream_errors,
)
from airflow_azureml_datastores.stores._databricks_login import token_source

if TYPE_CHECKING:
    import requests
    from databricks.sdk.core import ApiClient

T = TypeVar("T")

_PRODUCT = "airflow-azureml-datastores"
_BLOCK = 256 << 10
_MOST_PAUSE = 60
_CONNECTING = 10
"""Seconds for a connection; to storage that only others can reach it is all that is waited."""
_XML_CODE = re.compile(rb"<Code>(\w+)</Code>")
_XML_TEXT = re.compile(rb"<(?:Message|AuthenticationErrorDetail)>([^<]*)")
_TELLING = ("databricks.sdk", "urllib3.connectionpool")
"""Loggers that at level DEBUG tell whole URLs and bodies."""


class Answer(NamedTuple):
    """What came back of a request for bytes.

    :param headers: their names compare without regard to case.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


class Databricks:
    """One workspace. Everything is tried as often as ``patience`` says, and fails with an error of ours.

    :param url: of the workspace, without a trailing slash.
    :param patience: retries, pauses and timeouts.
    :raises MissingExtra: databricks-sdk is not installed.
    :raises InvalidConnection: the credential is of no use for a workspace.
    """

    def __init__(self, url: str, credential: Credential, patience: Patience, errors: DatabricksErrors) -> None:
        _databricks_sdk.check_installed()
        self.url = url
        self._patience = patience
        self._errors = errors
        self._token = token_source(credential, url, patience.timeout)
        self._timeouts = (min(patience.timeout, _CONNECTING), patience.timeout)
        self._lock = threading.Lock()
        self._sdk: ApiClient | None = None
        self._sessions: dict[str, requests.Session] = {}

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Iterable[str] = (),
        of: str | None = None,
    ) -> dict[str, Any]:
        """Make a call of the REST API; returns the JSON of its answer, and headers of it.

        :param path: quoted.
        :param headers: names of those that are wanted.
        :param of: the file or folder that it is about, for messages; None if it is about the location.
        """
        return self.patiently(lambda: self.call_once(method, path, query=query, body=body, headers=headers), of)

    def call_once(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Iterable[str] = (),
    ) -> dict[str, Any]:
        """The same, once, raising what the clients raise."""
        return _databricks_sdk.call(self._api(), method, path, query, body, headers)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        most: int = 1 << 20,
        signed: bool = False,
    ) -> Answer:
        """Send or get bytes, once, raising what the clients raise: :class:`Refused` for an answer that is an error.

        :param data: bytes, or chunks of them.
        :param most: bytes that an answer may have.
        :param signed: whether the URL lets in by itself; then no token goes with it.
        """
        session = self._session(signed=signed)
        given = {"Accept-Encoding": "identity", "Content-Type": "application/octet-stream", **(headers or {})}
        with session.request(
            method, url, headers=given, data=data, timeout=self._timeouts, stream=True, allow_redirects=False
        ) as response:
            if response.status_code >= 300:
                raise _refused(response)
            return Answer(response.status_code, response.headers, _content(response, most))

    def patiently(self, attempt: Callable[[], T], of: str | None = None, *, retries: int | None = None) -> T:
        """What an attempt gives, made again while the service is in trouble. A pause that it asks for is made.

        :param of: the file or folder that it is about, for messages.
        :param retries: None are as many as patience has.
        """
        retries = self._patience.retries if retries is None else retries
        number = 0
        while True:
            try:
                return attempt()
            except upstream_errors() as error:
                if number >= retries or class_of(error) is not Unavailable:
                    raise self._errors.translate(error, of) from None
                pause = getattr(error, "retry_after_secs", None)
            time.sleep(self._pause(number) if pause is None else min(pause, _MOST_PAUSE))
            number += 1

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._sdk = None

    def _pause(self, number: int) -> float:
        """None before the first retry; scattered, so that threads that failed together do not come back together."""
        pause = self._patience.backoff * 2 ** (number - 1) if number else 0
        return min(pause, _MOST_PAUSE) * random.uniform(0.5, 1.5)

    def _api(self) -> ApiClient:
        with self._lock:
            if self._sdk is None:
                product = _PRODUCT, __version__
                self._sdk = _databricks_sdk.isolated_client(self.url, self._token, self._patience.timeout, product)
                _keep_secrets_out_of_logs()
            return self._sdk

    def _session(self, *, signed: bool) -> requests.Session:
        kind = "signed" if signed else "workspace"
        with self._lock:
            if kind not in self._sessions:
                self._sessions[kind] = _new_session(None if signed else self._token)
                _keep_secrets_out_of_logs()
            return self._sessions[kind]


def _new_session(token: Callable[[], str] | None) -> requests.Session:
    import requests

    def authenticate(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token()}"
        return request

    session = requests.Session()
    session.auth = authenticate  # without a token, too, as requests would look into ~/.netrc otherwise
    session.headers["User-Agent"] = f"{_PRODUCT}/{__version__}"
    for scheme in ("https://", "http://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS))
    return session


def _content(response: requests.Response, most: int) -> bytes:
    """The bytes of the body as they come; one that is too long is not what was asked for, and is not read."""
    content = bytearray()
    for block in response.raw.stream(_BLOCK, decode_content=False):
        content += block
        if len(content) > most:
            raise Refused(502, said="more came than was asked for")
    return bytes(content)


def _refused(response: requests.Response) -> Refused:
    """What an answer that is an error says: in JSON the workspace, in XML cloud storage."""
    content = next(response.iter_content(1 << 16), b"")
    code, said = response.headers.get("x-ms-error-code"), ""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if isinstance(body, dict):
        code, said = body.get("error_code"), str(body.get("message", ""))
    elif found := _XML_CODE.search(content):
        code = found[1].decode()
        said = " ".join(text.decode(errors="replace") for text in _XML_TEXT.findall(content))
    pause = response.headers.get("Retry-After", "")
    return Refused(response.status_code, code, said, float(pause) if pause.isdigit() else None)


class _WithoutSecrets(logging.Filter):
    """Takes signatures and upload tokens out of what is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = without_secrets(record.getMessage()), ()
        return True


@functools.cache
def _keep_secrets_out_of_logs() -> None:
    for name in _TELLING:
        logging.getLogger(name).addFilter(_WithoutSecrets())
