"""Waiting for new rows in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_azureml_datastores.core.rows_input import RowsInput
from airflow_azureml_datastores.hooks.workspace import WorkspaceHook
from airflow_azureml_datastores.transfer.new_rows import RowsWatch


class NewRowsTrigger(BaseTrigger):
    """Fires once when a watch has found something. What exactly is for the worker: it looks again.

    :param workspace_conn_id: id of the workspace's connection.
    :param watch: what to look for, as a :class:`RowsWatch` or its fields.
    :param poke_interval: seconds between looks.
    """

    def __init__(self, workspace_conn_id: str, watch: RowsWatch | dict[str, Any], poke_interval: float = 60.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.workspace_conn_id = workspace_conn_id
        if not isinstance(watch, RowsWatch):
            watch = RowsWatch(**{**watch, "rows": RowsInput(**watch["rows"])})
        self.watch = watch
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        watch = {"rows": self.watch.rows.to_fields(), "batch": self.watch.batch, "min_rows": self.watch.min_rows}
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "workspace_conn_id": self.workspace_conn_id,
            "watch": watch,
            "poke_interval": self.poke_interval,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        hook = WorkspaceHook(self.workspace_conn_id)
        try:
            while True:
                await hook.aload(self.watch.datastores)  # at each look, as somebody may re-point one meanwhile
                batch, told = await asyncio.to_thread(self.watch.look, hook.open, hook.open_tables)
                self.log.info("%s", told)
                if batch is not None:
                    yield TriggerEvent({"rows": batch["rows"]})
                    return
                await asyncio.sleep(self.poke_interval)
        finally:
            await asyncio.to_thread(hook.close)
