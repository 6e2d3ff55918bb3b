"""Inputs as a job takes them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_azureml_datastores import Input, Output
from airflow_azureml_datastores.core.experiment import ExperimentRun
from airflow_azureml_datastores.core.job import JobInput
from airflow_azureml_datastores.errors import (
    Changed,
    DataAssetNotFound,
    DatastoreNotFound,
    DatastoresError,
    InvalidInput,
    NoData,
)
from airflow_azureml_datastores.transfer.ingest import ingest
from tests.unit.jobs.conftest import Lab

BLOB = "azureml://datastores/workspaceblobstore/paths"
RUN = ExperimentRun("churn", "first")


def ingested(lab: Lab, source: Any) -> dict[str, Any]:
    return ingest(lab.open, RUN, {"x": source}, say=lab.said.append)["x"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1.5, "1.5"),
        (True, "True"),
        ("text", "text"),
        (f"{BLOB}/in/", JobInput(f"{BLOB}/in/")),
        (f"{BLOB}/in", JobInput(f"{BLOB}/in/")),
        (f"{BLOB}/in/a.csv", JobInput(f"{BLOB}/in/a.csv", "uri_file")),
        ("azureml://datastores/${{default_datastore}}/paths/in/", JobInput(f"{BLOB}/in/")),
        (Input("in/", mode="ro_mount"), JobInput(f"{BLOB}/in/", "uri_folder", "ro_mount")),
        (Input("in/a.csv", mode="direct"), JobInput(f"{BLOB}/in/a.csv", "uri_file", "direct")),
        (Input("empty/", mode="rw_mount", allow_empty=True), JobInput(f"{BLOB}/empty/", "uri_folder", "rw_mount")),
        ("azureml:table:1", JobInput("azureml:table:1", "mltable")),
        (Input("azureml:table@latest", mode="direct"), JobInput("azureml:table:1", "mltable", "direct")),
    ],
)
def test_input(lab: Lab, given: Any, expected: JobInput | str) -> None:
    lab.write("in/a.csv")
    assert lab.submitted(inputs={"x": given}).inputs == {"x": expected}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("azureml://datastores/nowhere/paths/x", DatastoreNotFound, "nowhere"),
        ("azureml://datastores/disk/paths/", InvalidInput, "'x' is in datastore 'disk' of type LocalDirectory"),
        (f"{BLOB}/in/*.csv", InvalidInput, "is a pattern, .* ingest it first"),
        (Input("in/*.csv", mode="direct"), InvalidInput, "is a pattern"),
        (f"{BLOB}/empty/", NoData, "allow_empty=True"),
        (Input("in/", mode="copy"), InvalidInput, "the mode 'copy' of input 'x'"),
        ("azureml:missing:1", DataAssetNotFound, "missing"),
    ],
)
def test_what_a_job_cannot_take(lab: Lab, given: Any, error: type[DatastoresError], message: str) -> None:
    lab.write("in/a.csv")
    lab.write("a.csv", datastore="disk")
    with pytest.raises(error, match=message):
        lab.experiment(inputs={"x": given}).start()
    assert lab.jobs.specs == []


class TestIngested:
    def test_a_copy(self, lab: Lab) -> None:
        lab.write("in/a.csv")
        found = ingested(lab, "in/")
        folder = f"{BLOB}/experiments/churn/first/inputs/x/"
        assert lab.submitted(inputs={"x": found}).inputs == {"x": JobInput(folder)}

    def test_a_copy_to_be_mounted(self, lab: Lab) -> None:
        lab.write("in/a.csv")
        given = Input(ingested(lab, "in/"), mode="ro_mount")
        folder = f"{BLOB}/experiments/churn/first/inputs/x/"
        assert lab.submitted(inputs={"x": given}).inputs == {"x": JobInput(folder, mode="ro_mount")}

    def test_a_file(self, lab: Lab) -> None:
        lab.write("in/a.csv")
        lab.write("in/b.csv")
        found = ingested(lab, Input("in/a.csv", mode="direct"))
        assert lab.submitted(inputs={"x": found}).inputs == {"x": JobInput(f"{BLOB}/in/a.csv", "uri_file")}

    def test_all_of_a_folder_where_it_is(self, lab: Lab) -> None:
        lab.write("in/a.csv")
        found = ingested(lab, Input("in/", mode="direct"))
        assert lab.submitted(inputs={"x": found}).inputs == {"x": JobInput(f"{BLOB}/in/")}

    def test_a_part_of_a_folder_where_it_is(self, lab: Lab) -> None:
        lab.write("in/a.csv")
        lab.write("in/b.txt")
        found = ingested(lab, Input("in/*.csv", mode="direct"))
        with pytest.raises(InvalidInput, match=r"there is 'b.txt', too, .* ingest it with mode='copy'"):
            lab.experiment(inputs={"x": found}).start()

    @pytest.mark.parametrize("path", ["in/", "in/a.csv"])
    def test_what_has_changed_since(self, lab: Lab, path: str) -> None:
        lab.write("in/a.csv")
        found = ingested(lab, Input(path, mode="direct"))
        lab.write("in/a.csv", b"new")
        with pytest.raises(Changed, match=r"'a\.csv' .* of input 'x'"):
            lab.experiment(inputs={"x": found}).start()


class TestLiterals:
    @pytest.mark.parametrize(
        ("command", "expected"),
        [
            ("echo ${{inputs.v}}", "echo 'a b; rm $HOME'"),
            ('echo "x ${{ inputs.v }}"', """echo "x "'a b; rm $HOME'"" """.strip()),
            ("${{inputs.x}} ${{outputs.x}} ${{inputs.x_2}}", "${{inputs.x}} ${{outputs.x}} ${{inputs.x_2}}"),
            ("cp ${{ inputs.x }} '${{outputs.x}}'", "cp ${{inputs.x}} '${{outputs.x}}'"),
        ],
    )
    def test_arrive_as_they_are(self, lab: Lab, command: str, expected: str) -> None:
        lab.write("in/a.csv")
        inputs = {"v": "a b; rm $HOME", "x": f"{BLOB}/in/", "x_2": f"{BLOB}/in/a.csv"}
        assert lab.submitted(command=command, inputs=inputs, outputs={"x": Output()}).command == expected

    def test_none_is_taken_for_a_placeholder(self, lab: Lab) -> None:
        with pytest.raises(InvalidInput, match="value of input 'v'"):
            lab.experiment(command="echo ${{inputs.v}}", inputs={"v": "${{inputs.w}}"}).start()
