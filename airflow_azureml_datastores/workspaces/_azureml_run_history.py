"""Run history, the service of Azure ML that knows why a job failed and where its log is.

Resource Manager's jobs have neither. The requests are those of azure-ai-ml's ``jobs.stream``.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow_azureml_datastores.core.job import JobFailure
from airflow_azureml_datastores.errors import Unavailable
from airflow_azureml_datastores.stores._azure import Patience
from airflow_azureml_datastores.stores._azure_errors import upstream_errors, without_secrets
from airflow_azureml_datastores.workspaces._arm import WORKSPACE, ArmClient, segment
from airflow_azureml_datastores.workspaces._arm_shelf import OnSecret

_LOGS = re.compile(r"user_logs/.+|azureml-logs/[\d]{2}.+\.txt")
"""The command's own logs, of the present runtime and the one before it."""
_LOG_SIZE = 16 * 1024 * 1024
"""Bytes of a log that are read: its end."""
_LONGEST = 16 * 1024
"""Characters of a line; a longer one comes in pieces."""
_SAID = 2000


class RunHistory:
    """What run history knows of the jobs of one workspace.

    :param on_secret: is told the signatures of the logs' URLs.
    """

    def __init__(self, arm: ArmClient, on_secret: OnSecret) -> None:
        self._arm = arm
        self._on_secret = on_secret

    def failure(self, job: str) -> JobFailure:
        """Why a job failed. :raises NotFound: run history does not know it."""
        discovery = self._arm.get("", WORKSPACE).get("properties", {}).get("discoveryUrl")
        if not discovery:
            raise Unavailable(f"{self._arm.name}: the workspace does not say where its run history is.")
        api = self._json("where run history is", discovery, token=False).get("api")
        url = f"{str(api).rstrip('/')}/history/v1.0{self._arm.path}/runs/{segment(job)}/details"
        details = self._json(f"GET runs/{job}/details", url, token=True)
        for url in (details.get("logFiles") or {}).values():
            if "sig=" in url:
                self._on_secret(urlsplit(url).query)  # urllib3 writes whole URLs into a log of level DEBUG
        return JobFailure(_error(details.get("error")), self._log(details.get("logFiles") or {}))

    def _log(self, files: Mapping[str, str]) -> Iterator[str]:
        names = sorted(name for name in files if _LOGS.fullmatch(name))
        for name in names:
            if len(names) > 1:
                yield f"{name}:"
            yield from _lines(self._end(name, files[name]))

    def _end(self, name: str, url: str) -> Iterator[bytes]:
        """The last bytes of a log. Its URL has a signature of its own."""
        from azure.core.rest import HttpRequest

        request = f"GET {name}"
        try:
            with _client(self._arm, token=False) as client:
                response = client.send_request(HttpRequest("GET", url), stream=True)
                size = int(response.headers.get("Content-Length") or 0)
                if response.status_code == 200 and size > _LOG_SIZE:
                    response.close()
                    header = {"Range": f"bytes={size - _LOG_SIZE}-"}
                    response = client.send_request(HttpRequest("GET", url, headers=header), stream=True)
                if response.status_code >= 300:
                    raise self._arm.errors.of_answer(request, response.status_code, None)
                yield from response.iter_bytes()
        except upstream_errors() as error:
            raise self._arm.errors.of_failure(request, error) from None

    def _json(self, request: str, url: str, *, token: bool) -> dict[str, Any]:
        from azure.core.rest import HttpRequest

        if token and not url.startswith("https://"):
            raise self._arm.errors.of_nonsense(request)
        try:
            with _client(self._arm, token=token) as client:
                response = client.send_request(HttpRequest("GET", url))
        except upstream_errors() as error:
            raise self._arm.errors.of_failure(request, error) from None
        try:
            found = response.json()
        except ValueError:
            found = None
        if response.status_code >= 300:
            raise self._arm.errors.of_answer(request, response.status_code, found)
        if not isinstance(found, dict):
            raise self._arm.errors.of_nonsense(request)
        return found


def _client(arm: ArmClient, *, token: bool) -> Any:
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy

    patience = Patience()
    policies: list[Any] = [patience.retry_policy()]
    if token:
        policies.append(BearerTokenCredentialPolicy(arm.token_credential, arm.scope))
    return PipelineClient(arm.base, policies=policies, transport=patience.transport())


def _error(given: Any) -> str:
    """What run history says of a failure: ``{"error": {"code": …, "message": …}}``."""
    error = given.get("error", given) if isinstance(given, Mapping) else {}
    said = " ".join(str(error.get("message") or "").split())
    told = f"{error['code']}: {said}" if error.get("code") else said
    return without_secrets(told)[:_SAID]


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Bytes as lines of text; what is not UTF-8 is replaced."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    rest = ""
    for chunk in chunks:
        *whole, rest = (rest + decode(chunk)).split("\n")
        for line in whole:
            yield line.removesuffix("\r")
        while len(rest) > _LONGEST:
            yield rest[:_LONGEST]
            rest = rest[_LONGEST:]
    if rest:
        yield rest
