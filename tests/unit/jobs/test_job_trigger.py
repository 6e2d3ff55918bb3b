"""What ends the wait for a job in the triggerer, and what does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_azureml_datastores.errors import AccessDenied, Unavailable
from airflow_azureml_datastores.triggers import job as module
from airflow_azureml_datastores.triggers.job import JobTrigger
from tests.unit.jobs.conftest import Lab, ScriptedJobs


@pytest.fixture
def jobs(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> ScriptedJobs:
    class Hook:
        def __init__(self, workspace_conn_id: str) -> None:
            assert workspace_conn_id == "ml"
            self.workspace = SimpleNamespace()  # without its connection, as in a triggerer

        async def aload(self, datastores: Iterable[str | None]) -> None:
            assert list(datastores) == []
            self.workspace.jobs = lab.jobs

        def close(self) -> None:
            pass

    monkeypatch.setattr(module, "WorkspaceHook", Hook)
    lab.jobs.set("job-1", "Running")
    return lab.jobs


def trigger(**given: Any) -> JobTrigger:
    return JobTrigger("ml", "job-1", **{"poll_interval": 0, **given})


def fired(waiting: JobTrigger) -> dict[str, Any]:
    async def first() -> TriggerEvent:
        return await anext(aiter(waiting.run()))

    event = asyncio.run(asyncio.wait_for(first(), 10))
    return dict(event.payload)


@pytest.mark.parametrize("status", ["Completed", "Failed", "Canceled"])
def test_a_job_that_is_over(jobs: ScriptedJobs, status: str) -> None:
    jobs.set("job-1", status)
    assert fired(trigger()) == {"job": "job-1", "status": status}


def test_it_is_looked_at_until_it_is_over(jobs: ScriptedJobs) -> None:
    looks: list[str] = []
    plain = jobs.get

    def get(name: str) -> Any:
        looks.append(name)
        return jobs.set(name, "Completed") if len(looks) == 3 else plain(name)

    jobs.get = get  # type: ignore[method-assign]
    assert fired(trigger())["status"] == "Completed"
    assert len(looks) == 3


def test_the_log_tells_each_status_once(jobs: ScriptedJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job may run for days."""
    statuses = iter(["Queued", "Running", "Running", "Running", "Completed"])
    jobs.get = lambda name: jobs.set(name, next(statuses))  # type: ignore[method-assign]
    told: list[str] = []
    waiting = trigger()
    monkeypatch.setattr(waiting, "_log", SimpleNamespace(info=lambda text, *values: told.append(text % values)))
    assert fired(waiting)["status"] == "Completed"
    assert told == ["job job-1: Queued", "job job-1: Running", "job job-1: Completed"]


def test_no_answer_is_not_the_end(jobs: ScriptedJobs) -> None:
    jobs.set("job-1", "Completed")
    jobs.refusals = [Unavailable("503."), Unavailable("503.")]
    assert fired(trigger())["status"] == "Completed"
    assert jobs.refusals == []


def test_a_refusal_is(jobs: ScriptedJobs) -> None:
    jobs.refusals = [AccessDenied("no role.")]
    with pytest.raises(AccessDenied):
        fired(trigger())


def test_a_job_that_was_deleted(jobs: ScriptedJobs) -> None:
    jobs.there.clear()
    assert fired(trigger())["status"] == "gone"


def test_the_end_of_the_time(jobs: ScriptedJobs) -> None:
    assert fired(trigger(deadline=0))["status"] == "timeout"


def test_a_restart_of_the_triggerer_leaves_the_job_alone(jobs: ScriptedJobs) -> None:
    looked, plain = threading.Event(), jobs.get

    def get(name: str) -> Any:
        looked.set()
        return plain(name)

    jobs.get = get  # type: ignore[method-assign]

    async def restart() -> None:
        waiting = trigger(poll_interval=60)
        task = asyncio.create_task(anext(aiter(waiting.run())))  # type: ignore[arg-type]
        assert await asyncio.to_thread(looked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await waiting.cleanup()

    asyncio.run(restart())
    assert jobs.cancelled == []


def test_a_kill_cancels_it(jobs: ScriptedJobs) -> None:
    asyncio.run(trigger().on_kill())
    assert jobs.cancelled == ["job-1"]


def test_it_survives_the_database(jobs: ScriptedJobs) -> None:
    path, given = trigger(deadline=5.0).serialize()
    assert path == "airflow_azureml_datastores.triggers.job.JobTrigger"
    assert vars(JobTrigger(**given)) == vars(trigger(deadline=5.0))
