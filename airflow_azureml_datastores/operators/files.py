"""Files from datastore to datastore, and between a datastore and the worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.core.experiment import TableOutput
from airflow_azureml_datastores.core.manifest import MANIFEST, Manifest
from airflow_azureml_datastores.core.place import Place, open_place
from airflow_azureml_datastores.core.rows_input import RowsInput
from airflow_azureml_datastores.core.template import flag
from airflow_azureml_datastores.core.uri import parse_datastore_uri
from airflow_azureml_datastores.hooks.local_files import local_folder, local_source
from airflow_azureml_datastores.hooks.workspace import WorkspaceHook
from airflow_azureml_datastores.operators._base import WorkspaceOperator, task_name
from airflow_azureml_datastores.operators._data_assets import named_source, target_uri
from airflow_azureml_datastores.transfer.copy import prepare_copy
from airflow_azureml_datastores.transfer.cursors import transfer_record
from airflow_azureml_datastores.transfer.rows_copy import prepare_rows_copy
from airflow_azureml_datastores.transfer.source import Source, find_source
from airflow_azureml_datastores.transfer.tables import prepare_table_load

if TYPE_CHECKING:
    from airflow.sdk import Context


class _CopyOperator(WorkspaceOperator):
    """Copies files; a retry goes on where the last try stopped."""

    verb = "copy"

    def __init__(self, *, overwrite: bool = False, allow_empty: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.overwrite = overwrite
        self.allow_empty = allow_empty

    def copy(
        self, hook: WorkspaceHook, source: Source, target: Place, context: Context, named: str | None = None
    ) -> dict[str, Any]:
        """:param named: the data asset or job's output that the source was given as."""
        record = transfer_record(hook.open, task_name(context))
        manifest: Manifest = prepare_copy(
            source,
            target,
            label=f"[{self.verb}] {source.uri}",
            say=self.log.info,
            overwrite=flag("overwrite", self.overwrite),
            allow_empty=flag("allow_empty", self.allow_empty),
            record=record,
            origin={"task": task_name(context)} | ({"asset": named} if named is not None else {}),
        )()
        return {
            "source": named or source.uri,
            "uri": target.uri,
            "files": manifest.files,
            "bytes": manifest.size,
            "manifest": record.at(MANIFEST).uri,
        }


class CopyDatastoreOperator(_CopyOperator):
    """Copy files from a datastore to a datastore: inside the service where it can do that, else through the worker.
    Rows of a database become files, and rows of files become those of a table.

    :param source: ``azureml://`` URI of a file, folder or glob, or a data asset (``azureml:<name>:<version>`` or
        ``…@latest``); a plain path is in the default datastore. Or rows of a database (``Input.query``,
        ``Input.table``).
    :param target: ``azureml://`` URI of a folder, or for a single file its new name. Or a table (``Output.table``) for
        the rows of the source, or of its Parquet, CSV or Arrow files.
    :param overwrite: replace files of the same name; otherwise they are an error before anything moves. Of rows, the
        folder as it was is gone afterwards. It does not count for a table, which has a mode of its own.
    :param allow_empty: whether a source without files is acceptable; rows have their own.
    :param workspace_conn_id: id of the workspace's connection.

    Returns ``source``, ``uri``, ``files``, ``bytes`` and ``manifest`` (URI of the list of what was delivered), and of
    rows ``rows``. For a table ``source``, ``datastore``, ``table``, ``mode``, ``rows`` and ``unchanged`` (an earlier
    try had brought them).
    """

    template_fields: Sequence[str] = ("source", "target", "overwrite", "allow_empty", "workspace_conn_id")

    def __init__(self, *, source: str | RowsInput, target: str | TableOutput, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.target = target

    def execute(self, context: Context) -> dict[str, Any]:
        with self.workspace_hook() as hook:
            if isinstance(self.target, TableOutput):
                return self._into_table(hook, self.target, context)
            target = open_place(hook.open, parse_datastore_uri(target_uri(hook, self.target)))
            if isinstance(self.source, RowsInput):
                return self._rows(hook, self.source, target, context)
            text, named = named_source(hook, self.source)
            source = find_source(hook.open, parse_datastore_uri(text), records=True)
            return self.copy(hook, source, target, context, named)

    def _into_table(self, hook: WorkspaceHook, target: TableOutput, context: Context) -> dict[str, Any]:
        named = None
        if isinstance(self.source, RowsInput):
            source: Source | RowsInput = self.source
        else:
            text, named = named_source(hook, self.source)
            source = find_source(hook.open, parse_datastore_uri(text))
        who = task_name(context)
        load = prepare_table_load(hook.open_tables, source, target, publisher=who, label="[copy]", say=self.log.info)
        told = source.described if isinstance(source, RowsInput) else source.uri
        return {"source": named or told, **load.run()}

    def _rows(self, hook: WorkspaceHook, rows: RowsInput, target: Place, context: Context) -> dict[str, Any]:
        manifest = prepare_rows_copy(
            hook.open,
            hook.open_tables,
            rows,
            target,
            overwrite=flag("overwrite", self.overwrite),
            publisher=task_name(context),
            label=f"[copy] {rows.described}",
            say=self.log.info,
        )()
        return {
            "source": rows.described,
            "uri": manifest.target,
            "files": manifest.files,
            "bytes": manifest.size,
            "manifest": target.at(MANIFEST).uri,
            "rows": int(manifest.origin["rows"]),
        }


class UploadToDatastoreOperator(_CopyOperator):
    """Copy files of the worker to a datastore.

    :param local_path: a file, folder or glob on the worker.
    :param target: ``azureml://`` URI or path of a folder, or for a single file its new name.
    :param overwrite: replace files of the same name; otherwise they are an error before anything moves.
    :param allow_empty: whether a source without files is acceptable.
    :param workspace_conn_id: id of the workspace's connection.

    Returns ``source``, ``uri``, ``files``, ``bytes`` and ``manifest`` (URI of the list of what was delivered).
    """

    template_fields: Sequence[str] = ("local_path", "target", "overwrite", "allow_empty", "workspace_conn_id")
    verb = "upload"

    def __init__(self, *, local_path: str, target: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.local_path = local_path
        self.target = target

    def execute(self, context: Context) -> dict[str, Any]:
        with self.workspace_hook() as hook, local_source(self.local_path) as source:
            target = open_place(hook.open, parse_datastore_uri(target_uri(hook, self.target)))
            return self.copy(hook, source, target, context)


class DownloadFromDatastoreOperator(_CopyOperator):
    """Copy files of a datastore to the worker.

    :param source: ``azureml://`` URI of a file, folder or glob, or a data asset (``azureml:<name>:<version>`` or
        ``…@latest``); a plain path is in the default datastore.
    :param local_path: a folder on the worker, which is made if need be.
    :param overwrite: replace files of the same name; otherwise they are an error before anything moves.
    :param allow_empty: whether a source without files is acceptable.
    :param workspace_conn_id: id of the workspace's connection.

    Returns ``source``, ``uri``, ``files``, ``bytes`` and ``manifest`` (URI of the list of what was delivered).
    """

    template_fields: Sequence[str] = ("source", "local_path", "overwrite", "allow_empty", "workspace_conn_id")
    verb = "download"

    def __init__(self, *, source: str, local_path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.local_path = local_path

    def execute(self, context: Context) -> dict[str, Any]:
        with self.workspace_hook() as hook:
            text, named = named_source(hook, self.source)
            source = find_source(hook.open, parse_datastore_uri(text), records=True)
            with local_folder(self.local_path) as target:
                return self.copy(hook, source, target, context, named)
