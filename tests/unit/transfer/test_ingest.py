"""Bringing data into a run: what ends up where, what is refused before anything moves, and whose the new files are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from airflow_azureml_datastores.core.cursor import fingerprint
from airflow_azureml_datastores.core.experiment import ExperimentRun, Input
from airflow_azureml_datastores.core.manifest import Manifest
from airflow_azureml_datastores.core.place import OpenDatastore
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import (
    AlreadyTaken,
    Changed,
    DatastoreNotFound,
    InvalidInput,
    InvalidName,
    InvalidUri,
    NoData,
    PathNotFound,
    Unavailable,
    UnsafePath,
)
from airflow_azureml_datastores.transfer import engine
from airflow_azureml_datastores.transfer.cursors import CursorFile
from airflow_azureml_datastores.transfer.ingest import ingest
from airflow_azureml_datastores.transfer.source import from_manifest, read_manifest
from airflow_azureml_datastores.transfer.watch import Watch
from tests.unit.transfer.stores import STREAMING, MemoryStore, Moved, Watched, contents, fill, opener

RUN = ExperimentRun("churn", "r1")
FOLDER = "experiments/churn/r1/inputs"
SOURCE = "azureml://datastores/s/paths"
FILES = {"a": b"", "ü/文 %20#?.csv": b"x" * 5000, "deep/er/b": b"y", "deep/c": b"z"}


def bring(open_datastore: OpenDatastore, run: ExperimentRun = RUN, **inputs: Any) -> dict[str, dict[str, Any]]:
    return ingest(open_datastore, run, inputs, say=lambda line: None)


@pytest.fixture
def source() -> MemoryStore:
    return MemoryStore(STREAMING)


@pytest.fixture
def home() -> MemoryStore:
    """The default datastore."""
    return MemoryStore(STREAMING)


@pytest.fixture
def open_datastore(source: MemoryStore, home: MemoryStore) -> OpenDatastore:
    return opener(s=source, workspaceblobstore=home)


def untouched(store: FileStore) -> bool:
    return contents(store) == {}


class TestCopy:
    @pytest.mark.parametrize("kind", ["memory to memory", "memory to local", "local to memory", "local to local"])
    def test_folder(self, kind: str, local: Callable[[str], FileStore]) -> None:
        source: FileStore
        home: FileStore
        source, home = (
            local(name) if store == "local" else MemoryStore(STREAMING)
            for name, store in zip(("s", "h"), kind.split(" to "), strict=True)
        )
        open_datastore = opener(s=source, workspaceblobstore=home)
        fill(source, FILES, "in/")
        result = bring(open_datastore, sales=f"{SOURCE}/in/")
        assert result == {
            "sales": {
                "uri": f"azureml://datastores/workspaceblobstore/paths/{FOLDER}/sales/",
                "type": "uri_folder",
                "files": 4,
                "bytes": 5002,
                "manifest": f"azureml://datastores/workspaceblobstore/paths/{FOLDER}/sales/_manifest.json",
                "mode": "copy",
                "source": f"{SOURCE}/in/",
                "unchanged": 0,
            }
        }
        there = contents(home, f"{FOLDER}/sales/")
        manifest = Manifest.from_json(there.pop("_manifest.json"), "")
        assert there == FILES
        assert contents(home).keys() == {f"{FOLDER}/sales/{p}" for p in [*FILES, "_manifest.json"]}
        assert {e.path: (e.size, e.source, e.source_etag) for e in manifest.entries} == {
            p: (len(c), f"in/{p}", source.stat(f"in/{p}").etag) for p, c in FILES.items()
        }
        assert manifest.origin == {"experiment": "churn", "run": "r1", "input": "sales"}
        again = from_manifest(open_datastore, manifest)
        assert {p: b"".join(home.read(v.path, if_match=v.etag)) for p, v in again.files.items()} == FILES

    def test_file(self, source: MemoryStore, home: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(source, {"in/50%.csv": b"x"})
        (result,) = bring(open_datastore, sales=f"{SOURCE}/in/50%25.csv").values()
        assert result["uri"] == f"azureml://datastores/workspaceblobstore/paths/{FOLDER}/sales/50%25.csv"
        assert result["type"] == "uri_file"
        assert contents(home)[f"{FOLDER}/sales/50%.csv"] == b"x"

    @pytest.mark.parametrize(
        "value",
        [
            f"{SOURCE}/in/**/*.csv",
            Input(f"{SOURCE}/in/**/*.csv"),
            Input("in/**/*.csv", datastore="s"),
            {"path": "in/**/*.csv", "datastore": "s", "mode": "copy"},
        ],
    )
    def test_ways_to_say_it(
        self, value: Any, source: MemoryStore, home: MemoryStore, open_datastore: OpenDatastore
    ) -> None:
        fill(source, {"a.csv": b"1", "b.txt": b"2", "c/d.csv": b"3"}, "in/")
        (result,) = bring(open_datastore, sales=value).values()
        assert (result["files"], result["source"]) == (2, f"{SOURCE}/in/**/*.csv")
        there = contents(home, f"{FOLDER}/sales/")
        assert {p: c for p, c in there.items() if p != "_manifest.json"} == {"a.csv": b"1", "c/d.csv": b"3"}

    def test_plain_path_is_in_the_default_datastore(self, home: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(home, {"reference/regions.csv": b"x"})
        (result,) = bring(open_datastore, lookup="reference/").values()
        assert result["source"] == "azureml://datastores/workspaceblobstore/paths/reference/"
        assert contents(home)[f"{FOLDER}/lookup/regions.csv"] == b"x"

    def test_several_inputs(self, source: MemoryStore, home: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(source, {"a/x": b"1", "b/x": b"22"})
        result = bring(open_datastore, one=f"{SOURCE}/a/", two=f"{SOURCE}/b/")
        assert {name: each["bytes"] for name, each in result.items()} == {"one": 1, "two": 2}
        assert contents(home)[f"{FOLDER}/one/x"] == b"1"
        assert contents(home)[f"{FOLDER}/two/x"] == b"22"

    def test_result_is_small_and_json(self, source: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(source, {f"{i}": b"x" for i in range(500)}, "in/")
        assert len(json.dumps(bring(open_datastore, sales=f"{SOURCE}/in/"))) < 500

    def test_what_an_ingest_returned(
        self, source: MemoryStore, home: MemoryStore, open_datastore: OpenDatastore
    ) -> None:
        fill(source, FILES, "in/")
        first = bring(open_datastore, sales=f"{SOURCE}/in/")["sales"]
        fill(source, {"later": b"x"}, "in/")
        (second,) = bring(open_datastore, ExperimentRun("churn", "r2"), sales=first).values()
        assert second["files"] == 4
        assert contents(home)["experiments/churn/r2/inputs/sales/deep/c"] == b"z"

    def test_our_own_records_are_no_data(self, source: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(source, {"a": b"1", "_SUCCESS": b"", "sub/_manifest.json": b"{}", ".staging/x": b"1"})
        assert bring(open_datastore, sales=f"{SOURCE}/")["sales"]["files"] == 1

    def test_what_is_said(self, source: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(source, FILES, "in/")
        said: list[str] = []
        inputs = {"sales": f"{SOURCE}/in/", "same": Input(f"{SOURCE}/in/", mode="direct")}
        ingest(open_datastore, RUN, inputs, say=said.append)
        manifest = f"manifest azureml://datastores/workspaceblobstore/paths/{FOLDER}"
        assert len(said) == 2
        assert said[0].startswith("[ingest] done: 4 files, 4.9 KiB in 0.")
        assert said[0].endswith(f" s; 0 unchanged; {manifest}/sales/_manifest.json")
        assert said[1] == f"[ingest] done: 4 files, 4.9 KiB left where they are; {manifest}/same/_manifest.json"


class TestDirect:
    def test_stays_where_it_is(self, source: MemoryStore, home: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(source, FILES, "in/")
        (result,) = bring(open_datastore, sales=Input(f"{SOURCE}/in/", mode="direct")).values()
        assert result == {
            "uri": f"{SOURCE}/in/",
            "type": "uri_folder",
            "files": 4,
            "bytes": 5002,
            "manifest": f"azureml://datastores/workspaceblobstore/paths/{FOLDER}/sales/_manifest.json",
            "mode": "direct",
            "source": f"{SOURCE}/in/",
            "unchanged": 0,
        }
        assert list(contents(home)) == [f"{FOLDER}/sales/_manifest.json"]

    def test_pinned(self, source: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(source, {"a": b"old"}, "in/")
        (result,) = bring(open_datastore, sales=Input(f"{SOURCE}/in/a", mode="direct")).values()
        assert (result["uri"], result["type"]) == (f"{SOURCE}/in/a", "uri_file")
        pinned = from_manifest(open_datastore, read_manifest(open_datastore, result["manifest"]))
        (version,) = pinned.files.values()
        assert b"".join(source.read(version.path, if_match=version.etag)) == b"old"
        fill(source, {"a": b"new"}, "in/")
        with pytest.raises(Changed):
            b"".join(source.read(version.path, if_match=version.etag))
        with pytest.raises(Changed):
            bring(open_datastore, ExperimentRun("churn", "r2"), sales={**result, "mode": "copy"})

    def test_as_the_default_mode(self, source: MemoryStore, home: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(source, {"a/x": b"1", "b/x": b"2"})
        inputs = {"one": f"{SOURCE}/a/", "two": Input(f"{SOURCE}/b/", mode="copy")}
        result = ingest(open_datastore, RUN, inputs, say=lambda _: None, default_mode="direct")
        assert {name: each["mode"] for name, each in result.items()} == {"one": "direct", "two": "copy"}
        assert f"{FOLDER}/one/x" not in contents(home)


class TestRefusedBeforeAnythingMoves:
    @pytest.fixture(autouse=True)
    def _something(self, source: MemoryStore, home: MemoryStore) -> Any:
        fill(source, {"in/a": b"1"})
        yield
        assert untouched(home)

    @pytest.mark.parametrize(
        ("inputs", "error", "message"),
        [
            ({}, InvalidInput, "no inputs are given"),
            ({"sales": ""}, InvalidUri, "an azureml:// URI or a path is needed"),
            ({"sales": "azureml://datastore/s/paths/in/"}, InvalidUri, "not an Azure ML URI"),
            ({"sales": "wasbs://c@a/in/"}, InvalidUri, "scheme 'wasbs' is not in a datastore"),
            ({"sales": "azureml:asset:1"}, InvalidUri, "not a place in a datastore"),
            ({"sales": Input(f"{SOURCE}/in/", datastore="t")}, InvalidInput, "names two datastores: 't'"),
            ({"sales": 7}, InvalidInput, "got int"),
            ({"1st": f"{SOURCE}/in/"}, InvalidName, "'1st' is not an input name"),
            ({"sales": f"{SOURCE}/in/", "Sales": f"{SOURCE}/in/"}, InvalidName, "differ only in case"),
            ({"sales": Input(f"{SOURCE}/in/", mode="download")}, InvalidInput, "'download' .* belongs to the run"),
            ({"sales": f"{SOURCE}/none/"}, NoData, "none/ of input 'sales' is empty; pass .*allow_empty=True"),
            ({"sales": f"{SOURCE}/in/*.csv"}, NoData, "is empty"),
        ],
    )
    def test_inputs(
        self, inputs: Mapping[str, Any], error: type[Exception], message: str, open_datastore: OpenDatastore
    ) -> None:
        with pytest.raises(error, match=message):
            ingest(open_datastore, RUN, inputs, say=lambda _: None)

    def test_the_first_is_fine_but_not_the_second(self, open_datastore: OpenDatastore) -> None:
        with pytest.raises(NoData, match="of input 'two' is empty"):
            bring(open_datastore, one=f"{SOURCE}/in/", two=f"{SOURCE}/none/")

    def test_unknown_datastore(self, source: MemoryStore, home: MemoryStore) -> None:
        known = opener(s=source, workspaceblobstore=home)

        def open_datastore(name: str | None) -> Any:
            if name not in (None, "s", "workspaceblobstore"):
                raise DatastoreNotFound(name or "", "'ml' (local)", ["s", "workspaceblobstore"])
            return known(name)

        with pytest.raises(DatastoreNotFound, match="workspace 'ml'"):
            bring(open_datastore, one=f"{SOURCE}/in/", two="azureml://datastores/t/paths/in/")

    def test_names_that_the_target_cannot_hold(self, source: MemoryStore, local: Callable[[str], FileStore]) -> None:
        home = local("h")
        open_datastore = opener(s=source, workspaceblobstore=home)
        fill(source, {"a//b": b"1", "fine": b"2"}, "odd/")
        with pytest.raises(UnsafePath, match="a//b"):
            bring(open_datastore, one=f"{SOURCE}/in/", two=f"{SOURCE}/odd/")
        fill(source, {"a": b"1", "a/b": b"2"}, "both/")
        with pytest.raises(InvalidInput, match="'a' is a file, but 'a/b' needs a folder"):
            bring(open_datastore, one=f"{SOURCE}/in/", two=f"{SOURCE}/both/")
        assert untouched(home)

    def test_name_of_the_manifest(self, source: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(source, {"in/_manifest.json": b"{}"})
        with pytest.raises(InvalidInput, match=r"'_manifest\.json' cannot be delivered"):
            bring(open_datastore, one=f"{SOURCE}/in/_manifest.json")


class TestOverlap:
    @pytest.mark.parametrize(
        "path",
        ["", "experiments/", "experiments/churn/r1/", f"{FOLDER}/sales/", f"{FOLDER}/sales/sub/", "**", "exp*/**"],
    )
    def test_source_and_target(self, path: str, home: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(home, {"sub/a": b"1"}, f"{FOLDER}/sales/")
        before = contents(home)
        with pytest.raises(InvalidInput, match="or the other way round"):
            bring(open_datastore, sales=path or "azureml://datastores/workspaceblobstore/paths/")
        assert contents(home) == before

    def test_an_earlier_run_is_apart(self, home: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(home, {"a": b"1"}, "experiments/churn/r0/outputs/model/")
        assert bring(open_datastore, warm="experiments/churn/r0/outputs/model/")["warm"]["files"] == 1


class TestEmpty:
    def test_accepted(self, home: MemoryStore, open_datastore: OpenDatastore) -> None:
        (result,) = bring(open_datastore, sales=Input(f"{SOURCE}/none/", allow_empty=True)).values()
        assert (result["files"], result["bytes"], result["type"]) == (0, 0, "uri_folder")
        assert list(contents(home)) == [f"{FOLDER}/sales/_manifest.json"]

    def test_becomes_empty(self, source: MemoryStore, home: MemoryStore, open_datastore: OpenDatastore) -> None:
        """A source that had something must not end as nothing, unnoticed."""
        fill(source, {"in/a": b"1"})

        def vanish(call: str, path: str) -> None:
            if call == "write":
                source.delete("in/a")

        watched = opener(s=source, workspaceblobstore=Watched(home, vanish))
        with pytest.raises(NoData, match="has become empty"):
            bring(watched, sales=f"{SOURCE}/in/")


class TestAgain:
    """The same run, once more: a retry, or a run that was cleared."""

    def test_nothing_is_moved_twice(self, source: MemoryStore, home: MemoryStore) -> None:
        fill(source, FILES, "in/")
        moved = Moved()
        open_datastore = opener(s=source, workspaceblobstore=Watched(home, moved))
        first = bring(open_datastore, sales=f"{SOURCE}/in/")["sales"]
        digest = read_manifest(open_datastore, first["manifest"]).digest
        moved.paths.clear()
        second = bring(open_datastore, sales=f"{SOURCE}/in/")["sales"]
        assert second == {**first, "unchanged": 4}
        assert moved.below(f"{FOLDER}/") == []
        assert read_manifest(open_datastore, second["manifest"]).digest == digest

    def test_what_changed_is_and_what_is_gone_vanishes(self, source: MemoryStore, home: MemoryStore) -> None:
        fill(source, {"same": b"1", "changed": b"2", "gone": b"3", "file": b"4", "folder/x": b"5"}, "in/")
        moved = Moved()
        open_datastore = opener(s=source, workspaceblobstore=Watched(home, moved))
        bring(open_datastore, sales=f"{SOURCE}/in/")
        for path in ("gone", "file", "folder/x"):
            source.delete(f"in/{path}")
        fill(source, {"changed": b"22", "new": b"6", "file/x": b"7", "folder": b"8"}, "in/")
        moved.paths.clear()
        result = bring(open_datastore, sales=f"{SOURCE}/in/")["sales"]
        assert (result["files"], result["unchanged"]) == (5, 1)
        there = contents(home, f"{FOLDER}/sales/")
        assert json.loads(there.pop("_manifest.json"))["files"] == 5
        assert there == {"same": b"1", "changed": b"22", "new": b"6", "file/x": b"7", "folder": b"8"}
        assert sorted(moved.below(f"{FOLDER}/sales/")) == [
            f"{FOLDER}/sales/{p}" for p in ("changed", "file/x", "folder", "new")
        ]

    def test_file_and_folder_change_places_on_disk(
        self, source: MemoryStore, local: Callable[[str], FileStore]
    ) -> None:
        home = local("h")
        open_datastore = opener(s=source, workspaceblobstore=home)
        fill(source, {"a": b"1", "b/c": b"2"}, "in/")
        bring(open_datastore, sales=f"{SOURCE}/in/")
        source.delete("in/a")
        source.delete("in/b/c")
        fill(source, {"a/b": b"3", "b": b"4"}, "in/")
        bring(open_datastore, sales=f"{SOURCE}/in/")
        there = contents(home, f"{FOLDER}/sales/")
        assert {p: c for p, c in there.items() if p != "_manifest.json"} == {"a/b": b"3", "b": b"4"}

    def test_meddled_with(self, source: MemoryStore, home: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(source, {"a": b"1", "b": b"2", "c": b"3"}, "in/")
        bring(open_datastore, sales=f"{SOURCE}/in/")
        fill(home, {"a": b"meddled", "extra": b"x"}, f"{FOLDER}/sales/")
        home.delete(f"{FOLDER}/sales/b")
        result = bring(open_datastore, sales=f"{SOURCE}/in/")["sales"]
        assert result["unchanged"] == 1
        there = contents(home, f"{FOLDER}/sales/")
        assert {p: c for p, c in there.items() if p != "_manifest.json"} == {"a": b"1", "b": b"2", "c": b"3"}

    def test_after_an_error(self, source: MemoryStore, home: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """What has arrived stays; the digest is that of an ingest without any error."""
        monkeypatch.setattr(engine, "_WAIT", 0.0)
        fill(source, {f"{i}": b"x" * i for i in range(100)}, "in/")
        whole = MemoryStore(STREAMING)
        result = bring(opener(s=source, workspaceblobstore=whole), sales=f"{SOURCE}/in/")["sales"]
        digest = read_manifest(opener(workspaceblobstore=whole), result["manifest"]).digest
        moved = Moved()

        def fail(call: str, path: str) -> None:
            moved(call, path)
            if len(moved.paths) > 50 and path.startswith(FOLDER):
                raise Unavailable("down")

        with pytest.raises(Unavailable):
            bring(opener(s=source, workspaceblobstore=Watched(home, fail)), sales=f"{SOURCE}/in/")
        arrived = len(contents(home, f"{FOLDER}/sales/"))
        assert 0 < arrived < 100
        open_datastore = opener(s=source, workspaceblobstore=home)
        result = bring(open_datastore, sales=f"{SOURCE}/in/")["sales"]
        assert (result["files"], result["unchanged"]) == (100, arrived)
        assert read_manifest(open_datastore, result["manifest"]).digest == digest
        assert not [p for p in contents(home) if "journal" in p]


class TestBatches:
    """Files that a sensor has found, and who takes them."""

    def found(self, open_datastore: OpenDatastore, batch: str = "b1", path: str = "in/") -> dict[str, Any]:
        """What a sensor returns."""
        watch = Watch(f"{SOURCE}/{path}", consumer="c", batch=batch)
        files, _ = watch.look(open_datastore, datetime.now(UTC))
        assert files
        return watch.record(open_datastore, files)

    def delivered(self, home: MemoryStore, run: str = "r1") -> dict[str, bytes]:
        there = contents(home, f"experiments/churn/{run}/inputs/sales/")
        return {p: c for p, c in there.items() if p != "_manifest.json"}

    @pytest.mark.parametrize("mode", ["copy", "direct"])
    def test_taken_once(self, mode: Any, source: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(source, {"a": b"1", "b": b"2"}, "in/")
        found = self.found(open_datastore)
        fill(source, {"later": b"3"}, "in/")
        result = ingest(open_datastore, RUN, {"sales": found}, say=lambda _: None, default_mode=mode)["sales"]
        assert (result["files"], result["mode"]) == (2, mode)
        taken = {fingerprint("s", f"in/{p}", source.stat(f"in/{p}").etag) for p in ("a", "b")}
        assert CursorFile(open_datastore, "c").load().taken == {"b1": taken}
        files, _ = Watch(f"{SOURCE}/in/", consumer="c", batch="b2").look(open_datastore, datetime.now(UTC))
        assert [info.path for info in files] == ["in/later"]

    def test_not_before_all_inputs_have_arrived(
        self, source: MemoryStore, home: MemoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "_WAIT", 0.0)
        fill(source, {"in/a": b"1", "other/b": b"2"})

        def fail(call: str, path: str) -> None:
            if path.endswith("/b"):
                raise Unavailable("down")

        plain = opener(s=source, workspaceblobstore=home)
        inputs: dict[str, Any] = {"sales": self.found(plain), "other": f"{SOURCE}/other/"}
        with pytest.raises(Unavailable):
            bring(opener(s=source, workspaceblobstore=Watched(home, fail)), **inputs)
        assert CursorFile(plain, "c").load().taken == {}
        bring(plain, **inputs)
        assert CursorFile(plain, "c").load().taken.keys() == {"b1"}

    def test_cleared_run_gets_its_own_again(
        self, source: MemoryStore, home: MemoryStore, open_datastore: OpenDatastore
    ) -> None:
        fill(source, {"a": b"1"}, "in/")
        found = self.found(open_datastore, "b1")
        bring(open_datastore, sales=found)
        fill(source, {"b": b"2"}, "in/")
        bring(open_datastore, ExperimentRun("churn", "r2"), sales=self.found(open_datastore, "b2"))
        again = self.found(open_datastore, "b1")
        assert again["files"] == 1
        assert bring(open_datastore, sales=again)["sales"]["unchanged"] == 1
        assert self.delivered(home) == {"a": b"1"}
        assert self.delivered(home, "r2") == {"b": b"2"}

    @pytest.mark.parametrize("mode", ["copy", "direct"])
    def test_changed_since_it_was_found(
        self, mode: Any, source: MemoryStore, home: MemoryStore, open_datastore: OpenDatastore
    ) -> None:
        fill(source, {"a": b"old", "b": b"2"}, "in/")
        found = self.found(open_datastore)
        etag = fill_one(source, "in/a", b"new")
        result = ingest(open_datastore, RUN, {"sales": found}, say=lambda _: None, default_mode=mode)["sales"]
        manifest = read_manifest(open_datastore, result["manifest"])
        assert {e.path: e.source_etag for e in manifest.entries}["a"] == etag
        assert mode == "direct" or self.delivered(home) == {"a": b"new", "b": b"2"}
        assert fingerprint("s", "in/a", etag) in CursorFile(open_datastore, "c").load().taken["b1"]
        files, _ = Watch(f"{SOURCE}/in/", consumer="c", batch="b2").look(open_datastore, datetime.now(UTC))
        assert files == []

    @pytest.mark.parametrize("gone", [["in/a"], ["in/a", "in/b"]])
    def test_gone_since_it_was_found(
        self, gone: list[str], source: MemoryStore, home: MemoryStore, open_datastore: OpenDatastore
    ) -> None:
        fill(source, {"a": b"1", "b": b"2"}, "in/")
        found = self.found(open_datastore)
        for path in gone:
            source.delete(path)
        more = ", and 1 more" if len(gone) > 1 else ""
        with pytest.raises(
            PathNotFound, match=f"{SOURCE}/in/a is gone{more}, since it was found .*clearing the sensor"
        ):
            bring(open_datastore, sales=found)
        assert self.delivered(home) == {}
        assert CursorFile(open_datastore, "c").load().taken == {}

    def test_one_request_for_all_their_versions(self, source: MemoryStore, home: MemoryStore) -> None:
        fill(source, {f"{i:04}": b"x" for i in range(300)}, "in/")
        calls: list[str] = []
        open_datastore = opener(s=Watched(source, lambda call, path: calls.append(call)), workspaceblobstore=home)
        found = self.found(open_datastore)
        calls.clear()
        ingest(open_datastore, RUN, {"sales": found}, say=lambda _: None, default_mode="direct")
        assert len(calls) < 5

    def test_others_were_faster(self, source: MemoryStore, home: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(source, {"a": b"1", "b": b"2"}, "in/")
        mine = self.found(open_datastore, "b1")
        theirs, late = self.found(open_datastore, "b2", "in/a"), self.found(open_datastore, "b3", "in/a")
        bring(open_datastore, ExperimentRun("churn", "r2"), sales=theirs)
        assert bring(open_datastore, sales=mine)["sales"]["files"] == 1
        assert self.delivered(home) == {"b": b"2"}
        with pytest.raises(AlreadyTaken, match="have been taken by other runs of 'c'"):
            bring(open_datastore, ExperimentRun("churn", "r3"), sales=late)
        assert self.delivered(home, "r3") == {}

    def test_others_are_faster_while_it_is_copied(self, source: MemoryStore, home: MemoryStore) -> None:
        """What turns out to be another run's in the end does not stay, neither as a file nor in the manifest."""
        fill(source, {"a": b"1", "b": b"2"}, "in/")
        plain = opener(s=source, workspaceblobstore=home)
        mine, theirs = self.found(plain, "b1"), self.found(plain, "b2", "in/a")

        def meanwhile(call: str, path: str) -> None:
            if call == "write" and path == f"{FOLDER}/sales/b":
                bring(plain, ExperimentRun("churn", "r2"), sales=theirs)

        result = bring(opener(s=source, workspaceblobstore=Watched(home, meanwhile)), sales=mine)["sales"]
        assert (result["files"], result["bytes"]) == (1, 1)
        assert self.delivered(home) == {"b": b"2"}
        assert self.delivered(home, "r2") == {"a": b"1"}
        assert [e.path for e in read_manifest(plain, result["manifest"]).entries] == ["b"]

    def test_of_two_batches_one_is_others_in_the_end(self, source: MemoryStore, home: MemoryStore) -> None:
        """The run does not come about, so what it took of the other batch is for others again."""
        fill(source, {"a/1": b"1", "b/2": b"2"}, "in/")
        plain = opener(s=source, workspaceblobstore=home)
        one, two = self.found(plain, "b1", "in/a/"), self.found(plain, "b1x", "in/b/")
        theirs = self.found(plain, "b2", "in/b/")

        def meanwhile(call: str, path: str) -> None:
            if call == "write" and path == f"{FOLDER}/two/2":
                bring(plain, ExperimentRun("churn", "r2"), sales=theirs)

        with pytest.raises(AlreadyTaken, match="of input 'two' have been taken by other runs"):
            bring(opener(s=source, workspaceblobstore=Watched(home, meanwhile)), one=one, two=two)
        assert set(CursorFile(plain, "c").load().taken) == {"b2"}
        CursorFile(plain, "c").take("b1", [fingerprint("s", "in/a/1", source.stat("in/a/1").etag)])  # as if it had died
        with pytest.raises(AlreadyTaken):
            bring(plain, one=one, two=two)
        assert bring(plain, ExperimentRun("churn", "r3"), sales=self.found(plain, "b3", "in/"))["sales"]["files"] == 1

    def test_many_runs_at_once(self, source: MemoryStore, home: MemoryStore, open_datastore: OpenDatastore) -> None:
        """Together they get each file once, and what the manifests say is what is there."""
        fill(source, {f"{i:02}": b"x" for i in range(24)}, "in/")
        batches = {
            f"r{n}": self.found(open_datastore, f"b{n}", f"in/{pattern}")
            for n, pattern in enumerate(["*", "0*", "1*", "*[02468]", "*", "2*"])
        }
        start = Barrier(len(batches))

        def one(run: str) -> list[str]:
            start.wait()
            try:
                result = bring(open_datastore, ExperimentRun("churn", run), sales=batches[run])
            except NoData:
                return []
            entries = read_manifest(open_datastore, result["sales"]["manifest"]).entries
            assert self.delivered(home, run).keys() == {e.path for e in entries}
            return [e.path for e in entries]

        with ThreadPoolExecutor(len(batches)) as pool:
            got = list(pool.map(one, batches))
        assert sorted(path for each in got for path in each) == [f"{i:02}" for i in range(24)]


def fill_one(store: FileStore, path: str, content: bytes) -> str:
    return store.write(path, [content], size=len(content))


def test_local_default_datastore_has_nothing_of_ours_beside(tmp_path: Path, local: Callable[[str], FileStore]) -> None:
    """After an ingest only the data and its manifest are in the run's folder."""
    source, home = local("s"), local("h")
    fill(source, FILES, "in/")
    bring(opener(s=source, workspaceblobstore=home), sales=f"{SOURCE}/in/")
    assert {path.removeprefix(f"{FOLDER}/sales/") for path in contents(home)} == {*FILES, "_manifest.json"}
