"""Putting values into a shell command so that they arrive as they are, wherever in the command they stand."""

from __future__ import annotations

import re
import shlex

# What stands between two changes of quoting, outside of quotes and inside of double ones. ``unsure`` is what is not
# followed: here-documents, backquotes, arithmetic, $'…', nested expansions, an escape or $ right before the value.
_UNSURE = r"`|\$?\(\(|\$\{(?!\w+\})|[\\$]\Z"
_PLAIN = re.compile(
    rf"""(?P<escape>\\.) | (?P<unsure>{_UNSURE}|\$'|(?<!<)<<(?!<)) | (?P<single>'[^']*(?:'|\Z)) | (?P<double>")
    | (?P<open>\() | (?P<close>\)) | (?P<case>\bcase\b) | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_DOUBLE = re.compile(
    rf"""(?P<escape>\\.) | (?P<unsure>{_UNSURE}) | (?P<close>") | (?P<open>\$\() | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"#[^\n]*")
_SEPARATORS = " \t\n;&|()<>"


def quote_after(script: str, value: str) -> str | None:
    """A value as it has to stand in a POSIX shell or bash script to be taken literally; None if that is not sure.

    A value without any special character stands as it is. Another one is quoted; inside of quotes that the script has
    opened, these are closed before it and opened again after it.

    :param script: everything that stands before the value.
    """
    quoted = shlex.quote(value)
    if quoted == value:
        return value
    opened = open_quote(script)
    return None if opened is None else f"{opened}{quoted}{opened}"


def open_quote(script: str) -> str | None:
    """Which quote is open at the end of a script: ``'``, ``"`` or "" for none; None if that is not sure."""
    contexts = [_PLAIN]
    position, word_begun = 0, False
    while position < len(script):
        plain = contexts[-1] is _PLAIN
        if plain and not word_begun and (comment := _COMMENT.match(script, position)) is not None:
            if comment.end() == len(script):
                return None
            position = comment.end()
            continue
        token = contexts[-1].match(script, position)
        assert token is not None  # "other" takes any character
        position, kind = token.end(), token.lastgroup
        if kind == "unsure" or (kind == "case" and len(contexts) > 1):
            return None  # the ")" of a case's pattern closes no substitution
        if kind == "single" and (len(token[0]) == 1 or not token[0].endswith("'")):
            return "'"
        if kind == "double":
            contexts.append(_DOUBLE)
        elif kind == "open":
            contexts.append(_PLAIN)
        elif kind == "close" and len(contexts) > 1:
            contexts.pop()
        if token[0] != "\\\n":  # a continued line continues its word, too
            word_begun = kind != "open" and token[0] not in _SEPARATORS
    return "" if contexts[-1] is _PLAIN else '"'
