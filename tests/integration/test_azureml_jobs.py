"""Experiments as jobs of Azure ML: submitted by azure-ai-ml, and run by a cluster that really runs the command."""

from __future__ import annotations

import io
import logging
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import ContainerClient

from airflow_azureml_datastores import Input, Output
from airflow_azureml_datastores.compute.azureml_job import LOG_LINES
from airflow_azureml_datastores.compute.experiment import LocalExperiment
from airflow_azureml_datastores.compute.local_process import LocalProcess
from airflow_azureml_datastores.core.credentials import AccessToken
from airflow_azureml_datastores.core.job import JobSpec
from airflow_azureml_datastores.errors import (
    AccessDenied,
    DatastoresError,
    ExperimentFailed,
    InvalidInput,
    MissingExtra,
    NotFound,
)
from airflow_azureml_datastores.transfer.ingest import ingest
from airflow_azureml_datastores.transfer.publish import prepare_publish
from airflow_azureml_datastores.transfer.source import from_manifest, read_manifest
from airflow_azureml_datastores.workspaces import _azureml_run_history
from airflow_azureml_datastores.workspaces._arm import WORKSPACE, ArmClient
from airflow_azureml_datastores.workspaces.azureml import AzureMLWorkspace
from tests.integration.azureml_try import RUN, Door, in_a_process, task
from tests.servers.azureml import ArmError, AzureML, LoseResponse, Meanwhile, Workspace, quota_exceeded
from tests.servers.azureml.cluster import ClusterRun, JobFailed, run_command
from tests.servers.azureml.datastores import create_container
from tests.servers.fixtures import Servers

pytestmark = pytest.mark.xdist_group("azureml jobs")

BLOB = "azureml://datastores/workspaceblobstore/paths"
CURATED = "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"
RUN_FOLDER = f"{BLOB}/{RUN.folder}"


@pytest.fixture
def azureml(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureML]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(servers.azureml.ca))
    yield servers.azureml
    servers.azureml.clear_plan()


@pytest.fixture
def workspace(azureml: AzureML, servers: Servers) -> Workspace:
    return azureml.new_workspace(blob=servers.azurite)


@pytest.fixture
def door(azureml: AzureML, workspace: Workspace) -> Door:
    return Door(azureml.url, azureml.token(), asdict(workspace.id), str(azureml.ca))


@pytest.fixture
def blobs(workspace: Workspace, servers: Servers) -> Iterator[ContainerClient]:
    """The container of ``workspaceblobstore``."""
    blob = servers.azurite
    credential = AzureNamedKeyCredential(blob.account, blob.key)
    with ContainerClient(blob.url, str(workspace.container), credential=credential) as container:
        yield container


def submitted(workspace: Workspace) -> dict[str, Any]:
    """What the service has of the only job."""
    (job,) = workspace.jobs.all.values()
    return dict(job.properties)


def run(door: Door, **given: Any) -> dict[str, Any]:
    with task(door, **given) as experiment:
        return experiment.finish(experiment.wait(experiment.start(), poll=0.02))


class TestRun:
    def test_code_inputs_outputs_metrics(
        self, door: Door, workspace: Workspace, blobs: ContainerClient, tmp_path: Path
    ) -> None:
        (tmp_path / "train.py").write_text(
            "import json, pathlib, sys\n"
            "sales, model, metrics, name = map(pathlib.Path, sys.argv[1:])\n"
            "rows = [line for file in sorted(sales.rglob('*.csv')) for line in file.read_text().split()]\n"
            "(model / 'deep').mkdir()\n"
            "(model / 'deep' / 'rows.txt').write_text(' '.join(rows) + f' {name}')\n"
            "metrics.write_text(json.dumps({'rows': len(rows)}))\n"
        )
        blobs.upload_blob("in/a.csv", b"1\n2\n")
        blobs.upload_blob("in/deep/b.csv", b"3\n")
        workspace.jobs.runs(run_command)
        result = run(
            door,
            command="python train.py ${{inputs.sales}} ${{outputs.model}} ${{outputs.metrics}} ${{inputs.name}}",
            inputs={"sales": f"{BLOB}/in/", "name": "it's $5; ok"},
            outputs={"model": {}, "metrics": {"type": "uri_file"}},
            metrics="metrics",
            code=str(tmp_path),
        )
        (job,) = workspace.jobs.all
        model = result["outputs"]["model"]
        assert result["job"] == job
        assert result["metrics"] == {"rows": 3}
        assert (model["uri"], model["files"]) == (f"{RUN_FOLDER}outputs/model/", 1)
        written = blobs.download_blob(f"{RUN.folder}outputs/model/deep/rows.txt").readall()
        assert written == b"1 2 3 it's $5; ok"

    def test_the_same_as_on_the_worker(
        self, door: Door, workspace: Workspace, blobs: ContainerClient, tmp_path: Path
    ) -> None:
        workspace.jobs.runs(run_command)
        blobs.upload_blob("in/a.csv", b"1\n2\n")
        command = "wc -l < ${{inputs.x}}/a.csv > ${{outputs.y}}/n; echo ${{inputs.v}} > ${{outputs.z}}"
        outputs = {"y": Output(), "z": Output(type="uri_file")}
        with task(door) as experiment:
            found = ingest(experiment.open_datastore, RUN, {"x": "in/"}, say=print)
            inputs = {"x": found["x"], "v": 'a "b" \\ $c *'}
            local = LocalExperiment(
                experiment.open_datastore, RUN, command, inputs, outputs, say=print, on_line=print
            ).execute(LocalProcess())
            there = {blob.name: blob.size for blob in blobs.list_blobs(f"{RUN.folder}outputs/")}
            contents = {name: blobs.download_blob(name).readall() for name in there if "_manifest" not in name}
        result = run(door, command=command, inputs=inputs, outputs={"y": {}, "z": {"type": "uri_file"}})
        assert result.pop("job") in workspace.jobs.all
        assert result == local
        assert {name: blobs.download_blob(name).readall() for name in contents} == contents
        assert contents[f"{RUN.folder}outputs/z/z"] == b'a "b" \\ $c *\n'

    def test_what_is_published_and_can_be(self, door: Door, workspace: Workspace, blobs: ContainerClient) -> None:
        blobs.upload_blob("models/latest/old.bin", b"old")
        workspace.jobs.runs(lambda job: job.write("model", "new.bin", b"new"))
        result = run(door, outputs={"model": {"path": f"{BLOB}/models/latest/", "mode": "rw_mount"}})
        there = set(blobs.list_blob_names(name_starts_with="models/"))
        assert there == {f"models/latest/{name}" for name in ("new.bin", "_SUCCESS", "_manifest.json")}
        with task(door) as experiment:
            opened = experiment.open_datastore
            source = from_manifest(opened, read_manifest(opened, result["outputs"]["model"]["manifest"]))
            target = opened(None).at("copies/")
            prepare_publish(source, target, policy="fail", publisher="test", label="[publish]", say=print)()
        assert blobs.download_blob("copies/new.bin").readall() == b"new"

    def test_what_the_service_gets(self, door: Door, workspace: Workspace, blobs: ContainerClient) -> None:
        blobs.upload_blob("in/a.csv", b"1")
        workspace.data.plant("table", "3", {"dataType": "uri_folder", "dataUri": f"{BLOB}/in/"})
        workspace.jobs.plays("Completed")
        run(
            door,
            command="train ${{inputs.x}} ${{inputs.t}} ${{outputs.y}}",
            inputs={"x": Input(f"{BLOB}/in/a.csv", mode="ro_mount"), "t": "azureml:table@latest"},
            outputs={"y": {"mode": "rw_mount"}},
            env={"LEVEL": "2"},
            options={
                "instance_count": 2,
                "distribution": {"type": "pytorch", "process_count_per_instance": 4},
                "timeout": 5400,
                "display_name": "train it",
                "tags": {"team": "churn"},
            },
        )
        job = submitted(workspace)
        assert job["command"] == "train ${{inputs.x}} ${{inputs.t}} ${{outputs.y}}"
        assert job["experimentName"] == RUN.experiment
        assert job["inputs"]["x"]["uri"] == f"{BLOB}/in/a.csv"
        assert (job["inputs"]["x"]["jobInputType"], job["inputs"]["x"]["mode"]) == ("uri_file", "ReadOnlyMount")
        assert job["inputs"]["t"]["uri"].endswith("/data/table/versions/3")
        assert (job["outputs"]["y"]["uri"], job["outputs"]["y"]["mode"]) == (
            f"{RUN_FOLDER}outputs/y/",
            "ReadWriteMount",
        )
        assert job["environmentVariables"] == {"LEVEL": "2"}
        assert job["resources"]["instanceCount"] == 2
        assert (job["distribution"]["distributionType"], job["distribution"]["processCountPerInstance"]) == (
            "PyTorch",
            4,
        )
        assert (job["limits"]["timeout"], job["displayName"], job["tags"]) == ("PT1H30M", "train it", {"team": "churn"})
        assert job["properties"] == {}

    @pytest.mark.parametrize(
        ("environment", "expected"),
        [
            ("azureml:sklearn:2", "/environments/sklearn/versions/2"),
            ("azureml:sklearn@latest", "/environments/sklearn/versions/2"),
            (CURATED, CURATED),
            ("ubuntu:24.04", "/environments/CliV2AnonymousEnvironment/versions/"),
            ({"image": "ubuntu:24.04", "conda_file": {"dependencies": ["python=3.12"]}}, "/environments/CliV2"),
        ],
    )
    def test_environments(self, door: Door, workspace: Workspace, environment: Any, expected: str) -> None:
        arm = ArmClient("lab", workspace.id, AccessToken(door.token), resource_manager=door.url)
        for version in ("1", "2"):
            arm.put(f"environments/sklearn/versions/{version}", {"properties": {"image": version}}, WORKSPACE)
        arm.close()
        workspace.jobs.plays("Completed")
        run(door, environment=environment)
        assert expected in submitted(workspace)["environmentId"]

    def test_serverless(self, door: Door, workspace: Workspace) -> None:
        workspace.jobs.plays("Completed")
        run(door, compute="serverless", options={"instance_type": "Standard_E4s_v3"})
        job = submitted(workspace)
        assert not job.get("computeId")
        assert job["resources"]["instanceType"] == "Standard_E4s_v3"


class TestQuiet:
    def test_nothing_is_printed_logged_or_left_behind(
        self,
        door: Door,
        workspace: Workspace,
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "mine")
        monkeypatch.delenv("GIT_DIR", raising=False)
        before = dict(os.environ)
        (tmp_path / "big.bin").write_bytes(bytes(3_000_000))
        (tmp_path / ".gitignore").write_text("*.txt")
        log = io.StringIO()
        handler = logging.StreamHandler(log)  # as a task's own
        root = logging.getLogger()
        monkeypatch.setattr(root, "level", logging.INFO)
        root.addHandler(handler)
        workspace.jobs.waits()
        try:
            with task(door, code=str(tmp_path)) as experiment:
                experiment.start()
        finally:
            root.removeHandler(handler)
        printed = capfd.readouterr()
        assert (printed.out, printed.err, log.getvalue()) == ("", "", "")
        assert dict(os.environ) == before

    def test_no_signature_is_logged_at_any_level(
        self, azureml: AzureML, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "train.py").write_text("1")
        workspace.jobs.plays("Failed", log=("out of memory",))
        secrets: list[str] = []
        lab = AzureMLWorkspace(
            "lab", workspace.id, AccessToken(azureml.token()), resource_manager=azureml.url, on_secret=secrets.append
        )
        log = io.StringIO()
        handler = logging.StreamHandler(log)
        root = logging.getLogger()
        monkeypatch.setattr(root, "level", logging.DEBUG)
        root.manager._clear_cache()  # type: ignore[attr-defined]
        root.addHandler(handler)
        try:
            lab.jobs.submit(JobSpec("try-1", "e", "true", "cpu-cluster", "ubuntu:24.04", code=tmp_path))
            assert "sig=" not in log.getvalue()
            assert [*lab.jobs.failure("try-1").log] == ["out of memory"]
        finally:
            root.removeHandler(handler)
            lab.close()
        logged = log.getvalue()
        assert "sig=" in logged  # as the clients do
        for secret in secrets:
            logged = logged.replace(secret, "***")
        assert "sig=" not in logged.replace("sig=…", "")  # a store of Databricks takes them out of the clients' lines

    def test_azure_ai_ml_sends_nothing_to_anybody_else(
        self, door: Door, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reached: list[Any] = []
        connect = socket.socket.connect

        def watched(self: socket.socket, address: Any) -> None:
            reached.append(address)
            connect(self, address)

        monkeypatch.setattr(socket.socket, "connect", watched)
        workspace.jobs.waits()
        with task(door) as experiment:
            experiment.start()
        assert reached
        assert {address[0] for address in reached} == {"127.0.0.1"}


class TestTries:
    def test_a_killed_worker_is_followed_by_one_that_goes_on(self, door: Door, workspace: Workspace) -> None:
        workspace.jobs.waits()
        with in_a_process(door, outputs={"y": {}}) as process:
            assert process.stdout is not None
            name = process.stdout.readline().strip()
            process.kill()
            process.wait()
        assert [*workspace.jobs.all] == [name]
        with task(door, outputs={"y": {}}) as experiment:
            job = experiment.start()
            assert job.name == name
            workspace.jobs.finish(name)
            assert experiment.finish(experiment.wait(job, poll=0.02))["job"] == name
        assert [*workspace.jobs.all] == [name]

    def test_killed_while_its_submission_is_on_its_way(
        self, azureml: AzureML, door: Door, workspace: Workspace
    ) -> None:
        workspace.jobs.waits()
        with in_a_process(door) as process:

            def kill() -> None:
                process.kill()
                process.wait()

            azureml.plan(Meanwhile(rf"PUT .*/{workspace.id.workspace}/jobs/", action=kill))
            assert process.wait(60) < 0
        (name,) = workspace.jobs.all
        with task(door) as experiment:
            assert experiment.start().name == name
        assert [*workspace.jobs.all] == [name]

    def test_a_lost_answer(self, azureml: AzureML, door: Door, workspace: Workspace) -> None:
        workspace.jobs.waits()
        azureml.plan(LoseResponse(rf"PUT .*/{workspace.id.workspace}/jobs/", times=20))
        with task(door) as experiment:
            job = experiment.start()
        assert [*workspace.jobs.all] == [job.name]

    @pytest.mark.parametrize("fate", ["replaced", "deleted"])
    def test_another_default_datastore_by_the_time_it_is_over(
        self, door: Door, workspace: Workspace, servers: Servers, fate: str
    ) -> None:
        home = dict(workspace.datastores["workspaceblobstore"].properties)
        key = {"secretsType": "AccountKey", "key": servers.azurite.key}
        home["credentials"] = {"credentialsType": "AccountKey", "secrets": key}
        for name in ("first", "second"):
            container = f"{name}-{uuid4()}"
            create_container(servers.azurite, container)
            workspace.datastores.plant(name, {**home, "containerName": container})
        workspace.datastores.default = "first"

        def run_meanwhile(job: ClusterRun) -> None:
            workspace.datastores.default = "second" if fate == "replaced" else None
            job.write("y", "whole.bin", b"whole")

        workspace.jobs.runs(run_meanwhile)
        (output,) = run(door, outputs={"y": {}})["outputs"].values()
        assert (output["uri"], output["files"]) == (f"azureml://datastores/first/paths/{RUN.folder}outputs/y/", 1)
        assert output["manifest"].startswith(output["uri"])

    def test_one_that_failed_is_followed_by_another(
        self, door: Door, workspace: Workspace, blobs: ContainerClient
    ) -> None:
        def fails(job: ClusterRun) -> None:
            job.write("y", "half.bin", b"half")
            raise JobFailed("out of luck")

        workspace.jobs.runs(fails)
        with pytest.raises(ExperimentFailed, match="out of luck"):
            run(door, outputs={"y": {}})
        workspace.jobs.runs(lambda job: job.write("y", "whole.bin", b"whole"))
        result = run(door, outputs={"y": {}})
        assert [job.status for job in workspace.jobs.all.values()] == ["Failed", "Completed"]
        assert result["job"] == [*workspace.jobs.all][1]
        names = set(blobs.list_blob_names(name_starts_with=f"{RUN.folder}outputs/"))
        assert names == {f"{RUN.folder}outputs/y/{name}" for name in ("whole.bin", "_manifest.json")}

    def test_one_whose_results_are_wrong_is_followed_by_another(self, door: Door, workspace: Workspace) -> None:
        workspace.jobs.runs(lambda job: job.log("forgot to write"))
        with pytest.raises(ExperimentFailed, match="no file was written to output 'm'"):
            run(door, outputs={"m": {"type": "uri_file"}})
        workspace.jobs.runs(run_command)
        command = "echo 1 > ${{outputs.m}}"
        result = run(door, command=command, outputs={"m": {"type": "uri_file"}})
        assert result["job"] == [*workspace.jobs.all][1]
        assert result["outputs"]["m"]["files"] == 1

    def test_a_cleared_task_runs_anew(self, door: Door, workspace: Workspace) -> None:
        workspace.jobs.plays("Completed")
        assert run(door)["job"] != run(door)["job"]
        assert len(workspace.jobs.all) == 2


class TestCancel:
    def test_a_job_that_runs(self, door: Door, workspace: Workspace) -> None:
        workspace.jobs.runs(lambda job: job.wait_for_cancel(30))
        with task(door) as experiment:
            job = experiment.start()
            experiment.cancel()
            ended = experiment.wait(job, poll=0.02)
            assert ended.status == "Canceled"
            with pytest.raises(ExperimentFailed, match="ended as Canceled"):
                experiment.finish(ended)
            experiment.cancel()  # it is over: no error
        with task(door) as experiment:
            assert experiment.start().name != job.name

    def test_one_that_is_not_there(self, door: Door) -> None:
        with task(door) as experiment:
            experiment.workspace.jobs.cancel("nobody")


class TestFailure:
    def test_the_log(self, door: Door, workspace: Workspace) -> None:
        workspace.jobs.runs(run_command)
        said: list[str] = []
        with pytest.raises(ExperimentFailed) as failure:
            run(door, command="seq 1 6000; echo 'ümlaut'; exit 3", said=said)
        text = str(failure.value)
        assert "ended as Failed. UserError: Execution failed. User process exited with code 3" in text
        assert text.endswith("5999\n6000\nümlaut")
        numbers = [line for line in said if line.isdecimal()]
        assert (numbers[0], numbers[-1], len(numbers)) == (str(6002 - LOG_LINES), "6000", LOG_LINES - 1)

    def test_words_of_the_service_without_a_log(self, door: Door, workspace: Workspace) -> None:
        workspace.jobs.plays("Running", "Failed", error="The node was preempted, and the job has no retries left.")
        with pytest.raises(ExperimentFailed, match=r"node was preempted.* It has no log\. https://ml\.azure\.com"):
            run(door)

    def test_of_a_long_log_only_the_end_is_fetched(
        self, door: Door, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_azureml_run_history, "_LOG_SIZE", 1000)
        workspace.jobs.plays("Failed", error="no", log=tuple(f"line {number:04}" for number in range(1000)))
        said: list[str] = []
        with pytest.raises(ExperimentFailed) as failure:
            run(door, said=said)
        assert str(failure.value).endswith("line 0999")
        assert [line for line in said if line.startswith("line")] == [
            f"line {number:04}" for number in range(900, 1000)
        ]

    def test_a_log_that_cannot_be_fetched(self, azureml: AzureML, door: Door, workspace: Workspace) -> None:
        """Whoever has the URL of a log can read it."""
        workspace.jobs.plays("Failed", error="no luck", log=("line",))
        azureml.plan(ArmError(r"GET /logs/", 403, "AuthenticationFailed", "Signature did not match."))
        with pytest.raises(ExperimentFailed, match=r"could not be read: .*user_logs/std_log\.txt") as failure:
            run(door)
        assert "/logs/" not in str(failure.value)

    def test_run_history_is_denied(self, door: Door, workspace: Workspace) -> None:
        workspace.jobs.plays("Failed")
        with task(door) as experiment:
            job = experiment.start()
            workspace.deny("read")
            with pytest.raises(ExperimentFailed, match=r"could not be read: .*workspaces/read"):
                experiment.finish(job)


class TestRefusals:
    def test_no_such_compute(self, door: Door, workspace: Workspace) -> None:
        with (
            task(door, compute="cpu_cluster") as experiment,
            pytest.raises(InvalidInput, match=r"no compute 'cpu_cluster' .* Did you mean 'cpu-cluster'\?"),
        ):
            experiment.start()
        assert workspace.jobs.all == {}

    @pytest.mark.parametrize("environment", ["azureml:nothing:1", "azureml:nothing@latest"])
    def test_no_such_environment(self, door: Door, workspace: Workspace, environment: str) -> None:
        with task(door, environment=environment) as experiment, pytest.raises(DatastoresError, match="nothing") as told:
            experiment.start()
        assert isinstance(told.value, InvalidInput | NotFound)
        assert workspace.jobs.all == {}

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"options": {"distribution": {"type": "smoke signals"}}}, "distribution|smoke"),
            ({"environment": {"picture": "ubuntu"}}, "picture"),
            ({"options": {"instance_count": 0}}, "instance_count is 0"),
        ],
    )
    def test_what_azure_ai_ml_does_not_take(
        self, door: Door, workspace: Workspace, given: dict[str, Any], message: str
    ) -> None:
        with task(door, **given) as experiment, pytest.raises(InvalidInput, match=message):
            experiment.start()
        assert workspace.jobs.all == {}

    def test_an_empty_code_folder(self, door: Door, workspace: Workspace, tmp_path: Path) -> None:
        with task(door, code=str(tmp_path)) as experiment, pytest.raises(InvalidInput, match="empty"):
            experiment.start()

    def test_a_quota(self, azureml: AzureML, door: Door, workspace: Workspace) -> None:
        azureml.plan(quota_exceeded())
        with task(door) as experiment, pytest.raises(ExperimentFailed, match="total vCPU quota of 24"):
            experiment.start()
        assert workspace.jobs.all == {}

    def test_a_missing_role(self, door: Door, workspace: Workspace) -> None:
        workspace.deny("jobs/write")
        with task(door) as experiment, pytest.raises(AccessDenied, match="workspaces/jobs/write"):
            experiment.start()

    def test_azure_ai_ml_is_not_installed(
        self, door: Door, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "azure.ai.ml", None)
        with (
            task(door) as experiment,
            pytest.raises(MissingExtra, match=r"pip install 'airflow-azureml-datastores\[jobs\]'"),
        ):
            experiment.start()
