"""Copying to where others may have files too: nothing is removed, nothing replaced unless asked, whatever breaks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from airflow_azureml_datastores.core.manifest import Manifest
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import Features, FileStore
from airflow_azureml_datastores.core.uri import DatastoreUri, parse_datastore_uri
from airflow_azureml_datastores.errors import (
    Changed,
    InvalidInput,
    NoData,
    PathExists,
    PathNotFound,
    TransferIncomplete,
    Unavailable,
    UnsafePath,
)
from airflow_azureml_datastores.transfer import delivery, engine, journal
from airflow_azureml_datastores.transfer.copy import prepare_copy
from airflow_azureml_datastores.transfer.source import Source, find_source
from tests.unit.transfer.stores import STREAMING, MemoryStore, Moved, Plug, PlugPulled, Watched, contents, fill, opener

FILES = {"a": b"", "ü/文 %20#?.csv": b"x" * 5000, "deep/er/b": b"y", "deep/c": b"z"}


@pytest.fixture(params=["memory to memory", "streamed", "local to local", "memory to local", "local to memory"])
def stores(request: pytest.FixtureRequest, local: Callable[[str], FileStore]) -> tuple[FileStore, FileStore]:
    if request.param == "streamed":
        return MemoryStore(STREAMING), MemoryStore(STREAMING)
    source, target = request.param.split(" to ")
    return (
        local("source") if source == "local" else MemoryStore(),
        local("target") if target == "local" else MemoryStore(),
    )


def find(store: FileStore, path: str, **options: Any) -> Source:
    return find_source(opener(s=store), parse_datastore_uri(f"azureml://datastores/s/paths/{path}"), **options)


def copy(source: Source | FileStore, target: FileStore, path: str = "to/", **options: Any) -> Manifest:
    if isinstance(source, FileStore):
        source = find(source, "in/")
    return prepare_copy(source, Place("t", target, path), label="[copy] x", say=lambda line: None, **options)()


def record(target: FileStore) -> Place:
    return Place("t", target, "record/")


class TestWhatGoesWhere:
    def test_folder(self, stores: tuple[FileStore, FileStore]) -> None:
        source, target = stores
        fill(source, FILES, "in/")
        fill(target, {"beside": b"kept"}, "to/")
        manifest = copy(source, target)
        assert contents(target, "to/") == {**FILES, "beside": b"kept"}
        assert {e.path: e.size for e in manifest.entries} == {p: len(c) for p, c in FILES.items()}
        assert (manifest.source, manifest.target) == (
            "azureml://datastores/s/paths/in/",
            "azureml://datastores/t/paths/to/",
        )

    def test_pattern_keeps_what_is_below_its_folder(self, stores: tuple[FileStore, FileStore]) -> None:
        source, target = stores
        fill(source, FILES, "in/")
        copy(find(source, "in/**/[bc]"), target)
        assert contents(target, "to/") == {"deep/er/b": b"y", "deep/c": b"z"}

    def test_single_file_into_a_folder(self, stores: tuple[FileStore, FileStore]) -> None:
        source, target = stores
        fill(source, FILES, "in/")
        copy(find(source, "in/deep/c"), target)
        assert contents(target) == {"to/c": b"z"}

    def test_single_file_under_a_new_name(self, stores: tuple[FileStore, FileStore]) -> None:
        source, target = stores
        fill(source, FILES, "in/")
        manifest = copy(find(source, "in/deep/c"), target, "to/new %name")
        assert contents(target) == {"to/new %name": b"z"}
        assert [(e.path, e.source) for e in manifest.entries] == [("new %name", "in/deep/c")]
        copy(find(source, "in/deep/c"), target, "at-the-root")
        assert contents(target)["at-the-root"] == b"z"

    def test_single_file_copied_beside_itself(self, stores: tuple[FileStore, FileStore]) -> None:
        source, _ = stores
        fill(source, {"in/a": b"a"})
        copy(find(source, "in/a"), source, "in/b")
        assert contents(source) == {"in/a": b"a", "in/b": b"a"}

    def test_to_the_root(self, stores: tuple[FileStore, FileStore]) -> None:
        source, target = stores
        fill(source, FILES, "in/")
        copy(source, target, "")
        assert contents(target) == FILES

    def test_records_only_where_asked_for(self, stores: tuple[FileStore, FileStore]) -> None:
        source, target = stores
        files = {"a": b"a", "_SUCCESS": b"", "_manifest.json": b"{}", "sub/_SUCCESS": b""}
        fill(source, files, "in/")
        copy(source, target, "data/")
        assert contents(target, "data/") == {"a": b"a"}
        copy(find(source, "in/", records=True), target, "all/", record=record(target))
        assert contents(target, "all/") == files


class TestNames:
    BENT = ["a//b", "/lead", "trail/", "..", "../up", "sub/../../up", "nul\0"]

    @pytest.mark.parametrize("name", [*BENT, "back\\slash", "new\nline", "C:", "100%", "~", "*", "n" * 255])
    def test_exact(self, name: str) -> None:
        source, target = MemoryStore(STREAMING), MemoryStore(STREAMING)
        fill(source, {name: b"x", "fine": b"y"}, "in/")
        copy(source, target)
        assert contents(target, "to/") == {name: b"x", "fine": b"y"}

    @pytest.mark.parametrize("name", ["back\\slash", "new\nline", "C:", "100%", "~", "*", "n" * 255])
    def test_exact_on_disk(self, name: str, local: Callable[[str], FileStore]) -> None:
        source, target = MemoryStore(), local("t")
        fill(source, {name: b"x", "fine": b"y"}, "in/")
        copy(source, target)
        assert contents(target, "to/") == {name: b"x", "fine": b"y"}

    @pytest.mark.parametrize("name", [*BENT, "n" * 256])
    def test_or_refused_by_name_before_anything_moves(self, name: str, local: Callable[[str], FileStore]) -> None:
        source, target = MemoryStore(), local("t")
        fill(source, {name: b"x", "fine": b"y"}, "in/")
        with pytest.raises(UnsafePath) as caught:
            copy(source, target)
        assert repr(f"to/{name}") in str(caught.value)
        assert contents(target) == {}

    def test_file_where_another_needs_a_folder(self, local: Callable[[str], FileStore]) -> None:
        source, target = MemoryStore(), local("t")
        fill(source, {"a": b"x", "a/b": b"y"}, "in/")
        with pytest.raises(InvalidInput, match="'a' is a file, but 'a/b' needs a folder"):
            copy(source, target)
        assert contents(target) == {}

    @pytest.mark.parametrize(("there", "wanted"), [("a", "a/b"), ("a/b", "a")])
    def test_the_same_with_what_is_there(self, there: str, wanted: str, local: Callable[[str], FileStore]) -> None:
        source, target = MemoryStore(), local("t")
        fill(source, {wanted: b"x", "other": b"y"}, "in/")
        fill(target, {there: b"x"}, "to/")
        with pytest.raises(InvalidInput, match="'a' is a file, but 'a/b' needs a folder"):
            copy(source, target, overwrite=True)
        assert contents(target, "to/") == {there: b"x"}

    @pytest.mark.parametrize("folder", ["file/", "file/sub/"])
    def test_target_is_a_file(self, folder: str, local: Callable[[str], FileStore]) -> None:
        source, target = MemoryStore(), local("t")
        fill(source, {"a": b"x"}, "in/")
        fill(target, {"file": b""})
        with pytest.raises(InvalidInput, match="'file' is a file there"):
            copy(source, target, folder)

    def test_names_that_differ_in_case(self) -> None:
        source, target = MemoryStore(), MemoryStore(Features(case_sensitive=False))
        fill(source, {"a": b"x", "A": b"y"}, "in/")
        with pytest.raises(InvalidInput, match="ignores case"):
            copy(source, target)


class TestOverlap:
    @pytest.mark.parametrize(
        ("path", "target"),
        [
            ("in/", "in/"),
            ("in/", "in/copy/"),
            ("", "anywhere/"),
            ("in/*", "in/"),
            ("in/**", "in/copy/"),
            ("in/a", "in/"),
            ("in/a", "in/a"),
        ],
    )
    def test_target_in_source(self, path: str, target: str) -> None:
        store = MemoryStore()
        fill(store, {"in/a": b"x"})
        with pytest.raises(InvalidInput, match="or the other way round"):
            copy(find(store, path), store, target, overwrite=True)
        assert contents(store) == {"in/a": b"x"}

    @pytest.mark.parametrize(("path", "target"), [("in/", "in2/"), ("in/*.csv", "in/sub/"), ("in/", "")])
    def test_apart(self, path: str, target: str) -> None:
        store = MemoryStore()
        fill(store, {"in/a.csv": b"x"})
        copy(find(store, path), store, target)
        assert f"{target}a.csv" in contents(store)

    def test_two_datastores_one_inside_the_other(self, local: Callable[[str], FileStore]) -> None:
        outer, inner = local("data %20"), local("data %20/in ner")
        fill(outer, {"a": b"x"})
        with pytest.raises(InvalidInput, match="or the other way round"):
            copy(find(outer, ""), inner)
        fill(inner, {"b": b"x"}, "in/")
        copy(inner, outer, "aside/")
        assert contents(outer)["aside/b"] == b"x"


class TestConflicts:
    def test_refused_before_anything_moves(self, stores: tuple[FileStore, FileStore]) -> None:
        source, target = stores
        fill(source, {"a": b"1", "b": b"2", "c": b"3"}, "in/")
        fill(target, {"b": b"other", "c": b"3"}, "to/")
        with pytest.raises(PathExists, match=r"to/b is there already, and 1 more; pass overwrite=True"):
            copy(source, target)
        assert contents(target, "to/") == {"b": b"other", "c": b"3"}

    def test_overwrite(self, stores: tuple[FileStore, FileStore]) -> None:
        source, target = stores
        fill(source, {"a": b"1", "b": b"2"}, "in/")
        fill(target, {"b": b"other", "c": b"kept"}, "to/")
        copy(source, target, overwrite=True)
        assert contents(target, "to/") == {"a": b"1", "b": b"2", "c": b"kept"}

    def test_somebody_was_faster(self, stores: tuple[FileStore, FileStore]) -> None:
        """A file that comes into being after the look is not replaced either."""
        source, target = stores
        fill(source, {"a": b"1"}, "in/")

        def meanwhile(call: str, path: str) -> None:
            if call in ("write", "copy_from") and path == "to/a":
                fill(target, {"to/a": b"theirs"})

        with pytest.raises(PathExists):
            copy(source, Watched(target, meanwhile))
        assert contents(target) == {"to/a": b"theirs"}

    def test_somebody_is_in_between(self) -> None:
        source, target = MemoryStore(), MemoryStore()
        fill(source, {"a": b"1", "b": b"2"}, "in/")
        arrived: set[str] = set()

        def meddle(call: str, path: str) -> None:
            arrived.add(path)
            if {"to/a", "to/b"} <= arrived:
                fill(target, {"to/a": b"theirs"})

        with pytest.raises(TransferIncomplete, match=r"to/a was changed or removed by somebody else"):
            copy(source, Watched(target, after=meddle))


class TestEmpty:
    def test_refused(self) -> None:
        with pytest.raises(NoData, match=r"no files at azureml://datastores/s/paths/in/; pass allow_empty=True"):
            copy(MemoryStore(), MemoryStore())

    def test_accepted(self) -> None:
        target = MemoryStore()
        assert copy(MemoryStore(), target, allow_empty=True).files == 0
        assert contents(target) == {}


class TestSourceChanges:
    @pytest.mark.parametrize("recorded", [True, False])
    @pytest.mark.parametrize("overwrite", [True, False])
    def test_while_it_is_copied(self, recorded: bool, overwrite: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was copied before is replaced by its new version, though nothing of others would be."""
        monkeypatch.setattr(engine, "WORKERS", 1)
        source, target = MemoryStore(), MemoryStore()
        fill(source, {"a": b"old a", "b": b"old"}, "in/")

        def change(call: str, path: str) -> None:
            if path == "to/a" and contents(source, "in/")["b"] == b"old":
                fill(source, {"a": b"new a", "b": b"new", "c": b"new"}, "in/")

        copy(
            source,
            Watched(target, after=change),
            overwrite=overwrite,
            record=record(target) if recorded else None,
        )
        assert contents(target, "to/") == {"a": b"new a", "b": b"new", "c": b"new"}

    def test_for_ever(self) -> None:
        source, target = MemoryStore(), MemoryStore()
        fill(source, {"a": b"old"}, "in/")
        looks: list[str] = []

        def change(call: str, path: str) -> None:
            if path == "to/a":
                fill(source, {"a": b"newer"}, "in/")
                looks.append(path)

        with pytest.raises(Changed):
            copy(source, Watched(target, change))
        assert len(looks) == delivery._FRESH_LISTINGS
        assert contents(target) == {}

    def test_vanishes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "WORKERS", 1)
        source, target = MemoryStore(), MemoryStore()
        fill(source, {"a": b"1", "b": b"2"}, "in/")

        def vanish(call: str, path: str) -> None:
            if call == "copy_from":
                source.delete("in/b")

        copy(source, Watched(target, vanish))
        assert contents(target) == {"to/a": b"1"}

    def test_becomes_empty(self) -> None:
        source, target = MemoryStore(), MemoryStore()
        fill(source, {"a": b"1"}, "in/")

        def vanish(call: str, path: str) -> None:
            if call == "copy_from":
                source.delete("in/a")

        with pytest.raises(NoData, match="has become empty"):
            copy(find(source, "in/"), Watched(target, vanish))

    def test_these_versions_and_no_others(self) -> None:
        source, target = MemoryStore(), MemoryStore()
        fill(source, {"a": b"old"}, "in/")
        pinned = replace(find(source, "in/"), again=None)
        fill(source, {"a": b"new"}, "in/")
        with pytest.raises(Changed):
            copy(pinned, target)
        source.delete("in/a")
        with pytest.raises(PathNotFound):
            copy(pinned, target)


class TestDoneOnce:
    def test_again_changes_nothing(self, stores: tuple[FileStore, FileStore]) -> None:
        source, target = stores
        fill(source, FILES, "in/")
        first = copy(source, target, record=record(target))
        moved = Moved()
        assert copy(source, Watched(target, moved), record=record(target)) == first
        assert moved.below("to/") == []

    def test_what_changed_since_is_replaced(self, stores: tuple[FileStore, FileStore]) -> None:
        source, target = stores
        fill(source, {"a": b"old", "b": b"same"}, "in/")
        copy(source, target, record=record(target))
        fill(source, {"a": b"new"}, "in/")
        moved = Moved()
        copy(source, Watched(target, moved), record=record(target))
        assert contents(target, "to/") == {"a": b"new", "b": b"same"}
        assert moved.below("to/") == ["to/a"]

    def test_but_not_if_somebody_else_has_replaced_it(self, stores: tuple[FileStore, FileStore]) -> None:
        source, target = stores
        fill(source, {"a": b"ours"}, "in/")
        copy(source, target, record=record(target))
        fill(target, {"to/a": b"else"})
        with pytest.raises(PathExists):
            copy(source, target, record=record(target))
        assert contents(target, "to/") == {"a": b"else"}


class TestInterrupted:
    @pytest.mark.parametrize("overwrite", [True, False])
    @pytest.mark.parametrize("done", [True, False])
    def test_at_any_call(self, done: bool, overwrite: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """Dead at the n-th call of the target, for each n: called again, it ends as if nothing had happened."""
        monkeypatch.setattr(engine, "WORKERS", 1)
        monkeypatch.setattr(journal, "_EVERY_SECONDS", 0.0)
        source = MemoryStore()
        fill(source, {"a": b"1", "b": b"22", "c": b"333"}, "in/")
        whole = MemoryStore()
        digest = copy(source, whole, record=record(whole), overwrite=overwrite).digest
        for at in range(1, 100):
            target = MemoryStore()
            plug = Plug(at, done=done)
            broken = Watched(target, plug.before, plug.after)
            with suppress(PlugPulled):
                copy(source, broken, record=record(broken), overwrite=overwrite)
            manifest = copy(source, target, record=record(target), overwrite=overwrite)
            assert manifest.digest == digest
            assert contents(target) == contents(whole) | {"record/_manifest.json": b"".join(manifest.to_json())}
            if not plug.pulled:
                assert at > 10
                return
        pytest.fail("it never came to an end")

    def test_moves_only_what_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal, "_EVERY_SECONDS", 0.0)
        source, target = MemoryStore(STREAMING), MemoryStore(STREAMING)
        fill(source, {f"{i:03}": b"x" * i for i in range(200)}, "in/")
        plug = Plug(200)
        broken = Watched(target, plug.before, plug.after)
        with pytest.raises(PlugPulled):
            copy(source, broken, record=record(broken))
        there = len(contents(target, "to/"))
        assert there > 20
        moved = Moved()
        copy(source, Watched(target, moved), record=record(target))
        assert len(moved.below("to/")) == 200 - there

    def test_what_could_not_be_noted_is_recognised(self, stores: tuple[FileStore, FileStore]) -> None:
        """The end of an attempt is not in its record. Those files are its own by their content, or somebody else's."""
        source, target = stores
        fill(source, FILES, "in/")

        def no_note(call: str, path: str) -> None:
            if call == "write" and path.startswith("record/") and not path.endswith("-000000.jsonl"):
                raise PlugPulled

        broken = Watched(target, no_note)
        with pytest.raises(PlugPulled):
            copy(source, broken, record=record(broken))
        assert contents(target, "to/") == FILES
        moved = Moved()
        copy(source, Watched(target, moved), record=record(target))
        assert moved.below("to/") == []

    def test_another_content_is_somebody_elses(self, stores: tuple[FileStore, FileStore]) -> None:
        source, target = stores
        fill(source, {"a": b"ours"}, "in/")

        def die(call: str, path: str) -> None:
            if path == "to/a":
                raise PlugPulled

        broken = Watched(target, die)
        with pytest.raises(PlugPulled):
            copy(source, broken, record=record(broken))
        fill(target, {"to/a": b"else"})
        with pytest.raises(PathExists):
            copy(source, target, record=record(target))
        assert contents(target, "to/") == {"a": b"else"}

    def test_an_error_keeps_what_has_arrived(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "_WAIT", 0.0)
        monkeypatch.setattr(engine, "WORKERS", 1)
        source, target = MemoryStore(), MemoryStore()
        fill(source, {"large": b"x" * 10, "small": b"x"}, "in/")

        def down(call: str, path: str) -> None:
            if path == "to/small":
                raise Unavailable("down")

        with pytest.raises(Unavailable):
            copy(source, Watched(target, down), record=record(target))
        moved = Moved()
        copy(source, Watched(target, moved), record=record(target))
        assert moved.below("to/") == ["to/small"]


class TestWhatIsSaid:
    def said(self, source: FileStore, target: FileStore, **options: Any) -> str:
        lines: list[str] = []
        place = Place("t", target, "to/")
        prepare_copy(find(source, "in/"), place, label="[copy] from  here", say=lines.append, **options)()
        return lines[-1]

    def test_with_a_record(self) -> None:
        source, target = MemoryStore(), MemoryStore()
        fill(source, {f"{i}": b"x" * 100 for i in range(1204)}, "in/")
        line = self.said(source, target, record=record(target))
        assert line.startswith("[copy] done: 1 204 files, 118 KiB in 0.")
        assert line.endswith(" s; 0 unchanged; manifest azureml://datastores/t/paths/record/_manifest.json")
        line = self.said(source, target, record=record(target))
        assert line.startswith("[copy] done: 0 files, 0 B in 0.0 s; 1 204 unchanged; manifest ")

    def test_without(self) -> None:
        source, target = MemoryStore(), MemoryStore()
        fill(source, {"a": b"x"}, "in/")
        assert (
            self.said(source, target)
            == "[copy] done: 1 file, 1 B in 0.0 s; 0 unchanged; in azureml://datastores/t/paths/to/"
        )


def test_default_datastore_is_named() -> None:
    source, target = MemoryStore(), MemoryStore()
    fill(source, {"in/a": b"x"})
    found = find_source(opener(workspaceblobstore=source), DatastoreUri(None, "in/"))
    assert copy(found, target).source == "azureml://datastores/workspaceblobstore/paths/in/"


class TestStagingFolder:
    """``.staging/`` means something at the top of a datastore, and nothing in a plain folder."""

    def test_of_a_plain_folder_is_not_dropped_but_refused(self) -> None:
        here, there = MemoryStore(), MemoryStore()
        fill(here, {"a": b"1", ".staging/b": b"2"})
        source = find_source(lambda _: Place("", here), DatastoreUri(None, ""), records=True)
        with pytest.raises(
            InvalidInput, match=r"'\.staging/b' cannot be delivered: azureml://datastores/t/paths/\.staging/b"
        ):
            prepare_copy(source, Place("t", there), label="", say=print)
        prepare_copy(source, Place("t", there, "deeper/"), label="", say=lambda _: None)()
        assert contents(there) == {"deeper/a": b"1", "deeper/.staging/b": b"2"}

    def test_of_a_datastore_is_not_taken(self) -> None:
        here, there = MemoryStore(), MemoryStore()
        fill(here, {"a": b"1", ".staging/b": b"2"})
        source = find_source(lambda _: Place("s", here), DatastoreUri("s", ""), records=True)
        prepare_copy(source, Place("t", there), label="", say=lambda _: None)()
        assert contents(there) == {"a": b"1"}
