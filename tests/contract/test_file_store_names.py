"""Each name is held exactly or refused by name, and none disturbs its neighbours."""

from __future__ import annotations

import unicodedata

import pytest

from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import UnsafePath
from tests.contract.helpers import get, holds, paths, put

NAMES = {
    "plain": "plain.txt",
    "nested": "one/two/three.txt",
    "deeply nested": "d/" * 100 + "leaf",
    "nested to the limit of Blob": "d/" * 253 + "leaf",
    "nested too deeply": "d/" * 300 + "leaf",
    "hidden": ".hidden",
    "three dots": "...",
    "dots inside": "a..b/c...d",
    "trailing dot": "name.",
    "segment with trailing dot": "folder./name",
    "space": "two words",
    "leading space": " name",
    "trailing space": "name ",
    "only a space": " ",
    "percent": "100%",
    "percent 20": "a%20b",
    "percent 2F": "a%2Fb",
    "percent dots": "%2e%2e/x",
    "percent 00": "a%00b",
    "percent and no code": "%zz",
    "hash": "a#b",
    "question mark": "a?b=c",
    "star": "*.txt",
    "bracket": "a[0]",
    "brace": "{{a}}",
    "tilde": "~",
    "tilde folder": "~root/x",
    "backslash": "back\\slash",
    "backslash traversal": "..\\up",
    "single quote": "it's",
    "double quotes": '"quoted"',
    "xml": "<a>&amp;</a>",
    "plus": "a+b",
    "ampersand": "a&b=c",
    "semicolon": "a;b,c=d",
    "colon": "2026-01-01T00:00:00",
    "drive letter": "C:\\x",
    "drive-relative": "C:x",
    "dollar": "$root/$HOME",
    "dash": "-rf",
    "pipe": "a|b`c`",
    "at and caret": "a@b^c!",
    "device": "con/aux.txt",
    "umlaut NFC": unicodedata.normalize("NFC", "Übergröße.csv"),
    "umlaut NFD": unicodedata.normalize("NFD", "Übergröße.csv"),
    "cjk": "データ/文件.csv",
    "arabic": "بيانات",
    "right-to-left override": "a\u202etxt.exe",
    "emoji": "🚀/👩‍👩‍👧.png",
    "zero-width": "a\u200bb",
    "byte order mark": "\ufeffname",
    "no-break space": "a\u00a0b",
    "line separator": "a\u2028b",
    "next line": "a\u0085b",
    "noncharacter": "a\uffffb",
    "lone surrogate": "a\ud800b",
    "tab": "a\tb",
    "newline": "a\nb",
    "trailing newline": "name\n",
    "carriage return": "a\r\nb",
    "control": "a\x01b",
    "escape": "a\x1b[31mb",
    "delete": "a\x7fb",
    "NUL": "a\x00b",
    "empty": "",
    "slash": "/",
    "leading slash": "/lead",
    "trailing slash": "trail/",
    "double slash": "a//b",
    "many slashes": "a///b//",
    "dot": ".",
    "dot segment": "a/./b",
    "leading dot segment": "./a",
    "dot dot": "..",
    "dot dot segment": "a/../b",
    "climbing": "../../up",
    "absolute": "/etc/passwd",
    "segment of 255 bytes": "a" * 255,
    "segment of 255 bytes in two-byte characters": "ä" * 127 + "a",
    "segment of 256 bytes": "a" * 256,
    "segment of 256 bytes in two-byte characters": "ä" * 128,
    "1024 characters": "/".join(["a" * 203] * 5) + "b" * 5,
    "1025 characters": "/".join(["a" * 203] * 5) + "b" * 6,
    "1024 characters of three bytes": "/".join(["文" * 63] * 16),
    "5000 characters": "/".join(["a" * 99] * 50),
    "100000 characters": "a" * 100_000,
}

LOOKALIKES = {
    "double slash": ("a//b", "a/b"),
    "leading slash": ("/lead", "lead"),
    "trailing slash": ("trail/", "trail"),
    "dot segment": ("a/./b", "a/b"),
    "dot dot segment": ("a/x/../b", "a/b"),
    "backslash": ("a\\b", "a/b"),
    "percent 20": ("a%20b", "a b"),
    "percent 2F": ("a%2Fb", "a/b"),
    "percent 41": ("%41", "A"),
    "plus": ("a+b", "a b"),
    "query": ("name?x=1", "name"),
    "fragment": ("name#x", "name"),
    "trailing dot": ("name.", "name"),
    "trailing space": ("name ", "name"),
    "trailing newline": ("name\n", "name"),
    "carriage return": ("a\r\nb", "a\nb"),
    "NUL": ("name\x00x", "name"),
    "normalisation": (unicodedata.normalize("NFD", "é"), unicodedata.normalize("NFC", "é")),
    "compatibility": ("ﬁle", "file"),
    "snapshot": ("name?snapshot=2026-01-01T00:00:00.0000000Z", "name"),
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_odd_name(store: FileStore, name: str) -> None:
    """Listed, read, described, overwritten and deleted exactly, or refused by every call; neighbours stay."""
    neighbours = [(path, put(store, path)) for path in ("!before", "name-neighbour", "zz/after")]

    if not holds(store, name):
        for call in (
            lambda: store.stat(name),
            lambda: get(store, name),
            lambda: put(store, name),
            lambda: put(store, name, create=True),
            lambda: put(store, name, if_match="x"),
            lambda: store.delete(name),
        ):
            with pytest.raises(UnsafePath):
                call()
    else:
        put(store, name, b"first")
        etag = put(store, name, b"second!")
        assert store.stat(name).path == name
        assert get(store, name) == b"second!"
        assert [(info.path, info.size, info.etag) for info in store.list(name)] == [(name, 7, etag)]
        assert versions(store) == sorted([*neighbours, (name, etag)])
        store.delete(name)

    assert versions(store) == neighbours


def versions(store: FileStore) -> list[tuple[str, str]]:
    """All that is there: each object and its etag, which is new on every write."""
    return [(info.path, info.etag) for info in store.list()]


@pytest.mark.parametrize(("odd", "plain"), LOOKALIKES.values(), ids=LOOKALIKES)
def test_lookalike(store: FileStore, odd: str, plain: str) -> None:
    """A name that some client would take for another is that other's in no call."""
    put(store, plain, b"plain")
    if not holds(store, odd):
        with pytest.raises(UnsafePath):
            store.delete(odd)
        assert paths(store) == [plain]
    else:
        put(store, odd, b"odd")
        assert sorted(paths(store)) == sorted([odd, plain])
        assert get(store, odd) == b"odd"
        store.delete(odd)
    assert get(store, plain) == b"plain"


@pytest.mark.parametrize("name", ["a//b", "/lead", "trail/"])
def test_store_for_any_name_refuses_no_slashes(store: FileStore, name: str) -> None:
    if not store.features.any_name:
        pytest.skip("the store does not claim any_name")
    put(store, name)
    assert paths(store) == [name]


def test_case(store: FileStore) -> None:
    if not store.features.case_sensitive:
        pytest.skip("the store does not claim case_sensitive")
    put(store, "Case", b"upper")
    put(store, "case", b"lower")
    assert paths(store) == ["Case", "case"]
    assert get(store, "Case") == b"upper"


def test_name_of_an_object_as_a_folder(store: FileStore) -> None:
    """``a`` and ``a/b`` are two objects, or the second is refused and nothing is lost."""
    put(store, "a", b"object")
    try:
        put(store, "a/b", b"below")
    except UnsafePath:
        assert paths(store) == ["a"]
    else:
        assert paths(store) == ["a", "a/b"]
        assert get(store, "a/b") == b"below"
    assert get(store, "a") == b"object"


def test_name_of_a_folder_as_an_object(store: FileStore) -> None:
    put(store, "a/b", b"below")
    try:
        put(store, "a", b"object")
    except UnsafePath:
        assert paths(store) == ["a/b"]
    else:
        assert paths(store) == ["a", "a/b"]
        assert get(store, "a") == b"object"
    assert get(store, "a/b") == b"below"


def test_name_of_a_folder_is_free_once_it_is_empty(store: FileStore) -> None:
    put(store, "a/b/c")
    store.delete("a/b/c")
    put(store, "a", b"object")
    assert paths(store) == ["a"]
