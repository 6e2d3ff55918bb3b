from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from airflow_azureml_datastores.core.cursor import Cursor, fingerprint
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.errors import InvalidInput

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BATCHES = ["mon", "tue", "wed"]

prints = st.binary(min_size=8, max_size=8)
cursors = st.dictionaries(st.text(), st.frozensets(prints, min_size=1, max_size=5), max_size=4).map(Cursor)


def info(path: str, etag: str) -> ObjectInfo:
    return ObjectInfo(path, 1, etag, NOW)


def printed(found: list[ObjectInfo]) -> set[bytes]:
    return {fingerprint("sales", seen.path, seen.etag) for seen in found}


class Consumers(RuleBasedStateMachine):
    """Files come and change; batches look, take what they saw, die in between and come again, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.cursor = Cursor()
        self.changes = 0
        self.files: dict[str, str] = {}
        self.seen: dict[str, list[ObjectInfo]] = {}
        self.owner: dict[tuple[str, str], str] = {}

    def listing(self) -> list[ObjectInfo]:
        return [info(path, etag) for path, etag in sorted(self.files.items())]

    @rule(path=st.sampled_from("abcd"))
    def a_file_comes_or_changes(self, path: str) -> None:
        self.changes += 1
        self.files[path] = f"v{self.changes}"

    @rule(path=st.sampled_from("abcd"))
    def a_file_goes(self, path: str) -> None:
        self.files.pop(path, None)

    @rule(batch=st.sampled_from(BATCHES))
    def a_batch_looks(self, batch: str) -> None:
        self.seen[batch] = self.cursor.new_for(batch, "sales", self.listing())

    @rule(batch=st.sampled_from(BATCHES), keep=st.integers(0, 4))
    def a_batch_takes_what_it_saw(self, batch: str, keep: int) -> None:
        found = self.seen.get(batch, [])[:keep]
        before = dict(self.owner)
        self.cursor, ours = self.cursor.take(batch, printed(found))
        for seen in found:
            version = (seen.path, seen.etag)
            if fingerprint("sales", *version) in ours:
                assert before.get(version, batch) == batch, "taken twice"
                self.owner[version] = batch
            else:
                assert before[version] != batch, "lost"

    @invariant()
    def nothing_is_lost_or_taken_twice(self) -> None:
        listing = self.listing()
        for batch in BATCHES:
            new = {(seen.path, seen.etag) for seen in self.cursor.new_for(batch, "sales", listing)}
            there = {(seen.path, seen.etag) for seen in listing}
            assert new == {version for version in there if self.owner.get(version, batch) == batch}

    @invariant()
    def it_survives_being_written_down(self) -> None:
        assert Cursor.from_json(self.cursor.to_json(), "here") == self.cursor


Consumers.TestCase.settings = settings(max_examples=50, stateful_step_count=30)
TestConsumers = Consumers.TestCase


def test_a_repeated_batch_sees_its_files_again_and_others_do_not() -> None:
    found = [info("a", "1"), info("b", "1")]
    cursor, _ = Cursor().take("mon", printed(found))
    assert cursor.new_for("mon", "sales", found) == found
    assert cursor.new_for("tue", "sales", found) == []
    changed = [info("a", "2"), info("b", "1"), info("c", "1")]
    assert cursor.new_for("tue", "sales", changed) == [changed[0], changed[2]]


def test_the_slower_one_gets_the_rest() -> None:
    a, b, c = (fingerprint("sales", path, "1") for path in "abc")
    cursor, first = Cursor().take("mon", [a, b])
    cursor, second = cursor.take("tue", [b, c])
    assert (first, second) == ({a, b}, {c})
    assert cursor.taken == {"mon": {a, b}, "tue": {c}}


def test_taking_nothing_changes_nothing() -> None:
    cursor = Cursor({"mon": frozenset([b"8 bytes."])})
    assert cursor.take("tue", [b"8 bytes."]) == (cursor, frozenset())
    assert cursor.take("tue", []) == (cursor, frozenset())


def test_a_version_is_its_datastore_path_and_etag() -> None:
    one = fingerprint("sales", "a", "1")
    assert len(one) == 8
    assert fingerprint("Sales", "a", "1") == one
    others = [("sales", "a", "2"), ("sales", "b", "1"), ("sale", "a", "1"), ("sales", "A", "1"), ("salesa", "", "1")]
    assert one not in {fingerprint(*other) for other in others}


@given(cursors)
def test_json_round_trip(cursor: Cursor) -> None:
    assert Cursor.from_json(cursor.to_json(), "here") == cursor


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"not json",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'{"version": 1}',
        b'{"version": 1, "batches": []}',
        b'{"version": 1, "batches": {"mon": 5}}',
        b'{"version": 1, "batches": {"mon": "no base64!"}}',
        b'{"version": 1, "batches": {"mon": "AAAA"}}',
        b'{"version": 1, "batches": {"mon": "AAAAAAAAAAA"}}',
        Cursor({"mon": frozenset([b"8 bytes."])}).to_json()[:-3],
    ],
)
def test_no_cursor(document: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^azureml://here is not a cursor: "):
        Cursor.from_json(document, "azureml://here")


def test_a_cursor_of_the_future() -> None:
    with pytest.raises(InvalidInput, match=r"^azureml://here is a cursor of version 2, not 1\.$"):
        Cursor.from_json(json.dumps({"version": 2, "batches": {}}).encode(), "azureml://here")


def test_a_million_versions_stay_small() -> None:
    """About 11 bytes a version, as the format promises."""
    many = Cursor({"mon": frozenset(number.to_bytes(8, "big") for number in range(30_000))})
    assert len(many.to_json()) < 11 * 30_000
