"""Files and ranges of them as answers to GET, the same from the workspace and from cloud storage."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

from tests.servers.azureml.web import Request, Response
from tests.servers.databricks.model import File


class Unsatisfiable(Exception):
    """The range starts at the end of the file or after it."""


class Modified(Exception):
    """The file was written after the time in If-Unmodified-Since."""


def headers_of(file: File) -> dict[str, str]:
    return {"Content-Type": "application/octet-stream", "Last-Modified": file.last_modified, "Accept-Ranges": "bytes"}


def send(file: File, request: Request) -> Response:
    """:raises Unsatisfiable, Modified:"""
    condition = request.headers.get("If-Unmodified-Since")
    if condition and parsedate_to_datetime(condition).timestamp() < file.modified:
        raise Modified
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
    if asked is None:
        return Response(200, file.data, headers_of(file))
    first, size = int(asked[1]), len(file.data)
    last = min(int(asked[2]), size - 1) if asked[2] else size - 1
    if first >= size:
        raise Unsatisfiable
    headers = headers_of(file) | {"Content-Range": f"bytes {first}-{last}/{size}"}
    return Response(206, file.data[first : last + 1], headers)
