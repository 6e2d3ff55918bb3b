"""Reading a container's List Blobs pages: every name exactly, a page in memory at a time.

The SDK's own listing costs ten times the time, and obstore's bends names or fails for one odd one.
https://learn.microsoft.com/rest/api/storageservices/list-blobs
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.stores._azure_requests import StorageRequests

PAGE = 5000
"""Most blobs that the service puts on one page."""

_VERSION = "2021-12-02"
"""The first versions of the service fail for names that XML cannot hold; since 2021-02-12 they come percent-encoded."""

_FIELD = re.compile(r'<(Name|Content-Length|Etag|Last-Modified|ResourceType)( Encoded="true")?>([^<]*)')
_NEXT_MARKER = re.compile(r"<NextMarker>([^<]*)")
_REFERENCE = re.compile(r"&(#x[0-9A-Fa-f]+|#[0-9]+|amp|lt|gt|quot|apos);")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_MONTHS = {"Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "May": 5, "Jun": 6}
_MONTHS |= {"Jul": 7, "Aug": 8, "Sep": 9, "Oct": 10, "Nov": 11, "Dec": 12}


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
        self._requests = StorageRequests(url, _VERSION, policies, transport)

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
        query = {"restype": "container", "comp": "list", "maxresults": str(size)}
        query |= {name: value for name, value in (("prefix", prefix), ("marker", marker)) if value}
        content: bytes = self._requests.send("GET", query=query).content
        return content


def parse_page(body: bytes) -> Page:
    """Read one page. Directories, which accounts with a hierarchical namespace list too, are left out.

    Where XML has neither comments nor CDATA, and so no ``<!``, each ``<`` begins a tag and text lies between tags as it
    is. So the few elements that count are found without parsing all the others, in a third of expat's time.

    :raises azure.core.exceptions.DecodeError: it is no page.
    """
    from azure.core.exceptions import DecodeError

    try:
        text = body.decode("utf-8-sig")
        if "<!" in text or not text.rstrip().endswith("</EnumerationResults>"):
            raise ValueError("it is cut, or another document")
        _, *blobs = text.split("<Blob>")
        marker = _NEXT_MARKER.search(text, text.rindex("</Blobs>") if blobs else 0)
        listed = [_read_blob(blob) for blob in blobs]
    except (KeyError, ValueError) as error:
        raise DecodeError(f"List Blobs answered with something that is no page: {error}") from error
    return Page([blob for blob in listed if blob], _unescape(marker[1]) if marker else "")


def _read_blob(element: str) -> ObjectInfo | None:
    """One blob, given what comes after its ``<Blob>``; None for a directory."""
    found = _FIELD.findall(element)
    values = {tag: text for tag, _, text in found}
    if values.get("ResourceType") == "directory":
        return None
    name = _unescape(values["Name"])
    return ObjectInfo(
        unquote(name) if any(encoded for _, encoded, _ in found) else name,
        int(values["Content-Length"]),
        values["Etag"].strip('"'),
        parse_date(values["Last-Modified"]),
    )


def _unescape(text: str) -> str:
    """Resolve XML's references; html.unescape knows more than XML does, and bends control characters."""
    return _REFERENCE.sub(lambda found: _character(found[1]), text) if "&" in text else text


def _character(reference: str) -> str:
    if reference.startswith("#x"):
        return chr(int(reference[2:], 16))
    return chr(int(reference[1:])) if reference.startswith("#") else _ENTITIES[reference]


@lru_cache(maxsize=4096)
def parse_date(text: str) -> datetime:
    """A date as HTTP writes it, ``Sun, 06 Nov 1994 08:49:37 GMT``; email.utils takes ten times as long."""
    return datetime(
        int(text[12:16]),
        _MONTHS[text[8:11]],
        int(text[5:7]),
        int(text[17:19]),
        int(text[20:22]),
        int(text[23:25]),
        tzinfo=UTC,
    )
