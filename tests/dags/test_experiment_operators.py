"""Ingest, run and publish in a DAG: results, failures, retries."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_azureml_datastores import Input, Output
from airflow_azureml_datastores.core.uri import parse_datastore_uri
from airflow_azureml_datastores.errors import ExperimentFailed
from airflow_azureml_datastores.hooks import WorkspaceHook
from airflow_azureml_datastores.operators import (
    IngestToExperimentOperator,
    PublishOutputsOperator,
    RunExperimentOperator,
)
from airflow_azureml_datastores.transfer.watch import Watch
from tests.dags.conftest import WORKSPACE
from tests.dags.runs import Finished, run_dag

BLOB = "azureml://datastores/workspaceblobstore/paths"


@pytest.fixture
def run(request: pytest.FixtureRequest, workspace: WorkspaceHook) -> Callable[..., Finished]:
    """Runs a DAG that a function fills, without waiting before it tries again what has failed."""

    def run_filled(fill: Callable[[], Any], retries: int = 0) -> Finished:
        defaults = {"workspace_conn_id": WORKSPACE, "retries": retries, "retry_delay": timedelta(0)}
        with DAG(request.node.originalname, schedule=None, default_args=defaults) as dag:
            fill()
        return run_dag(dag)

    return run_filled


def experiment(command: str, **given: Any) -> RunExperimentOperator:
    return RunExperimentOperator(**{"task_id": "run", "experiment": "e", "command": command, **given})


def read(workspace: WorkspaceHook, uri: str) -> dict[str, bytes]:
    """The data below a folder, by relative path."""
    parsed = parse_datastore_uri(uri)
    folder = workspace.open(parsed.datastore).at(parsed.path)
    return {path: folder.at(path).read() for path, _ in folder.list() if path not in ("_manifest.json", "_SUCCESS")}


def write(workspace: WorkspaceHook, **files: bytes) -> None:
    for name, content in files.items():
        workspace.open().at(f"in/{name}").write(content)


Run = Callable[..., Finished]


class TestIngest:
    def test_result(self, run: Run, workspace: WorkspaceHook) -> None:
        write(workspace, a=b"1", b=b"22")

        def fill() -> None:
            IngestToExperimentOperator(
                task_id="ingest",
                experiment="e",
                run="named",
                mode="direct",
                inputs={"folder": f"{BLOB}/in/", "copied": Input("in/*", mode="copy"), "one": "in/b"},
            )

        result = run(fill)["ingest"]
        assert (result["experiment"], result["run"]) == ("e", "named")
        assert result["inputs"]["folder"] == {
            "uri": f"{BLOB}/in/",
            "type": "uri_folder",
            "files": 2,
            "bytes": 3,
            "manifest": f"{BLOB}/experiments/e/named/inputs/folder/_manifest.json",
            "mode": "direct",
            "source": f"{BLOB}/in/",
            "unchanged": 0,
        }
        assert result["inputs"]["one"]["uri"] == f"{BLOB}/in/b"
        assert result["inputs"]["one"]["type"] == "uri_file"
        assert read(workspace, result["inputs"]["copied"]["uri"]) == {"a": b"1", "b": b"22"}

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ({"x": "azureml://datastores/nowhere/paths/a"}, "no datastore 'nowhere'"),
            ({"x": "azureml://datastores"}, "is not an Azure ML URI"),
            ({"x": "empty/"}, "is empty; pass Input(…, allow_empty=True)"),
            ({"x": "in/", "y": "nothing/*.csv"}, "of input 'y' is empty"),
            ({"a-b": "in/"}, "'a-b' is not an input name"),
            (["in/"], "inputs has to be a dictionary; got list"),
            ("{{ params }}", "inputs has to be a dictionary; got a text. What a template gives is one"),
            ({}, "no inputs are given"),
            (None, "no inputs are given"),
        ],
    )
    def test_bad_input_moves_nothing(
        self, run: Run, workspace: WorkspaceHook, inputs: dict[str, str], message: str
    ) -> None:
        write(workspace, a=b"1")
        done = run(lambda: IngestToExperimentOperator(task_id="ingest", experiment="e", inputs=inputs))
        assert done.states == {"ingest": "failed"}
        assert message in done.log
        assert list(workspace.open().at("experiments/").list()) == []

    def test_a_retry_moves_only_what_is_missing(self, run: Run, workspace: WorkspaceHook) -> None:
        write(workspace, a=b"1", b=b"22")

        class Interrupted(IngestToExperimentOperator):
            """Is done with everything, and then lost before Airflow hears of it."""

            def execute(self, context: Any) -> dict[str, Any]:
                result = super().execute(context)
                if context["ti"].try_number == 1:
                    raise ConnectionError("the worker is lost")
                return result

        done = run(lambda: Interrupted(task_id="ingest", experiment="e", inputs={"x": "in/"}), retries=1)
        assert (done.tasks["ingest"].state, done.tasks["ingest"].tries) == ("success", 2)
        assert done["ingest"]["inputs"]["x"]["unchanged"] == 2
        assert read(workspace, done["ingest"]["inputs"]["x"]["uri"]) == {"a": b"1", "b": b"22"}

    def test_what_other_runs_have_taken_is_skipped(self, run: Run, workspace: WorkspaceHook) -> None:
        write(workspace, a=b"1")
        batches = []
        for name in ("fast", "slow"):
            watch = Watch(f"{BLOB}/in/", consumer="c", batch=name)
            batches.append(watch.record(workspace.open, watch.look(workspace.open, datetime.now(UTC))[0]))

        def fill() -> None:
            fast, slow = (
                IngestToExperimentOperator(task_id=f"ingest_{number}", experiment=f"e{number}", inputs={"x": batch})
                for number, batch in enumerate(batches)
            )
            fast >> slow

        done = run(fill)
        assert done.states == {"ingest_0": "success", "ingest_1": "skipped"}
        assert "have been taken by other runs of 'c'" in done.log


class TestRun:
    def test_inputs_outputs_and_metrics(self, run: Run, workspace: WorkspaceHook, tmp_path: Path) -> None:
        write(workspace, a=b"1", b=b"22")
        (tmp_path / "measure.sh").write_text("cat $1/* | wc -c")
        done = run(
            lambda: experiment(
                "n=$(bash measure.sh ${{inputs.x}}); echo measured $n $UNIT of ${{inputs.where}}"
                " && printf $n > ${{outputs.folder}}/n && printf '{\"bytes\": '$n'}' > ${{outputs.m}}",
                code=str(tmp_path),
                env={"UNIT": "bytes"},
                inputs={"x": "azureml://datastores/workspaceblobstore/paths/in/", "where": Input("in/", mode="direct")},
                outputs={"folder": None, "m": Output(type="uri_file")},
                metrics="m",
            )
        )
        result = done["run"]
        assert result["metrics"] == {"bytes": 3}
        assert read(workspace, result["outputs"]["folder"]["uri"]) == {"n": b"3"}
        metrics = workspace.open().at(parse_datastore_uri(result["outputs"]["m"]["uri"]).path)
        assert json.loads(metrics.read()) == {"bytes": 3}
        assert f"measured 3 bytes of {BLOB}/in/" in done.log
        assert set(result) == {"experiment", "run", "outputs", "metrics"}

    def test_code_is_found_beside_the_dags_file(self, run: Run) -> None:
        assert run(lambda: experiment("test -f test_experiment_operators.py", code=".")).succeeded

    def test_a_failing_command_fails_the_task_with_its_last_lines(self, run: Run, workspace: WorkspaceHook) -> None:
        done = run(
            lambda: experiment(
                "echo early; echo partial > ${{outputs.y}}/a; echo why it failed >&2; exit 3", outputs={"y": None}
            )
        )
        assert done.states == {"run": "failed"}
        assert (
            "ExperimentFailed: the command exited with code 3. Last lines of its output:\nearly\nwhy it failed"
            in done.log
        )
        assert list(workspace.open().at("experiments/").list()) == []

    def test_a_retry_runs_the_command_anew_and_replaces_the_outputs(
        self, run: Run, workspace: WorkspaceHook, tmp_path: Path
    ) -> None:
        tries = tmp_path / "tries"
        command = f"echo >> {tries}; n=$(wc -l < {tries}); printf try$n > ${{{{outputs.y}}}}/$n; test $n = 2"
        done = run(lambda: experiment(command, outputs={"y": f"{BLOB}/out/"}), retries=2)
        assert (done.tasks["run"].state, done.tasks["run"].tries) == ("success", 2)
        assert read(workspace, f"{BLOB}/out/") == {"2": b"try2"}

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"command": "cat ${{inputs.y}}"}, "there is no input 'y'; inputs: none"),
            ({"command": "true", "compute": "gpu-cluster"}, "use compute='local'"),
            ({"command": "true", "code": "nowhere"}, "nowhere' is not there"),
            ({"command": "true", "metrics": "m"}, "metrics='m' has to name an output of type 'uri_file'"),
            ({"command": "true", "outputs": {"m": {"type": "uri_file"}}}, "no file was written to output 'm'"),
            ({"command": "exit 1", "inputs": {"x": "azureml:asset"}}, "is not a data asset"),
            ({"command": "exit 1", "inputs": "{{ params }}"}, "inputs has to be a dictionary; got a text. What a"),
            ({"command": "exit 1", "outputs": ["y"]}, "outputs has to be a dictionary; got list"),
            ({"command": "exit 1", "env": {"N": None}}, "env holds texts; 'N' is NoneType"),
            ({"command": "exit 1", "env": "N=1"}, "env has to be a dictionary; got a text"),
        ],
    )
    def test_what_cannot_run(self, run: Run, given: dict[str, Any], message: str) -> None:
        done = run(lambda: experiment(**given))
        assert done.states == {"run": "failed"}
        assert message in done.log

    def test_airflows_secrets_stay_with_airflow(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_LAKE", "wasb://contoso:s3cret@")
        done = run(lambda: experiment("env"))
        assert done.succeeded
        assert "PATH=" in done.log
        assert "s3cret" not in done.log

    def test_numbers_in_the_environment(self, run: Run) -> None:
        assert "[2]" in run(lambda: experiment('echo "[$N]"', env={"N": 2})).log

    def test_python_is_the_one_that_runs_airflow(self, run: Run) -> None:
        done = run(lambda: experiment("python -c 'import sys; print(sys.prefix, chr(46))'"))
        assert f"{sys.prefix} ." in done.log

    def test_killing_the_task_ends_the_command(self, workspace: WorkspaceHook, tmp_path: Path) -> None:
        with DAG("killed", schedule=None):
            running = experiment(f"touch {tmp_path}/begun; sleep 600", workspace_conn_id=WORKSPACE)
        ti = type("TI", (), {"dag_id": "killed", "run_id": "r", "task_id": "run", "map_index": -1, "try_number": 1})()
        errors: list[BaseException] = []

        def work() -> None:
            try:
                running.execute({"ti": ti})
            except ExperimentFailed as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        deadline = time.monotonic() + 60
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        running.on_kill()
        thread.join(60)
        assert not thread.is_alive()
        assert "the command was ended, as its task was" in str(errors[0])


class TestPublish:
    def published(self, run: Run, content: str, policy: str, target: str = f"{BLOB}/out/") -> Finished:
        def fill() -> None:
            done = experiment(f"printf {content} > ${{{{outputs.y}}}}/{content}", outputs={"y": None, "z": None})
            PublishOutputsOperator(
                task_id="publish",
                run=done.output,
                outputs={"y": target},
                policy=policy,  # type: ignore[arg-type]
            )

        return run(fill)

    def test_policies(self, run: Run, workspace: WorkspaceHook) -> None:
        first = self.published(run, "a", "fail")
        assert first["publish"] == {
            "y": {"uri": f"{BLOB}/out/", "files": 1, "bytes": 1, "manifest": f"{BLOB}/out/_manifest.json"}
        }
        assert workspace.open().at("out/_SUCCESS").read() == b""
        refused = self.published(run, "b", "fail")
        assert refused.states == {"run": "success", "publish": "failed"}
        assert "choose policy 'overwrite' or 'merge'" in refused.log
        assert read(workspace, f"{BLOB}/out/") == {"a": b"a"}
        assert self.published(run, "b", "merge")["publish"]["y"]["files"] == 2
        assert read(workspace, f"{BLOB}/out/") == {"a": b"a", "b": b"b"}
        self.published(run, "c", "overwrite")
        assert read(workspace, f"{BLOB}/out/") == {"c": b"c"}

    def test_an_unknown_policy(self, run: Run, workspace: WorkspaceHook) -> None:
        done = self.published(run, "a", "append")
        assert done.states["publish"] == "failed"
        assert "the publish policy 'append' is unknown; choose one of fail, overwrite, merge" in done.log

    def test_a_retry_after_success_changes_nothing(self, run: Run, workspace: WorkspaceHook) -> None:
        class Interrupted(PublishOutputsOperator):
            def execute(self, context: Any) -> dict[str, Any]:
                result = super().execute(context)
                if context["ti"].try_number == 1:
                    raise ConnectionError("the worker is lost")
                return result

        def fill() -> None:
            done = experiment(
                "echo 1 > ${{outputs.y}}/a; echo 2 > ${{outputs.z}}", outputs={"y": None, "z": {"type": "uri_file"}}
            )
            Interrupted(
                task_id="publish", run=done.output, outputs={"y": f"{BLOB}/out/", "z": "files/z.txt"}, retries=1
            )

        done = run(fill)
        assert (done.tasks["publish"].state, done.tasks["publish"].tries) == ("success", 2)
        assert "is published already" in done.log
        assert read(workspace, f"{BLOB}/out/") == {"a": b"1\n"}
        assert done["publish"]["z"]["uri"] == f"{BLOB}/files/z.txt"
        assert read(workspace, f"{BLOB}/files/") == {"z.txt": b"2\n"}

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"outputs": {"x": "out/"}}, "the run has no output 'x'; its outputs: y"),
            ({"outputs": {}}, "no outputs are named to publish; the run's outputs: y"),
            ({"outputs": ["y"]}, "outputs has to be a dictionary; got list"),
            ({"outputs": {"y": "out/"}, "assets": ["y"]}, "assets has to be a dictionary; got list"),
            ({"outputs": {"y": f"{BLOB}/out/*"}}, "is a pattern where one place is needed"),
            ({"outputs": {"y": "azureml://datastores/nowhere/paths/out/"}}, "no datastore 'nowhere'"),
            ({"run": {}, "outputs": {"y": "out/"}}, "run has to be what a RunExperimentOperator returned"),
        ],
    )
    def test_what_cannot_be_published(
        self, run: Run, workspace: WorkspaceHook, given: dict[str, Any], message: str
    ) -> None:
        def fill() -> None:
            done = experiment("echo 1 > ${{outputs.y}}/a", outputs={"y": None})
            done >> PublishOutputsOperator(**{"task_id": "publish", "run": done.output, **given})

        done = run(fill)
        assert done.states == {"run": "success", "publish": "failed"}
        assert message in done.log
