"""Requests to Azure storage that are made here, where the SDK's client is too slow or bends names."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineRequest
    from azure.core.rest import HttpResponse

# https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key, in the order of the signed text.
_SIGNED = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


class StorageRequests:
    """A pipeline of azure-core for requests without a body.

    :param url: that all requests start with, quoted; without a trailing slash.
    :param version: of the REST API.
    :param policies: what the requests go through: retries, then authentication.
    :param transport: azure-core's; whoever made it closes it.
    """

    def __init__(self, url: str, version: str, policies: Sequence[Any], transport: Any) -> None:
        from azure.core import PipelineClient
        from azure.core.pipeline.policies import UserAgentPolicy

        retry, *auth = policies
        self._url = url
        self._client: PipelineClient[Any, Any] = PipelineClient(
            url,
            policies=[UserAgentPolicy("airflow-azureml-datastores"), retry, _headers_policy(version), *auth],
            transport=transport,
        )

    def send(
        self,
        method: str,
        path: str = "",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        expect: Sequence[int] = (200,),
    ) -> HttpResponse:
        """Send a request. Raises azure-core's errors, HttpResponseError for a status that is not expected.

        :param path: appended to the URL, with its leading slash; not quoted yet.
        """
        from azure.core.exceptions import HttpResponseError
        from azure.core.rest import HttpRequest

        url = self._url + quote(path, safe="/~")
        if query:
            url += f"?{urlencode(query, quote_via=quote)}"
        response: HttpResponse = self._client.send_request(HttpRequest(method, url, headers=dict(headers or {})))
        if response.status_code not in expect:
            raise HttpResponseError(response=response)
        return response


def _headers_policy(version: str) -> Any:
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class HeadersPolicy(SansIOHTTPPolicy[Any, Any]):
        """Dates each attempt anew: the service takes no request that is older than 15 minutes."""

        def on_request(self, request: PipelineRequest[Any]) -> None:
            request.http_request.headers["x-ms-version"] = version
            request.http_request.headers["x-ms-date"] = formatdate(usegmt=True)

    return HeadersPolicy()


def shared_key_policy(account_name: str, key: str) -> Any:
    """Sign requests without a body with the account's key.

    https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    """
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class SharedKeyPolicy(SansIOHTTPPolicy[Any, Any]):
        def on_request(self, request: PipelineRequest[Any]) -> None:
            http = request.http_request
            http.headers["x-ms-date"] = formatdate(usegmt=True)
            parts = urlsplit(http.url)
            headers = {name.lower(): value for name, value in http.headers.items()}
            query = sorted((n.lower(), v) for n, v in parse_qsl(parts.query, keep_blank_values=True))
            text = "\n".join(
                [
                    http.method,
                    *(headers.get(name, "") for name in _SIGNED),
                    *(f"{name}:{value}" for name, value in sorted(headers.items()) if name.startswith("x-ms-")),
                    f"/{account_name}{parts.path}",
                    *(f"{name}:{value}" for name, value in query),
                ]
            )
            signature = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
            http.headers["Authorization"] = f"SharedKey {account_name}:{base64.b64encode(signature).decode()}"

    return SharedKeyPolicy()
