"""Waiting for new rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.sdk import PokeReturnValue

from airflow_azureml_datastores.core.experiment import unique_slug
from airflow_azureml_datastores.core.rows_input import RowsFormat, RowsInput
from airflow_azureml_datastores.core.template import whole_number
from airflow_azureml_datastores.core.watermark import Overlap
from airflow_azureml_datastores.hooks.workspace import WorkspaceHook
from airflow_azureml_datastores.operators._base import consumer_of, task_name
from airflow_azureml_datastores.sensors._base import WorkspaceSensor
from airflow_azureml_datastores.transfer.new_rows import RowsWatch
from airflow_azureml_datastores.triggers.new_rows import NewRowsTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class NewRowsSensor(WorkspaceSensor):
    """Wait until a table or a query of a database has new rows, and return them as a batch.

    New is what no other run of the same consumer has taken: the rows above the greatest watermark that was taken. The
    batch is taken, and the cursor moved, by the ``IngestToExperimentOperator`` that gets it, when it has succeeded: so
    nothing is lost or taken twice, whichever task dies in between. Clearing a run gives it its own batch again.

    :param datastore: the database.
    :param watermark: a column, of whole numbers, decimals, dates or timestamps, that is greater in newer rows. Rows
        where it is NULL are never new.
    :param table: a table, as ``table`` or ``schema.table``.
    :param sql: a SELECT in place of that; ``?`` or ``:name`` stand for values.
    :param parameters: the values. They are in the task's XCom, too: no place for secrets.
    :param columns: only these of the table; none are all.
    :param overlap: how far below the watermark late rows are looked for: a number for numbers, a duration (``1h``) for
        dates and timestamps.
    :param keys: the columns that tell rows apart; needed for an overlap.
    :param initial: a watermark above which the consumer's very first batch begins; None takes all.
    :param format: of the files that the ingest makes: ``parquet`` or ``csv``.
    :param partition: a column, ranges of which the ingest reads side by side; see ``Input.table``.
    :param partitions: how many, 2 to 16.
    :param min_rows: how many new rows make a batch.
    :param consumer: who takes the rows; consumers don't affect each other. None is this task.
    :param deferrable: wait in the triggerer, without a worker slot.
    :param workspace_conn_id: id of the workspace's connection.

    Returns ``rows`` (how many), ``watermark`` (``column``, ``type``, ``low``, which is below them, and ``high``, the
    greatest), ``consumer``, ``batch``, and of the above what the ingest needs.
    """

    template_fields: Sequence[str] = (
        "datastore",
        "watermark",
        "table",
        "sql",
        "parameters",
        "columns",
        "overlap",
        "keys",
        "initial",
        "format",
        "partition",
        "partitions",
        "min_rows",
        "consumer",
        "workspace_conn_id",
    )
    template_fields_renderers = {"sql": "sql"}

    def __init__(
        self,
        *,
        datastore: str,
        watermark: str,
        table: str | None = None,
        sql: str | None = None,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        columns: Sequence[str] = (),
        overlap: Overlap = 0,
        keys: Sequence[str] = (),
        initial: Any = None,
        format: RowsFormat = "parquet",
        partition: str | None = None,
        partitions: int | None = None,
        min_rows: int = 1,
        consumer: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        workspace_conn_id: str = WorkspaceHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(deferrable=deferrable, workspace_conn_id=workspace_conn_id, **kwargs)
        self.datastore = datastore
        self.watermark = watermark
        self.table = table
        self.sql = sql
        self.parameters = parameters
        self.columns = columns
        self.overlap = overlap
        self.keys = keys
        self.initial = initial
        self.format = format
        self.partition = partition
        self.partitions = partitions
        self.min_rows = min_rows
        self.consumer = consumer

    def poke(self, context: Context) -> PokeReturnValue:
        with WorkspaceHook(self.workspace_conn_id) as hook:
            batch, told = self._watch(context).look(hook.open, hook.open_tables)
        self.log.info("%s", told)
        return PokeReturnValue(is_done=batch is not None, xcom_value=batch)

    def trigger(self, hook: WorkspaceHook, context: Context) -> NewRowsTrigger:
        return NewRowsTrigger(self.workspace_conn_id, self._watch(context), self.poke_interval)

    def _watch(self, context: Context) -> RowsWatch:
        rows = RowsInput(
            datastore=self.datastore,
            sql=self.sql,
            table=self.table,
            parameters=self.parameters,
            columns=self.columns,
            format=self.format,
            watermark=self.watermark,
            overlap=self.overlap,
            keys=self.keys,
            initial=self.initial,
            consumer=consumer_of(context, self.consumer or None),
            partition=self.partition,
            partitions=self.partitions,
        )
        batch = unique_slug(context["ti"].run_id, task_name(context))
        return RowsWatch(rows, batch, whole_number("min_rows", self.min_rows))
