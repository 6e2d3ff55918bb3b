"""Transfers to, from and inside Blob storage."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.core.cursor import fingerprint
from airflow_azureml_datastores.core.experiment import ExperimentRun, Input
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.errors import Changed, PathExists, PublishInProgress, UnsafePath
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.transfer import engine, journal
from airflow_azureml_datastores.transfer.copy import prepare_copy
from airflow_azureml_datastores.transfer.cursors import CursorFile
from airflow_azureml_datastores.transfer.engine import run_moves
from airflow_azureml_datastores.transfer.ingest import ingest
from airflow_azureml_datastores.transfer.plan import Move
from airflow_azureml_datastores.transfer.progress import Progress
from airflow_azureml_datastores.transfer.publish import POLICIES, Policy
from airflow_azureml_datastores.transfer.source import find_source, read_manifest
from tests.integration.transfer_sites import make_sites
from tests.servers.fixtures import Servers
from tests.unit.transfer.publishing import Rig
from tests.unit.transfer.stores import MemoryStore, Moved, Plug, PlugPulled, Watched, contents, fill, opener
from tests.unit.transfer.test_publish_crashes import Scene

pytestmark = pytest.mark.xdist_group("transfers on blob")

MIB = 1 << 20
RUN = ExperimentRun("churn", "r1")
INPUT = "experiments/churn/r1/inputs/x/"
NAMES = [
    "plain",
    "ü/文字/ñ",
    "e\u0301",
    "100%/50%25",
    "two words/ x",
    "a#b?c",
    "a+b&c=d;e",
    "[x]*",
    "~/.hidden",
    "n" * 250,
]
SIZES = [  # listed, and by how much it is wrong
    (0, 1),
    (0, 9 * MIB),
    (100, -1),
    (100, 1),
    (5 * MIB, 9 * MIB),
    (20 * MIB, -1),
    (20 * MIB, -9 * MIB),
    (20 * MIB, 1),
]


Stores = Callable[[str], FileStore]


@pytest.fixture
def stores(servers: Servers) -> Iterator[Stores]:
    """Opens fresh stores: ``local`` or ``blob``."""
    with make_sites(servers) as sites:
        yield sites.open


@pytest.fixture
def files() -> dict[str, bytes]:
    """Small ones with difficult names, an empty one, and one of several blocks."""
    give = random.Random(7)
    small = {name: give.randbytes(give.randrange(1, 9000)) for name in NAMES}
    return {**small, "empty": b"", "big.bin": give.randbytes(9 * MIB + 1)}


@pytest.mark.parametrize(("source", "home"), [("local", "blob"), ("blob", "local"), ("blob", "blob")])
def test_ingest(source: str, home: str, files: dict[str, bytes], stores: Stores) -> None:
    """Every byte and every name, and nothing moved again."""
    here, there = stores(source), stores(home)
    fill(here, files, "in/")
    moved = Moved()
    open_datastore = opener(s=here, workspaceblobstore=Watched(there, moved))
    inputs = {"x": "azureml://datastores/s/paths/in/"}
    (result,) = ingest(open_datastore, RUN, inputs, say=lambda _: None).values()
    delivered = contents(there, INPUT)
    delivered.pop("_manifest.json")
    assert delivered == files
    assert sorted(contents(there)) == sorted(f"{INPUT}{p}" for p in [*files, "_manifest.json"])
    manifest = read_manifest(open_datastore, result["manifest"])
    assert {e.path: e.etag for e in manifest.entries} == {p: there.stat(f"{INPUT}{p}").etag for p in files}
    moved.paths.clear()
    (again,) = ingest(open_datastore, RUN, inputs, say=lambda _: None).values()
    assert again == {**result, "unchanged": len(files)}
    assert moved.below(INPUT) == []
    assert read_manifest(open_datastore, again["manifest"]).digest == manifest.digest


def test_names_that_only_blobs_can_have(stores: Stores) -> None:
    """Exact where they can be, refused by name before anything moves where they cannot."""
    here, there, disk = stores("blob"), stores("blob"), stores("local")
    files = {"a//b": b"1", "/lead": b"2", "a": b"3", "a/b": b"4"}
    fill(here, files, "in/")
    inputs = {"x": Input("in/", datastore="s")}
    ingest(opener(s=here, workspaceblobstore=there), RUN, inputs, say=lambda _: None)
    assert {p: c for p, c in contents(there, INPUT).items() if p != "_manifest.json"} == files
    with pytest.raises(UnsafePath, match=r"//"):
        ingest(opener(s=here, workspaceblobstore=disk), RUN, inputs, say=lambda _: None)
    assert contents(disk) == {}


class TestMoves:
    """What the engine relies on: a broken stream leaves nothing visible, and its error arrives as it was."""

    def move(self, source: FileStore, target: FileStore, size: int) -> None:
        fill(source, {"a": b"x" * size})
        moves = [Move(source.stat("a").version, "a")]
        progress = Progress("", 1, size, lambda line: None)
        run_moves(source, Place("t", target), moves, arrived=lambda entry: None, progress=progress)

    @pytest.mark.parametrize(("size", "surplus"), SIZES)
    def test_another_size_than_listed(self, size: int, surplus: int, stores: Stores) -> None:
        class Lying(Watched):
            def read(self, path: str, **options: Any) -> Iterator[bytes]:
                for start in range(0, size + surplus, MIB):
                    yield b"x" * min(MIB, size + surplus - start)

        target = stores("blob")
        with pytest.raises(Changed, match="were listed"):
            self.move(Lying(MemoryStore()), target, size)
        assert contents(target) == {}

    @pytest.mark.parametrize("at", [1, 3, 12])
    def test_dies_in_the_middle_of_a_file(self, at: int, stores: Stores) -> None:
        target = stores("blob")
        fill(target, {"a": b"old"})
        plug = Plug(at + 1)
        with pytest.raises(PlugPulled):
            self.move(Watched(MemoryStore(), plug.before), target, 20 * MIB)
        assert contents(target) == {"a": b"old"}
        self.move(MemoryStore(), target, 20 * MIB)
        assert contents(target) == {"a": b"x" * (20 * MIB)}


def test_copy_without_overwrite(stores: Stores) -> None:
    here, there = stores("blob"), stores("blob")
    fill(here, {"a": b"1", "b": b"2"}, "in/")
    fill(there, {"to/b": b"theirs"})
    source = find_source(opener(s=here), DatastoreUri("s", "in/"))
    with pytest.raises(PathExists):
        prepare_copy(source, Place("t", there, "to/"), label="", say=lambda _: None)
    assert contents(there) == {"to/b": b"theirs"}


def test_interrupted_copy_goes_on(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for what had arrived but was not noted: it is recognised, and nothing of others is replaced."""
    monkeypatch.setattr(engine, "WORKERS", 1)
    here, there = stores("local"), stores("blob")
    fill(here, {f"{i}": b"x" * i for i in range(10)}, "in/")
    source = find_source(opener(s=here), DatastoreUri("s", "in/"))
    plug = Plug(13)
    broken = Watched(there, plug.before)
    with pytest.raises(PlugPulled):
        prepare_copy(source, Place("t", broken, "to/"), label="", say=lambda _: None, record=Place("t", broken, "r/"))()
    arrived = len(contents(there, "to/"))
    assert 0 < arrived < 10
    moved = Moved()
    watched = Watched(there, moved)
    prepare_copy(source, Place("t", watched, "to/"), label="", say=lambda _: None, record=Place("t", watched, "r/"))()
    assert len(moved.below("to/")) == 10 - arrived
    assert contents(there, "to/") == {f"{i}": b"x" * i for i in range(10)}


@pytest.mark.parametrize("policy", POLICIES)
def test_publish_dies(policy: Policy, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """At some of its calls; at every one of them it is tested on a store in memory."""
    monkeypatch.setattr(journal, "_EVERY_SECONDS", 0.0)
    scene = Scene(Rig(stores("blob"), "gold/"), policy)
    seen = []
    for at in range(20, 200, 16):
        scene.lay()
        plug = Plug(at, done=True)
        with suppress(PlugPulled):
            scene.publish(scene.rig.watched(plug.before, plug.after))
        seen.append(scene.check_what_is_seen())
        scene.check_the_end(scene.publish())
        if not plug.pulled:
            break
    assert seen == sorted(seen, key=["old", "refused", "new"].index)
    assert set(seen) == {"old", "refused", "new"}


def test_publishers_at_once(stores: Stores) -> None:
    """One after the other, or not at all; what is there in the end is all of one of them."""
    rig = Rig(stores("blob"), "gold/")

    def publish(n: int) -> bool:
        try:
            rig.publish({f"{n}": b"x", "same": b"%d" % n}, "overwrite", publisher=f"task {n}")
        except PublishInProgress:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = [n for n, published in enumerate(pool.map(publish, range(8))) if published]
    assert done
    found = rig.found()
    assert found in [{f"{n}": b"x", "same": b"%d" % n} for n in done]
    assert rig.marks() == []


def test_cursor_taken_by_many_at_once(stores: Stores) -> None:
    open_datastore = opener(workspaceblobstore=stores("blob"))
    wanted = [fingerprint("s", f"{i}", "e") for i in range(16)]

    def take(batch: int) -> set[bytes]:
        return set(CursorFile(open_datastore, "c").take(f"{batch}", wanted[batch : batch + 8]))

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(take, range(9)))
    assert sorted(p for each in got for p in each) == sorted(wanted)
    assert CursorFile(open_datastore, "c").load().taken == {f"{n}": each for n, each in enumerate(got) if each}


def test_download_to_a_folder_of_the_machine(files: dict[str, bytes], stores: Stores, tmp_path: Path) -> None:
    """As another program sees it: plain files."""
    here = stores("blob")
    fill(here, files, "in/")
    with LocalDirectory(str(tmp_path)).open(Anonymous()) as disk:
        source = find_source(opener(s=here), DatastoreUri("s", "in/"))
        prepare_copy(source, Place("", disk, "down/"), label="", say=lambda _: None)()
    found = {str(p.relative_to(tmp_path / "down")): p.read_bytes() for p in tmp_path.glob("down/**/*") if p.is_file()}
    assert found == files
