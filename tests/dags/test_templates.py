"""What templates become, in arguments and in the values that stand in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.sdk import DAG, task
from airflow.utils.session import create_session

from airflow_azureml_datastores import Input, LocalDirectory, Output
from airflow_azureml_datastores.hooks import WorkspaceHook
from airflow_azureml_datastores.operators import (
    IngestToExperimentOperator,
    RegisterDatastoreOperator,
    RunExperimentOperator,
    UploadToDatastoreOperator,
)
from airflow_azureml_datastores.sensors import NewDataSensor
from tests.dags.conftest import WORKSPACE
from tests.dags.runs import Finished, run_dag


def test_placeholders_of_a_command_are_no_templates(workspace: WorkspaceHook) -> None:
    workspace.open().at("in.txt").write(b"content\n")
    with DAG("placeholders", schedule=None) as dag:
        RunExperimentOperator(
            task_id="run",
            workspace_conn_id=WORKSPACE,
            experiment="e",
            command="echo {{ dag.dag_id }} ${{inputs.n}} > ${{ outputs.y }}/a; cat ${{inputs.x}} >> ${{outputs.y}}/a",
            inputs={"x": Input("azureml://datastores/${{default_datastore}}/paths/{{ 'in' }}.txt"), "n": 7},
            outputs={"y": Output("azureml://datastores/workspaceblobstore/paths/out/{{ dag.dag_id }}/")},
        )
    assert run_dag(dag).succeeded
    assert workspace.open().at("out/placeholders/a").read() == b"placeholders 7\ncontent\n"


@pytest.mark.parametrize("native", [False, True])
def test_every_field_of_a_value_is_rendered(workspace: WorkspaceHook, tmp_path: Path, native: bool) -> None:
    (tmp_path / "a" / "day").mkdir(parents=True)
    (tmp_path / "a" / "day" / "x.csv").write_bytes(b"1\n")
    with DAG(
        f"fields_{native}",
        schedule=None,
        params={"name": "a", "mode": "direct", "type": "uri_file"},
        render_template_as_native_obj=native,
        default_args={"workspace_conn_id": WORKSPACE},
    ) as dag:
        register = RegisterDatastoreOperator(
            task_id="register",
            datastore="lake-{{ params.name }}",
            location=LocalDirectory(f"{tmp_path}/{{{{ params.name }}}}"),
            description="of {{ dag.dag_id }}",
            tags={"mode": "{{ params.mode }}"},
        )
        ingest = IngestToExperimentOperator(
            task_id="ingest",
            experiment="e-{{ params.name }}",
            inputs={"x": Input("day/*.csv", datastore="lake-{{ params.name }}", mode="{{ params.mode }}")},
        )
        run = RunExperimentOperator(
            task_id="run",
            experiment="e-{{ params.name }}",
            command="cat ${{inputs.x}}/x.csv > ${{outputs.y}}",
            inputs=ingest.output,
            outputs={"y": Output("out/{{ params.name }}.txt", type="{{ params.type }}")},  # type: ignore[arg-type]
        )
        register >> ingest >> run
    done = run_dag(dag)
    assert done.succeeded
    assert done["register"]["url"] == (tmp_path / "a").as_uri()
    record = workspace.get("lake-a")
    assert (record.description, record.tags) == (f"of fields_{native}", {"mode": "direct"})
    assert done["ingest"]["experiment"] == "e-a"
    assert done["ingest"]["inputs"]["x"]["mode"] == "direct"
    assert workspace.open().at("out/a.txt").read() == b"1\n"


def test_a_rendered_value_that_breaks_a_rule_is_refused(workspace: WorkspaceHook) -> None:
    with DAG("refused", schedule=None, params={"mode": "sideways"}) as dag:
        IngestToExperimentOperator(
            task_id="ingest",
            workspace_conn_id=WORKSPACE,
            experiment="e",
            inputs={"x": Input("a/", mode="{{ params.mode }}")},
        )
    done = run_dag(dag)
    assert done.states == {"ingest": "failed"}
    assert "input mode 'sideways' is unknown" in done.log


def test_a_second_run_of_the_same_objects_renders_anew(workspace: WorkspaceHook, tmp_path: Path) -> None:
    with DAG("again", schedule=None, params={"name": ""}) as dag:
        RegisterDatastoreOperator(
            task_id="register",
            workspace_conn_id=WORKSPACE,
            datastore="{{ params.name }}",
            location=LocalDirectory(f"{tmp_path}/{{{{ params.name }}}}"),
        )
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        assert run_dag(dag, {"name": name})["register"]["url"] == (tmp_path / name).as_uri()


def test_outputs_of_other_tasks_within_values(workspace: WorkspaceHook) -> None:
    @task
    def name() -> str:
        with WorkspaceHook(WORKSPACE) as hook:
            hook.open().at("in/a.csv").write(b"1\n")
        return "in/"

    with DAG("within", schedule=None, default_args={"workspace_conn_id": WORKSPACE}) as dag:
        ingest = IngestToExperimentOperator(task_id="ingest", experiment="e", inputs={"x": Input(name())})  # type: ignore[arg-type]
        assert ingest.upstream_task_ids == {"name"}
        run = RunExperimentOperator(
            task_id="run",
            experiment="e",
            command="cp -r ${{inputs.x}}/. ${{outputs.y}}",
            inputs=ingest.output,
            outputs={"y": Output(name())},  # type: ignore[arg-type]
        )
        assert run.upstream_task_ids == {"ingest", "name__1"}
    done = run_dag(dag)
    assert done.succeeded
    assert done["ingest"]["inputs"]["x"]["files"] == 1


def test_mapped_over_values(workspace: WorkspaceHook) -> None:
    for path in ("a/1.csv", "b/1.csv", "b/2.csv"):
        workspace.open().at(path).write(path.encode())

    @task
    def folders() -> list[str]:
        return ["a/", "b/"]

    @task
    def inputs(folder: str) -> dict[str, str]:
        return {"x": folder}

    with DAG("mapped", schedule=None, params={"letter": "b"}) as dag:
        IngestToExperimentOperator.partial(task_id="literal", experiment="e", workspace_conn_id=WORKSPACE).expand(
            inputs=[{"x": Input("a/", mode="direct")}, {"y": Input("{{ params.letter }}/*.csv")}]
        )
        IngestToExperimentOperator.partial(task_id="from_task", experiment="f", workspace_conn_id=WORKSPACE).expand(
            inputs=inputs.expand(folder=folders())
        )
        NewDataSensor.partial(task_id="arrived", workspace_conn_id=WORKSPACE).expand(path=folders())
    done = run_dag(dag)
    assert done.succeeded
    counts = {
        name: ran.result["inputs"] for name, ran in done.tasks.items() if name.startswith(("literal", "from_task["))
    }
    assert {name: next(iter(given.values()))["files"] for name, given in counts.items()} == {
        "literal[0]": 1,
        "literal[1]": 2,
        "from_task[0]": 1,
        "from_task[1]": 2,
    }
    assert done["literal[0]"]["inputs"]["x"]["mode"] == "direct"
    assert [done[f"arrived[{i}]"]["files"] for i in range(2)] == [1, 2]


def test_mapped_instances_have_runs_of_their_own(workspace: WorkspaceHook) -> None:
    for path in ("a/1.csv", "b/2.csv"):
        workspace.open().at(path).write(path.encode())

    with DAG("apart", schedule=None, default_args={"workspace_conn_id": WORKSPACE}) as dag:
        ingest = IngestToExperimentOperator.partial(task_id="ingest", experiment="e").expand(
            inputs=[{"x": "a/"}, {"x": "b/"}]
        )
        shared = IngestToExperimentOperator(task_id="shared", experiment="e", inputs={"x": "a/"})
        RunExperimentOperator.partial(
            task_id="each", experiment="e", command="cp -r ${{inputs.x}}/. ${{outputs.each}}", outputs={"each": None}
        ).expand(inputs=ingest.output)
        RunExperimentOperator.partial(
            task_id="search",
            experiment="e",
            command='echo "$N" > ${{outputs.search}}/n',
            inputs=shared.output,
            outputs={"search": None},
        ).expand(env=[{"N": "3"}, {"N": "4"}])

        @task.experiment(run=shared.output, inputs={"x": shared.output}, outputs={"function": None})
        def function(x: Path, function: Path, n: int) -> None:
            (function / "n").write_text(f"{n}\n")

        function.expand(n=[5, 6])
    done = run_dag(dag)
    assert done.succeeded, done.log
    run = done["shared"]["run"]
    assert [done[f"{name}[{i}]"]["run"] for name in ("ingest", "each", "search") for i in (0, 1)] == 3 * [
        f"{run}-0",
        f"{run}-1",
    ]
    folder = workspace.open().at("experiments/e/")
    files = [path for path, _ in folder.list() if not path.endswith(".json") and "journal" not in path]
    assert {path.removeprefix(run): folder.at(path).read() for path in files} == {
        "/inputs/x/1.csv": b"a/1.csv",
        "-0/inputs/x/1.csv": b"a/1.csv",
        "-1/inputs/x/2.csv": b"b/2.csv",
        "-0/outputs/each/1.csv": b"a/1.csv",
        "-1/outputs/each/2.csv": b"b/2.csv",
        "-0/outputs/search/n": b"3\n",
        "-1/outputs/search/n": b"4\n",
        "-0/outputs/function/n": b"5\n",
        "-1/outputs/function/n": b"6\n",
    }


@pytest.mark.parametrize("kind", ["run", "function"])
def test_a_mapped_task_depends_on_what_stands_in_its_values(workspace: WorkspaceHook, kind: str) -> None:
    workspace.open().at("in/1.csv").write(b"1")

    with DAG(f"mapped_{kind}", schedule=None, default_args={"workspace_conn_id": WORKSPACE}) as dag:
        ingest = IngestToExperimentOperator(task_id="ingest", experiment="e", inputs={"x": "in/"})
        x = Input(ingest.output, mode="direct")
        if kind == "run":
            operator = RunExperimentOperator.partial(task_id="run", experiment="e", command="echo ${{inputs.x}}")
            tasks: list[Any] = [
                operator.expand(inputs=[{"x": x}]),
                RunExperimentOperator.partial(
                    task_id="partial", experiment="e", command="echo ${{inputs.x}}", inputs={"x": x}
                ).expand(env=[{}]),
                RunExperimentOperator.partial(task_id="kwargs", experiment="e", command="true").expand_kwargs(
                    [{"inputs": {"x": x}}]
                ),
            ]
        else:

            @task.experiment(inputs={"x": x})
            def function(x: str, n: int) -> str:
                return x

            mapped = (
                function.expand(n=[1]),
                function.override(task_id="kwargs").expand_kwargs([{"n": 1}]),
                function.override(task_id="again", retries=1).partial().expand(n=[1]),
            )
            tasks = [made.operator for made in mapped]
    assert [made.upstream_task_ids for made in tasks] == len(tasks) * [{"ingest"}]
    done = run_dag(dag)
    assert done.succeeded, done.log


def test_xcoms_are_small_json(workspace: WorkspaceHook, tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for i in range(300):
        (tmp_path / "many" / f"{'long' * 20}-{i}.csv").touch()
    with DAG("small", schedule=None, default_args={"workspace_conn_id": WORKSPACE}) as dag:
        upload = UploadToDatastoreOperator(task_id="upload", local_path=str(tmp_path / "many"), target="in/")
        arrived = NewDataSensor(task_id="arrived", path="in/")
        ingest = IngestToExperimentOperator(task_id="ingest", experiment="e", inputs={"x": arrived.output})
        run = RunExperimentOperator(
            task_id="run",
            experiment="e",
            command="cp -r ${{inputs.x}}/. ${{outputs.y}}",
            inputs=ingest.output,
            outputs={"y": None},
        )
        upload >> arrived >> ingest >> run
    done = run_dag(dag)
    assert done.succeeded
    for name in done.tasks:
        assert len(json.dumps(done[name])) < 2048
    assert done["run"]["outputs"]["y"]["files"] == 300


def test_the_ui_shows_values_as_they_were_rendered(workspace: WorkspaceHook, tmp_path: Path) -> None:
    with DAG("shown", schedule=None, params={"folder": str(tmp_path)}) as dag:
        RegisterDatastoreOperator(
            task_id="register",
            workspace_conn_id=WORKSPACE,
            datastore="lake",
            location=LocalDirectory("{{ params.folder }}"),
        )
    shown = rendered_fields(run_dag(dag), "register")
    assert shown["location"] == f"LocalDirectory(path={str(tmp_path)!r})"


def rendered_fields(done: Finished, task_id: str) -> dict[str, Any]:
    with create_session() as session:
        row = session.get_one(
            RenderedTaskInstanceFields,
            {"dag_id": done.run.dag_id, "run_id": done.run.run_id, "task_id": task_id, "map_index": -1},
        )
        fields: dict[str, Any] = row.rendered_fields
        return fields
