"""The sensor inside Airflow: its ways to wait, what it hands on, and whose the files are then."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk import DAG, PokeReturnValue
from airflow.triggers.base import BaseTrigger

from airflow_azureml_datastores import DataAsset, Datastore, LocalDirectory
from airflow_azureml_datastores.hooks import WorkspaceHook
from airflow_azureml_datastores.operators import IngestToExperimentOperator
from airflow_azureml_datastores.sensors import NewDataSensor
from airflow_azureml_datastores.transfer.watch import Watch
from airflow_azureml_datastores.triggers import NewDataTrigger
from tests.dags.conftest import WORKSPACE
from tests.dags.runs import Finished, run_dag

WAYS: list[dict[str, Any]] = [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True}]


def sensor(kind: type[NewDataSensor] = NewDataSensor, **given: Any) -> NewDataSensor:
    defaults: dict[str, Any] = {
        "task_id": "arrived",
        "path": "in/",
        "workspace_conn_id": WORKSPACE,
        "poke_interval": 0.2,
        "timeout": 60,
    }
    return kind(**defaults | given)


class SensorThatIsTooEarly(NewDataSensor):
    """Looks, finds nothing, and only then gets two files."""

    def poke(self, context: Any) -> PokeReturnValue:
        found = super().poke(context)
        if not found.is_done:
            with WorkspaceHook(WORKSPACE) as hook:
                deliver(hook, "a.csv", "b.csv")
        return found


def run(dag_id: str, ingest: bool = True, kind: type[NewDataSensor] = NewDataSensor, **given: Any) -> Finished:
    """Run a DAG of a sensor and, unless told otherwise, the ingest of its batch."""
    with DAG(dag_id, schedule=None) as dag:
        batch = sensor(kind, **given).output
        if ingest:
            IngestToExperimentOperator(
                task_id="ingest", experiment="e", inputs={"batch": batch}, workspace_conn_id=WORKSPACE
            )
    return run_dag(dag, logical_date=datetime.now(UTC))


def deliver(workspace: WorkspaceHook, *names: str) -> None:
    for name in names:
        workspace.open().at(f"in/{name}").write(name.encode())


def ingested(workspace: WorkspaceHook, done: Finished) -> dict[str, bytes]:
    """The files in the snapshot of the batch."""
    folder = workspace.open().at(f"experiments/e/{done['ingest']['run']}/inputs/batch/")
    return {path: folder.at(path).read() for path, _ in folder.list() if path != "_manifest.json"}


@pytest.mark.parametrize("way", WAYS, ids=["poke", "reschedule", "deferrable"])
def test_waits_until_there_is_data(workspace: WorkspaceHook, way: dict[str, Any]) -> None:
    done = run(f"waits_{'_'.join(way)}_{way.get('mode', '')}", kind=SensorThatIsTooEarly, min_files=2, **way)
    assert done.succeeded
    assert done.log.count("0 new of 0 files") == 1
    assert ("running trigger in line" in done.log) == ("deferrable" in way)
    assert done["arrived"]["files"] == 2
    assert ingested(workspace, done) == {"a.csv": b"a.csv", "b.csv": b"b.csv"}


@pytest.mark.parametrize("way", WAYS, ids=["poke", "reschedule", "deferrable"])
def test_data_that_is_there_needs_no_wait(workspace: WorkspaceHook, way: dict[str, Any]) -> None:
    deliver(workspace, "a.csv")
    done = run(f"there_{'_'.join(way)}_{way.get('mode', '')}", poke_interval=600, **way)
    assert done.succeeded
    assert "running trigger in line" not in done.log


def test_each_run_takes_what_no_other_took(workspace: WorkspaceHook) -> None:
    deliver(workspace, "a.csv")
    first = run("batches")
    deliver(workspace, "b.csv")
    second = run("batches")
    deliver(workspace, "a.csv")
    third = run("batches")
    assert [list(ingested(workspace, done)) for done in (first, second, third)] == [["a.csv"], ["b.csv"], ["a.csv"]]
    assert run("batches", timeout=0, soft_fail=True).states == {"arrived": "skipped", "ingest": "skipped"}


def test_what_was_not_ingested_stays_new(workspace: WorkspaceHook) -> None:
    deliver(workspace, "a.csv")
    assert run("only_looks", ingest=False).succeeded
    deliver(workspace, "b.csv")
    assert run("only_looks", ingest=False)["arrived"]["files"] == 2


def test_consumers_do_not_affect_each_other(workspace: WorkspaceHook) -> None:
    deliver(workspace, "a.csv")
    for consumer in ("training", "reporting"):
        assert run("consumers", consumer=consumer)["arrived"]["consumer"] == consumer
    assert run("consumers", consumer="training", timeout=0, soft_fail=True).states["arrived"] == "skipped"


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
@pytest.mark.parametrize(("soft_fail", "state"), [(True, "skipped"), (False, "failed")])
def test_no_data_in_time(workspace: WorkspaceHook, mode: str, soft_fail: bool, state: str) -> None:
    done = run(f"late_{mode}_{state}", mode=mode, timeout=0.5, soft_fail=soft_fail)
    assert done.states["arrived"] == state
    assert "0 new of 0 files" in done.log
    assert "Sensor has timed out" in done.log


def test_a_wrong_datastore_is_no_reason_to_wait(workspace: WorkspaceHook) -> None:
    done = run("wrong_datastore", path="azureml://datastores/workspacebobstore/paths/in/")
    assert done.states == {"arrived": "failed", "ingest": "upstream_failed"}
    assert "no datastore 'workspacebobstore'" in done.log
    assert "Did you mean 'workspaceblobstore'?" in done.log


class Deferred:
    """A deferrable sensor outside of Airflow, which is all that its way through deferral needs."""

    def __init__(self, **given: Any) -> None:
        with DAG("deferred", schedule=None):
            self.sensor = sensor(deferrable=True, **given)
        ti = type("TI", (), {"dag_id": "deferred", "run_id": "r", "task_id": "arrived", "map_index": -1})()
        self.context: Any = {"ti": ti}

    def execute(self) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as deferred:
            self.sensor.execute(self.context)
        return deferred.value

    def resume(self, deferred: TaskDeferred, event: Any) -> Any:
        return self.sensor.resume_execution(
            deferred.method_name, {**(deferred.kwargs or {}), "event": event}, self.context
        )


def test_the_deadline_outlives_deferrals(workspace: WorkspaceHook) -> None:
    waiting = Deferred(timeout=100)
    before = time.time()
    first = waiting.execute()
    assert first.timeout is not None
    assert timedelta(seconds=95) < first.timeout <= timedelta(seconds=100)
    assert 95 < first.kwargs["deadline"] - before <= 100 + (time.time() - before)

    # The files that woke it are gone again: it goes on waiting, for what is left of its time.
    late = {**first.kwargs, "deadline": time.time() + 10}
    with pytest.raises(TaskDeferred) as again:
        waiting.sensor.resume_execution("resume", {**late, "event": {"files": 1}}, waiting.context)
    assert again.value.timeout is not None
    assert again.value.timeout <= timedelta(seconds=10)

    deliver(workspace, "a.csv")
    assert waiting.resume(first, {"files": 1})["files"] == 1


def test_the_trigger_survives_its_way_to_the_triggerer(workspace: WorkspaceHook) -> None:
    deferred = Deferred(stable_for="30s", done_marker="_SUCCESS", min_files=3).execute()
    trigger = deferred.trigger
    path, fields = trigger.serialize()
    assert path == "airflow_azureml_datastores.triggers.new_data.NewDataTrigger"
    again = NewDataTrigger(**fields)
    assert again.serialize() == trigger.serialize()
    assert again.watch == trigger.watch
    assert (again.watch.stable_for, again.watch.done_marker, again.watch.min_files) == (30.0, "_SUCCESS", 3)


def test_the_trigger_fires_when_there_is_data(workspace: WorkspaceHook) -> None:
    async def wait() -> Any:
        events = NewDataTrigger(WORKSPACE, Watch("in/", "consumer", "batch"), poke_interval=0.05).run()
        event = asyncio.ensure_future(anext(events))
        done, _ = await asyncio.wait([event], timeout=0.5)
        assert not done
        deliver(workspace, "a.csv")
        return await asyncio.wait_for(event, timeout=60)

    assert asyncio.run(wait()).payload == {"files": 1}


def test_the_trigger_follows_a_datastore_that_is_re_pointed(workspace: WorkspaceHook, tmp_path: Path) -> None:
    def point_to(name: str) -> None:
        location = LocalDirectory(str(tmp_path / name)).create()
        workspace.register(Datastore("lake", location), overwrite=True)

    async def wait() -> Any:
        watch = Watch("azureml://datastores/lake/paths/in/", "consumer", "batch")
        events = NewDataTrigger(WORKSPACE, watch, poke_interval=0.05).run()
        event = asyncio.ensure_future(anext(events))
        done, _ = await asyncio.wait([event], timeout=0.5)
        assert not done
        point_to("new")
        workspace.open("lake").at("in/a.csv").write(b"1")
        return await asyncio.wait_for(event, timeout=60)

    point_to("old")
    assert asyncio.run(wait()).payload == {"files": 1}


def test_the_trigger_follows_a_data_asset(workspace: WorkspaceHook) -> None:
    def register(folder: str) -> None:
        path = f"azureml://datastores/workspaceblobstore/paths/{folder}/"
        workspace.register_data(DataAsset("sales", path, digest=f"sha256:{folder}"))

    async def wait(trigger: BaseTrigger) -> Any:
        events = trigger.run()
        event = asyncio.ensure_future(anext(events))  # type: ignore[arg-type]
        done, _ = await asyncio.wait([event], timeout=0.5)
        assert not done
        register("in")
        return await asyncio.wait_for(event, timeout=60)

    register("empty")
    waiting = Deferred(path="azureml:sales@latest", poke_interval=0.05)
    deferred = waiting.execute()
    path, fields = deferred.trigger.serialize()
    assert NewDataTrigger(**fields).serialize() == (path, fields)
    deliver(workspace, "a.csv")
    event = asyncio.run(wait(NewDataTrigger(**fields)))
    found = waiting.resume(deferred, event.payload)
    assert (found["files"], found["uri"]) == (1, "azureml://datastores/workspaceblobstore/paths/in/")


@pytest.mark.parametrize("deferrable", [False, True])
def test_data_asset_that_is_not_there(workspace: WorkspaceHook, deferrable: bool) -> None:
    done = run(f"no_asset_{deferrable}", path="azureml:sales@latest", deferrable=deferrable)
    assert done.states == {"arrived": "failed", "ingest": "upstream_failed"}
    assert "no data asset 'sales' in workspace" in done.log
