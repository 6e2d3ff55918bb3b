"""An ingest that dies at any of its calls, and sources that are published to at any moment of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_azureml_datastores.core.cursor import fingerprint
from airflow_azureml_datastores.core.experiment import ExperimentRun, Input
from airflow_azureml_datastores.core.manifest import Manifest
from airflow_azureml_datastores.core.store import Features, FileStore
from airflow_azureml_datastores.transfer import engine, journal
from airflow_azureml_datastores.transfer.cursors import CursorFile
from airflow_azureml_datastores.transfer.ingest import ingest
from airflow_azureml_datastores.transfer.source import read_manifest
from airflow_azureml_datastores.transfer.watch import Watch
from tests.unit.transfer.publishing import Rig
from tests.unit.transfer.stores import (
    STREAMING,
    SWAPPING,
    MemoryStore,
    Moved,
    Plug,
    PlugPulled,
    Watched,
    contents,
    fill,
    opener,
)

RUN = ExperimentRun("churn", "r1")
INPUTS = "experiments/churn/r1/inputs/"
FILES = {"a": b"1", "b": b"22", "c/d": b"333"}


@pytest.fixture(autouse=True)
def _in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WORKERS", 1)
    monkeypatch.setattr(journal, "_EVERY_SECONDS", 0.0)


class Machine:
    """A run that ingests a batch, a folder and a reference, on a machine whose plug can be pulled.

    :param source: what :func:`fill_source` filled.
    :param home: the default datastore, empty.
    """

    def __init__(self, source: FileStore, home: FileStore) -> None:
        self.source, self.home = source, home
        self.moved = Moved()
        plain = opener(s=source, workspaceblobstore=home)
        watch = Watch("azureml://datastores/s/paths/in/", consumer="c", batch="b1")
        self.batch = watch.record(plain, watch.look(plain, datetime.now(UTC))[0])

    def run(self, plug: Plug | None = None) -> dict[str, dict[str, Any]]:
        plug = plug or Plug()

        def before(call: str, path: str) -> None:
            plug.before(call, path)
            self.moved(call, path)

        open_datastore = opener(
            s=Watched(self.source, plug.before, plug.after),
            workspaceblobstore=Watched(self.home, before, plug.after),
        )
        inputs = {
            "sales": self.batch,
            "other": "azureml://datastores/s/paths/other/",
            "ref": Input("azureml://datastores/s/paths/other/", mode="direct"),
        }
        return ingest(open_datastore, RUN, inputs, say=lambda line: None)

    def check_what_is_left(self) -> None:
        """What a manifest lists is there; what the cursor says is taken has arrived."""
        for name in ("sales", "other"):
            there = contents(self.home, f"{INPUTS}{name}/")
            if "_manifest.json" in there:
                manifest = Manifest.from_json(there["_manifest.json"], "")
                assert {e.path: e.size for e in manifest.entries} == {
                    p: len(c) for p, c in there.items() if p != "_manifest.json"
                }
        taken = CursorFile(opener(workspaceblobstore=self.home), "c").load().taken
        assert taken in ({}, {"b1": self.prints()})
        if taken:
            assert {p for p in contents(self.home, f"{INPUTS}sales/") if p != "_manifest.json"} == FILES.keys()

    def data(self) -> list[str]:
        return [p for p in contents(self.home, INPUTS) if not p.endswith("_manifest.json")]

    def prints(self) -> set[bytes]:
        return {fingerprint("s", f"in/{p}", self.source.stat(f"in/{p}").etag) for p in FILES}

    def digests(self, results: dict[str, dict[str, Any]]) -> list[str]:
        plain = opener(workspaceblobstore=self.home)
        return [read_manifest(plain, result["manifest"]).digest for result in results.values()]

    def check_the_end(self, results: dict[str, dict[str, Any]]) -> None:
        there = contents(self.home, INPUTS)
        assert {p: c for p, c in there.items() if not p.endswith("_manifest.json")} == {
            **{f"sales/{p}": c for p, c in FILES.items()},
            "other/x": b"1",
            "other/y": b"2",
        }
        assert {name: result["files"] for name, result in results.items()} == {"sales": 3, "other": 2, "ref": 2}
        assert CursorFile(opener(workspaceblobstore=self.home), "c").load().taken == {"b1": self.prints()}
        assert not [p for p in contents(self.home) if "journal" in p]


def fill_source(store: FileStore) -> FileStore:
    fill(store, FILES, "in/")
    fill(store, {"x": b"1", "y": b"2"}, "other/")
    return store


KINDS: dict[str, Callable[[], MemoryStore]] = {
    "streamed": lambda: MemoryStore(STREAMING),
    "copied inside": MemoryStore,
}


@pytest.mark.parametrize("done", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("kind", KINDS)
def test_dies_at_any_call(kind: str, done: bool) -> None:
    """Run again, it ends the same, and moves again at most what was in flight."""
    source = fill_source(KINDS[kind]())
    whole = Machine(source, KINDS[kind]())
    digests = whole.digests(whole.run())
    for at in range(1, 200):
        machine = Machine(source, KINDS[kind]())
        plug = Plug(at, done=done)
        with suppress(PlugPulled):
            machine.run(plug)
        machine.check_what_is_left()
        arrived = machine.data()
        machine.moved.paths.clear()
        results = machine.run()
        machine.check_the_end(results)
        assert machine.digests(results) == digests
        assert len(machine.moved.below(INPUTS)) <= 5 - len(arrived) + 1
        if not plug.pulled:
            assert at > 30
            return
    pytest.fail("it never came to an end")


def test_dies_on_disk(local: Callable[[str], FileStore]) -> None:
    source = fill_source(local("s"))
    for at in range(1, 200, 4):
        machine = Machine(source, local(f"h{at}"))
        plug = Plug(at, done=True)
        with suppress(PlugPulled):
            machine.run(plug)
        machine.check_what_is_left()
        machine.check_the_end(machine.run())
        if not plug.pulled:
            return
    pytest.fail("it never came to an end")


def test_dies_again_and_again() -> None:
    """Each attempt gets a little further, and the last one ends."""
    machine = Machine(fill_source(MemoryStore(STREAMING)), MemoryStore(STREAMING))
    for attempt in range(12, 200, 3):
        plug = Plug(attempt, done=True)
        with suppress(PlugPulled):
            machine.check_the_end(machine.run(plug))
        machine.check_what_is_left()
        if not plug.pulled:
            return
    pytest.fail("it never came to an end")


def test_source_changes_between_attempts() -> None:
    """What arrived of the old version is replaced or removed: nothing of it is left among the new one."""
    for at in range(1, 200):
        source, home = fill_source(MemoryStore(STREAMING)), MemoryStore(STREAMING)
        plug = Plug(at, done=True)
        inputs = {"other": "azureml://datastores/s/paths/in/"}
        broken = opener(s=source, workspaceblobstore=Watched(home, plug.before, plug.after))
        with suppress(PlugPulled):
            ingest(broken, RUN, inputs, say=lambda line: None)
        source.delete("in/a")
        fill(source, {"in/b": b"new", "in/e": b"new"})
        ingest(opener(s=source, workspaceblobstore=home), RUN, inputs, say=lambda line: None)
        there = contents(home, f"{INPUTS}other/")
        assert {p: c for p, c in there.items() if p != "_manifest.json"} == {
            "b": b"new",
            "c/d": b"333",
            "e": b"new",
        }
        if not plug.pulled:
            return
    pytest.fail("it never came to an end")


@pytest.mark.parametrize("features", [STREAMING, SWAPPING], ids=["marked", "swapped"])
@pytest.mark.parametrize("mode", ["copy", "direct"])
def test_source_is_published_to_meanwhile(features: Features, mode: Any) -> None:
    """A whole publish at the n-th call of the ingest, for every n: the run gets the old files or the new ones."""
    old, new = {"a": b"old", "b": b"old", "z": b"old"}, {"A": b"new", "a": b"new", "c": b"new"}
    ends = []
    for at in range(1, 200):
        source, home = MemoryStore(features, page=1 if features is STREAMING else 1000), MemoryStore(STREAMING)
        gold = Rig(source, "gold/")
        gold.publish(old)
        calls: list[str] = []

        def tell(call: str, path: str, gold: Rig = gold, calls: list[str] = calls, at: int = at) -> None:
            calls.append(call)
            if len(calls) == at:
                gold.publish(new, "overwrite")

        open_datastore = opener(s=Watched(source, tell), workspaceblobstore=Watched(home, tell))
        inputs = {"gold": Input("azureml://datastores/s/paths/gold/", mode=mode)}
        (result,) = ingest(open_datastore, RUN, inputs, say=lambda line: None).values()
        manifest = read_manifest(open_datastore, result["manifest"])
        ends.append([e.path for e in manifest.entries])
        if mode == "copy":
            there = contents(home, f"{INPUTS}gold/")
            assert {p: c for p, c in there.items() if p != "_manifest.json"} in (old, new)
        if len(calls) < at:
            break
    assert ends[0] == sorted(new)
    assert ends[-1] == sorted(old)
    assert all(end in (sorted(old), sorted(new)) for end in ends)
