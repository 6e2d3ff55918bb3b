"""Patterns over paths: ``*`` and ``?`` within a folder, ``[abc]`` one of, ``**`` any number of folders.

The rules are those of Python's ``glob`` with ``recursive=True``, but hidden names are like any other, as object stores
know none. ``[*]`` stands for a literal ``*``.
"""

from __future__ import annotations

import re
from functools import lru_cache

_MAGIC = re.compile(r"[*?\[]")


def is_glob(text: str) -> bool:
    """Whether a text has a character that makes it a pattern."""
    return _MAGIC.search(text) is not None


def escape(path: str) -> str:
    """The pattern that matches just this path."""
    return _MAGIC.sub(lambda m: f"[{m[0]}]", path)


def literal_prefix(pattern: str) -> str:
    """The longest text that every match starts with: what a listing can be narrowed to."""
    prefix, rest = "", pattern
    while (found := _MAGIC.search(rest)) is not None:
        prefix += rest[: found.start()]
        rest = rest[found.start() :]
        if rest[:1] == "[" and rest[2:3] == "]" and rest[1] not in "!/":  # an escaped character
            prefix, rest = prefix + rest[1], rest[3:]
        else:
            return prefix
    return prefix + rest


def folder_prefix(pattern: str) -> str:
    """The literal folder, with its trailing slash, below which every match lies; "" is the root."""
    prefix = literal_prefix(pattern)
    return prefix[: prefix.rfind("/") + 1]


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """Compile a pattern; use ``fullmatch`` on whole paths."""
    *folders, last = pattern.split("/")
    parts: list[str] = []
    for folder in folders:
        part = "(?:.*/)?" if folder == "**" else _segment(folder) + "/"
        if folder != "**" or parts[-1:] != [part]:  # several in a row are as one, and would take for ever
            parts.append(part)
    parts.append(".*" if last == "**" else _segment(last))
    return re.compile("".join(parts), re.DOTALL)


def _segment(pattern: str) -> str:
    """The regular expression of the part of a pattern between two slashes."""
    pieces = [""]  # between the stars
    i = 0
    while i < len(pattern):
        char = pattern[i]
        if char == "*":
            pieces.append("")
        elif char == "?":
            pieces[-1] += "[^/]"
        elif char == "[" and (end := _class_end(pattern, i)) is not None:
            pieces[-1] += _class(pattern[i + 1 : end])
            i = end
        else:
            pieces[-1] += re.escape(char)
        i += 1
    first, *rest = pieces
    if not rest:
        return first
    # Where a piece is found first will do, so none is looked for again: time does not explode with the stars.
    middle = "".join(f"(?>[^/]*?{piece})" for piece in rest[:-1] if piece)
    return f"{first}{middle}[^/]*{rest[-1]}"


def _class_end(pattern: str, start: int) -> int | None:
    """The index of the bracket that closes the class opened at ``start``; one right after the opening is literal."""
    first = start + 1 + (pattern[start + 1 : start + 2] == "!")
    end = pattern.find("]", first + 1)
    return None if end < 0 else end


def _class(body: str) -> str:
    """The regular expression of a class, given what is between its brackets."""
    negate, body = ("^", body[1:]) if body[0] == "!" else ("", body)
    if allowed := _class_body(body):
        return f"(?!/)[{negate}{allowed}]"
    return "[^/]" if negate else "(?!)"


def _class_body(body: str) -> str:
    """The inside of a character class in regex syntax: only ``-`` between two characters keeps a meaning."""
    out = ""
    i = 0
    while i < len(body):
        if i + 2 < len(body) and body[i + 1] == "-":
            if body[i] <= body[i + 2]:  # like Python's, a range from high to low has nothing in it
                out += f"{re.escape(body[i])}-{re.escape(body[i + 2])}"
            i += 3
        else:
            out += re.escape(body[i])
            i += 1
    return out
