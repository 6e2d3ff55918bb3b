"""What the sensors have in common: waiting on a worker, or in the triggerer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_azureml_datastores.hooks.workspace import WorkspaceHook
from airflow_azureml_datastores.operators._base import RendersValues

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger


class WorkspaceSensor(RendersValues, BaseSensorOperator):
    """A sensor in a workspace.

    :param deferrable: wait in the triggerer, without a worker slot.
    :param workspace_conn_id: id of the workspace's connection.
    """

    def __init__(self, *, deferrable: bool, workspace_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.workspace_conn_id = workspace_conn_id

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        raise NotImplementedError

    def trigger(self, hook: WorkspaceHook, context: Context) -> BaseTrigger:
        """What waits in the triggerer."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        if not self.deferrable:
            return super().execute(context)
        return self.resume(context)

    def resume(self, context: Context, event: Any = None, *, deadline: float | None = None) -> Any:
        """Look again; wait in the triggerer, until the deadline, if it is not time yet.

        :param deadline: seconds since the epoch; None is the sensor's timeout from now (``dag.test`` hands on the event
            alone).
        """
        found = self.poke(context)
        if not found.is_done:
            deadline = deadline or datetime.now(UTC).timestamp() + self.timeout
            with WorkspaceHook(self.workspace_conn_id) as hook:
                trigger = self.trigger(hook, context)
            self.defer(
                trigger=trigger,
                method_name="resume",
                kwargs={"deadline": deadline},
                timeout=timedelta(seconds=max(deadline - datetime.now(UTC).timestamp(), 0)),
            )
        return found.xcom_value
