"""A run on this machine: what is found wrong before its command is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from airflow_azureml_datastores.compute.experiment import LocalExperiment
from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.core.experiment import ExperimentRun, Input, Output
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.errors import (
    DatastoreNotFound,
    DatastoresError,
    InvalidInput,
    InvalidUri,
    MissingExtra,
    NoData,
    UnsafePath,
    Unsupported,
)
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.transfer.progress import Say
from tests.unit.transfer.stores import MemoryStore, contents


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
