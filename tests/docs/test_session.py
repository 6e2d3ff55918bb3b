"""The documentation's tests can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import blocks
from tests.docs.session import Session, assert_like


def run(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    Session(tmp_path, {"/srv/": f"{tmp_path}/"}, lambda *_: None).run_page(list(blocks(page)))


@pytest.mark.parametrize(
    "text",
    [
        "```python\n1 + 1  # -> 2\n'/srv/a'  # -> '/srv/a'\n```",
        "```python\nx = 1\n```\ntext\n```python\nx  # -> 1\n```",
        "```python\nint('a')  # raises ValueError: invalid … 'a'\nint('a')  # raises ValueError\n```",
        "```python\nprint('a', 1)\n```\n\n```text\na …\n```",
        "```python notest: wrong\n1 +\n```",
        "```python\n1\n```\nIt printed nothing:\n```text\nsomething\n```",
    ],
)
def test_right(tmp_path: Path, text: str) -> None:
    run(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "```python\n1 + 1  # -> 3\n```",
        "```python\n1  # -> 11\n```",
        "```python\nint('a')  # raises ValueError: … 'b'\n```",
        "```python\nint('a')  # raises TypeError\n```",
        "```python\nif True:\n    1  # -> 2\n    2\n```",
        "```python\nx = 1  # -> 1\n```",
        "```python\nprint('a')\n```\n```text\nb\n```",
        "```json task\n{}\n```",
    ],
)
def test_wrong(tmp_path: Path, text: str) -> None:
    with pytest.raises(AssertionError):
        run(tmp_path, text)


def test_no_error_where_one_is_shown(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception):
        run(tmp_path, "```python\nint('1')  # raises ValueError\n```")


@pytest.mark.parametrize(
    ("expected", "found"),
    [({"a": 1}, {"a": 1, "b": 2}), ({"a": 1}, {}), ([1], [1, 2]), ("a…c", "ab"), ({"a": "1"}, {"a": 1})],
)
def test_json_that_differs(expected: object, found: object) -> None:
    with pytest.raises(AssertionError):
        assert_like(expected, found, "here")
