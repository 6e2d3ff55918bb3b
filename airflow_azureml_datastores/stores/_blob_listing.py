"""Reading a container's List Blobs pages: every name exactly, a page in memory at a time.

The SDK's own listing costs ten times the time, and obstore's bends names or fails for one odd one.
https://learn.microsoft.com/rest/api/storageservices/list-blobs
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urlencode
from xml.parsers import expat

from airflow_azureml_datastores.core.store import ObjectInfo

if TYPE_CHECKING:
    from azure.core import PipelineClient
    from azure.core.pipeline import PipelineRequest

PAGE = 5000
"""Most blobs that the service puts on one page."""

_VERSION = "2021-12-02"
"""The first versions of the service fail for names that XML cannot hold; since 2021-02-12 they come percent-encoded."""

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1
    )
}


class Page(NamedTuple):
    """One page: its blobs, and the marker of the next one (empty on the last)."""

    blobs: list[ObjectInfo]
    next_marker: str


class BlobListing:
    """The pages of one container.

    :param url: of the container.
    :param policies: what the requests go through: retries, then authentication.
    :param transport: azure-core's; it stays open when the listing is closed.
    """

    def __init__(self, url: str, policies: Sequence[Any], transport: Any) -> None:
        from azure.core import PipelineClient
        from azure.core.pipeline.policies import UserAgentPolicy

        retry, *auth = policies
        self._url = url
        self._client: PipelineClient[Any, Any] = PipelineClient(
            url,
            policies=[UserAgentPolicy("airflow-azureml-datastores"), retry, _headers_policy(), *auth],
            transport=transport,
        )

    def pages(self, prefix: str, *, size: int = PAGE) -> Iterator[Page]:
        """Yield page after page, each asked for when it is wanted. Raises azure-core's errors."""
        marker = ""
        while True:
            page = parse_page(self._get(prefix, marker, size))
            yield page
            marker = page.next_marker
            if not marker:
                return

    def _get(self, prefix: str, marker: str, size: int) -> bytes:
        from azure.core.exceptions import HttpResponseError
        from azure.core.rest import HttpRequest

        query = {"restype": "container", "comp": "list", "maxresults": str(size)}
        query |= {name: value for name, value in (("prefix", prefix), ("marker", marker)) if value}
        response = self._client.send_request(HttpRequest("GET", f"{self._url}?{urlencode(query, quote_via=quote)}"))
        if response.status_code != 200:
            raise HttpResponseError(response=response)
        content: bytes = response.content
        return content


def parse_page(body: bytes) -> Page:
    """Read one page. Directories, which accounts with a hierarchical namespace list too, are left out.

    :raises azure.core.exceptions.DecodeError: it is no page.
    """
    from azure.core.exceptions import DecodeError

    parser = _PageParser()
    try:
        return parser.parse(body)
    except (expat.ExpatError, KeyError, ValueError) as error:
        raise DecodeError(f"List Blobs gave something that is no page: {error}") from error


class _PageParser:
    """expat, listening to the few elements that count: calls into Python are what a listing's time goes into."""

    _WANTED = frozenset(["Name", "Content-Length", "Etag", "Last-Modified", "ResourceType", "NextMarker"])

    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._blobs: list[ObjectInfo] = []
        self._values: dict[str, str] = {}
        self._tag = ""
        self._encoded = False
        self._next_marker = ""

    def parse(self, body: bytes) -> Page:
        self._parser.Parse(body, True)
        self._next_marker = self._values.pop("NextMarker", "")
        self._finish_blob()
        return Page(self._blobs, self._next_marker)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in self._WANTED:
            self._tag = tag
            self._values[tag] = ""
            if tag == "Name":
                self._encoded = attributes.get("Encoded") == "true"
            self._parser.CharacterDataHandler = self._text
            self._parser.EndElementHandler = self._end
        elif tag == "Blob":
            self._finish_blob()

    def _text(self, text: str) -> None:
        self._values[self._tag] += text

    def _end(self, tag: str) -> None:
        self._parser.CharacterDataHandler = None
        self._parser.EndElementHandler = None

    def _finish_blob(self) -> None:
        """Called where the next blob begins, and at the end."""
        values = self._values
        if not values:
            return
        if values.get("ResourceType") != "directory":
            self._blobs.append(
                ObjectInfo(
                    unquote(values["Name"]) if self._encoded else values["Name"],
                    int(values["Content-Length"]),
                    values["Etag"].strip('"'),
                    parse_date(values["Last-Modified"]),
                )
            )
        values.clear()


def parse_date(text: str) -> datetime:
    """A date as HTTP writes it, ``Sun, 06 Nov 1994 08:49:37 GMT``; ten times as fast as email.utils."""
    return datetime(
        int(text[12:16]),
        _MONTHS[text[8:11]],
        int(text[5:7]),
        int(text[17:19]),
        int(text[20:22]),
        int(text[23:25]),
        tzinfo=UTC,
    )


def _headers_policy() -> Any:
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class HeadersPolicy(SansIOHTTPPolicy[Any, Any]):
        """Dates each attempt anew: the service takes no request that is older than 15 minutes."""

        def on_request(self, request: PipelineRequest[Any]) -> None:
            request.http_request.headers["x-ms-version"] = _VERSION
            request.http_request.headers["x-ms-date"] = formatdate(usegmt=True)

    return HeadersPolicy()
