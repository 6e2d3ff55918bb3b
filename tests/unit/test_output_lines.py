"""How a command's output is cut into lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_azureml_datastores.compute._lines import LONGEST, Lines


def cut(*chunks: bytes, every: float = 0.0) -> list[str]:
    got: list[str] = []
    lines = Lines(got.append, every)
    for chunk in chunks:
        lines.feed(chunk)
    lines.end()
    return got


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"", []),
        (b"one", ["one"]),
        (b"one\n", ["one"]),
        (b"one\n\ntwo\n", ["one", "", "two"]),
        (b"dos\r\nline\r\n", ["dos", "line"]),
        ("zwölf €\n".encode(), ["zwölf €"]),
        (b"caf\xe9\n\xff\n", ["caf\ufffd", "\ufffd"]),
        (b"cut \xe2\x82", ["cut \ufffd"]),
        ("a\u2028b\x0bc\x85d\n".encode(), ["a\u2028b\x0bc\x85d"]),
        (b"\r 10%\r 50%\r100%\n", [" 10%", " 50%", "100%"]),
        (b" 10%\r 50%\r", [" 10%", " 50%"]),
        (b"begun\r\r\n", ["begun"]),
    ],
)
def test_lines(output: bytes, expected: list[str]) -> None:
    assert cut(output) == expected
    assert cut(*(output[i : i + 1] for i in range(len(output)))) == expected


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))), st.data())
def test_lines_are_the_same_wherever_the_output_is_cut(lines: list[str], data: st.DataObject) -> None:
    output = "".join(line + "\n" for line in lines).encode()
    at = sorted(data.draw(st.lists(st.integers(0, len(output)))))
    assert cut(*(output[a:b] for a, b in zip([0, *at], [*at, len(output)], strict=True))) == lines


def test_a_progress_bar_is_shown_at_once_then_rarely_and_its_end_always() -> None:
    states = "".join(f"\r{done}%" for done in range(101))
    assert cut(f"start\n{states}\nend\n".encode(), every=3600) == ["start", "0%", "100%", "end"]


def test_a_line_is_passed_on_as_soon_as_it_is_whole() -> None:
    got: list[str] = []
    lines = Lines(got.append)
    lines.feed(b"one\ntw")
    assert got == ["one"]
    lines.feed(b"o\n")
    assert got == ["one", "two"]


def test_a_very_long_line_comes_in_pieces() -> None:
    pieces = cut(*[b"x" * 50_000] * 10, b"\n")
    assert "".join(pieces) == "x" * 500_000
    assert max(map(len, pieces)) == LONGEST


def test_the_tail_has_the_last_40_lines() -> None:
    lines = Lines(lambda _: None)
    lines.feed(b"".join(b"line %d\n" % i for i in range(100)))
    assert lines.tail.splitlines() == [f"line {i}" for i in range(60, 100)]


def test_the_tail_has_at_most_8_kib_and_its_end() -> None:
    lines = Lines(lambda _: None)
    lines.feed(b"".join(b"%d " % i * 1000 + b"\n" for i in range(40)) + b"the end\n")
    assert len(lines.tail) == 8 * 1024
    assert lines.tail.startswith("…")
    assert lines.tail.endswith("\nthe end")
