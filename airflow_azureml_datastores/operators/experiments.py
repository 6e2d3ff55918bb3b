"""Data into experiments, and their outputs published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.core.experiment import IngestMode, Input, TableOutput, as_input, unique_slug
from airflow_azureml_datastores.core.manifest import MANIFEST, Manifest
from airflow_azureml_datastores.core.place import Place, open_place
from airflow_azureml_datastores.core.rows_input import RowsInput
from airflow_azureml_datastores.core.uri import parse_datastore_uri
from airflow_azureml_datastores.errors import AlreadyTaken, InvalidInput
from airflow_azureml_datastores.hooks.workspace import WorkspaceHook
from airflow_azureml_datastores.operators._base import (
    WorkspaceOperator,
    consumer_of,
    experiment_run,
    mapping,
    task_name,
)
from airflow_azureml_datastores.operators._data_assets import (
    assets_to_register,
    check_fits,
    named_source,
    register,
    target_uri,
)
from airflow_azureml_datastores.transfer.cursors import transfer_record
from airflow_azureml_datastores.transfer.ingest import ingest
from airflow_azureml_datastores.transfer.publish import Policy, Publishing, check_disjoint, prepare_publish
from airflow_azureml_datastores.transfer.source import Source, from_manifest, read_manifest
from airflow_azureml_datastores.transfer.tables import TableLoad, prepare_table_load

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg


class IngestToExperimentOperator(WorkspaceOperator):
    """Bring data into an experiment's run.

    With mode ``copy`` each input becomes a snapshot in the run's folder on the default datastore
    (``experiments/<experiment>/<run>/inputs/<name>/``); with ``direct`` it stays where it is, pinned by etag. Either
    way a manifest lists exactly what was taken. A retry goes on where the last try stopped and ends the same; the
    cursor of a consumer moves only when all inputs have arrived. If other runs of the consumer were faster with all
    of its files or rows, the task is skipped.

    :param experiment: the experiment's name.
    :param inputs: name -> ``azureml://`` URI, a data asset (``azureml:<name>:<version>`` or ``…@latest``), a path or
        glob in the default datastore, an ``Input``, rows of a database (``Input.query``, ``Input.table``), or what a
        ``NewDataSensor`` or a ``NewRowsSensor`` returned.
    :param mode: ``copy`` or ``direct``, for inputs that name none.
    :param run: name of the run; None derives it from the DAG run and a mapped task's index.
    :param assets: name of an input -> the data asset that it becomes a version of, once all inputs have arrived: its
        name, or a ``DataAsset`` with description, tags or the type ``mltable``. The same content again is the same
        version.
    :param workspace_conn_id: id of the workspace's connection.

    Returns ``experiment``, ``run`` and ``inputs``: per input ``uri``, ``type``, ``files``, ``bytes``, ``manifest``
    (URI), ``mode``, ``source``, ``unchanged`` and, if it became one, ``asset`` (``azureml:<name>:<version>``); of a
    database also ``rows`` and, if it was what is new, ``watermark``.
    """

    template_fields: Sequence[str] = ("experiment", "inputs", "mode", "run", "assets", "workspace_conn_id")

    def __init__(
        self,
        *,
        experiment: str,
        inputs: Mapping[str, str | Input | RowsInput | Mapping[str, Any] | XComArg],
        mode: IngestMode = "copy",
        run: str | None = None,
        assets: Mapping[str, str | DataAsset] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.experiment = experiment
        self.inputs = inputs
        self.mode = mode
        self.run = run
        self.assets = assets

    def execute(self, context: Context) -> dict[str, Any]:
        run = experiment_run(self.experiment, self.run, context)
        inputs = {name: _consumed(name, value, context) for name, value in mapping("inputs", self.inputs).items()}
        assets = assets_to_register(self.assets, "input", inputs)

        def check(name: str, mode: IngestMode, source: Source) -> None:
            if name in assets:
                check_fits(name, assets[name], source, single=source.single)
                if mode == "direct":
                    _check_whole(name, inputs[name], source)

        with self.workspace_hook() as hook:
            sources = {name: named_source(hook, value) for name, value in inputs.items()}
            try:
                results = ingest(
                    hook.open,
                    run,
                    {name: source for name, (source, _) in sources.items()},
                    say=self.log.info,
                    default_mode=self.mode,
                    named={name: named for name, (_, named) in sources.items() if named is not None},
                    check=check,
                    open_tables=hook.open_tables,
                    batch=unique_slug(context["ti"].run_id, task_name(context)),
                )
            except AlreadyTaken as taken:
                raise AirflowSkipException(str(taken)) from taken
            for name, asset in assets.items():
                results[name]["asset"] = register(hook, asset, results[name])
                self.log.info("Input %r is data asset %s.", name, results[name]["asset"])
        return {"experiment": run.experiment, "run": run.run, "inputs": results}


def _consumed(name: str, value: Any, context: Context) -> Any:
    """An input; if it is new rows and names no consumer, it is this task that takes them."""
    if not isinstance(value, RowsInput) or value.watermark is None:
        return value
    return replace(value, consumer=consumer_of(context, value.consumer, name))


def _check_whole(name: str, value: Any, source: Source) -> None:
    """:raises InvalidInput: an input that stays where it is is only a part of its folder."""
    if not isinstance(as_input(value, name), Input) or parse_datastore_uri(source.uri).pattern:
        raise InvalidInput(
            f"input {name!r} is a part of {source.folder.uri} and stays where it is, so it cannot become a data asset, "
            f"which is a whole folder or a file: ingest it with mode 'copy', or name the folder."
        )


class PublishOutputsOperator(WorkspaceOperator):
    """Publish outputs of a run to datastores: each target shows the old state or the new one, never a part.

    A published folder gets a manifest and, last, ``_SUCCESS``. A retry completes what a lost worker began. Rows go into
    a table in one transaction, in which the load is recorded, so that a retry never brings them twice.

    :param run: what a ``RunExperimentOperator`` returned.
    :param outputs: name of an output -> ``azureml://`` URI or path of the folder to publish to; for a ``uri_file``
        output a path without a trailing slash is the file's new name. Or ``Output.table(…)``: a table for the rows of
        its Parquet, CSV or Arrow files.
    :param policy: if there is data at a target: ``fail``, ``overwrite`` (it is gone afterwards) or ``merge`` (files of
        the same name are replaced, the others stay).
    :param assets: name of an output -> the data asset that the published file or folder becomes a version of, once all
        outputs are published: its name, or a ``DataAsset`` with description, tags or the type ``mltable``. The same
        content again is the same version.
    :param workspace_conn_id: id of the workspace's connection.

    Returns per output ``uri``, ``files``, ``bytes``, ``manifest`` (URI) and, if it became one, ``asset``
    (``azureml:<name>:<version>``); of a table ``datastore``, ``table``, ``mode``, ``rows`` and ``unchanged`` (an
    earlier try had brought them).
    """

    template_fields: Sequence[str] = ("run", "outputs", "policy", "assets", "workspace_conn_id")

    def __init__(
        self,
        *,
        run: Mapping[str, Any] | XComArg,
        outputs: Mapping[str, str | TableOutput],
        policy: Policy = "fail",
        assets: Mapping[str, str | DataAsset] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run: Any = run
        self.outputs = outputs
        self.policy = policy
        self.assets = assets

    def execute(self, context: Context) -> dict[str, Any]:
        produced = self.run.get("outputs") if isinstance(self.run, Mapping) else None
        if not produced:
            raise InvalidInput(
                "run has to be what a RunExperimentOperator returned, with at least one output; of a @task.experiment "
                "that is its XCom 'run': run=task[\"run\"]."
            )
        outputs = mapping("outputs", self.outputs)
        for name in outputs:
            if name not in produced:
                raise InvalidInput(f"the run has no output {name!r}; its outputs: {', '.join(sorted(produced))}.")
        if not outputs:
            raise InvalidInput(f"no outputs are named to publish; the run's outputs: {', '.join(sorted(produced))}.")
        tables = {name: value for name, value in outputs.items() if isinstance(value, TableOutput)}
        places = {name: value for name, value in outputs.items() if name not in tables}
        assets = assets_to_register(self.assets, "output", places)
        with self.workspace_hook() as hook:
            loads = {name: self._prepare_load(hook, name, produced[name], tables[name], context) for name in tables}
            uris = {name: parse_datastore_uri(target_uri(hook, text)) for name, text in places.items()}
            targets = {name: open_place(hook.open, uri) for name, uri in uris.items()}
            check_disjoint(targets)
            work = {
                name: self._prepare(hook, name, produced[name], targets[name], assets.get(name), context)
                for name in targets
            }
            for publish, _ in work.values():
                publish.stage()
            results = {name: load.run() for name, load in loads.items()}
            results |= {name: shown(publish()) for name, (publish, shown) in work.items()}
            for name, asset in assets.items():
                results[name]["asset"] = register(hook, asset, results[name], produced[name]["manifest"])
                self.log.info("Output %r is data asset %s.", name, results[name]["asset"])
            return {name: results[name] for name in outputs}

    def _prepare_load(
        self, hook: WorkspaceHook, name: str, produced: Mapping[str, Any], table: TableOutput, context: Context
    ) -> TableLoad:
        """Check the load of one output into a table."""
        return prepare_table_load(
            hook.open_tables,
            from_manifest(hook.open, read_manifest(hook.open, produced["manifest"])),
            table,
            publisher=f"{task_name(context)} ({name})",
            label=f"[publish] {name}",
            say=self.log.info,
        )

    def _prepare(
        self,
        hook: WorkspaceHook,
        name: str,
        produced: Mapping[str, Any],
        target: Place,
        asset: DataAsset | None,
        context: Context,
    ) -> tuple[Publishing, Callable[[Manifest], dict[str, Any]]]:
        """Check one output's publish; with it, what its manifest is to the task's result."""
        source = from_manifest(hook.open, read_manifest(hook.open, produced["manifest"]))
        source = replace(source, single=produced.get("type") == "uri_file")
        as_file = source.single and bool(target.path) and not target.path.endswith("/")
        if asset is not None:
            check_fits(name, asset, source, single=as_file, beside=target if self.policy == "merge" else None)
        record = transfer_record(hook.open, f"{task_name(context)}/{name}")
        publish = prepare_publish(
            source,
            target,
            policy=self.policy,
            publisher=f"{task_name(context)} ({name})",
            label=f"[publish] {name}",
            say=self.log.info,
            origin={key: str(self.run[key]) for key in ("experiment", "run") if key in self.run},
            record=record,
        )

        def shown(manifest: Manifest) -> dict[str, Any]:
            return {
                "uri": target.uri if as_file else manifest.target,
                "files": manifest.files,
                "bytes": manifest.size,
                "manifest": (record if as_file else target).at(MANIFEST).uri,
            }

        return publish, shown
