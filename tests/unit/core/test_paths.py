from __future__ import annotations

import ntpath
import posixpath
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_azureml_datastores.core.paths import MAX_NAME_BYTES, check_relative, show
from airflow_azureml_datastores.errors import UnsafePath

ODD = st.text(st.sampled_from("/\\.:C ~%ab\0\nä\ud800"), max_size=12)
ANY = (
    st.text(max_size=20) | ODD | st.lists(st.sampled_from(["..", ".", "", "a", "C:", "x\\..", "ä" * 128])).map("/".join)
)


def is_refused(path: str) -> bool:
    try:
        return check_relative(path) != path
    except UnsafePath:
        return True


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "is empty"),
        ("a\0b", "NUL"),
        ("/etc/passwd", "is absolute"),
        ("\\\\host\\share", "is absolute"),
        ("\\x", "is absolute"),
        ("C:\\x", "drive letter"),
        ("C:x", "drive letter"),
        ("z:", "drive letter"),
        ("a//b", "empty segment"),
        ("a/", "empty segment"),
        (".", "'.' segment"),
        ("a/./b", "'.' segment"),
        ("..", "'..' segment"),
        ("a/../../b", "'..' segment"),
        ("..\\x", "'..' segment"),
        ("a\\..\\..\\x", "'..' segment"),
        ("a/b\\..", "'..' segment"),
        ("a\ud800", "Unicode"),
        ("x/" + "a" * 256, "256 bytes"),
        ("x/" + "ä" * 128, "256 bytes"),
    ],
)
def test_refused(path: str, reason: str) -> None:
    with pytest.raises(UnsafePath, match=reason) as caught:
        check_relative(path)
    assert show(path) in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b",
        "...",
        "a..",
        "..a/b",
        ".hidden",
        "~",
        "back\\slash",
        "10:30",
        "x/C:",
        "a" * MAX_NAME_BYTES,
        "a\tb\n",
        "ä/文/🚀",
    ],
)
def test_accepted(path: str) -> None:
    assert check_relative(path) == path


@given(ANY)
@example("a/..\\..\\..\\x")
def test_what_is_accepted_stays_below_its_root(path: str) -> None:
    """On this system it is exactly the file it says; even where ``\\`` separates and drives exist it stays inside."""
    if is_refused(path):
        return
    assert posixpath.normpath(posixpath.join("/some/dir", path)) == f"/some/dir/{path}"
    if re.match("[^A-Za-z]:", path):
        return  # ntpath takes this for a drive; Windows has none of such a name
    elsewhere = ntpath.normpath(ntpath.join("D:\\some\\dir", path))
    assert elsewhere == "D:\\some\\dir" or elsewhere.startswith("D:\\some\\dir\\")


@given(ANY)
def test_what_is_refused_has_a_reason(path: str) -> None:
    """Nothing is refused that every POSIX file system holds and that leads nowhere else anywhere."""
    if not is_refused(path):
        return
    segments = path.split("/")
    assert (
        "\0" in path
        or {"", ".", ".."} & set(segments)
        or ".." in path.replace("\\", "/").split("/")
        or path.startswith("\\")
        or ntpath.splitdrive(path)[0]
        or any(0xD800 <= ord(character) < 0xE000 for character in path)
        or any(len(segment.encode()) > MAX_NAME_BYTES for segment in segments)
    )


def test_long_paths_are_cut_in_messages() -> None:
    assert len(show("a" * 100_000)) < 400
    assert show("a\nb") == r"'a\nb'"
