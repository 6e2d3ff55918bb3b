"""Finding new data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_azureml_datastores.core.cursor import fingerprint
from airflow_azureml_datastores.core.place import OpenDatastore
from airflow_azureml_datastores.errors import ContainerNotFound, Unavailable
from airflow_azureml_datastores.transfer.cursors import CursorFile
from airflow_azureml_datastores.transfer.source import from_manifest, read_manifest
from airflow_azureml_datastores.transfer.watch import Watch
from tests.unit.transfer.publishing import Rig
from tests.unit.transfer.stores import MemoryStore, Watched, fill, opener

NOW = datetime(2026, 11, 22, tzinfo=UTC)
TREE = {"a.csv": b"1", "b.txt": b"2", "sub/c.csv": b"3", "sub/deep/d.csv": b"4"}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def open_datastore(store: MemoryStore) -> OpenDatastore:
    return opener(s=store, workspaceblobstore=MemoryStore())


def watch(path: str = "in/", **options: Any) -> Watch:
    return Watch(f"azureml://datastores/s/paths/{path}", **{"consumer": "c", "batch": "b1", **options})


def look(open_datastore: OpenDatastore, what: Watch, now: datetime | None = None) -> list[str]:
    """The paths that are found."""
    files, told = what.look(open_datastore, now or datetime.now(UTC))
    assert told
    return [info.path for info in files]


def take(open_datastore: OpenDatastore, store: MemoryStore, batch: str, *paths: str) -> None:
    CursorFile(open_datastore, "c").take(batch, [fingerprint("s", p, store.stat(p).etag) for p in paths])


class TestWhatIsNew:
    def test_everything_at_first(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(store, TREE, "in/")
        assert look(open_datastore, watch()) == [f"in/{p}" for p in sorted(TREE)]

    def test_not_what_other_batches_took(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(store, TREE, "in/")
        take(open_datastore, store, "b0", "in/a.csv", "in/b.txt")
        assert look(open_datastore, watch()) == ["in/sub/c.csv", "in/sub/deep/d.csv"]

    def test_but_what_this_one_did(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(store, {"a": b"1", "b": b"2"}, "in/")
        take(open_datastore, store, "b1", "in/a")
        take(open_datastore, store, "b0", "in/b")
        assert look(open_datastore, watch()) == ["in/a"]

    def test_a_file_that_changed(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(store, {"a": b"1", "b": b"2"}, "in/")
        take(open_datastore, store, "b0", "in/a", "in/b")
        assert look(open_datastore, watch()) == []
        fill(store, {"b": b"2"}, "in/")
        assert look(open_datastore, watch()) == ["in/b"]

    def test_consumers_are_apart(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(store, {"a": b"1"}, "in/")
        take(open_datastore, store, "b0", "in/a")
        assert look(open_datastore, watch(consumer="another")) == ["in/a"]

    @pytest.mark.parametrize(
        ("path", "found"),
        [
            ("in/*.csv", ["in/a.csv"]),
            ("in/**/*.csv", ["in/a.csv", "in/sub/c.csv", "in/sub/deep/d.csv"]),
            ("in/sub", ["in/sub/c.csv", "in/sub/deep/d.csv"]),
            ("in/b.txt", ["in/b.txt"]),
            ("in/none", []),
            ("", [f"in/{p}" for p in sorted(TREE)]),
        ],
    )
    def test_paths(self, path: str, found: list[str], store: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(store, TREE, "in/")
        assert look(open_datastore, watch(path)) == found

    def test_no_records_of_ours(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        Rig(store, "in/").publish({"a": b"1"})
        assert look(open_datastore, watch("")) == ["in/a"]


class TestNotYet:
    @pytest.mark.parametrize(("files", "enough"), [(0, 0), (1, 1), (2, 1), (2, 2), (1, 2)])
    def test_min_files(self, files: int, enough: int, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(store, {f"{i}": b"x" for i in range(files)} | {"taken": b"x"}, "in/")
        take(open_datastore, store, "b0", "in/taken")
        found, told = watch(min_files=enough).look(open_datastore, NOW)
        assert len(found) == (files if files >= max(enough, 1) else 0)
        if not found:
            where = "azureml://datastores/s/paths/in/"
            assert told == f"{files} new of {files + 1} files at {where}; waiting for {enough}."

    def test_stable_for(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(store, {"old": b"1", "young": b"2"}, "in/")
        changed = store.stat("in/young").modified
        patient = watch(stable_for=30)
        _, told = patient.look(open_datastore, changed + timedelta(seconds=29.9))
        assert told == "2 new files at azureml://datastores/s/paths/in/; waiting for 30 s without a change."
        assert look(open_datastore, patient, changed + timedelta(seconds=29.9)) == []
        assert len(look(open_datastore, patient, changed + timedelta(seconds=30))) == 2

    def test_what_was_taken_may_change(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        """Only new files have to be quiet."""
        fill(store, {"a": b"1", "b": b"2"}, "in/")
        take(open_datastore, store, "b0", "in/b")
        store.touch("in/a", NOW - timedelta(minutes=1))
        store.touch("in/b", NOW)
        assert look(open_datastore, watch(stable_for=30), NOW) == ["in/a"]

    def test_while_a_publish_is_not_finished(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        def fail(call: str, path: str) -> None:
            if path == "in/_SUCCESS" and call == "write":
                raise Unavailable("down")

        with pytest.raises(Unavailable):
            Rig(Watched(store, fail), "in/").publish({"a": b"1"}, publisher="p")
        files, told = watch().look(open_datastore, NOW)
        assert files == []
        assert told.startswith("a publish to azureml://datastores/s/paths/in/ is not finished: p.")

    def test_errors_are_told(self, open_datastore: OpenDatastore) -> None:
        def fail(call: str, path: str) -> None:
            raise ContainerNotFound("no such container")

        broken = opener(s=Watched(MemoryStore(), fail), workspaceblobstore=MemoryStore())
        with pytest.raises(ContainerNotFound):
            watch().look(broken, NOW)


class TestDoneMarker:
    def found(self, store: MemoryStore, open_datastore: OpenDatastore, path: str, *markers: str) -> list[str]:
        fill(store, TREE, "in/")
        fill(store, dict.fromkeys(markers, b""))
        return look(open_datastore, watch(path, done_marker="_SUCCESS"))

    @pytest.mark.parametrize(
        ("path", "marker", "found"),
        [
            ("in/", "in/_SUCCESS", ["in/a.csv", "in/b.txt", "in/sub/c.csv", "in/sub/deep/d.csv"]),
            ("in/", "in/sub/_SUCCESS", ["in/sub/c.csv", "in/sub/deep/d.csv"]),
            ("in/", "in/sub/deep/_SUCCESS", ["in/sub/deep/d.csv"]),
            ("in/", "in/other/_SUCCESS", []),
            ("in/", "in/sub/not_SUCCESS", []),
            ("in/sub/", "in/_SUCCESS", []),
            ("in/sub/", "in/sub/_SUCCESS", ["in/sub/c.csv", "in/sub/deep/d.csv"]),
            ("in/*/*.csv", "in/sub/_SUCCESS", ["in/sub/c.csv"]),
            ("in/*/*.csv", "in/_SUCCESS", ["in/sub/c.csv"]),
            ("in/sub*/**", "in/sub/deep/_SUCCESS", ["in/sub/deep/d.csv"]),
            ("in/a.csv", "in/_SUCCESS", ["in/a.csv"]),
            ("in/a.csv", "_SUCCESS", []),
            ("", "_SUCCESS", ["in/a.csv", "in/b.txt", "in/sub/c.csv", "in/sub/deep/d.csv"]),
        ],
    )
    def test_completes(
        self, path: str, marker: str, found: list[str], store: MemoryStore, open_datastore: OpenDatastore
    ) -> None:
        assert self.found(store, open_datastore, path) == []
        assert self.found(store, open_datastore, path, marker) == found

    def test_is_no_data(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(store, {"a": b"1", "done.txt": b""}, "in/")
        assert look(open_datastore, watch(done_marker="done.txt")) == ["in/a"]

    def test_tells_what_it_waits_for(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(store, {"a": b"1"}, "in/")
        files, told = watch(done_marker="_SUCCESS").look(open_datastore, NOW)
        assert (files, told) == (
            [],
            "1 files at azureml://datastores/s/paths/in/, but no _SUCCESS that says they are complete.",
        )


class TestRecord:
    def test_exactly_what_was_found(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(store, TREE, "in/")
        what = watch("in/**/*.csv")
        files, _ = what.look(open_datastore, NOW)
        recorded = what.record(open_datastore, files)
        assert {key: value for key, value in recorded.items() if key != "manifest"} == {
            "uri": "azureml://datastores/s/paths/in/**/*.csv",
            "files": 3,
            "bytes": 3,
            "consumer": "c",
            "batch": "b1",
        }
        manifest = read_manifest(open_datastore, recorded["manifest"])
        assert manifest.origin == {"consumer": "c", "batch": "b1"}
        source = from_manifest(open_datastore, manifest)
        assert source.files == {p: store.stat(f"in/{p}").version for p in ("a.csv", "sub/c.csv", "sub/deep/d.csv")}

    def test_moves_no_cursor(self, store: MemoryStore, open_datastore: OpenDatastore) -> None:
        fill(store, {"a": b"1"}, "in/")
        what = watch()
        what.record(open_datastore, what.look(open_datastore, NOW)[0])
        assert CursorFile(open_datastore, "c").load().taken == {}
        assert look(open_datastore, watch(batch="b2")) == ["in/a"]

    def test_in_the_default_datastore(self) -> None:
        state = MemoryStore()
        open_datastore = opener(workspaceblobstore=state)
        fill(state, {"a": b"1"}, "in/")
        what = Watch("in/", consumer="c", batch="b1")
        recorded = what.record(open_datastore, what.look(open_datastore, NOW)[0])
        assert read_manifest(open_datastore, recorded["manifest"]).target == (
            "azureml://datastores/workspaceblobstore/paths/in/"
        )
