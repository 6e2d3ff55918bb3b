r"""Which names blobs can have, and which of those obstore handles exactly.

The service's rules are documented at
https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata. What it
takes and silently stores under another name is refused here: it replaces ``\`` by ``/`` (azure-sdk-for-js#5405,
versitygw#845), drops dots at the end of segments (azure-sdk-for-java#36674, AzureStorageExplorer#1133) and resolves
``.`` and ``..`` (azure-sdk-for-rust#5275).
"""

from __future__ import annotations

import re

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.errors import InvalidName, UnsafePath

MAX_CHARACTERS = 1024
"""Longest name, in UTF-16 code units, as the service counts."""
MAX_SEGMENTS = 254

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NONCHARACTER = re.compile("[\ufffe\uffff]")

_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*|\$(?:root|web|logs)")


def check_blob_name(path: str) -> None:
    """:raises UnsafePath: the service cannot hold a blob of exactly this name."""
    problem = _problem(path)
    if problem:
        raise UnsafePath(f"{show(path)} is no name for a blob: it {problem}.")


def can_start_a_name(prefix: str) -> bool:
    """Whether a blob's name may start with this text, so that it is worth asking for."""
    return not (_CONTROL.search(prefix) or _utf16_length(prefix) > MAX_CHARACTERS or _surrogates(prefix))


def has_empty_segment(path: str) -> bool:
    """Whether there is a slash in front, at the end, or beside another one.

    Such a name is exact in a flat account only, as a hierarchical namespace drops empty segments; and so does obstore,
    unless it refuses them.
    """
    return "" in path.split("/")


def check_container_name(name: str) -> None:
    """:raises InvalidName: no container can have this name."""
    if not isinstance(name, str) or not _CONTAINER.fullmatch(name):
        raise InvalidName(
            f"{name!r} is no container name: 3 to 63 lowercase letters, digits and single '-', starting and ending "
            "with a letter or digit; or $root or $web."
        )


def _problem(path: str) -> str | None:
    if not path:
        return "is empty"
    if _surrogates(path):
        return "is not valid Unicode text"
    if _CONTROL.search(path):
        return "holds a control character"
    if _NONCHARACTER.search(path):
        return "holds U+FFFE or U+FFFF, which are no characters"
    if "\\" in path:
        return "holds a backslash, which the service would replace by '/'"
    if _utf16_length(path) > MAX_CHARACTERS:
        return f"is longer than {MAX_CHARACTERS} characters"
    segments = path.split("/")
    if len(segments) > MAX_SEGMENTS:
        return f"has more than {MAX_SEGMENTS} segments"
    if any(segment.endswith(".") for segment in segments):
        return "has a segment that ends in a dot, which the service would drop"
    return None


def _utf16_length(text: str) -> int:
    return len(text) + sum(character > "\uffff" for character in text)


def _surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
