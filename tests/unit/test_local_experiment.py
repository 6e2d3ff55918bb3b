"""A run on this machine: what is found wrong before its command is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from airflow_azureml_datastores.compute.experiment import LocalExperiment
from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.core.experiment import ExperimentRun, Input, Output
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.errors import DatastoreNotFound, DatastoresError, InvalidInput, InvalidUri, NoData
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.transfer.progress import Say


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
        ({"inputs": {"x": "azureml://datastores/nowhere/paths/x"}}, DatastoreNotFound),
        ({"inputs": {"x": Input("missing/")}}, NoData),
        ({"inputs": {"x": Input("missing/", mode="copy")}}, InvalidInput),
        ({"command": "cat ${{inputs.z}}"}, InvalidInput),
        ({"metrics": "y", "outputs": {"y": Output()}}, InvalidInput),
        ({"code": Path("missing")}, InvalidInput),
    ],
)
def test_wrong_before_the_command(wrong: dict[str, object], error: type[DatastoresError], tmp_path: Path) -> None:
    store = LocalDirectory(str(tmp_path)).open(Anonymous())

    def open_datastore(name: str | None) -> Place:
        if name not in (None, "store"):
            raise DatastoreNotFound(str(name), "'test'", ["store"])
        return Place("store", store)

    given: dict[str, object] = {"command": "true", "inputs": {}, "outputs": {}, **wrong}
    run = ExperimentRun("experiment", "run")
    with pytest.raises(error):
        LocalExperiment(open_datastore, run, say=print, on_line=print, **given).execute(Refusal())  # type: ignore[arg-type]
    assert list(store.list()) == []
