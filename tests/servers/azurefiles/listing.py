"""The lists of the service, in pages.

https://learn.microsoft.com/rest/api/storageservices/list-directories-and-files, …/list-shares, …/list-ranges
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import TypeVar
from xml.sax.saxutils import escape, quoteattr

from tests.servers.azurefiles.rights import key_of
from tests.servers.azurefiles.tree import Node, Share, folded
from tests.servers.azurefiles.web import XML, Refusal, Response, byte_range, xml

T = TypeVar("T", Share, Node)

MOST = 5000


def list_shares(shares: Iterable[Share], query: Mapping[str, str], base: str) -> Response:
    page, around = _page(shares, query)
    with_metadata = "metadata" in query.get("include", "").lower()
    body = ""
    for share in page:
        told = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in share.metadata.items())
        body += (
            f"<Share><Name>{share.name}</Name><Properties><Last-Modified>{share.root.modified}</Last-Modified>"
            f"<Etag>{escape(share.root.etag)}</Etag><Quota>{share.quota}</Quota>"
            f"<AccessTier>TransactionOptimized</AccessTier></Properties>"
            + (f"<Metadata>{told}</Metadata>" if with_metadata and told else "")
            + "</Share>"
        )
    before, after = around
    return xml(
        f"{XML}<EnumerationResults ServiceEndpoint={quoteattr(base)}>{before}<Shares>{body}</Shares>{after}"
        f"</EnumerationResults>"
    )


def list_directory(share: Share, path: str, node: Node, request: Mapping[str, str], extended: bool) -> Response:
    """:param extended: whether ids are asked for (``x-ms-file-extended-info``)."""
    page, (before, after) = _page(node.children.values(), request)
    include = {name.strip() for name in request.get("include", "").lower().split(",")} - {""}
    if not include <= {"timestamps", "etag", "attributes", "permissionkey"}:
        raise Refusal(400, "InvalidQueryParameterValue", QueryParameterName="include")
    body = "".join(_entry(child, include, extended) for child in page)
    if extended:
        after += f"<DirectoryId>{node.id}</DirectoryId>"
    return xml(
        f"{XML}<EnumerationResults ServiceEndpoint={quoteattr(request['base'])} ShareName={quoteattr(share.name)} "
        f"DirectoryPath={quoteattr(path)}>{before}<Entries>{body}</Entries>{after}</EnumerationResults>"
    )


def list_ranges(node: Node, asked: str, query: Mapping[str, str]) -> Response:
    """All at once, or in pages if ``maxresults`` is given; the marker is the first byte of the next page."""
    data = node.bytes
    first, last = byte_range(asked) if asked else (0, None)
    if asked and first >= len(data):
        raise Refusal(416, "InvalidRange")
    end = len(data) if last is None else min(last + 1, len(data))
    try:
        first, most = max(first, int(query.get("marker") or 0)), int(query.get("maxresults") or len(node.ranges) + 1)
    except ValueError:
        raise Refusal(400, "InvalidQueryParameterValue") from None
    if most < 1:
        raise Refusal(400, "OutOfRangeQueryParameterValue", QueryParameterName="maxresults")
    found = [(max(a, first), min(b, end) - 1) for a, b in node.ranges if a < end and b > first]
    body = "".join(f"<Range><Start>{a}</Start><End>{b}</End></Range>" for a, b in found[:most])
    following = f"<NextMarker>{found[most][0]}</NextMarker>" if len(found) > most else ""
    answer = xml(f"{XML}<Ranges>{body}{following}</Ranges>")
    answer.headers |= {"ETag": node.etag, "Last-Modified": node.modified, "x-ms-content-length": str(len(data))}
    return answer


def _entry(node: Node, include: set[str], extended: bool) -> str:
    told = "" if node.data is None else f"<Content-Length>{len(node.data)}</Content-Length>"
    if "timestamps" in include:
        told += (
            f"<CreationTime>{node.created}</CreationTime><LastAccessTime>{node.written}</LastAccessTime>"
            f"<LastWriteTime>{node.written}</LastWriteTime><ChangeTime>{node.changed}</ChangeTime>"
            f"<Last-Modified>{node.modified}</Last-Modified>"
        )
    if "etag" in include:
        told += f"<Etag>{escape(node.etag)}</Etag>"
    kind = "Directory" if node.data is None else "File"
    return (
        f"<{kind}><Name>{escape(node.name)}</Name>"
        + (f"<FileId>{node.id}</FileId>" if extended else "")
        + f"<Properties>{told}</Properties>"
        + (f"<Attributes>{node.attributes}</Attributes>" if "attributes" in include else "")
        + (f"<PermissionKey>{key_of(node.rights)}</PermissionKey>" if "permissionkey" in include else "")
        + f"</{kind}>"
    )


def _page(items: Iterable[T], query: Mapping[str, str]) -> tuple[list[T], tuple[str, str]]:
    """One page, and the XML before and after it. Markers are opaque: they hold the first name of the next page."""
    prefix = folded(query.get("prefix", ""))
    try:
        most = min(int(query.get("maxresults", MOST)), MOST)
        start = base64.urlsafe_b64decode(query.get("marker", "")).decode()
    except ValueError:
        raise Refusal(400, "InvalidQueryParameterValue") from None
    if most < 1:
        raise Refusal(400, "OutOfRangeQueryParameterValue", QueryParameterName="maxresults")
    found = sorted(
        (item for item in items if folded(item.name).startswith(prefix) and folded(item.name) >= start),
        key=lambda item: folded(item.name),
    )
    following = base64.urlsafe_b64encode(folded(found[most].name).encode()).decode() if len(found) > most else ""
    before = f"<Prefix>{escape(query.get('prefix', ''))}</Prefix><Marker>{query.get('marker', '')}</Marker>"
    before += f"<MaxResults>{most}</MaxResults>"
    return found[:most], (before, f"<NextMarker>{following}</NextMarker>" if following else "<NextMarker />")
