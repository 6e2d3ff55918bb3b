"""Waiting for new data in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_azureml_datastores.hooks.workspace import WorkspaceHook
from airflow_azureml_datastores.transfer.watch import Watch


class NewDataTrigger(BaseTrigger):
    """Fires once when a watch has found something. The list of files is for the worker: it looks again.

    :param workspace_conn_id: id of the workspace's connection.
    :param watch: what to look for, as a :class:`Watch` or its fields.
    :param poke_interval: seconds between looks.
    """

    def __init__(self, workspace_conn_id: str, watch: Watch | dict[str, Any], poke_interval: float = 60.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.workspace_conn_id = workspace_conn_id
        self.watch = watch if isinstance(watch, Watch) else Watch(**watch)
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "workspace_conn_id": self.workspace_conn_id,
            "watch": asdict(self.watch),
            "poke_interval": self.poke_interval,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        hook = WorkspaceHook(self.workspace_conn_id)
        await hook.aload(self.watch.datastores)
        try:
            while True:
                files, told = await asyncio.to_thread(self.watch.look, hook.open, datetime.now(UTC))
                self.log.info("%s", told)
                if files:
                    yield TriggerEvent({"files": len(files)})
                    return
                await asyncio.sleep(self.poke_interval)
        finally:
            await asyncio.to_thread(hook.close)
