r"""Which names files of a share can have.

The service's rules are documented at
https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-shares--directories--files--and-metadata. It
compares names without regard to case and keeps the case; dots at the end of a name stay only if it is told so
(``x-ms-allow-trailing-dot``), as the clients of :class:`~airflow_azureml_datastores.stores._file_share.FileShare` do.
"""

from __future__ import annotations

import re
from uuid import uuid4

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.errors import InvalidName, UnsafePath

MAX_CHARACTERS = 2048
"""Longest path, in UTF-16 code units."""
MAX_SEGMENT = 255
MAX_SEGMENTS = 250

DRAFT = ".datastore-draft-"
"""What the names of drafts begin with: what is still being written, and what a killed writer left."""

_DRAFT = re.compile(rf"{re.escape(DRAFT)}[0-9a-f]{{32}}", re.IGNORECASE)
_ROOM_FOR_DRAFT = 1 + len(DRAFT) + 32

_SURELY_SHORT = 2 * MAX_SEGMENTS
"""Characters of a path that has not too many segments, nor too many characters."""

_ILLEGAL = re.compile(r'["\\:|<>*?]')
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NONCHARACTER = re.compile("[\ufffe\uffff]")
_DEVICE = re.compile(r"(?:LPT|COM)[1-9]|PRN|AUX|NUL|CON|CLOCK\$", re.IGNORECASE)

_SHARE = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")


def check_file_name(path: str) -> None:
    """:raises UnsafePath: a share cannot hold a file or folder of exactly this path."""
    problem = _problem(path)
    if problem:
        raise UnsafePath(f"{show(path)} is no name in a file share: it {problem}.")


def is_file_name(path: str) -> bool:
    return _problem(path) is None


def is_name_in_folder(path: str) -> bool:
    """The same, given that the folder's own path is one."""
    name = path.rpartition("/")[2]
    return _problem_of_segment(name) is None and (len(path) < _SURELY_SHORT or is_file_name(path))


def can_start_a_name(prefix: str) -> bool:
    """Whether a file's path may start with this text, so that it is worth asking for."""
    folder, slash, begun = prefix.rpartition("/")
    return (not slash or is_file_name(folder)) and _problem_of_text(begun) is None


def is_draft(path: str) -> bool:
    """Whether this is a draft, in whatever folder."""
    return bool(_DRAFT.fullmatch(path.rpartition("/")[2]))


def new_draft(folder: str) -> str:
    """A path in a folder ("" is the root) that nobody else has."""
    return joined(folder, f"{DRAFT}{uuid4().hex}")


def joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def folder_of(path: str) -> str:
    """The folder that a path is in, without a trailing slash; "" is the root."""
    return path.rpartition("/")[0]


def check_share_name(name: str) -> None:
    """:raises InvalidName: no share can have this name."""
    if not isinstance(name, str) or not _SHARE.fullmatch(name):
        raise InvalidName(
            f"{name!r} is no file share name: 3 to 63 lowercase letters, digits and single '-', starting and ending "
            "with a letter or digit."
        )


def _problem(path: str) -> str | None:
    if not path:
        return "is empty"
    if _length(path) > MAX_CHARACTERS:
        return f"is longer than {MAX_CHARACTERS} characters"
    if _length(folder_of(path)) + _ROOM_FOR_DRAFT > MAX_CHARACTERS:
        return f"leaves no room for a draft of {_ROOM_FOR_DRAFT} characters in its folder"
    segments = path.split("/")
    if len(segments) > MAX_SEGMENTS:
        return f"has more than {MAX_SEGMENTS} segments"
    return next(filter(None, map(_problem_of_segment, segments)), None)


def _problem_of_segment(name: str) -> str | None:
    if not name:
        return "has an empty segment ('//', or a '/' at the beginning or end)"
    if name in (".", ".."):
        return f"has a {name!r} segment"
    if _DEVICE.fullmatch(name):
        return f"has the segment {name!r}, the name of a device"
    if is_draft(name):
        return "has the name of a draft"
    return _problem_of_text(name)


def _problem_of_text(name: str) -> str | None:
    """What no segment, and no beginning of one, can hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode text"
    if _length(name) > MAX_SEGMENT:
        return f"has a segment of more than {MAX_SEGMENT} characters"
    if found := _ILLEGAL.search(name):
        return f"holds {found[0]!r}, which the service does not allow"
    if _CONTROL.search(name):
        return "holds a control character"
    if _NONCHARACTER.search(name):
        return "holds U+FFFE or U+FFFF, which are no characters"
    return None


def _length(text: str) -> int:
    """In UTF-16 code units, as the service counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
