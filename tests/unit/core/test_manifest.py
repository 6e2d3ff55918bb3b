from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_azureml_datastores.core.manifest import (
    MANIFEST,
    STAGING,
    SUCCESS,
    Entry,
    Manifest,
    is_data,
    is_visible,
    journal_lines,
    parse_journal,
)
from airflow_azureml_datastores.core.store import Version
from airflow_azureml_datastores.errors import InvalidInput

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
digests = st.just("") | st.from_regex(r"xxh128:[0-9a-f]{32}", fullmatch=True)
entries = st.builds(Entry, texts, st.integers(0, 2**63), texts, texts, texts, digests)
entry_lists = st.lists(entries, max_size=4, unique_by=lambda entry: entry.path)
manifests = st.builds(Manifest, texts, texts, entry_lists.map(tuple), st.dictionaries(texts, texts, max_size=3))

ENTRY = Entry("a.csv", 3, "e1", "raw/a.csv", "s1", "xxh128:00")


@given(manifests)
def test_json_round_trip(manifest: Manifest) -> None:
    assert Manifest.from_json(b"".join(manifest.to_json()), "here") == manifest


@given(manifests)
def test_the_json_tells_totals_and_has_a_line_per_file(manifest: Manifest) -> None:
    text = b"".join(manifest.to_json())
    document = json.loads(text)
    assert document["version"] == 1
    assert document["files"] == manifest.files == len(manifest.entries)
    assert document["bytes"] == manifest.size == sum(entry.size for entry in manifest.entries)
    assert document["digest"] == manifest.digest
    assert text.count(b"\n") == manifest.files + 2


def test_the_json_is_readable() -> None:
    text = b"".join(Manifest("s", "t", (replace(ENTRY, path="é.csv"),)).to_json()).decode()
    assert '"path": "é.csv"' in text


@given(entry_lists)
def test_journal_round_trip(delivered: list[Entry]) -> None:
    assert list(parse_journal(journal_lines(delivered))) == delivered
    half = len(delivered) // 2
    pieces = journal_lines(delivered[:half]), journal_lines(delivered[half:])
    assert list(parse_journal(b"".join(pieces))) == delivered


@given(manifests, st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_order_place_or_time(manifest: Manifest, shuffle: random.Random) -> None:
    elsewhere = [replace(entry, etag="other") for entry in manifest.entries]
    shuffle.shuffle(elsewhere)
    assert Manifest("other", "other", tuple(elsewhere), {"run": "other"}).digest == manifest.digest


@given(entry_lists.filter(bool), st.data())
def test_the_digest_depends_on_every_path_size_and_content(delivered: list[Entry], data: st.DataObject) -> None:
    whole = Manifest("s", "t", tuple(delivered))
    index = data.draw(st.integers(0, len(delivered) - 1))
    entry = delivered[index]
    changed = data.draw(
        st.sampled_from(
            [
                [],
                [replace(entry, path=entry.path + "x")],
                [replace(entry, size=entry.size + 1)],
                [replace(entry, digest="xxh128:changed")],
                [replace(entry, digest="", source_etag=entry.source_etag + "x")],
                [entry, replace(entry, path=entry.path + "x")],
            ]
        )
    )
    assert Manifest("s", "t", (*delivered[:index], *changed, *delivered[index + 1 :])).digest != whole.digest


def test_the_digest_of_a_known_content_does_not_depend_on_its_source() -> None:
    digests = {Manifest("", "", (replace(ENTRY, source="x", source_etag=etag),)).digest for etag in ("1", "2")}
    assert len(digests) == 1


def test_an_entry_knows_what_it_took_and_what_it_delivered() -> None:
    assert ENTRY.taken == Version("raw/a.csv", 3, "s1")
    assert ENTRY.delivered("in/") == Version("in/a.csv", 3, "e1")


GOOD = json.loads(b"".join(Manifest("s", "t", (ENTRY,), {"run": "r"}).to_json()))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"null",
        b"5",
        b"[]",
        b"{}",
        b'"version"',
        json.dumps({**GOOD, "entries": None}).encode(),
        json.dumps({**GOOD, "entries": [1]}).encode(),
        json.dumps({**GOOD, "entries": [{}]}).encode(),
        json.dumps({**GOOD, "entries": [{**GOOD["entries"][0], "colour": "red"}]}).encode(),
        json.dumps({key: value for key, value in GOOD.items() if key != "target"}).encode(),
        b"".join(Manifest("s", "t", (ENTRY,)).to_json())[:-5],
    ],
)
def test_no_manifest(document: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^azureml://here is not a manifest: "):
        Manifest.from_json(document, "azureml://here")


def test_a_manifest_of_the_future() -> None:
    with pytest.raises(InvalidInput, match=r"^azureml://here is a manifest of version 2, not 1\.$"):
        Manifest.from_json(json.dumps({**GOOD, "version": 2}).encode(), "azureml://here")


@pytest.mark.parametrize(
    ("path", "visible", "data"),
    [
        ("a.csv", True, True),
        ("a/_SUCCESS.csv", True, True),
        ("_SUCCESS/a", True, True),
        ("a/.staging/b", True, True),
        (SUCCESS, True, False),
        (f"a/b/{SUCCESS}", True, False),
        (f"a/{MANIFEST}", True, False),
        (f"{STAGING}a/b.csv", False, False),
        (f"{STAGING}{MANIFEST}", False, False),
    ],
)
def test_what_is_data(path: str, visible: bool, data: bool) -> None:
    assert is_visible(path) is visible
    assert is_data(path) is data
