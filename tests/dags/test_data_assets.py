"""Data assets in a DAG: made of inputs and outputs, and taken as sources."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_azureml_datastores import DataAsset, Datastore, Input, LocalDirectory, Output
from airflow_azureml_datastores.core.uri import parse_datastore_uri
from airflow_azureml_datastores.errors import DataAssetNotFound
from airflow_azureml_datastores.hooks import WorkspaceHook
from airflow_azureml_datastores.operators import (
    CopyDatastoreOperator,
    DownloadFromDatastoreOperator,
    IngestToExperimentOperator,
    PublishOutputsOperator,
    RunExperimentOperator,
)
from airflow_azureml_datastores.sensors import NewDataSensor
from tests.dags.conftest import WORKSPACE
from tests.dags.runs import Finished, run_dag
from tests.dags.test_two_workspaces import connect, fields
from tests.servers.fixtures import Servers

BLOB = "azureml://datastores/workspaceblobstore/paths"
Run = Callable[..., Finished]


EVERYWHERE = pytest.mark.parametrize("workspace", ["embedded", "azureml"], indirect=True)
"""Most tests make do with the embedded workspace, which is quicker."""


@pytest.fixture
def workspace(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, workspace_home: Path
) -> Iterator[WorkspaceHook]:
    """A new workspace behind the connection ``ml_workspace``: an embedded one, or one of Azure ML on Azurite."""
    connection: dict[str, Any] = {"conn_type": "azureml_local_workspace", "extra": {"home": str(workspace_home)}}
    if getattr(request, "param", "embedded") == "azureml":
        servers: Servers = request.getfixturevalue("servers")
        for name, value in servers.azureml.azure_environment.items():
            monkeypatch.setenv(name, value)
        connection = fields(servers.azureml, servers.azureml.new_workspace(blob=servers.azurite))
    connect(monkeypatch, connection)
    with WorkspaceHook(WORKSPACE) as hook:
        yield hook


@pytest.fixture
def run(request: pytest.FixtureRequest, workspace: WorkspaceHook) -> Run:
    """Runs a DAG that a function fills, without waiting before it tries again what has failed."""

    def run_filled(fill: Callable[[], Any], retries: int = 0, **given: Any) -> Finished:
        defaults = {"workspace_conn_id": WORKSPACE, "retries": retries, "retry_delay": timedelta(0)}
        with DAG(request.node.originalname, schedule=None, default_args=defaults) as dag:
            fill()
        return run_dag(dag, **given)

    return run_filled


def write(workspace: WorkspaceHook, folder: str, **files: bytes) -> None:
    for name, content in files.items():
        workspace.open().at(f"{folder}/{name}").write(content)


def read(workspace: WorkspaceHook, uri: str) -> dict[str, bytes]:
    """The data below a folder, by relative path."""
    parsed = parse_datastore_uri(uri)
    folder = workspace.open(parsed.datastore).at(parsed.path)
    return {path: folder.at(path).read() for path, _ in folder.list() if path not in ("_manifest.json", "_SUCCESS")}


def manifest(workspace: WorkspaceHook, uri: str) -> dict[str, Any]:
    parsed = parse_datastore_uri(uri)
    found: dict[str, Any] = json.loads(workspace.open(parsed.datastore).at(parsed.path).read())
    return found


def ingest(run_name: str, inputs: dict[str, Any], **given: Any) -> Callable[[], Any]:
    def fill() -> None:
        IngestToExperimentOperator(task_id="ingest", experiment="e", run=run_name, inputs=inputs, **given)

    return fill


class TestIngest:
    @EVERYWHERE
    def test_inputs_become_versions(self, run: Run, workspace: WorkspaceHook) -> None:
        write(workspace, "in", a=b"1", b=b"22")
        table = DataAsset(
            "sales_{{ ds_nodash[:0] }}raw", description="from {{ 'b' }}", tags={"by": "{{ task.task_id }}"}
        )
        result = run(
            ingest("r1", {"folder": "in/", "file": "in/b", "left": "in/a"}, assets={"folder": "all", "file": table})
        )["ingest"]["inputs"]
        assert result["folder"]["asset"] == "azureml:all:1"
        assert "asset" not in result["left"]
        folder = workspace.get_data("all")
        assert (folder.path, folder.type) == (f"{BLOB}/experiments/e/r1/inputs/folder/", "uri_folder")
        assert folder.digest.startswith("sha256:")
        file = workspace.get_data("sales_raw", "1")
        assert (file.path, file.type) == (f"{BLOB}/experiments/e/r1/inputs/file/b", "uri_file")
        assert (file.description, dict(file.tags)) == ("from b", {"by": "ingest"})

    def test_same_content_is_the_same_version(self, run: Run, workspace: WorkspaceHook) -> None:
        versions = []
        for run_name, content in [("r1", b"1"), ("r2", b"1"), ("r3", b"2"), ("r4", b"1")]:
            write(workspace, run_name, a=content)
            done = run(ingest(run_name, {"x": f"{run_name}/"}, assets={"x": "sales"}))
            versions.append(done["ingest"]["inputs"]["x"]["asset"])
        assert versions == ["azureml:sales:1", "azureml:sales:1", "azureml:sales:2", "azureml:sales:1"]

    @EVERYWHERE
    @pytest.mark.parametrize("mode", ["copy", "direct"])
    def test_same_source_is_the_same_version(self, run: Run, workspace: WorkspaceHook, mode: str) -> None:
        """Whatever is known of the content: copies inside a service leave no digests."""
        write(workspace, "in", a=b"1")
        for run_name in ("r1", "r2"):
            result = run(ingest(run_name, {"x": "in/"}, mode=mode, assets={"x": "sales"}))["ingest"]["inputs"]["x"]
            assert result["asset"] == "azureml:sales:1"

    def test_retry_gives_the_same_version(self, run: Run, workspace: WorkspaceHook) -> None:
        write(workspace, "in", a=b"1")

        class Interrupted(IngestToExperimentOperator):
            """Is done with everything, and then lost before Airflow hears of it."""

            def execute(self, context: Any) -> dict[str, Any]:
                result = super().execute(context)
                if context["ti"].try_number == 1:
                    raise RuntimeError("lost")
                return result

        def fill() -> None:
            Interrupted(task_id="ingest", experiment="e", inputs={"x": "in/"}, assets={"x": "sales"})

        done = run(fill, retries=1)
        assert done.tasks["ingest"].tries == 2
        assert done["ingest"]["inputs"]["x"]["asset"] == "azureml:sales:1"
        assert done["ingest"]["inputs"]["x"]["unchanged"] == 1

    def test_direct(self, run: Run, workspace: WorkspaceHook) -> None:
        write(workspace, "in", a=b"1")
        run(ingest("r", {"x": Input("in/", mode="direct")}, assets={"x": "sales"}))
        assert workspace.get_data("sales").path == f"{BLOB}/in/"

    def test_table(self, run: Run, workspace: WorkspaceHook) -> None:
        write(workspace, "in", MLTable=b"paths: []", data=b"1")
        run(ingest("r", {"x": "in/"}, assets={"x": DataAsset("table", type="mltable")}))
        assert workspace.get_data("table").type == "mltable"

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"assets": {"y": "sales"}}, "assets names the input 'y', but the inputs are: x"),
            ({"assets": {"x": "a/b"}}, "'a/b' is not a data asset's name"),
            ({"assets": {"x": 1}}, "a data asset's name or a DataAsset; got int"),
            ({"assets": {"x": DataAsset("sales", path="in/")}}, "has a path, which is not for you to give"),
            ({"assets": {"x": DataAsset("sales", version="3")}}, "has a version, which is not for you to give"),
            ({"assets": {"x": DataAsset("sales", type="uri_file")}}, "'x' is a folder, but data asset 'sales'"),
            ({"assets": {"x": DataAsset("sales", type="mltable")}}, "there is no file 'MLTable' in"),
            ({"inputs": {"x": "in/*"}, "mode": "direct", "assets": {"x": "sales"}}, "ingest it with mode 'copy'"),
            ({"inputs": {"x": "azureml:nothing@latest"}}, "no data asset 'nothing' in workspace"),
            ({"inputs": {"x": Input("azureml:nothing:1", allow_empty=True)}}, "no data asset 'nothing' in workspace"),
            ({"inputs": {"x": "azureml:nothing@newest"}}, "the only label of a data asset is 'latest'"),
            ({"inputs": {"x": "azureml://jobs/j/outputs/o/paths/"}}, "has no jobs"),
        ],
    )
    def test_bad_input_moves_nothing(
        self, run: Run, workspace: WorkspaceHook, given: dict[str, Any], message: str
    ) -> None:
        write(workspace, "in", a=b"1")
        done = run(ingest("r", **{"inputs": {"x": "in/"}, **given}))
        assert done.states == {"ingest": "failed"}
        assert message in done.log
        assert list(workspace.open().at("experiments/").list()) == []
        with pytest.raises(DataAssetNotFound):
            workspace.get_data("sales")


class TestSource:
    @pytest.fixture(autouse=True)
    def sales(self, run: Run, workspace: WorkspaceHook) -> None:
        for number in (1, 2):
            write(workspace, f"in{number}", a=str(number).encode())
            run(ingest(f"r{number}", {"x": f"in{number}/"}, assets={"x": "sales"}))

    @pytest.mark.parametrize(
        ("workspace", "mode", "source", "version"),
        [
            ("embedded", "copy", "azureml:sales:1", 1),
            ("embedded", "copy", {"path": "azureml:sales@latest"}, 2),
            ("embedded", "copy", Input("azureml:sales:{{ 1 }}", mode="copy"), 1),
            ("embedded", "direct", "azureml:sales@latest", 2),
            ("azureml", "copy", "azureml:sales@latest", 2),
            ("azureml", "direct", "azureml:sales:1", 1),
        ],
        indirect=["workspace"],
    )
    def test_of_an_ingest(self, run: Run, workspace: WorkspaceHook, source: Any, version: int, mode: str) -> None:
        result = run(ingest("next", {"x": source}, mode=mode))["ingest"]["inputs"]["x"]
        assert read(workspace, result["uri"]) == {"a": str(version).encode()}
        assert result["source"] == f"azureml:sales:{version}"
        record = manifest(workspace, result["manifest"])
        assert record["source"] == f"{BLOB}/experiments/e/r{version}/inputs/x/"
        assert record["origin"]["asset"] == f"azureml:sales:{version}"

    @EVERYWHERE
    def test_of_a_run(self, run: Run, workspace: WorkspaceHook) -> None:
        def fill() -> None:
            RunExperimentOperator(
                task_id="run",
                experiment="e",
                command="cat ${{inputs.x}}/a > ${{outputs.y}}/b",
                inputs={"x": "azureml:sales@latest"},
                outputs={"y": None},
            )

        assert read(workspace, run(fill)["run"]["outputs"]["y"]["uri"]) == {"b": b"2"}

    def test_of_copies(self, run: Run, workspace: WorkspaceHook, tmp_path: Path) -> None:
        def fill() -> None:
            CopyDatastoreOperator(task_id="copy", source="azureml:sales:1", target="copied/")
            DownloadFromDatastoreOperator(
                task_id="download", source="azureml:sales@latest", local_path=str(tmp_path / "down")
            )

        done = run(fill)
        assert done["copy"]["source"] == "azureml:sales:1"
        assert done["download"]["source"] == "azureml:sales:2"
        assert manifest(workspace, done["copy"]["manifest"])["origin"]["asset"] == "azureml:sales:1"
        assert read(workspace, f"{BLOB}/copied/")["a"] == b"1"
        assert (tmp_path / "down" / "a").read_bytes() == b"2"

    @EVERYWHERE
    def test_of_a_sensor(self, run: Run, workspace: WorkspaceHook) -> None:
        def fill() -> None:
            new = NewDataSensor(task_id="wait", path="azureml:sales@latest", consumer="c", poke_interval=0.1)
            IngestToExperimentOperator(task_id="ingest", experiment="e", run="new", inputs={"x": new.output})

        done = run(fill)
        assert done["wait"]["uri"] == f"{BLOB}/experiments/e/r2/inputs/x/"
        assert read(workspace, done["ingest"]["inputs"]["x"]["uri"]) == {"a": b"2"}
        assert done["ingest"]["inputs"]["x"]["source"] == "azureml:sales:2"

    @pytest.mark.parametrize("path", ["azureml:sales:1", "azureml:sales@latest"])
    def test_is_no_target(self, run: Run, workspace: WorkspaceHook, path: str) -> None:
        done = run(lambda: CopyDatastoreOperator(task_id="copy", source="in1/", target=path))
        assert done.states == {"copy": "failed"}
        assert f"{path!r} is no place to write to" in done.log

    def test_whose_path_has_other_content_by_now(self, run: Run, workspace: WorkspaceHook) -> None:
        write(workspace, "in1", a=b"3")
        assert run(ingest("r1", {"x": "in1/"}, assets={"x": "sales"}))["ingest"]["inputs"]["x"]["asset"][-1] == "3"
        done = run(ingest("next", {"x": "azureml:sales:1"}))
        assert done.states == {"ingest": "failed"}
        assert "the data of azureml:sales:1 in workspace" in done.log
        assert "holds azureml:sales:3 now" in done.log


class TestPublish:
    @pytest.fixture(autouse=True)
    def gold(self, workspace: WorkspaceHook, tmp_path: Path) -> None:
        (tmp_path / "gold").mkdir()
        workspace.register(Datastore("gold", LocalDirectory(str(tmp_path / "gold"))))

    @staticmethod
    def publish(text: str = "1", **given: Any) -> Callable[[], Any]:
        def fill() -> None:
            made = RunExperimentOperator(
                task_id="run",
                experiment="e",
                command=f"echo {text} > ${{{{outputs.model}}}}/m; echo {{}} > ${{{{outputs.report}}}}",
                outputs={"model": Output(), "report": Output(type="uri_file")},
            )
            gold = "azureml://datastores/gold/paths"
            targets = {"model": f"{gold}/model/", "report": f"{gold}/report.json"}
            PublishOutputsOperator(
                task_id="publish", run=made.output, **{"outputs": targets, "policy": "overwrite", **given}
            )

        return fill

    @EVERYWHERE
    def test_outputs_become_versions(self, run: Run, workspace: WorkspaceHook) -> None:
        assets = {"model": DataAsset("model", tags={"stage": "gold"}), "report": "report"}
        result = run(self.publish(assets=assets))["publish"]
        assert (result["model"]["asset"], result["report"]["asset"]) == ("azureml:model:1", "azureml:report:1")
        model, report = workspace.get_data("model"), workspace.get_data("report")
        assert (model.path, model.type) == ("azureml://datastores/gold/paths/model/", "uri_folder")
        assert dict(model.tags) == {"stage": "gold"}
        assert (report.path, report.type) == ("azureml://datastores/gold/paths/report.json", "uri_file")

    @EVERYWHERE
    def test_same_content_is_the_same_version(self, run: Run, workspace: WorkspaceHook) -> None:
        found = [run(self.publish(text, assets={"model": "model"}))["publish"]["model"]["asset"] for text in "1121"]
        assert found == ["azureml:model:1", "azureml:model:1", "azureml:model:2", "azureml:model:3"]

    def test_what_is_merged_is_one_version(self, run: Run, workspace: WorkspaceHook) -> None:
        workspace.open("gold").at("model/MLTable").write(b"paths: []")
        assets = {"model": DataAsset("model", type="mltable")}
        assert run(self.publish(policy="merge", assets=assets)).succeeded
        assert workspace.get_data("model").type == "mltable"
        assert sorted(read(workspace, workspace.resolve("azureml:model@latest"))) == ["MLTable", "m"]

    @EVERYWHERE
    def test_retry_gives_the_same_version(
        self, run: Run, workspace: WorkspaceHook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The worker is lost when one output is registered and the other one is not."""
        register_data = WorkspaceHook.register_data
        calls: list[str] = []

        def interrupted(hook: WorkspaceHook, asset: DataAsset) -> DataAsset:
            calls.append(asset.name)
            if len(calls) == 2:
                raise RuntimeError("lost")
            return register_data(hook, asset)

        monkeypatch.setattr(WorkspaceHook, "register_data", interrupted)
        done = run(self.publish(policy="fail", assets={"model": "model", "report": "report"}), retries=1)
        assert done.tasks["publish"].tries == 2
        assert calls == ["model", "report", "model", "report"]
        result = done["publish"]
        assert (result["model"]["asset"], result["report"]["asset"]) == ("azureml:model:1", "azureml:report:1")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"assets": {"x": "m"}}, "assets names the output 'x', but the outputs are: model, report"),
            ({"assets": {"model": ""}}, "'' is not a data asset's name"),
            ({"assets": {"model": DataAsset("m", digest="sha256:1")}}, "has a digest, which is not for you to give"),
            ({"assets": {"model": DataAsset("m", type="mltable")}}, "there is no file 'MLTable' in"),
            ({"assets": {"report": DataAsset("m", type="mltable")}}, "there is no file 'MLTable' in"),
            ({"outputs": {"model": "azureml:model:1"}}, "'azureml:model:1' is no place to write to"),
            (
                {"outputs": {"model": "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/x/"}},
                "is in the Azure ML workspace",
            ),
        ],
    )
    def test_bad_input_publishes_nothing(
        self, run: Run, workspace: WorkspaceHook, given: dict[str, Any], message: str
    ) -> None:
        done = run(self.publish(**given))
        assert done.states == {"run": "success", "publish": "failed"}
        assert message in done.log
        assert list(workspace.open("gold").list()) == []
        with pytest.raises(DataAssetNotFound):
            workspace.get_data("m")
