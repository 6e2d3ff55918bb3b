"""Conditional headers and leases.

https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from tests.servers.adls.errors import StorageError
from tests.servers.adls.model import Node
from tests.servers.azureml.web import Request


def check_conditions(request: Request, node: Node | None, *, exists: str = "ConditionNotMet") -> None:
    """:param node: what is there, if anything.
    :param exists: the code if nothing should have been there.
    :raises StorageError: one of the conditions does not hold.
    """
    unmet = _unmet(request, node, "")
    if unmet == "If-None-Match: *" and request.method not in ("GET", "HEAD"):
        raise StorageError(exists)
    if unmet in ("If-None-Match", "If-Modified-Since") and request.method in ("GET", "HEAD"):
        raise StorageError("ConditionNotMet", status=304)
    if unmet:
        raise StorageError("ConditionNotMet")


def check_source_conditions(request: Request, node: Node) -> None:
    if _unmet(request, node, "x-ms-source-"):
        raise StorageError("SourceConditionNotMet")


def _unmet(request: Request, node: Node | None, prefix: str) -> str:
    """The first condition that does not hold."""
    header = request.headers.get
    wanted, unwanted = header(f"{prefix}If-Match"), header(f"{prefix}If-None-Match")
    if wanted and (node is None or not _names(wanted, node)):
        return "If-Match"
    if node is None:
        return ""
    if unwanted and _names(unwanted, node):
        return "If-None-Match: *" if unwanted == "*" else "If-None-Match"
    since, until = header(f"{prefix}If-Modified-Since"), header(f"{prefix}If-Unmodified-Since")
    if since and int(node.modified) <= parsedate_to_datetime(since).timestamp():
        return "If-Modified-Since"
    if until and int(node.modified) > parsedate_to_datetime(until).timestamp():
        return "If-Unmodified-Since"
    return ""


def _names(condition: str, node: Node) -> bool:
    return condition == "*" or condition.strip('"') == node.etag.strip('"')


def check_lease(request: Request, node: Node | None, *, header: str = "x-ms-lease-id") -> None:
    """:raises StorageError: the path is leased to somebody else."""
    given = request.headers.get(header)
    lease = node.active_lease if node else None
    if lease is None:
        if given and node is not None:
            raise StorageError("LeaseNotPresentWithBlobOperation")
    elif not given:
        raise StorageError("LeaseIdMissing")
    elif given.lower() != lease.id.lower():
        raise StorageError("LeaseIdMismatchWithBlobOperation")
