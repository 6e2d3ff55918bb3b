"""NTFS rights of files and directories: texts (SDDL), and the keys that stand for them.

https://learn.microsoft.com/rest/api/storageservices/create-permission. What is inherited is a guess, as the rules of
Windows are not played: whatever a directory's rights are, all that is made below it has the same others.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from tests.servers.azurefiles.web import Refusal, bad_header

ROOT = "O:BAG:SYD:(A;OICI;FA;;;SY)"

_INHERITED = " inherited"
_keys: dict[str, str] = {}
_numbers = itertools.count(4066528134148476695)


def key_of(rights: str) -> str:
    """The same key for the same rights."""
    return _keys.setdefault(rights, f"{next(_numbers)}*1")


def rights_of(key: str) -> str:
    """:raises Refusal: there is no such key."""
    for rights, known in list(_keys.items()):
        if known == key:
            return rights
    raise Refusal(404, "FilePermissionNotFound")  # the code is a guess


def inherited(parent: str) -> str:
    return parent if parent.endswith(_INHERITED) else f"{parent}{_INHERITED}"


def given(headers: Mapping[str, str]) -> str | None:
    """The rights that a request names; None if they are to stay, or to be inherited."""
    text, key = headers.get("x-ms-file-permission"), headers.get("x-ms-file-permission-key")
    if text and key:
        raise bad_header("x-ms-file-permission", text)
    if key:
        return rights_of(key)
    return None if not text or text.lower() in ("inherit", "preserve") else text


def at_birth(headers: Mapping[str, str], parent: str) -> str:
    """The rights of something new. They are as they were given with the semantics Restore only."""
    named = given(headers)
    if named is None or named == inherited(parent):
        return inherited(parent)
    if headers.get("x-ms-file-property-semantics", "New").lower() == "restore":
        return named
    return f"{named} and {inherited(parent)}"
