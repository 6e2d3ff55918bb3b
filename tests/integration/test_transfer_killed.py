"""Real processes, killed in the middle of an ingest and of a publish, and readers who never stop looking."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest

from airflow_azureml_datastores.core.manifest import Manifest
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.errors import Changed, PathNotFound, PublishInProgress
from airflow_azureml_datastores.transfer.engine import for_each
from airflow_azureml_datastores.transfer.ingest import ingest
from airflow_azureml_datastores.transfer.journal import Journal
from airflow_azureml_datastores.transfer.publish import POLICIES, Policy
from airflow_azureml_datastores.transfer.source import find_source
from tests.integration.transfer_jobs import INPUTS, RUN, TARGET, WORKERS, bring, publish, started
from tests.integration.transfer_sites import Site, Sites, make_sites
from tests.servers.fixtures import Servers
from tests.unit.transfer.publishing import SUCCESS, Rig
from tests.unit.transfer.stores import Moved, Watched, contents, opener

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("transfers on blob")]

MIB = 1 << 20
INPUT = RUN.input_folder("x")

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def sites(servers: Servers) -> Iterator[Sites]:
    with make_sites(servers) as made:
        yield made


def fill(site: Site, files: Files, folder: str = "") -> Site:
    with site.open() as store:
        for_each(lambda item: store.write(folder + item[0], [item[1]], size=len(item[1])), list(files.items()))
    return site


@pytest.fixture(scope="module")
def files() -> Files:
    give = random.Random(1)
    small = {f"small/{n:03}": give.randbytes(give.randrange(8000)) for n in range(80)}
    return {**small, **{f"big-{n}": give.randbytes(9 * MIB + n) for n in range(2)}}


@pytest.fixture(scope="module")
def source(sites: Sites, files: Files) -> Site:
    return fill(sites.new("local"), files, "in/")


def finish(source: Site, home: Site) -> tuple[dict[str, Any], str, list[str]]:
    """Ingest. Returns the result, the manifest's digest and the files that were moved."""
    moved = Moved()
    with source.open() as here, home.open() as there:
        open_datastore = opener(s=here, workspaceblobstore=Watched(there, moved))
        (result,) = ingest(open_datastore, RUN, INPUTS, say=lambda line: None).values()
        manifest = Manifest.from_json(b"".join(there.read(f"{INPUT}_manifest.json")), "")
    return result, manifest.digest, moved.below(INPUT)


@pytest.fixture(scope="module")
def digest(sites: Sites, source: Site) -> str:
    """That of an ingest that nobody disturbs, to a store that cannot copy from this one by itself."""
    return finish(source, sites.new("blob"))[1]


@pytest.mark.parametrize(
    ("kind", "part"),
    [*(("blob", part) for part in (0.05, 0.5, 0.9)), *((kind, 0.5) for kind in ("local", "lake", "file", "volume"))],
)
def test_ingest_killed(kind: str, part: float, files: Files, source: Site, sites: Sites, digest: str) -> None:
    home = sites.new(kind)
    arrived = 0
    with started(bring, source, home) as changes:
        for _, path in changes:
            arrived += path.startswith(INPUT)
            if arrived >= part * len(files):
                break
    with home.open() as store:
        there = {info.path.removeprefix(INPUT) for info in store.list(INPUT)}
        noted = Journal(Place("h", store, f"{RUN.folder}journal/x/")).load().keys()
    assert "_manifest.json" not in there
    assert arrived <= len(there) <= len(files)
    assert noted <= there
    assert len(there - noted) <= 2 * WORKERS  # in flight, or being noted
    result, ended, moved = finish(source, home)
    assert len(moved) == len(files) - len(noted)
    assert (result["files"], result["unchanged"]) == (len(files), len(noted))
    assert kind == "local" or ended == digest
    with home.open() as store:
        found = contents(store, INPUT)
        found.pop("_manifest.json")
        assert found == files
        assert not list(store.list(f"{RUN.folder}journal/"))


OLD = {"a": b"old", "gone": b"old and gone", **{f"part-{n:02}": b"o" * n for n in range(8)}}
FOREIGN = {"foreign": b"theirs"}
NEW = {"a": b"new a", "b": b"new b", **{f"part-{n:02}": b"n" * (n + 100) for n in range(5, 15)}, "big": b"b" * 9 * MIB}


class Watcher:
    """Somebody who looks at a folder again and again, in all the ways there are.

    :param states: the data that may be there, each path with its size.
    """

    def __init__(self, store: FileStore, *states: Files) -> None:
        self.store = store
        self.swaps = store.features.replace_directory
        self.states = [{p: len(c) for p, c in state.items()} for state in states]
        self.seen: list[str] = []
        self.wrong: list[object] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look all the time, in a thread."""
        stop = threading.Event()

        def watch() -> None:
            while not stop.is_set():
                self.look()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def look(self) -> str:
        """What is there: ``old``, ``new`` or, if one cannot tell, ``refused``."""
        self.heed_success()
        try:
            source = find_source(opener(t=self.store), DatastoreUri("t", TARGET))
            self.judge({p: v.size for p, v in source.files.items()})
            for version in islice(source.files.values(), 0, None, 7):
                b"".join(self.store.read(version.path, if_match=version.etag))
        except PublishInProgress as refused:
            if self.swaps:
                self.wrong.append(refused)
            self.seen.append("refused")
        except (Changed, PathNotFound):
            self.seen.append("changed")
        return self.seen[-1]

    def judge(self, found: dict[str, int]) -> None:
        if found not in self.states:
            self.wrong.append(found)
        else:
            self.seen.append(["old", "new"][self.states.index(found)])

    def heed_success(self) -> None:
        """As another program would: what is there while ``_SUCCESS`` stays the same. A swap needs no such care."""
        before = self.success()
        found = {info.path.removeprefix(TARGET): info.size for info in self.store.list(TARGET)}
        data = {p: size for p, size in found.items() if not p.startswith("_")}
        if (self.swaps or (before is not None and before == self.success())) and data not in self.states:
            self.wrong.append(data)

    def success(self) -> str | None:
        try:
            return self.store.stat(f"{TARGET}{SUCCESS}").etag
        except PathNotFound:
            return None


@pytest.mark.parametrize(
    ("kind", "policy", "part"),
    [  # Each way to commit with each policy; each kind of store; and while files are staged, copied and removed.
        *[("local", "fail", 0.9), ("local", "overwrite", 0.2), ("local", "merge", 0.9)],
        *[("blob", "fail", 0.3), ("blob", "overwrite", 0.6), ("blob", "overwrite", 0.9), ("blob", "merge", 0.6)],
        *[("lake", "overwrite", 0.3), ("file", "merge", 0.6), ("volume", "overwrite", 0.6)],
    ],
)
def test_publish_killed(kind: str, policy: Policy, part: float, sites: Sites) -> None:
    steps = len(NEW) * (1 if kind == "local" else 3)  # staged, and where it is not swapped in: copied, removed
    killed(kind, policy, sites, lambda changes: len([*islice(changes, round(part * steps))]) == round(part * steps))


@pytest.mark.parametrize(("kind", "policy"), [*(("lake", policy) for policy in POLICIES), ("file", "merge")])
def test_publish_killed_at_a_rename(kind: str, policy: Policy, sites: Sites) -> None:
    """Where there is a folder, between the two renames: it has lost its name, and the new one has not got it."""
    renamed = ("rename_directory", TARGET.rstrip("/"))
    seen = killed(
        kind, policy, sites, lambda changes: any(c == renamed or c[1].endswith(".old") for c in changes), ahead=0
    )
    assert seen == "refused"


def killed(
    kind: str, policy: Policy, sites: Sites, reached: Callable[[Iterator[tuple[str, str]]], bool], ahead: int = 8
) -> str:
    """Publish, be killed once ``reached`` has seen enough of the changes, and publish again; somebody looks on.

    :returns: what one sees when it has been killed.
    """
    old: Files = {} if policy == "fail" else {**OLD, **FOREIGN}
    new: Files = {**old, **NEW} if policy == "merge" else NEW
    source, target = fill(sites.new("local"), NEW, "out/"), sites.new(kind)
    with target.open() as store, source.open() as here:
        rig = Rig(store, TARGET)
        if old:
            rig.publish(OLD, publisher="earlier")
            fill(target, FOREIGN, TARGET)
        watcher = Watcher(store, old, new)
        with watcher.watching():
            with started(publish, source, target, policy, ahead=ahead) as changes:
                assert reached(changes), "it came to its end"
            seen = watcher.look()
            assert seen in ("old", "refused", "new")
            found = find_source(opener(s=here), DatastoreUri("s", "out/"))
            manifest = rig.publish(found, policy)
            assert watcher.look() == "new"
        assert watcher.wrong == []
        assert {"old", "new"} <= set(watcher.seen)
        assert rig.data() == new
        assert rig.manifest() == manifest
        assert rig.backstage() == []
        moved = Moved()
        assert rig.watched(moved).publish(found, policy) == manifest
        assert moved.paths == []
    return seen
