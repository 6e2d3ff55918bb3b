"""The jobs of one task: submitted once, gone on with, followed by new ones; their results."""

from __future__ import annotations

import json
import re

import pytest

from airflow_azureml_datastores import Output
from airflow_azureml_datastores.compute.azureml_job import JobOptions, job_or_gone
from airflow_azureml_datastores.core.experiment import ExperimentRun
from airflow_azureml_datastores.core.job import RUNNING, JobSpec
from airflow_azureml_datastores.errors import (
    AccessDenied,
    DatastoreNotFound,
    ExperimentFailed,
    InvalidInput,
    Unavailable,
)
from airflow_azureml_datastores.transfer.source import read_manifest
from tests.unit.jobs.conftest import Lab

OUT = "experiments/churn/first/outputs"
BLOB = "azureml://datastores/workspaceblobstore/paths"


class TestName:
    @pytest.mark.parametrize(
        "task", ["dag/run/task", "_._/manual__2026-11-23T20:00:00+00:00/группа.задача/3", "d" * 250 + "/run/task/7"]
    )
    def test_is_one_of_arm(self, lab: Lab, task: str) -> None:
        assert re.fullmatch(r"[a-z0-9][a-z0-9\-_]{0,254}", lab.submitted(task=task).name)

    def test_tells_tasks_and_runs_apart(self, lab: Lab) -> None:
        names = {
            lab.experiment(task=task, run=ExperimentRun(experiment, run)).start().name
            for task in ("a/b/c", "a/b-c", "a/b/c/1")
            for experiment in ("one", "two")
            for run in ("one", "two")
        }
        assert len(names) == 12


class TestTries:
    @pytest.mark.parametrize("status", sorted(RUNNING - {"CancelRequested"}))
    def test_a_job_that_runs_is_gone_on_with(self, lab: Lab, status: str) -> None:
        name = lab.experiment().start().name
        lab.jobs.set(name, status)
        assert lab.experiment().start().name == name
        assert len(lab.jobs.specs) == 1

    def test_results_that_were_not_delivered_yet_are_not_made_again(self, lab: Lab) -> None:
        name = lab.experiment().start().name
        done = lab.jobs.set(name, "Completed")
        assert lab.experiment().start() == done
        assert len(lab.jobs.specs) == 1

    def test_a_task_that_was_cleared_runs_anew(self, lab: Lab) -> None:
        first = lab.experiment()
        first.finish(lab.jobs.set(first.start().name, "Completed"))
        assert lab.experiment().start().name == lab.jobs.specs[0].name[:-1] + "2"
        second = lab.jobs.set(lab.jobs.specs[1].name, "Completed")
        assert lab.experiment().start() == second

    @pytest.mark.parametrize("status", ["Failed", "Canceled"])
    def test_one_that_failed_is_followed_by_another(self, lab: Lab, status: str) -> None:
        outputs = {"model": Output()}
        first = lab.experiment(outputs=outputs).start()
        lab.write(f"{OUT}/model/half.bin")
        lab.jobs.set(first.name, status)
        assert lab.experiment(outputs=outputs).start().name != first.name
        assert list(lab.open(None).at(f"{OUT}/").list()) == []

    def test_one_that_is_being_cancelled_is_waited_for(self, lab: Lab) -> None:
        first = lab.experiment().start()
        lab.jobs.set(first.name, "CancelRequested")
        second = lab.experiment().start(poll=0)
        assert second.name != first.name
        assert lab.jobs.there[first.name].status == "Canceled"

    def test_the_outputs_of_a_job_that_runs_are_left_alone(self, lab: Lab) -> None:
        outputs = {"model": Output()}
        lab.experiment(outputs=outputs).start()
        lab.write(f"{OUT}/model/half.bin")
        lab.experiment(outputs=outputs).start()
        assert [path for path, _ in lab.open(None).at(f"{OUT}/").list()] == ["model/half.bin"]


class TestWait:
    def test_patience_with_a_service_that_does_not_answer(self, lab: Lab) -> None:
        experiment = lab.experiment()
        job = experiment.start()
        lab.jobs.refusals = [Unavailable("503."), Unavailable("503.")]
        lab.jobs.set(job.name, "Completed")
        assert experiment.wait(job, poll=0).succeeded
        assert lab.jobs.refusals == []

    def test_a_job_that_was_deleted(self, lab: Lab) -> None:
        experiment = lab.experiment()
        job = experiment.start()
        lab.jobs.there.clear()
        with pytest.raises(ExperimentFailed, match="deleted"):
            experiment.wait(job, poll=0)
        with pytest.raises(ExperimentFailed, match="deleted"):
            job_or_gone(None, job.name)


class TestCancel:
    def test_while_it_runs(self, lab: Lab) -> None:
        experiment = lab.experiment()
        name = experiment.start().name
        experiment.cancel()
        assert lab.jobs.cancelled == [name]

    def test_while_it_is_being_submitted(self, lab: Lab) -> None:
        experiment = lab.experiment()

        def killed(spec: JobSpec) -> None:
            experiment.cancel()
            lab.jobs.cancelled.clear()  # it is not there yet

        lab.jobs.while_submitting = killed
        name = experiment.start().name
        assert lab.jobs.cancelled == [name]

    def test_before_anything_is_there(self, lab: Lab) -> None:
        lab.experiment().cancel()
        assert lab.jobs.cancelled == []


class TestResults:
    def test_are_sealed_where_the_job_wrote_them(self, lab: Lab) -> None:
        outputs = {"model": Output(), "metrics": Output(type="uri_file", mode="rw_mount")}
        experiment = lab.experiment(
            outputs=outputs, metrics="metrics", command="${{outputs.model}} ${{outputs.metrics}}"
        )
        job = experiment.start()
        (spec,) = lab.jobs.specs
        assert {name: (o.path, o.type, o.mode) for name, o in spec.outputs.items()} == {
            "model": (f"{BLOB}/{OUT}/model/", "uri_folder", "upload"),
            "metrics": (f"{BLOB}/{OUT}/metrics/metrics", "uri_file", "rw_mount"),
        }
        lab.write(f"{OUT}/model/a/b.bin", b"12345")
        lab.write(f"{OUT}/metrics/metrics", json.dumps({"auc": 0.5}).encode())
        result = experiment.finish(lab.jobs.set(job.name, "Completed"))
        assert result == {
            "outputs": {
                "model": {
                    "uri": f"{BLOB}/{OUT}/model/",
                    "files": 1,
                    "bytes": 5,
                    "manifest": f"{BLOB}/{OUT}/model/_manifest.json",
                    "type": "uri_folder",
                },
                "metrics": {
                    "uri": f"{BLOB}/{OUT}/metrics/metrics",
                    "files": 1,
                    "bytes": 12,
                    "manifest": f"{BLOB}/{OUT}/metrics/_manifest.json",
                    "type": "uri_file",
                },
            },
            "metrics": {"auc": 0.5},
            "job": job.name,
        }
        (entry,) = read_manifest(lab.open, result["outputs"]["model"]["manifest"]).entries
        assert (entry.path, entry.size) == ("a/b.bin", 5)

    def test_are_published_as_a_whole(self, lab: Lab) -> None:
        experiment = lab.experiment(outputs={"model": Output(f"{BLOB}/models/latest/")})
        job = experiment.start()
        assert lab.jobs.specs[0].outputs["model"].path == f"{BLOB}/{OUT}/model/"
        lab.write("models/latest/old.bin")
        lab.write(f"{OUT}/model/new.bin")
        result = experiment.finish(lab.jobs.set(job.name, "Completed"))
        assert result["outputs"]["model"]["uri"] == f"{BLOB}/models/latest/"
        there = {path for path, _ in lab.open(None).at("models/latest/").list()}
        assert there == {"new.bin", "_manifest.json", "_SUCCESS"}

    def test_are_where_they_belong_already(self, lab: Lab) -> None:
        experiment = lab.experiment(outputs={"model": Output(f"{BLOB}/models/latest/", mode="direct")})
        job = experiment.start()
        output = lab.jobs.specs[0].outputs["model"]
        assert (output.path, output.mode) == (f"{BLOB}/models/latest/", "direct")
        lab.write("models/latest/new.bin")
        result = experiment.finish(lab.jobs.set(job.name, "Completed"))
        assert (result["outputs"]["model"]["uri"], result["outputs"]["model"]["files"]) == (output.path, 1)

    def test_a_file_that_was_not_written(self, lab: Lab) -> None:
        experiment = lab.experiment(outputs={"metrics": Output(type="uri_file")})
        job = experiment.start()
        with pytest.raises(ExperimentFailed, match="'metrics'"):
            experiment.finish(lab.jobs.set(job.name, "Completed"))


class TestFailure:
    def test_the_services_words_and_the_logs_end(self, lab: Lab) -> None:
        lab.jobs.error = "UserError: the process exited with code 3"
        lab.jobs.log = [f"line {number}" for number in range(6000)]
        experiment = lab.experiment()
        job = experiment.start()
        with pytest.raises(ExperimentFailed) as failure:
            experiment.finish(lab.jobs.set(job.name, "Failed"))
        text = str(failure.value)
        assert f"job {job.name} ended as Failed. UserError: the process exited with code 3" in text
        assert text.endswith("line 5998\nline 5999")
        assert "line 5959\n" not in text
        assert lab.lines == [f"line {number}" for number in range(1000, 6000)]

    def test_a_log_that_cannot_be_read(self, lab: Lab) -> None:
        lab.jobs.error = AccessDenied("no role.")
        experiment = lab.experiment()
        job = experiment.start()
        with pytest.raises(ExperimentFailed, match=r"ended as Canceled\. .* no role\. https://ml\.azure\.com"):
            experiment.finish(lab.jobs.set(job.name, "Canceled"))


class TestBadInput:
    @pytest.mark.parametrize(
        ("wrong", "error", "message"),
        [
            ({"command": "cat ${{inputs.x}}"}, InvalidInput, "no input 'x'"),
            ({"options": JobOptions()}, InvalidInput, "needs an environment"),
            ({"compute": ""}, InvalidInput, "compute is empty"),
            ({"metrics": "m"}, InvalidInput, "metrics='m'"),
            ({"outputs": {"y": Output("azureml://datastores/nowhere/paths/y/")}}, DatastoreNotFound, "nowhere"),
            (
                {"outputs": {"y": Output("azureml://datastores/disk/paths/y/", mode="direct")}},
                InvalidInput,
                "type LocalDirectory, which the workspace's computes cannot",
            ),
        ],
    )
    def test_is_found_before_anything_is_submitted(
        self, lab: Lab, wrong: dict[str, object], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            lab.experiment(**wrong).start()
        assert lab.jobs.specs == []

    def test_a_target_that_only_the_worker_can_reach(self, lab: Lab) -> None:
        """The job writes to the run's folder, and the worker publishes."""
        experiment = lab.experiment(outputs={"y": Output("azureml://datastores/disk/paths/y/")})
        job = experiment.start()
        lab.write(f"{OUT}/y/new.bin")
        result = experiment.finish(lab.jobs.set(job.name, "Completed"))
        assert result["outputs"]["y"]["uri"] == "azureml://datastores/disk/paths/y/"
