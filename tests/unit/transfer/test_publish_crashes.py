"""A publish that dies at any of its calls, and readers who come at any moment: all see the old state or the new one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from copy import copy
from dataclasses import replace

import pytest

from airflow_azureml_datastores.core.manifest import Manifest
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.errors import Changed, PathNotFound, PublishInProgress
from airflow_azureml_datastores.transfer import engine, journal
from airflow_azureml_datastores.transfer.copy import prepare_copy
from airflow_azureml_datastores.transfer.publish import POLICIES, Policy
from airflow_azureml_datastores.transfer.source import Source, find_source, newest
from tests.unit.transfer.publishing import SUCCESS, Rig, made
from tests.unit.transfer.stores import (
    RENAMING,
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

Files = dict[str, bytes]

PUBLISHED = {"a": b"old a", "b": b"old b", "z/c": b"old c"}
FOREIGN = {"foreign": b"f"}
NEW = {"A": b"new A", "a": b"new a", "d": b"new d", "z/e": b"new e"}


@pytest.fixture(autouse=True)
def _in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call after the other, and nothing left to chance."""
    monkeypatch.setattr(engine, "WORKERS", 1)
    monkeypatch.setattr(journal, "_EVERY_SECONDS", 0.0)


class Scene:
    """A place to publish to, which can be laid again and again as it was.

    :param states: the folder's data before and after.
    """

    def __init__(self, rig: Rig, policy: Policy) -> None:
        self.rig = rig
        self.policy = policy
        self.source = made(NEW)
        old = {} if policy == "fail" else PUBLISHED | FOREIGN
        self.old: Files = old
        self.new: Files = old | NEW if policy == "merge" else NEW

    def lay(self) -> Scene:
        for info in list(self.rig.store.list()):
            self.rig.store.delete(info.path)
        if self.rig.store.features.directories:
            self.rig.store.delete_directory(self.rig.folder.rstrip("/"))
        if self.old:
            self.rig.publish(PUBLISHED, publisher="earlier")
            fill(self.rig.store, FOREIGN, self.rig.folder)
        return self

    def twin(self) -> Scene:
        """The same scene, in memory, as it is now."""
        assert isinstance(self.rig.store, MemoryStore)
        scene = copy(self)
        scene.rig = replace(self.rig, store=self.rig.store.twin())
        return scene

    def publish(self, rig: Rig | None = None) -> Manifest:
        return (rig or self.rig).publish(self.source, self.policy)

    def check_what_is_seen(self) -> str:
        """What a reader sees at this moment is the old state or the new one, or it is told to wait."""
        if SUCCESS in contents(self.rig.store, self.rig.folder):
            assert self.rig.data() in (self.old, self.new), "_SUCCESS among mixed data"
            for entry in self.rig.manifest().entries:
                there = self.rig.store.stat(self.rig.folder + entry.path)
                assert entry.is_at(there.version), "_SUCCESS beside another manifest"
        return self.check_what_readers_see()

    def check_what_readers_see(self) -> str:
        """The same, of readers who look at the marks."""
        try:
            found = self.rig.found()
        except PublishInProgress:
            assert not self.swaps
            return "refused"
        assert found in (self.old, self.new)
        return "old" if found == self.old else "new"

    @property
    def swaps(self) -> bool:
        return self.rig.store.features.replace_directory and self.rig.folder != ""

    def check_the_end(self, manifest: Manifest) -> None:
        assert self.rig.data() == self.rig.found() == self.new
        assert self.rig.manifest() == manifest
        assert {e.path: e.etag for e in manifest.entries} == {
            p: self.rig.store.stat(self.rig.folder + p).etag for p in self.new
        }
        assert self.rig.backstage() == []
        moved = Moved()
        assert self.publish(self.rig.watched(moved)) == manifest
        assert moved.paths == []


each_policy = pytest.mark.parametrize("policy", POLICIES)


@pytest.mark.parametrize("done", [False, True], ids=["before it", "after it"])
@each_policy
def test_dies_at_any_call(in_memory: Rig, policy: Policy, done: bool) -> None:
    """``done``: the call that it dies at still takes effect."""
    scene = Scene(in_memory, policy).lay()
    die_at(scene.twin, range(1, 200), done)


@each_policy
def test_dies_on_disk(on_disk: Rig, policy: Policy) -> None:
    die_at(Scene(on_disk, policy).lay, range(1, 200, 5), done=True)


def die_at(laid: Callable[[], Scene], calls: Iterable[int], done: bool) -> None:
    seen = []
    for at in calls:
        scene = laid()
        plug = Plug(at, done=done)
        with suppress(PlugPulled):
            scene.publish(scene.rig.watched(plug.before, plug.after))
        seen.append(scene.check_what_is_seen())
        scene.check_the_end(scene.publish())
        if not plug.pulled:
            assert at > 20
            break
    order = [state for n, state in enumerate(seen) if n == 0 or seen[n - 1] != state]
    assert order == (["old", "new"] if laid().swaps else ["old", "refused", "new"])


@each_policy
def test_dies_while_completing(in_memory: Rig, policy: Policy) -> None:
    """The attempt that completes another one dies, too."""
    laid = Scene(in_memory, policy).lay()
    for first in range(1, 200, 7):
        for second in range(1, 200, 8):
            scene = laid.twin()
            plugs = [Plug(first, done=True), Plug(second, done=True)]
            for plug in plugs:
                with suppress(PlugPulled):
                    scene.publish(scene.rig.watched(plug.before, plug.after))
                scene.check_what_is_seen()
            scene.check_the_end(scene.publish())
            if not plugs[1].pulled:
                break
        if not plugs[0].pulled:
            return
    pytest.fail("it never came to an end")


def test_dies_and_comes_back_with_another_content(in_memory: Rig) -> None:
    """The earlier content is completed first, or was never seen: no file of it is left among the newer ones."""
    laid = Scene(in_memory, "overwrite").lay()
    newer = {"a": b"newer", "n": b"newer"}
    for at in range(1, 200):
        scene = laid.twin()
        plug = Plug(at, done=True)
        with suppress(PlugPulled):
            scene.publish(scene.rig.watched(plug.before, plug.after))
        scene.rig.publish(newer, "overwrite")
        assert scene.rig.data() == scene.rig.found() == newer
        assert scene.rig.backstage() == []
        if not plug.pulled:
            return
    pytest.fail("it never came to an end")


@each_policy
def test_read_at_any_moment(rig: Rig, policy: Policy) -> None:
    scene = Scene(rig, policy)
    scene.lay()
    seen: list[str] = []
    manifest = scene.publish(scene.rig.watched(lambda call, path: seen.append(scene.check_what_is_seen())))
    scene.check_the_end(manifest)
    assert "old" in seen


class TestPublishedWhileRead:
    """A whole publish happens at the n-th call of a reader, for every n. In memory, object after object is listed."""

    @pytest.fixture(params=["marked", "renamed", "swapped"])
    def open_scene(self, request: pytest.FixtureRequest) -> Callable[[], Scene]:
        if request.param == "swapped":
            return lambda: Scene(Rig(MemoryStore(SWAPPING), "gold/"), "overwrite")
        features = RENAMING if request.param == "renamed" else None
        return lambda: Scene(Rig(MemoryStore(features, page=1), "gold/"), "overwrite")

    def moments(self, open_scene: Callable[[], Scene]) -> Iterator[tuple[Scene, FileStore, list[str]]]:
        """Scenes; their stores, which publish at the next call each time; and the calls that were made."""
        for at in range(1, 200):
            scene = open_scene()
            scene.lay()
            calls: list[str] = []

            def tell(call: str, path: str, scene: Scene = scene, calls: list[str] = calls, at: int = at) -> None:
                calls.append(call)
                if len(calls) == at:
                    scene.publish()

            yield scene, Watched(scene.rig.store, tell, listed=True), calls
            if len(calls) < at:
                return
        pytest.fail("it never came to an end")

    @pytest.mark.parametrize("path", ["gold/", "gold", "", "gold/*", "gold/**"])
    def test_copied(self, open_scene: Callable[[], Scene], path: str) -> None:
        cut = 0 if path else len("gold/")
        ends = []
        for scene, store, _ in self.moments(open_scene):
            source = find_source(opener(t=store), DatastoreUri("t", path, pattern="*" in path))
            target = MemoryStore()
            prepare_copy(source, Place("x", target), label="", say=lambda line: None)()
            deep = path != "gold/*"
            states = [{p: c for p, c in state.items() if deep or "/" not in p} for state in (scene.old, scene.new)]
            copied = {p[cut:]: c for p, c in contents(target).items()}
            assert copied in states
            ends.append(states.index(copied))
        assert ends[0] == 1
        assert ends[-1] == 0

    def test_the_newest_of_a_batch(self, open_scene: Callable[[], Scene]) -> None:
        """Those files that were found, all in their old versions or all in their new ones."""
        for scene, store, _ in self.moments(open_scene):
            scene.new = {**scene.new, "b": b"new b"}
            scene.source = made(scene.new)
            target = MemoryStore()
            found: Source = newest(Place("t", store, "gold/"), ["a", "b"], "")
            prepare_copy(found, Place("x", target), label="", say=lambda line: None)()
            assert contents(target) in ({"a": b"old a", "b": b"old b"}, {"a": b"new a", "b": b"new b"})

    def test_and_it_stops_there(self) -> None:
        """The publish gets as far as its k-th call, for every k from its first change on: as if they met just there."""
        laid = Scene(Rig(MemoryStore(page=1), "gold/"), "overwrite")
        laid.lay()
        first = self.first_change(laid.twin())
        seen: set[str] = set()
        for at in range(1, 200):
            for until in range(first, 200):
                scene = laid.twin()
                plug, calls = Plug(until), Plug(at)

                def meet(call: str, path: str, scene: Scene = scene, calls: Plug = calls, plug: Plug = plug) -> None:
                    with suppress(PlugPulled):
                        calls.before(call, path)
                        return
                    with suppress(PlugPulled):
                        if not plug.calls:
                            scene.publish(scene.rig.watched(plug.before, plug.after))

                try:
                    found = Rig(Watched(scene.rig.store, meet, listed=True), "gold/").found()
                except (PublishInProgress, Changed, PathNotFound) as refused:
                    seen.add(type(refused).__name__)
                else:
                    assert found in (scene.old, scene.new)
                    seen.add("old" if found == scene.old else "new")
                if not plug.pulled:
                    break
            if not calls.pulled:
                break
        assert seen == {"old", "new", "PublishInProgress", "Changed", "PathNotFound"}

    def first_change(self, scene: Scene) -> int:
        """The number of the call with which a publish says that it begins to change the folder."""
        calls = Plug()
        scene.publish(scene.rig.watched(calls.before))
        return next(n for n, (call, path) in enumerate(calls.calls) if call == "delete" and path == "gold/_SUCCESS")

    def test_without_this_care_it_would_be_mixed(self) -> None:
        """The moments above are those at which a plain listing goes wrong."""
        mixed = 0
        for scene, store, _ in self.moments(lambda: Scene(Rig(MemoryStore(page=1), "gold/"), "overwrite")):
            found: Files = {}
            with suppress(PathNotFound, Changed):
                for info in store.list("gold/"):
                    found[info.path[5:]] = b"".join(store.read(info.path, if_match=info.etag))
            mixed += {p for p in found if not p.startswith("_")} not in (set(scene.old), set(scene.new))
        assert mixed > 0
