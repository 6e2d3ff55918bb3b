"""Code blocks of the documentation, run as they stand.

The blocks of a page are run from top to bottom, as one session. A fence says what is in a block:

- ``python``: run. An expression with ``# -> value`` behind it has to give that value, a statement with
  ``# raises Error: message`` that error (the message may be left out). A block that makes a DAG is a DAG file of its
  own: it is run by Airflow as a whole.
- ``python notest: reason``: shown, not run. ``python train.py``: a file that the page's DAGs find beside them.
- ``text`` right below a Python block: what that block printed.
- ``json <task_id>``: what that task of the page's last DAG returned.
- ``json <uri>``: what stands there in the last DAG's workspace.
- ``bash``: ``airflow connections add`` makes the connection; anything else is for people.
In what is expected ``…`` stands for any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"^```(?P<language>\w*) ?(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """:param line: number of its first line in the page.
    :param after: the language of a block that ends just above this one; "" if there is text between.
    """

    page: Path
    line: int
    language: str
    info: str
    text: str
    after: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The code blocks of a page, in order."""
    content = page.read_text()
    above, end = "", 0
    for found in _BLOCK.finditer(content):
        after = above if not content[end : found.start()].strip() else ""
        line = content.count("\n", 0, found.start("text")) + 1
        yield Block(page, line, found["language"], found["info"].strip(), found["text"], after)
        above, end = found["language"], found.end()


def matches(expected: str, found: str) -> bool:
    """Whether a text is as expected, ``…`` standing for any text."""
    pattern = ".*".join(map(re.escape, expected.strip().split("…")))
    return re.fullmatch(pattern, found.strip(), re.DOTALL) is not None
