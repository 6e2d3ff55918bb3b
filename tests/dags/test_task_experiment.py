"""Functions as experiments: ``@task.experiment`` in a DAG."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, XComArg, task

from airflow_azureml_datastores import Input, Output
from airflow_azureml_datastores.compute._mount_system import is_mounted
from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.core.uri import parse_datastore_uri
from airflow_azureml_datastores.errors import InvalidInput
from airflow_azureml_datastores.hooks import WorkspaceHook
from airflow_azureml_datastores.operators import IngestToExperimentOperator, PublishOutputsOperator
from tests.dags.conftest import WORKSPACE
from tests.dags.runs import Finished, run_dag
from tests.integration.mounts import require_mounts

BLOB = "azureml://datastores/workspaceblobstore/paths"

Run = Callable[..., Finished]


@pytest.fixture
def run(request: pytest.FixtureRequest, workspace: WorkspaceHook) -> Run:
    """Runs a DAG that a function fills, without waiting before it tries again what has failed."""

    def run_filled(fill: Callable[[], Any], retries: int = 0) -> Finished:
        defaults = {"workspace_conn_id": WORKSPACE, "retries": retries, "retry_delay": timedelta(0)}
        with DAG(request.node.originalname, schedule=None, default_args=defaults) as dag:
            fill()
        return run_dag(dag)

    return run_filled


def read(workspace: WorkspaceHook, uri: str) -> dict[str, bytes]:
    """The data below a folder, by relative path."""
    parsed = parse_datastore_uri(uri)
    folder = workspace.open(parsed.datastore).at(parsed.path)
    return {path: folder.at(path).read() for path, _ in folder.list() if path not in ("_manifest.json", "_SUCCESS")}


@pytest.fixture
def numbers(workspace: WorkspaceHook) -> str:
    """A folder of the default datastore with two files."""
    for name, content in {"a": b"1", "deep/b": b"22"}.items():
        workspace.open().at(f"in/{name}").write(content)
    return f"{BLOB}/in/"


def test_reads_writes_and_returns(run: Run, workspace: WorkspaceHook, numbers: str) -> None:
    def fill() -> None:
        @task.experiment(
            inputs={"folder": numbers, "one": Input("in/a"), "where": Input("in/", mode="direct"), "factor": 3},
            outputs={"kept": None, "published": f"{BLOB}/out/{{{{ dag.dag_id }}}}/", "card": Output(type="uri_file")},
            metrics="card",
        )
        def count(
            day: str, folder: Path, one: Path, where: str, factor: int, kept: Path, published: Path, card: Path
        ) -> int:
            found = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
            assert (found, one.read_bytes(), where) == (["a", "deep/b"], b"1", numbers)
            (kept / "day").write_text(day)
            (published / "deep").mkdir()
            (published / "deep" / "n").write_text(str(factor * len(found)))
            card.write_text('{"files": 2}')
            return factor * len(found)

        @task
        def show(number: int) -> int:
            return number + 1

        show(count("{{ dag_run.run_id }}"))

    done = run(fill)
    assert done.succeeded
    assert (done["count"], done["show"]) == (6, 7)
    record = xcom(done, "count", "run")
    assert set(record) == {"experiment", "run", "outputs", "metrics"}
    assert (record["experiment"], record["metrics"]) == ("count", {"files": 2})
    assert record["outputs"]["kept"]["uri"] == f"{BLOB}/experiments/count/{record['run']}/outputs/kept/"
    assert read(workspace, record["outputs"]["kept"]["uri"]) == {"day": done.run.run_id.encode()}
    assert read(workspace, f"{BLOB}/out/test_reads_writes_and_returns/") == {"deep/n": b"6"}
    assert workspace.open().at("out/test_reads_writes_and_returns/_SUCCESS").read() == b""


def xcom(done: Finished, task_id: str, key: str) -> Any:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        query = XComModel.get_many(run_id=done.run.run_id, dag_ids=done.run.dag_id, task_ids=task_id, key=key)
        row = session.scalars(query).one()
        return XComModel.deserialize_value(row)


def test_between_an_ingest_and_a_publish(run: Run, workspace: WorkspaceHook, numbers: str) -> None:
    def fill() -> None:
        ingest = IngestToExperimentOperator(
            task_id="ingest",
            experiment="e",
            run="r",
            mode="direct",
            inputs={"x": f"{numbers}*", "where": f"{numbers}a"},
        )

        @task.experiment(
            run=ingest.output,
            inputs={"x": ingest.output, "where": Input(ingest.output, mode="direct")},
            outputs={"y": None},
        )
        def double(x: Path, where: str, y: Path) -> None:
            assert where == f"{numbers}a"
            for file in x.iterdir():
                (y / file.name).write_bytes(file.read_bytes() * 2)

        doubled: Any = double()
        PublishOutputsOperator(task_id="publish", run=doubled["run"], outputs={"y": f"{BLOB}/out/"})

    done = run(fill)
    assert done.succeeded
    assert done["publish"]["y"]["files"] == 1
    assert read(workspace, f"{BLOB}/out/") == {"a": b"11"}
    assert read(workspace, f"{BLOB}/experiments/e/r/outputs/y/") == {"a": b"11"}


def test_a_data_asset_and_arguments_by_position(run: Run, workspace: WorkspaceHook, numbers: str) -> None:
    version = workspace.register_data(DataAsset("numbers", numbers)).version

    def fill() -> None:
        @task.experiment(inputs={"x": f"azureml:numbers:{version}", "latest": "azureml:numbers@latest"})
        def look(x: Path, label: str, latest: Path, /, other: str = "default") -> str:
            assert (x / "a").read_bytes() == (latest / "a").read_bytes() == b"1"
            return f"{label} {other}"

        look("given")

    assert run(fill)["look"] == "given default"


def test_shows_its_source_without_the_decorator() -> None:
    called: Any = made(waits_not, inputs={"x": 1}, task_id="work")
    assert called.operator.get_python_source().startswith("def waits_not(x: Path)")


def waits_not(x: Path) -> None: ...


def test_several_values_and_the_context(run: Run) -> None:
    def fill() -> None:
        @task.experiment(outputs={"y": None}, multiple_outputs=True)
        def split(y: Path, ti: Any = None, **context: Any) -> dict[str, Any]:
            return {"task": ti.task_id, "dag": context["dag"].dag_id, "empty": not list(y.iterdir())}

        split()

    done = run(fill)
    assert done.succeeded
    assert [xcom(done, "split", key) for key in ("task", "dag", "empty")] == [
        "split",
        "test_several_values_and_the_context",
        True,
    ]
    assert xcom(done, "split", "run")["outputs"]["y"]["files"] == 0


def test_a_key_that_is_taken(run: Run, workspace: WorkspaceHook) -> None:
    def fill() -> None:
        @task.experiment(outputs={"y": None}, multiple_outputs=True)
        def split(y: Path) -> dict[str, Any]:
            return {"run": 1}

        split()

    done = run(fill)
    assert done.states == {"split": "failed"}
    assert "the key 'run' of the returned values is taken" in done.log
    assert list(workspace.open().at("experiments/").list()) == []


def test_mapped_and_in_a_group(run: Run, workspace: WorkspaceHook, numbers: str) -> None:
    def fill() -> None:
        from airflow.sdk import task_group

        @task_group
        def group() -> None:
            @task.experiment(inputs={"x": f"{BLOB}/in/a"}, outputs={"y": None})
            def write(number: int, x: Path, y: Path) -> None:
                (y / "n").write_text(x.read_text() + str(number))

            write.expand(number=[5, 6])

        group()

    done = run(fill)
    assert done.succeeded
    written = {path: c for path, c in read(workspace, f"{BLOB}/experiments/").items() if path.endswith("/n")}
    assert sorted(written.values()) == [b"15", b"16"]
    assert {path.partition("/")[0].rpartition("-")[0] for path in written} == {"group-write"}
    assert sorted(path.split("/")[1].rpartition("-")[2] for path in written) == ["0", "1"]


def test_through_mounts(run: Run, workspace: WorkspaceHook, numbers: str) -> None:
    require_mounts()

    def fill() -> None:
        @task.experiment(
            inputs={"x": Input(f"{numbers}**/b", mode="ro_mount"), "live": Input("in/", mode="rw_mount")},
            outputs={"y": Output(f"{BLOB}/out/", mode="rw_mount"), "f": Output(mode="rw_mount", type="uri_file")},
            metrics="f",
        )
        def work(x: Path, live: Path, y: Path, f: Path) -> list[str]:
            (live / "new").write_text("3")
            (y / "deep").mkdir()
            (y / "deep" / "b").write_bytes((x / "deep" / "b").read_bytes())
            f.write_text('{"mounted": 1}')
            return [str(file.relative_to(x)) for file in x.rglob("*") if file.is_file()]

        work()

    done = run(fill)
    assert done["work"] == ["deep/b"]
    assert read(workspace, numbers) == {"a": b"1", "deep/b": b"22", "new": b"3"}
    assert read(workspace, f"{BLOB}/out/") == {"deep/b": b"22"}
    assert xcom(done, "work", "run")["metrics"] == {"mounted": 1}


@pytest.mark.parametrize("mode", ["upload", "rw_mount"])
def test_nothing_is_published_if_it_raises(run: Run, workspace: WorkspaceHook, mode: Any, tmp_path: Path) -> None:
    if mode == "rw_mount":
        require_mounts()

    def fill() -> None:
        @task.experiment(
            outputs={"kept": Output(mode=mode), "published": Output(f"{BLOB}/out/", mode=mode), "file": None}
        )
        def work(kept: Path, published: Path, file: Path) -> None:
            (tmp_path / "seen").write_text(str(kept))
            (kept / "a").write_text("partial")
            (published / "a").write_text("partial")
            raise RuntimeError("half way")

        work()

    done = run(fill)
    assert done.states == {"work": "failed"}
    assert "half way" in done.log
    assert [path for path, _ in workspace.open().list()] == []
    assert not Path((tmp_path / "seen").read_text()).exists()


def test_a_retry_starts_afresh_and_replaces(run: Run, workspace: WorkspaceHook, tmp_path: Path) -> None:
    def fill() -> None:
        @task.experiment(outputs={"y": f"{BLOB}/out/"})
        def work(y: Path, ti: Any = None) -> None:
            assert list(y.iterdir()) == []
            (y / str(ti.try_number)).write_text("")
            if ti.try_number == 1:
                raise RuntimeError("not yet")

        work()

    done = run(fill, retries=1)
    assert (done.tasks["work"].state, done.tasks["work"].tries) == ("success", 2)
    assert read(workspace, f"{BLOB}/out/") == {"2": b""}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"inputs": {"x": "azureml://datastores/nowhere/paths/a"}}, "no datastore 'nowhere'"),
        ({"inputs": {"x": Input("missing/")}}, "of input 'x' is empty"),
        ({"inputs": {"x": Input("in/*", mode="rw_mount")}}, "is for a whole folder, but"),
        ({"outputs": {"x": "azureml://datastores/nowhere/paths/a/"}}, "no datastore 'nowhere'"),
        ({"outputs": {"x": f"{BLOB}/out/", "y": f"{BLOB}/out/deep/"}}, "would be published into each other"),
        ({"outputs": {"x": "azureml:asset:1"}}, "is not a place in a datastore"),
        ({"outputs": {"x": {"kind": "uri_file"}}}, "an output has no field 'kind'; it has: path, mode, type"),
        ({"outputs": {"x": None}, "metrics": "x"}, "metrics='x' has to name an output of type 'uri_file'"),
    ],
)
def test_what_cannot_run(run: Run, numbers: str, given: dict[str, Any], message: str, tmp_path: Path) -> None:
    def fill() -> None:
        @task.experiment(**given)
        def work(x: Any = None, y: Any = None) -> None:
            (tmp_path / "ran").touch()

        work()

    done = run(fill)
    assert done.states == {"work": "failed"}
    assert message in done.log
    assert not (tmp_path / "ran").exists()


def made(function: Callable[..., Any], *args: Any, **given: Any) -> XComArg:
    called: XComArg = task.experiment(**{"inputs": {}, "outputs": {}, **given})(function)(*args)
    return called


async def waits(x: Path) -> None: ...


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        (lambda x: None, {"inputs": {"z": 1}}, "has no parameter 'z' for the input of this name; its parameters: x"),
        (lambda x: None, {"outputs": {"z": None}}, "has no parameter 'z' for the output of this name"),
        (lambda **more: None, {"inputs": {"more": 1}}, "has no parameter 'more'"),
        (lambda x: None, {"inputs": {"x": 1}, "outputs": {"x": None}}, "'x' of <lambda>() is both an input and an"),
        (lambda *x: None, {"inputs": {"x": 1}}, r"takes *args"),
        (waits, {"inputs": {"x": 1}}, "is asynchronous or a generator"),
        (lambda x: (yield), {"inputs": {"x": 1}}, "is asynchronous or a generator"),
        (lambda x: None, {"inputs": ["x"]}, "have to be a dictionary"),
    ],
)
def test_refused_when_the_dag_is_parsed(function: Callable[..., Any], given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        made(function, **given, task_id="work")
    assert message in str(refused.value)


def test_an_input_in_the_call() -> None:
    @task.experiment(inputs={"x": 1})
    def work(x: int) -> None: ...

    with pytest.raises(InvalidInput, match=r"'x' of work.* is an input or output: leave it out"):
        work(x=2)


@pytest.mark.parametrize(
    ("given", "call", "message"),
    [
        ({"inputs": {"z": 1}}, lambda made: made.expand(n=[1]), "has no parameter 'z' for the input of this name"),
        ({"inputs": {"x": 1}}, lambda made: made.expand(x=[1]), "'x' of work() is an input or output: leave it out"),
        ({"inputs": {"x": 1}}, lambda made: made.partial(x=1).expand(n=[1]), "'x' of work() is an input or output"),
        ({"outputs": {"x": None}}, lambda made: made.expand_kwargs([{"n": 1, "x": 2}]), "'x' of work() is an input or"),
    ],
)
def test_a_mapped_task_is_looked_at_when_the_dag_is_parsed(
    given: dict[str, Any], call: Callable[[Any], Any], message: str
) -> None:
    def work(x: Path, n: int) -> None: ...

    with pytest.raises(InvalidInput) as refused:
        call(task.experiment(**given)(work))
    assert message in str(refused.value)


def test_a_call_without_what_it_needs() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'day'"):
        made(lambda x, day: None, inputs={"x": 1}, task_id="work")


def test_depends_on_what_its_inputs_come_from() -> None:
    with DAG("depends", schedule=None):
        ingest = IngestToExperimentOperator(task_id="ingest", experiment="e", inputs={"x": "in/"})

        @task.experiment(inputs={"x": Input(ingest.output, mode="ro_mount")})
        def work(x: Path) -> None: ...

        called: Any = work()
    assert called.operator.upstream_task_ids == {"ingest"}


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("mode", "caught", "then"),
    [
        ("upload", "Exception", "time.sleep(600)"),
        ("rw_mount", "Exception", "time.sleep(600)"),
        ("upload", "BaseException", "return"),
    ],
)
def test_ends_when_its_task_is_killed(mode: str, caught: str, then: str, workspace_home: Path, tmp_path: Path) -> None:
    """Airflow's own handler of SIGTERM calls ``on_kill`` and lets the function go on."""
    if mode == "rw_mount":
        require_mounts()
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import signal, time
            from pathlib import Path
            from airflow.sdk import DAG, task

            with DAG("killed", schedule=None):
                @task.experiment(outputs={{"y": {{"mode": {mode!r}}}}})
                def work(y: Path):
                    (y / "half").touch()
                    Path({str(tmp_path)!r}, "folder").write_text(str(y))
                    Path({str(tmp_path)!r}, "begun").touch()
                    try:
                        time.sleep(600)
                    except {caught}:
                        {then}

                operator = work().operator
                operator.workspace_conn_id = {WORKSPACE!r}
            signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
            fields = dict(dag_id="killed", run_id="r", task_id="work", map_index=-1, try_number=1)
            operator.execute({{"ti": type("TI", (), fields)()}})
            """
        )
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "begun").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert "ExperimentFailed: the function was ended, as its task was." in errors
    assert list(tmp_path.glob("azureml-run-*")) == []
    assert Path((tmp_path / "folder").read_text()).is_relative_to(tmp_path)
    assert not (workspace_home / "workspaceblobstore" / "experiments").exists()
    assert not is_mounted((tmp_path / "folder").read_text())
