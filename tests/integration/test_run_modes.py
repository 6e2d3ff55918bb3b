"""Runs on this machine in every mode, with real mounts: what commands find, and what is there afterwards."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_azureml_datastores.compute.experiment import LocalExperiment
from airflow_azureml_datastores.compute.local_process import LocalProcess
from airflow_azureml_datastores.core.experiment import ExperimentRun, Input, Output
from airflow_azureml_datastores.core.manifest import Manifest
from airflow_azureml_datastores.core.place import OpenDatastore, Place
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.errors import ExperimentFailed, InvalidInput, TransferIncomplete, UnsafePath
from airflow_azureml_datastores.transfer.ingest import ingest
from airflow_azureml_datastores.transfer.source import from_manifest, read_manifest
from tests.integration.mounts import require_mounts
from tests.integration.transfer_sites import Site, make_sites
from tests.servers.fixtures import Servers

pytestmark = pytest.mark.xdist_group("mounts")

RUN = ExperimentRun("churn", "r1")
LAKE = "azureml://datastores/lake/paths"
OUTPUTS = f"{LAKE}/experiments/churn/r1/outputs"
DEADLINE = 60


def opener(store: FileStore) -> OpenDatastore:
    return lambda _: Place("lake", store)


@dataclass
class Bench:
    """A datastore, and where runs make their folders."""

    site: Site
    store: FileStore
    scratch: Path
    said: list[str] = field(default_factory=list)

    def put(self, **files: bytes) -> None:
        for name, content in files.items():
            Place("lake", self.store, name.replace("__", "/")).write(content)

    def get(self, prefix: str = "") -> dict[str, bytes]:
        """The data below a prefix."""
        records = ("_manifest.json", "_SUCCESS")
        return {p: place.read() for p, place in self._places(prefix) if p.rpartition("/")[2] not in records}

    def _places(self, prefix: str) -> Iterator[tuple[str, Place]]:
        folder = Place("lake", self.store, prefix)
        for path, info in folder.list():
            yield path, Place("lake", self.store, info.path)

    def manifest(self, uri: str) -> Manifest:
        return read_manifest(opener(self.store), uri)

    def run(self, command: str, process: LocalProcess | None = None, **given: Any) -> dict[str, Any]:
        arguments: dict[str, Any] = {"inputs": {}, "outputs": {}, **given}
        experiment = LocalExperiment(
            opener(self.store),
            RUN,
            command,
            say=self.said.append,
            on_line=self.said.append,
            scratch=self.scratch,
            **arguments,
        )
        return experiment.execute(process or LocalProcess(grace=1))

    def assert_left_nothing(self) -> None:
        assert str(self.scratch) not in Path("/proc/self/mountinfo").read_text()
        assert os.listdir(self.scratch) == []


@contextmanager
def make_bench(servers: Servers, kind: str) -> Iterator[Bench]:
    require_mounts()
    with (
        make_sites(servers) as sites,
        # Not below pytest's folders, whose cleaning up should never meet a mount.
        tempfile.TemporaryDirectory(prefix="runs-", ignore_cleanup_errors=True) as scratch,
    ):
        site = sites.new(kind)
        with site.open() as store:
            yield Bench(site, store, Path(scratch).resolve())


@pytest.fixture(params=["local", "blob"])
def bench(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Bench]:
    with make_bench(servers, request.param) as made:
        yield made


@pytest.fixture
def local(servers: Servers) -> Iterator[Bench]:
    with make_bench(servers, "local") as made:
        yield made


def test_every_mode_of_an_input(bench: Bench) -> None:
    bench.put(in__a=b"1", in__deep__b=b"22", in__c=b"333", live__old=b"old")
    ingested = ingest(
        opener(bench.store), RUN, {"part": f"{LAKE}/in/[ac]"}, say=bench.said.append, default_mode="direct"
    )
    result = bench.run(
        "(cd ${{inputs.folder}} && find . -type f | sort | xargs cat && ls) > ${{outputs.seen}}/folder"
        " && cat ${{inputs.file}} > ${{outputs.seen}}/file"
        " && (cd ${{inputs.glob}} && find . -type f | sort) > ${{outputs.seen}}/glob"
        " && (cd ${{inputs.part}} && cat *) > ${{outputs.seen}}/part"
        " && echo ${{inputs.uri}} ${{inputs.number}} > ${{outputs.seen}}/texts"
        " && ! touch ${{inputs.folder}}/new"
        " && printf new > ${{inputs.live}}/new && printf er >> ${{inputs.live}}/old",
        inputs={
            "folder": Input("in/", mode="ro_mount"),
            "file": Input("in/deep/b", mode="ro_mount"),
            "glob": Input("in/**/[bc]", mode="ro_mount"),
            "part": Input({"inputs": ingested}, mode="ro_mount"),
            "uri": Input("in/", mode="direct"),
            "live": Input("live/", mode="rw_mount"),
            "number": 5,
        },
        outputs={"seen": Output()},
    )
    assert bench.get("experiments/churn/r1/outputs/seen/") == {
        "folder": b"133322a\nc\ndeep\n",
        "file": b"22",
        "glob": b"./c\n./deep/b\n",
        "part": b"1333",
        "texts": f"{LAKE}/in/ 5\n".encode(),
    }
    assert bench.get("live/") == {"old": b"older", "new": b"new"}
    assert bench.get("in/") == {"a": b"1", "deep/b": b"22", "c": b"333"}
    assert result["outputs"]["seen"]["files"] == 5
    bench.assert_left_nothing()


def test_every_mode_of_an_output(bench: Bench) -> None:
    bench.put(published__gone=b"before", experiments__churn__r1__outputs__mounted__earlier=b"try", direct__kept=b"k")
    result = bench.run(
        "mkdir ${{outputs.mounted}}/deep && printf 1 > ${{outputs.mounted}}/deep/a && printf 2 > ${{outputs.mounted}}/b"
        " && printf 3 > ${{outputs.published}}/c"
        " && printf '{\"n\": 1}' > ${{outputs.file}}"
        " && printf 5 > ${{outputs.renamed}}.part && mv ${{outputs.renamed}}.part ${{outputs.renamed}}"
        " && test ${{outputs.direct}} = " + f"{LAKE}/direct/ && test ${{{{outputs.here}}}} = {OUTPUTS}/here/",
        outputs={
            "mounted": Output(mode="rw_mount"),
            "published": Output(f"{LAKE}/published/", mode="rw_mount"),
            "file": Output(mode="rw_mount", type="uri_file"),
            "renamed": Output(f"{LAKE}/files/five.txt", mode="rw_mount", type="uri_file"),
            "direct": Output(f"{LAKE}/direct/", mode="direct"),
            "here": Output(mode="direct"),
        },
        metrics="file",
    )
    assert result["metrics"] == {"n": 1}
    found = result["outputs"]
    assert {name: output["uri"] for name, output in found.items()} == {
        "mounted": f"{OUTPUTS}/mounted/",
        "published": f"{LAKE}/published/",
        "file": f"{OUTPUTS}/file/file",
        "renamed": f"{LAKE}/files/five.txt",
        "direct": f"{LAKE}/direct/",
        "here": f"{OUTPUTS}/here/",
    }
    assert bench.get("published/") == {"c": b"3"}
    assert bench.store.stat("published/_SUCCESS").size == 0
    assert bench.get("files/") == {"five.txt": b"5"}
    sources = {name: from_manifest(opener(bench.store), bench.manifest(o["manifest"])) for name, o in found.items()}
    assert {name: sorted(source.files) for name, source in sources.items()} == {
        "mounted": ["b", "deep/a"],
        "published": ["c"],
        "file": ["file"],
        "renamed": ["five.txt"],
        "direct": ["kept"],
        "here": [],
    }
    for source in sources.values():  # in the versions that are there
        for version in source.files.values():
            assert bench.store.stat(version.path).version == version
    assert bench.get("experiments/churn/r1/outputs/mounted/") == {"deep/a": b"1", "b": b"2"}
    bench.assert_left_nothing()


def test_a_file_written_directly(local: Bench) -> None:
    """The command writes with a client of its own, here by the folder that the datastore is."""
    root = local.store.url.removeprefix("file://")
    result = local.run(
        f"mkdir {root}/direct && printf 7 > {root}/direct/seven && test ${{{{outputs.y}}}} = {LAKE}/direct/seven",
        outputs={"y": Output(f"{LAKE}/direct/seven", mode="direct", type="uri_file")},
    )
    assert result["outputs"]["y"] == {
        "uri": f"{LAKE}/direct/seven",
        "files": 1,
        "bytes": 1,
        "manifest": f"{OUTPUTS}/y/_manifest.json",
        "type": "uri_file",
    }
    with pytest.raises(ExperimentFailed, match="no file was written to output 'z'"):
        local.run("true", outputs={"z": Output(f"{LAKE}/direct/z", mode="direct", type="uri_file")})


def test_nothing_is_left_of_a_mounted_output_if_the_command_fails(bench: Bench) -> None:
    bench.put(published__kept=b"before")
    outputs = {
        "y": Output(mode="rw_mount"),
        "z": Output(f"{LAKE}/published/", mode="rw_mount"),
        "f": Output(mode="rw_mount", type="uri_file"),
    }
    for command in (
        "touch ${{outputs.y}}/a ${{outputs.z}}/a ${{outputs.f}}; exit 3",
        "touch ${{outputs.y}}/a ${{outputs.z}}/a",  # and no file where one should be
    ):
        with pytest.raises(ExperimentFailed):
            bench.run(command, outputs=outputs)
        assert bench.get() == {"published/kept": b"before"}
        bench.assert_left_nothing()


@pytest.mark.parametrize("mode", ["upload", "rw_mount"])
def test_no_output_is_delivered_unless_all_can_be(servers: Servers, mode: Any) -> None:
    """A name that the disk takes and the service does not."""
    with make_bench(servers, "blob") as bench:
        bench.put(published__kept=b"before")
        with pytest.raises(UnsafePath):
            bench.run(
                "touch ${{outputs.a}}/whole ${{outputs.b}}/whole ${{outputs.c}}/$'carriage\\rreturn'",
                outputs={"a": Output(f"{LAKE}/published/", mode=mode), "b": Output(mode=mode), "c": Output()},
            )
        assert bench.get() == {"published/kept": b"before"}
        bench.assert_left_nothing()


@pytest.mark.parametrize("mode", ["ro_mount", "rw_mount"])
def test_an_output_is_not_emptied_that_is_an_input(local: Bench, mode: Any) -> None:
    """What an earlier try has written, say."""
    local.run("echo 1 > ${{outputs.y}}/a", outputs={"y": Output()})
    before = local.get()
    inputs = {"x": Input(f"{OUTPUTS}/y/", mode=mode)}
    with pytest.raises(InvalidInput, match=r"the input 'x' is in .*/outputs/y/, which is emptied for the output 'y'"):
        local.run("cat ${{inputs.x}}/a", inputs=inputs, outputs={"y": Output(mode="rw_mount")})
    assert local.get() == before
    for given, wanted in ((mode, "upload"), ("download", "rw_mount")):
        inputs = {"x": Input(f"{OUTPUTS}/y/", mode=given)}
        local.run("cp ${{inputs.x}}/a ${{outputs.y}}/a", inputs=inputs, outputs={"y": Output(mode=wanted)})
        assert local.get() == before


def test_what_a_command_did_not_notice_fails_the_run(local: Bench) -> None:
    """The store cannot take the file: ``close`` says so, and the command does not listen."""
    root = local.store.url.removeprefix("file://")
    with pytest.raises(TransferIncomplete):
        local.run(
            f"echo lost > ${{{{outputs.y}}}}/a && rm -rf {root}/experiments && touch {root}/experiments;"
            " echo lost > ${{outputs.y}}/b || true",
            outputs={"y": Output(mode="rw_mount")},
        )
    assert local.get() == {"experiments": b""}
    local.assert_left_nothing()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Input("in/*", mode="rw_mount"), "is for a whole folder, but .*/in/[*] is a pattern"),
        (Input("in/a", mode="rw_mount"), "is for a whole folder, but .*/in/a is a file"),
        ("part", "is for a whole folder, but what was ingested is not all that is in .*/in/"),
    ],
)
def test_writable_mounts_are_for_whole_folders(local: Bench, given: Any, message: str) -> None:
    local.put(in__a=b"1", in__b=b"2")
    if given == "part":
        ingested = ingest(
            opener(local.store), RUN, {"x": f"{LAKE}/in/a*"}, say=local.said.append, default_mode="direct"
        )
        given = Input(ingested["x"], mode="rw_mount")
    before = local.get()
    with pytest.raises(InvalidInput, match=message):
        local.run("false", inputs={"x": given, "y": Input("in/")}, outputs={"z": Output(mode="rw_mount")})
    assert local.get() == before


def test_all_that_was_ingested_can_be_mounted_writable(local: Bench) -> None:
    local.put(in__a=b"1")
    ingested = ingest(opener(local.store), RUN, {"x": f"{LAKE}/in/"}, say=local.said.append)
    local.run("printf 2 > ${{inputs.x}}/b", inputs={"x": Input({"inputs": ingested}, mode="rw_mount")})
    assert local.get("experiments/churn/r1/inputs/x/") == {"a": b"1", "b": b"2"}


def test_a_killed_command_leaves_nothing(bench: Bench) -> None:
    process = LocalProcess(grace=1)
    raised: list[Exception] = []

    def work() -> None:
        try:
            bench.run("echo > ${{outputs.y}}/a; echo begun; sleep 600", process, outputs={"y": Output(mode="rw_mount")})
        except ExperimentFailed as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: "begun" in bench.said)
    process.kill()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert "the command was ended" in str(raised[0])
    assert bench.get() == {}
    bench.assert_left_nothing()


def test_a_killed_worker_leaves_no_mount_and_the_next_run_no_trace(bench: Bench) -> None:
    outputs = {"y": Output(mode="rw_mount")}
    context = multiprocessing.get_context("forkserver")
    lost = context.Process(target=_run_for_ever, args=(bench.site, bench.scratch, outputs))
    lost.start()
    try:
        until(lambda: "experiments/churn/r1/outputs/y/half" in bench.get())
        (left,) = bench.scratch.glob("azureml-run-*")
    finally:
        lost.kill()
        lost.join()
    until(lambda: str(bench.scratch) not in Path("/proc/self/mountinfo").read_text())
    assert left.exists()
    result = bench.run("printf 1 > ${{outputs.y}}/whole", outputs=outputs)
    assert result["outputs"]["y"]["files"] == 1
    assert bench.get() == {"experiments/churn/r1/outputs/y/whole": b"1"}
    assert not left.exists()
    bench.assert_left_nothing()


def test_nothing_stays_mounted_after_the_next_run_if_the_mounts_process_was_killed_too(local: Bench) -> None:
    outputs = {"y": Output(mode="rw_mount")}
    context = multiprocessing.get_context("forkserver")
    lost = context.Process(target=_run_for_ever, args=(local.site, local.scratch, outputs))
    lost.start()
    try:
        until(lambda: "experiments/churn/r1/outputs/y/half" in local.get())
        children = [
            pid for file in Path(f"/proc/{lost.pid}/task").glob("*/children") for pid in file.read_text().split()
        ]
        (mount,) = [pid for pid in children if b"_mount_process.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(int(mount), signal.SIGKILL)  # first, or it would unmount
    finally:
        lost.kill()
        lost.join()
    assert str(local.scratch) in Path("/proc/self/mountinfo").read_text()
    local.run("true")
    local.assert_left_nothing()


def _run_for_ever(site: Site, scratch: Path, outputs: dict[str, Output]) -> None:
    with site.open() as store:
        Bench(site, store, scratch).run("echo > ${{outputs.y}}/half; sleep 600", outputs=outputs)


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)
