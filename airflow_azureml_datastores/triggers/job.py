"""Waiting for a job in the triggerer."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_azureml_datastores.errors import Unavailable
from airflow_azureml_datastores.hooks.workspace import WorkspaceHook


class JobTrigger(BaseTrigger):
    """Fires once when a job is over, or is gone, or time is up: ``job`` and ``status``.

    :param workspace_conn_id: id of the workspace's connection.
    :param job: name of the job.
    :param poll_interval: seconds between looks.
    :param deadline: seconds since the epoch, when the status is ``timeout``; None is never.
    """

    def __init__(
        self, workspace_conn_id: str, job: str, poll_interval: float = 30.0, deadline: float | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.workspace_conn_id = workspace_conn_id
        self.job = job
        self.poll_interval = poll_interval
        self.deadline = deadline
        self._told = ""  # the status that the log has last

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "workspace_conn_id": self.workspace_conn_id,
            "job": self.job,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        hook = WorkspaceHook(self.workspace_conn_id)
        await hook.aload([])
        try:
            while (status := await self._status(hook)) is None:
                left = math.inf if self.deadline is None else self.deadline - time.time()
                if left <= 0:
                    status = "timeout"
                    break
                await asyncio.sleep(min(self.poll_interval, left))
            yield TriggerEvent({"job": self.job, "status": status})
        finally:
            await asyncio.to_thread(hook.close)

    async def on_kill(self) -> None:
        """Cancel the job, as a user has ended or cleared the task (Airflow 3.3 and later call this)."""
        hook = WorkspaceHook(self.workspace_conn_id)
        await hook.aload([])
        try:
            await asyncio.to_thread(lambda: hook.workspace.jobs.cancel(self.job))
        finally:
            await asyncio.to_thread(hook.close)

    async def _status(self, hook: WorkspaceHook) -> str | None:
        """The job's last status; None while it is not over, or that cannot be found out."""
        try:
            job = await asyncio.to_thread(lambda: hook.workspace.jobs.get(self.job))
        except Unavailable as error:
            self.log.warning("job %s: %s Looking again.", self.job, error)
            return None
        if job is None:
            return "gone"
        if job.status != self._told:
            self.log.info("job %s: %s", job.name, job.status)
            self._told = job.status
        return None if job.running else job.status
