"""Waiting for new data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.sdk import PokeReturnValue

from airflow_azureml_datastores.core.duration import seconds
from airflow_azureml_datastores.core.experiment import Input, unique_slug
from airflow_azureml_datastores.core.template import whole_number
from airflow_azureml_datastores.hooks.workspace import WorkspaceHook
from airflow_azureml_datastores.operators._base import task_name
from airflow_azureml_datastores.operators._data_assets import named_source
from airflow_azureml_datastores.sensors._base import WorkspaceSensor
from airflow_azureml_datastores.transfer.ingest import input_uri
from airflow_azureml_datastores.transfer.watch import Watch
from airflow_azureml_datastores.triggers.new_data import NewDataTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class NewDataSensor(WorkspaceSensor):
    """Wait until there are new or changed files, and return them as a batch.

    New is what no other run of the same consumer has taken. The batch is taken, and the cursor moved, by the
    ``IngestToExperimentOperator`` that gets it, when it has succeeded: so nothing is lost or taken twice, whichever
    task dies in between. Clearing a run gives it its own batch again.

    :param path: ``azureml://`` URI or path of a folder, file or glob, or a data asset (``azureml:<name>:<version>`` or
        ``…@latest``, which is followed from version to version).
    :param datastore: the datastore that a plain path is in; None is the workspace's default.
    :param min_files: how many new files make a batch.
    :param stable_for: for how long none of the new files may have changed, by the store's times: seconds, a
        ``timedelta``, or text such as ``30s`` or ``5m``.
    :param done_marker: name of a file that says that a folder is complete, for example ``_SUCCESS``: files count only
        once it stands in their folder or one above, up to the watched one.
    :param consumer: who takes the data; consumers don't affect each other. None is this task.
    :param deferrable: wait in the triggerer, without a worker slot.
    :param workspace_conn_id: id of the workspace's connection.

    Returns ``uri``, ``files``, ``bytes``, ``manifest`` (URI of the list of files), ``consumer`` and ``batch``.
    """

    template_fields: Sequence[str] = (
        "path",
        "datastore",
        "min_files",
        "stable_for",
        "done_marker",
        "consumer",
        "workspace_conn_id",
    )

    def __init__(
        self,
        *,
        path: str,
        datastore: str | None = None,
        min_files: int = 1,
        stable_for: float | str | timedelta = 0,
        done_marker: str | None = None,
        consumer: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        workspace_conn_id: str = WorkspaceHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(deferrable=deferrable, workspace_conn_id=workspace_conn_id, **kwargs)
        self.path = path
        self.datastore = datastore
        self.min_files = min_files
        self.stable_for = stable_for
        self.done_marker = done_marker
        self.consumer = consumer

    def poke(self, context: Context) -> PokeReturnValue:
        with WorkspaceHook(self.workspace_conn_id) as hook:
            watch, _ = self._watch(hook, context)
            files, told = watch.look(hook.open, datetime.now(UTC))
            self.log.info("%s", told)
            if not files:
                return PokeReturnValue(is_done=False)
            return PokeReturnValue(is_done=True, xcom_value=watch.record(hook.open, files))

    def trigger(self, hook: WorkspaceHook, context: Context) -> NewDataTrigger:
        watch, asset = self._watch(hook, context)
        return NewDataTrigger(self.workspace_conn_id, watch, self.poke_interval, asset)

    def _watch(self, hook: WorkspaceHook, context: Context) -> tuple[Watch, str | None]:
        """What to look for, and the data asset that its place was given as."""
        ti = context["ti"]
        source, named = named_source(hook, Input(self.path, self.datastore or None))
        watch = Watch(
            uri=str(input_uri(source)),
            consumer=self.consumer or f"{ti.dag_id}.{ti.task_id}",
            batch=unique_slug(ti.run_id, task_name(context)),
            min_files=whole_number("min_files", self.min_files),
            stable_for=seconds(self.stable_for),
            done_marker=self.done_marker or None,
            asset=named,
        )
        return watch, self.path if named is not None else None
