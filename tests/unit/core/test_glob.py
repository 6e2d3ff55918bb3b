from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_azureml_datastores.core.glob import compile_glob, escape, folder_prefix, is_glob, literal_prefix

paths = st.text(st.sampled_from("ab/.-*[]?!^\\\n é"), max_size=12) | st.text(max_size=12)
patterns = st.lists(
    st.sampled_from(
        ["a", "b", ".", "-", "/", "*", "**", "**/", "?", "[", "]", "!", "[!a]", "[ab]", "[a-c]", "[*]", "^"]
    ),
    max_size=10,
).map("".join)


def is_no_dots(segment: str) -> bool:
    return segment not in (".", "..")


# For real folders: no empty, "." or ".." segment.
segments = st.text(st.sampled_from("abc.-[]!*?^"), min_size=1, max_size=4).filter(is_no_dots)
trees = st.lists(st.lists(segments, min_size=1, max_size=4).map("/".join), max_size=8)
piece = st.sampled_from(
    [
        "a",
        "b",
        ".",
        "-",
        "*",
        "?",
        "[ab]",
        "[!a]",
        "[a-c]",
        "[c-a]",
        "[]a]",
        "[!]a]",
        "[^a]",
        "[a",
        "]",
        "[*]",
        "[[]",
        "!",
    ]
)
pattern_segments = st.just("**") | st.lists(piece, min_size=1, max_size=4).map("".join).filter(is_no_dots)
# A quirk of Python's that is not followed: in "[c-a!b]" it drops the empty range first, and then the "!" negates.
real_patterns = (
    st.lists(pattern_segments, min_size=1, max_size=4).map("/".join).filter(lambda text: not re.search("-.!", text))
)


def matches(pattern: str, names: Iterable[str]) -> set[str]:
    return {name for name in names if compile_glob(pattern).fullmatch(name)}


def grow(root: str, tree: Iterable[str]) -> set[str]:
    """Make the files that can be made; one in the place of a folder, or the other way round, cannot."""
    made = set()
    for name in tree:
        path = Path(root, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError:
            continue
        made.add(name)
    return {name for name in made if Path(root, name).is_file()}


@settings(max_examples=150)
@given(trees, st.lists(real_patterns, min_size=1, max_size=10))
@example(["a/b/c", "a/c", ".a/.b", "c"], ["**", "**/c", "a/**/c", "*/**", ".*", "**/**", "a**", "**c/c", "[.]a/*"])
@example(
    ["a-b", "a", "b", "-", "]", "[", "^"], ["[a-]", "[-a]", "[!-]", "[^a]", "[]]", "[!]]", "[[]", "[c-a]", "[!c-a]"]
)
@example(["[a/b]", "a", "b", "[!/]"], ["[a/b]", "[!/]", "[*/b]"])
def test_the_same_files_as_pythons_glob(tree: list[str], tried: list[str]) -> None:
    with TemporaryDirectory() as root:
        files = grow(root, tree)
        for pattern in tried:
            found = glob.glob(pattern, root_dir=root, recursive=True, include_hidden=True)
            assert matches(pattern, files) == {name for name in found if os.path.isfile(os.path.join(root, name))}, (
                pattern
            )


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.csv", ["a.csv", ".csv", "a\nb.csv"], ["a/b.csv", "a.csv2", "a.CSV"]),
        ("raw/*/x", ["raw/a/x", "raw//x"], ["raw/x", "raw/a/b/x"]),
        ("**/x", ["x", "a/x", "a/b/x", "/x", "a//x"], ["ax", "x/y"]),
        ("a/**", ["a/", "a/b", "a/b/c", "a//"], ["a", "b/a/c"]),
        ("a//b*", ["a//b1"], ["a/b1"]),
        ("/a*", ["/ab"], ["ab"]),
        ("a?c", ["abc", "aéc", "a\nc"], ["a/c", "ac"]),
        ("[!a]", ["b", "\n"], ["a", "/", ""]),
        ("[a-c/x]", ["[a-c/x]"], ["a", "b/x]"]),
        ("50%/(a|b)+$.*", ["50%/(a|b)+$.x"], ["50%/a"]),
        ("é*", ["éa"], ["e\u0301a"]),
    ],
)
def test_names_that_only_object_stores_have(pattern: str, yes: list[str], no: list[str]) -> None:
    assert matches(pattern, yes + no) == set(yes)


@given(patterns | paths, st.lists(paths, max_size=5))
@example("[a/b]*", ["[a/b]c"])
@example("[/]", ["[/]"])
@example("[*]a*", ["*ab"])
def test_every_match_starts_with_the_literal_prefix(pattern: str, names: list[str]) -> None:
    for name in matches(pattern, [*names, *(literal_prefix(pattern) + name for name in names), pattern]):
        assert name.startswith(literal_prefix(pattern))
        assert name.startswith(folder_prefix(pattern))


@pytest.mark.parametrize(
    ("pattern", "prefix", "folder"),
    [
        ("", "", ""),
        ("a/b/c.csv", "a/b/c.csv", "a/b/"),
        ("a/b/c*.csv", "a/b/c", "a/b/"),
        ("a/**/b", "a/", "a/"),
        ("*", "", ""),
        ("a[*]b/[?]c/x[[]*", "a*b/?c/x[", "a*b/?c/"),
        ("a/[bc]/d", "a/", "a/"),
        ("a/[!]b", "a/", "a/"),
    ],
)
def test_prefixes(pattern: str, prefix: str, folder: str) -> None:
    assert literal_prefix(pattern) == prefix
    assert folder_prefix(pattern) == folder


@given(paths, paths)
def test_an_escaped_path_matches_only_itself(path: str, other: str) -> None:
    assert matches(escape(path), [path, other]) == {path}
    assert literal_prefix(escape(path)) == path


@given(patterns | paths, paths)
def test_every_text_is_a_pattern(pattern: str, name: str) -> None:
    compile_glob(pattern).fullmatch(name)
    if not is_glob(pattern):
        assert matches(pattern, [name, pattern]) == {pattern}


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 20 + "b", "a" * 1000),
        ("*_*_*_*_*_*_*.csv", "_" * 1000),
        ("**/" * 20 + "x", "a/" * 500),
        ("a**b" * 10 + "c", "ab" * 500),
        ("**/*a*a*a*/**/b", "aaa/" * 200),
    ],
)
def test_no_pattern_takes_for_ever(pattern: str, name: str) -> None:
    """Matching takes a moment, not the age of the universe; the time limit of the test tells."""
    assert not matches(pattern, [name])
