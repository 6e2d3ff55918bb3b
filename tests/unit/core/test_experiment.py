from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_azureml_datastores.core.experiment import (
    ExperimentRun,
    Input,
    Output,
    as_input,
    as_output,
    as_run_input,
    bind_command,
    check_binding_names,
    check_command,
    slug,
    unique_slug,
)
from airflow_azureml_datastores.errors import InvalidInput, InvalidName


def test_a_runs_folders() -> None:
    run = ExperimentRun("churn", "scheduled__2026-11-22")
    assert run.folder == "experiments/churn/scheduled__2026-11-22/"
    assert run.input_folder("sales") == run.folder + "inputs/sales/"
    assert run.output_folder("model") == run.folder + "outputs/model/"


@pytest.mark.parametrize("name", ["churn", "0", "Churn_2-x", "a" * 255])
def test_experiment_names(name: str) -> None:
    assert ExperimentRun(name, "r").experiment == name


@pytest.mark.parametrize("name", ["", "-a", "_a", "a b", "a/b", "..", "a.b", "ä", "a\n", "a" * 256, None, 5])
def test_no_experiment_names(name: str) -> None:
    with pytest.raises(InvalidName, match=re.escape(f"{name!r} is not an experiment name: letters, digits")):
        ExperimentRun(name, "r")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-a", "a.", "é", None, 5])
def test_no_run_names(name: str) -> None:
    with pytest.raises(InvalidName, match=re.escape(f"{name!r} is not a run name: letters, digits")):
        ExperimentRun("churn", name)


@given(st.text())
def test_a_slug_is_one_path_segment_and_a_run_name(text: str) -> None:
    made = slug(text)
    assert re.fullmatch(r"[a-zA-Z0-9_.\-]+", made)
    assert made not in (".", "..")
    assert slug(made) == made
    assert ExperimentRun("churn", made).run == made


@given(st.text(max_size=300), st.lists(st.text(), max_size=2))
def test_a_unique_slug_is_a_run_name_of_bounded_length(text: str, also: list[str]) -> None:
    made = unique_slug(text, *also)
    assert ExperimentRun("churn", made).run == made
    assert len(made) <= 129


@given(st.sets(st.tuples(st.text(), st.text()), min_size=2, max_size=20))
def test_unique_slugs_differ_when_the_texts_do(texts: set[tuple[str, str]]) -> None:
    texts = {("".join(a.split("\0")), "".join(b.split("\0"))) for a, b in texts}
    assert len({unique_slug(*pair) for pair in texts}) == len(texts)


def test_a_unique_slug_is_readable_and_the_same_tomorrow() -> None:
    made = unique_slug("scheduled__2026-11-22T00:00:00+00:00", "churn")
    assert re.fullmatch(r"scheduled__2026-11-22T00-00-00-00-00-[0-9a-f]{8}", made)
    assert made == unique_slug("scheduled__2026-11-22T00:00:00+00:00", "churn")
    assert made != unique_slug("scheduled__2026-11-22T00:00:00+00:00", "other")
    assert made != unique_slug("scheduled__2026-11-22T00-00-00-00-00", "churn")


@pytest.mark.parametrize("names", [[], ["sales"], ["_a1", "B"], ["a" * 255], ["a", "a"]])
def test_binding_names(names: list[str]) -> None:
    check_binding_names("input", names)


@pytest.mark.parametrize("name", ["", "1a", "a-b", "a.b", "a b", "ä", "a" * 256, "../a", "a/b", "a\n", None])
def test_no_binding_names(name: str) -> None:
    with pytest.raises(InvalidName, match=re.escape(f"{name!r} is not an input name")):
        check_binding_names("input", ["fine", name])


def test_names_that_would_share_a_folder() -> None:
    with pytest.raises(InvalidName, match="outputs 'Model' and 'model' differ only in case"):
        check_binding_names("output", ["Model", "scores", "model"])


@pytest.mark.parametrize(
    "command",
    [
        "python train.py",
        "python train.py ${{inputs.sales}} ${{ outputs.model }} $HOME ${HOME} {{x}}",
        "echo ${{inputs.sales}}${{inputs.sales}}",
        "echo $${{inputs.sales}}{{",
    ],
)
def test_commands(command: str) -> None:
    check_command(command, ["sales"], ["model"])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "command is empty"),
        (" \n", "command is empty"),
        (None, "command is empty"),
        (
            "echo ${{inputs.slaes}}",
            "the command uses ${{inputs.slaes}}, but there is no input 'slaes'; inputs: sales, x",
        ),
        ("echo ${{inputs.Sales}}", "there is no input 'Sales'; inputs: sales, x"),
        ("echo ${{outputs.sales}}", "there is no output 'sales'; outputs: none"),
        ("echo ${{inputs.sales.path}}", "there is no input 'sales.path'"),
        ("echo ${{input.sales}}", "unknown placeholder ${{input.sales}} in the command: use ${{inputs.x}} or"),
        ("echo ${{default_datastore}}", "unknown placeholder ${{default_datastore}}"),
        ("echo ${{inputs}}", "unknown placeholder ${{inputs}} in the command: use ${{inputs.x}} or"),
        ("echo ${{inputs.sales}", "malformed placeholder in the command: '${{inputs.sales}'"),
        ("echo ${{}}", "malformed placeholder"),
        ("echo ${{inputs.}}", "malformed placeholder"),
        ("echo ${{ inputs . sales }}", "malformed placeholder"),
        ("echo ${{inputs.sales", "malformed placeholder"),
        ("echo ${{inputs.sales}} ${{", "malformed placeholder"),
    ],
)
def test_commands_that_cannot_be_bound(command: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_command(command, ["x", "sales"], [])
    assert message in str(caught.value)


def test_bind_fills_in_every_placeholder() -> None:
    bound = bind_command(
        "train ${{inputs.sales}} ${{ inputs.rate }} --out=${{outputs.model}}/m",
        {"sales": "/in/sales", "rate": 0.5},
        {"model": "/out/model"},
    )
    assert bound == "train /in/sales 0.5 --out=/out/model/m"


def test_a_value_is_not_searched_for_placeholders() -> None:
    bound = bind_command("echo ${{inputs.a}} ${{inputs.b}}", {"a": "${{inputs.b}}", "b": "2"}, {})
    assert bound == "echo '${{inputs.b}}' 2"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("azureml://datastores/sales/paths/a", Input("azureml://datastores/sales/paths/a")),
        ("raw/*.csv", Input("raw/*.csv")),
        (Input("a", mode="direct"), Input("a", mode="direct")),
        ({"path": "a", "datastore": "sales"}, Input("a", datastore="sales")),
        ({"path": "a", "allow_empty": "False"}, Input("a", allow_empty=False)),
        ({"manifest": "azureml://m", "files": 3, "path": "x"}, {"manifest": "azureml://m", "files": 3, "path": "x"}),
    ],
)
def test_what_an_input_may_be(value: object, expected: object) -> None:
    assert as_input(value) == expected


class Reference:
    def resolve(self, context: object) -> str:
        return "rendered"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "got NoneType"),
        (5, "got int"),
        (["a"], "got list"),
        ({}, "got dict"),
        ({"datastore": "sales"}, "got dict"),
        ({"path": "a", "format": "csv"}, "an input has no field 'format'; it has: path, datastore, mode, allow_empty."),
        ({"path": "a", "mode": "mount"}, "input mode 'mount' is unknown"),
        ({"path": "a", "allow_empty": "no"}, "allow_empty has to be true or false; got 'no'."),
        (Reference(), "was not rendered"),
    ],
)
def test_what_an_input_cannot_be(value: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)):
        as_input(value)


INGESTED = {"experiment": "e", "run": "r", "inputs": {"x": {"manifest": "m.json", "mode": "copy"}, "y": {}}}


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        (INGESTED, "copy"),
        (Input(INGESTED), "copy"),
        (Input(INGESTED, mode="ro_mount"), "ro_mount"),
        (Input({"manifest": "m.json", "mode": "copy"}, mode="rw_mount"), "rw_mount"),
        ({"path": INGESTED, "mode": "direct"}, "direct"),
    ],
)
def test_all_that_an_ingest_returned_stands_for_its_input_of_the_same_name(value: object, mode: str) -> None:
    assert as_input(value, "x") == {"manifest": "m.json", "mode": mode}


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        ("in/", "download"),
        (Input("in/", mode="direct"), "direct"),
        ({"path": "in/", "mode": "ro_mount"}, "ro_mount"),
        (INGESTED, "download"),
        (Input(INGESTED, mode="direct"), "direct"),
        ({"path": INGESTED, "mode": "rw_mount"}, "rw_mount"),
    ],
)
def test_an_inputs_mode_in_a_run(value: object, mode: str) -> None:
    assert as_run_input(value, "x")[1] == mode


def test_an_ingests_mode_in_a_run() -> None:
    with pytest.raises(InvalidInput, match="mode 'copy' of input 'x' is not one of a run: use download, ro_mount"):
        as_run_input(Input("in/", mode="copy"), "x")


def test_an_input_that_was_not_ingested() -> None:
    with pytest.raises(InvalidInput, match="what was ingested has no input 'z'; it has: x, y"):
        as_input(Input(INGESTED), "z")
    with pytest.raises(InvalidInput, match="an input's path is an azureml:// URI, a path, or what an ingest returned"):
        Input({"run": "r"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Output()),
        ("azureml://datastores/a/paths/b/", Output("azureml://datastores/a/paths/b/")),
        (Output(mode="direct"), Output(mode="direct")),
        ({"mode": "direct", "type": "uri_file"}, Output(mode="direct", type="uri_file")),
    ],
)
def test_what_an_output_may_be(value: object, expected: Output) -> None:
    assert as_output(value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [(5, "got int"), (["a"], "got list"), ({"kind": "a"}, "an output has no field 'kind'; it has: path, mode, type.")],
)
def test_what_an_output_cannot_be(value: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)):
        as_output(value)


def test_modes_and_types() -> None:
    for mode in (None, "copy", "direct", "download"):
        assert Input("a", mode=mode).mode == mode
    with pytest.raises(
        InvalidInput, match="input mode 'rw' is unknown; choose one of copy, direct, download, ro_mount, rw_mount"
    ):
        Input("a", mode="rw")
    with pytest.raises(InvalidInput, match="output mode 'mount' is unknown; choose one of upload, rw_mount, direct"):
        Output(mode="mount")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="output type 'mltable' is unknown; choose one of uri_folder, uri_file"):
        Output(type="mltable")  # type: ignore[arg-type]
