"""Waiting for new data in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
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
    :param asset: the data asset that is watched in place of the watch's own URI: at each look, the version that it
        names then.
    """

    def __init__(
        self,
        workspace_conn_id: str,
        watch: Watch | dict[str, Any],
        poke_interval: float = 60.0,
        asset: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.workspace_conn_id = workspace_conn_id
        self.watch = watch if isinstance(watch, Watch) else Watch(**watch)
        self.poke_interval = poke_interval
        self.asset = asset

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "workspace_conn_id": self.workspace_conn_id,
            "watch": asdict(self.watch),
            "poke_interval": self.poke_interval,
            "asset": self.asset,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        hook = WorkspaceHook(self.workspace_conn_id)
        try:
            await hook.aload([])
            while True:
                watch = await self._watch(hook)
                await hook.aload(watch.datastores)  # at each look, as somebody may re-point one meanwhile
                files, told = await asyncio.to_thread(watch.look, hook.open, datetime.now(UTC))
                self.log.info("%s", told)
                if files:
                    yield TriggerEvent({"files": len(files)})
                    return
                await asyncio.sleep(self.poke_interval)
        finally:
            await asyncio.to_thread(hook.close)

    async def _watch(self, hook: WorkspaceHook) -> Watch:
        if self.asset is None:
            return self.watch
        uri = await asyncio.to_thread(hook.resolve, self.asset)
        return replace(self.watch, uri=uri)
