"""A run on this machine: what is found wrong before its command is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_azureml_datastores.compute.experiment import LocalExperiment
from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.core.experiment import ExperimentRun, Input, Output
from airflow_azureml_datastores.core.place import OpenDatastore, Place
from airflow_azureml_datastores.errors import (
    AccessDenied,
    DatastoreNotFound,
    DatastoresError,
    ExperimentFailed,
    InvalidInput,
    InvalidUri,
    MissingExtra,
    NoData,
    UnsafePath,
    Unsupported,
)
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.transfer.progress import Say
from tests.unit.transfer.stores import MemoryStore, Watched, contents, fill


class Refusal:
    """In place of a process: no command may be run."""

    def run(self, command: str, *, cwd: Path, env: Mapping[str, str], on_line: Say) -> None:
        raise AssertionError(command)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"outputs": {"y": Output("azureml://datastores/nowhere/paths/y/")}}, DatastoreNotFound),
        ({"outputs": {"y": Output("azureml://datastores/store/y/")}}, InvalidUri),
        ({"outputs": {"y": Output("azureml://datastores/store/paths/*/")}}, InvalidInput),
        ({"outputs": {"y": Output("azureml://datastores/store/paths/.datastore/y", type="uri_file")}}, UnsafePath),
        ({"outputs": {"y": Output("azureml://datastores/store/paths/file/y/")}}, InvalidInput),
        ({"outputs": {"y": Output("azureml://datastores/store/paths/file/y", type="uri_file")}}, InvalidInput),
        ({"inputs": {"x": "azureml://datastores/nowhere/paths/x"}}, DatastoreNotFound),
        ({"inputs": {"x": Input("missing/")}}, NoData),
        ({"inputs": {"x": Input("missing/", mode="copy")}}, InvalidInput),
        ({"inputs": {"x": Input("*", mode="rw_mount")}}, InvalidInput),
        ({"inputs": {"x": {"inputs": {"y": {"manifest": "m.json"}}}}}, InvalidInput),
        ({"outputs": {"y": Output("azureml://datastores/store/paths/*/", mode="direct")}}, InvalidInput),
        (
            {"outputs": {n: Output(f"azureml://datastores/store/paths/{n}", mode="direct") for n in ("y", "y/z")}},
            InvalidInput,
        ),
        ({"command": "cat ${{inputs.z}}"}, InvalidInput),
        ({"metrics": "y", "outputs": {"y": Output()}}, InvalidInput),
        ({"code": Path("missing")}, InvalidInput),
    ],
)
def test_wrong_before_the_command(wrong: dict[str, object], error: type[DatastoresError], tmp_path: Path) -> None:
    store = LocalDirectory(str(tmp_path)).open(Anonymous())
    store.write("file", [])

    def open_datastore(name: str | None) -> Place:
        if name not in (None, "store"):
            raise DatastoreNotFound(str(name), "'test'", ["store"])
        return Place("store", store)

    given: dict[str, object] = {"command": "true", "inputs": {}, "outputs": {}, **wrong}
    run = ExperimentRun("experiment", "run")
    with pytest.raises(error):
        LocalExperiment(open_datastore, run, say=print, on_line=print, **given).execute(Refusal())  # type: ignore[arg-type]
    assert [info.path for info in store.list()] == ["file"]


class TestModesThatNeedAMount:
    """Refused before anything happens where there is no way to mount."""

    @pytest.fixture
    def store(self) -> MemoryStore:
        """A store of this process alone."""
        store = MemoryStore()
        store.write("in/a", [b"1"])
        store.write(ExperimentRun("experiment", "run").output_folder("y") + "earlier", [b"2"])
        return store

    @pytest.mark.parametrize(
        "given",
        [
            {"inputs": {"x": Input("in/", mode="ro_mount")}},
            {"inputs": {"x": Input("in/", mode="rw_mount")}},
            {"outputs": {"y": Output(mode="rw_mount")}},
        ],
    )
    def test_refused(self, store: MemoryStore, given: dict[str, object], tmp_path: Path) -> None:
        before = contents(store)
        given = {"inputs": {}, "outputs": {}, **given}
        run = ExperimentRun("experiment", "run")
        with pytest.raises((Unsupported, MissingExtra)):
            LocalExperiment(
                lambda _: Place("store", store), run, "true", say=print, on_line=print, scratch=tmp_path, **given
            ).execute(Refusal())  # type: ignore[arg-type]
        assert contents(store) == before
        assert list(tmp_path.iterdir()) == []


@dataclass
class Writes:
    """In place of a process: writes to the outputs itself."""

    files: Mapping[str, str]

    def run(self, command: str, *, cwd: Path, env: Mapping[str, str], on_line: Say) -> None:
        for name, content in self.files.items():
            (cwd.parent / "outputs" / name).write_text(content)


class TestSeveralPublished:
    """Nothing of any output is visible unless all of them could be brought near."""

    OUTPUTS = {"one": Output("p1/"), "two": Output("p2/")}

    def execute(self, open_datastore: OpenDatastore, files: Mapping[str, str]) -> None:
        run = ExperimentRun("experiment", "run")
        experiment = LocalExperiment(open_datastore, run, "true", {}, self.OUTPUTS, say=print, on_line=print)
        experiment.execute(Writes(files))

    def test_the_second_cannot_be_stored(self) -> None:
        store = MemoryStore()
        fill(store, {"p1/old": b"1", "p2/old": b"2"})
        before = contents(store)

        def refuse(call: str, path: str) -> None:
            if call == "write" and path.endswith("/broken"):
                raise AccessDenied(path)

        with pytest.raises(AccessDenied):
            self.execute(lambda _: Place("s", Watched(store, refuse)), {"one/a": "new", "two/broken": "new"})
        assert {path: c for path, c in contents(store).items() if not path.startswith(".staging/")} == before
        self.execute(lambda _: Place("s", store), {"one/a": "new", "two/broken": "new"})
        visible = {
            path for path in contents(store) if path.startswith("p") and not path.endswith(("_SUCCESS", ".json"))
        }
        assert visible == {"p1/a", "p2/broken"}

    def test_nothing_was_written_to_one(self) -> None:
        store = MemoryStore()
        with pytest.raises(NoData, match="nothing was written to output 'two', which is to be published at p2/"):
            self.execute(lambda _: Place("s", store), {"one/a": "new"})
        assert not contents(store)


@pytest.mark.parametrize("kind", ["file", "link"])
def test_an_output_that_is_no_folder_any_more(kind: str, tmp_path: Path) -> None:
    class Replaces:
        def run(self, command: str, *, cwd: Path, env: Mapping[str, str], on_line: Say) -> None:
            folder = cwd.parent / "outputs" / "y"
            folder.rmdir()
            folder.write_text("x") if kind == "file" else folder.symlink_to(tmp_path)

    store = MemoryStore()
    experiment = LocalExperiment(
        lambda _: Place("s", store), ExperimentRun("e", "r"), "true", {}, {"y": Output()}, say=print, on_line=print
    )
    with pytest.raises(ExperimentFailed, match=r"output 'y' was to be written in .*/outputs/y, which is no folder now"):
        experiment.execute(Replaces())
    assert not contents(store)
