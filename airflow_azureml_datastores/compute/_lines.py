"""A command's output as lines, in bounded memory."""

from __future__ import annotations

import codecs
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

LONGEST = 16 * 1024
"""Characters of a line; a longer one comes in pieces."""
_TAIL_LINES = 40
_TAIL_CHARACTERS = 8 * 1024


@dataclass
class Lines:
    """Cuts bytes into lines of text and passes them on at once.

    What is not UTF-8 is replaced. A carriage return begins the line anew, as progress bars do: of the states of one
    line the last is passed on, and before it at most one every ``every`` seconds.

    :param on_line: takes each line, without its end.
    :param every: seconds.
    """

    on_line: Callable[[str], None]
    every: float = 5.0
    _line: str = field(default="", init=False)
    _returned: bool = field(default=False, init=False)
    _shown: float = field(default=-math.inf, init=False)

    def __post_init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._take(self._decode(data))

    def end(self) -> None:
        """Pass on what came after the last line's end."""
        self._take(self._decode(b"", final=True))
        if self._line:
            self._finish_line()

    @property
    def tail(self) -> str:
        """The last lines, at most 40 of them and 8 Ki characters."""
        text = "\n".join(self._tail)
        return text if len(text) <= _TAIL_CHARACTERS else "…" + text[1 - _TAIL_CHARACTERS :]

    def _take(self, text: str) -> None:
        *whole, rest = text.split("\n")
        for part in whole:
            self._add(part)
            self._finish_line()
        self._add(rest)

    def _add(self, part: str) -> None:
        first, *states = part.split("\r")
        self._write(first)
        for state in states:
            self._returned = True
            self._write(state)

    def _write(self, text: str) -> None:
        """Write at the end of the current line, or over it if a carriage return came before."""
        if not text:
            return
        if self._returned:
            self._show_state()
            self._line, self._returned = "", False
        self._line += text
        while len(self._line) > LONGEST:
            self._emit(self._line[:LONGEST])
            self._line = self._line[LONGEST:]

    def _show_state(self) -> None:
        now = time.monotonic()
        if self._line and now - self._shown >= self.every:
            self._shown = now
            self._emit(self._line)

    def _finish_line(self) -> None:
        self._emit(self._line)
        self._line, self._returned = "", False

    def _emit(self, line: str) -> None:
        self._tail.append(line)
        self.on_line(line)
