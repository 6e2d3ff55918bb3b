"""Names that come from elsewhere, before they become files here."""

from __future__ import annotations

import re

from airflow_azureml_datastores.errors import UnsafePath

MAX_NAME_BYTES = 255
"""The longest name of one file or folder that the usual file systems hold (NAME_MAX), in UTF-8."""

_DRIVE = re.compile(r"[A-Za-z]:")
_SHOWN = 300


def check_relative(path: str) -> str:
    r"""Return the path unchanged if, joined to a folder, it names a file strictly below that folder and nothing else.

    ``/`` separates segments. A backslash is a character like any other, as on every file system that Airflow runs on,
    unless it would lead upwards or to another drive where it separates too (``..\x``, ``\\host\share``, ``C:\x``).
    Symbolic links are not looked at: whoever opens the path has to.

    :raises UnsafePath: it is empty, absolute, starts with a drive letter, has an empty, ``.`` or ``..`` segment or a
        NUL, is not valid Unicode, or has a segment longer than MAX_NAME_BYTES.
    """
    problem = _problem(path)
    if problem:
        raise UnsafePath(f"the path {show(path)} {problem}.")
    return path


def show(path: str) -> str:
    """A path as messages show it: quoted, control characters escaped, cut if very long."""
    return repr(path) if len(path) <= _SHOWN else f"{path[:_SHOWN]!r}… ({len(path)} characters)"


def _problem(path: str) -> str | None:
    if not path:
        return "is empty"
    if "\0" in path:
        return "holds a NUL character"
    if path[0] in "/\\":
        return "is absolute"
    if _DRIVE.match(path):
        return "starts with a drive letter"
    segments = path.split("/")
    if "" in segments:
        return "has an empty segment ('//' or a '/' at the end)"
    if "." in segments:
        return "has a '.' segment"
    if ".." in segments or ("\\" in path and ".." in re.split(r"[/\\]", path)):
        return "has a '..' segment"
    try:
        longest = max(len(segment.encode()) for segment in segments)
    except UnicodeEncodeError:
        return "is not valid Unicode text"
    if longest > MAX_NAME_BYTES:
        return f"has a segment of {longest} bytes; files can have at most {MAX_NAME_BYTES}"
    return None
