r"""Which paths a workspace of Databricks has, and which names files can have in it.

What a volume can hold is what the cloud storage below it can, where a file's key has at most 1024 characters, of which
the volume's own place takes up to a hundred (https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata);
with a hierarchical namespace, which Unity Catalog asks for on Azure, a path has at most 63 segments there. What Azure
would store under another name is refused: a ``\`` becomes ``/``, and dots at the end of a segment are dropped.
"""

from __future__ import annotations

import re

from airflow_azureml_datastores.core.paths import check_relative, show
from airflow_azureml_datastores.errors import InvalidInput, UnsafePath

RESERVED = ".datastore-"
"""Starts the names of files of our own, which are in no listing."""
DRAFT = f"{RESERVED}draft-"
"""… that are not whole yet."""
NEW = f"{RESERVED}new-"
"""… that are just replacing the one whose name follows."""

MAX_BYTES = 900
"""Of a whole path below the root, in UTF-8."""
MAX_SEGMENTS = 50

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NONCHARACTER = re.compile("[\ufffe\uffff]")
_VOLUMES = "/Volumes"
_SCHEME = "dbfs:"
_PARTS = "a volume's path has three parts: /Volumes/<catalog>/<schema>/<volume>"


def check_file_name(path: str, *, dbfs: bool) -> None:
    """:raises UnsafePath: the service cannot hold a file of exactly this name.

    :param dbfs: whether it is in the DBFS root: Hadoop's paths, which those are, have colons only after a scheme.
    """
    check_relative(path)
    problem = _problem(path)
    if problem is None and dbfs and ":" in path:
        problem = "holds a colon, which the DBFS root cannot hold"
    if problem:
        raise UnsafePath(f"{show(path)} is no name for a file in Databricks: it {problem}.")


def is_file_name(path: str, *, dbfs: bool) -> bool:
    try:
        check_file_name(path, dbfs=dbfs)
    except UnsafePath:
        return False
    return True


def parse_root(path: object) -> tuple[bool, str]:
    """The path of a location: whether it is in the DBFS root, and its absolute path there, without a trailing slash.

    :raises InvalidInput: it is no path of a volume, or of a folder in one or in the DBFS root.
    """
    if not isinstance(path, str):
        raise InvalidInput(f"the path of a Dbfs is a text, not {path!r}.")
    below = path.removeprefix(_SCHEME)
    in_volume = below == _VOLUMES or below.startswith(f"{_VOLUMES}/")
    if not below.startswith("/") or not (in_volume or path.startswith(_SCHEME)):
        hint = f" For the DBFS root write {_SCHEME + path.removeprefix('/dbfs')!r}." if path.startswith("/") else ""
        raise InvalidInput(
            f"the path of a Dbfs is /Volumes/<catalog>/<schema>/<volume> or dbfs:/<folder>, not {path!r}.{hint}"
        )
    names = below[1:].removesuffix("/").split("/") if below != "/" else []
    if in_volume and len(names) < 4:
        what = ("no catalog", "a catalog", "a schema")[len(names) - 1]
        raise InvalidInput(f"{path!r} names {what}; {_PARTS}.")
    for name in names:
        if not is_file_name(name, dbfs=not in_volume):
            raise InvalidInput(f"the path of a Dbfs cannot be {path!r}: no folder can be called {name!r}.")
    return not in_volume, "/" + "/".join(names) if names else ""


def _problem(path: str) -> str | None:
    if _CONTROL.search(path):
        return "holds a control character"
    if _NONCHARACTER.search(path):
        return "holds U+FFFE or U+FFFF, which are no characters"
    if "\\" in path:
        return "holds a backslash, which the storage below would replace by '/'"
    if len(path.encode()) > MAX_BYTES:
        return f"is longer than {MAX_BYTES} bytes"
    segments = path.split("/")
    if len(segments) > MAX_SEGMENTS:
        return f"has more than {MAX_SEGMENTS} segments"
    if any(segment.endswith(".") for segment in segments):
        return "has a segment that ends in a dot, which the storage below would drop"
    if any(segment.startswith(RESERVED) for segment in segments):
        return f"has a segment that starts with {RESERVED}, as the names of files do that are being written"
    return None
