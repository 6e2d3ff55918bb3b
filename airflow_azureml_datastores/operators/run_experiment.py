"""Experiments run, on the worker or on a compute of the workspace."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_azureml_datastores.core.experiment import ExperimentRun, Output
from airflow_azureml_datastores.errors import InvalidInput, Unsupported
from airflow_azureml_datastores.operators._base import WorkspaceOperator, experiment_run

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_azureml_datastores.compute.local_process import LocalProcess


class RunExperimentOperator(WorkspaceOperator):
    """Run an experiment's command with its inputs at hand, and deliver what it writes.

    The command is Azure ML's: ``${{inputs.x}}`` stands for the local path of an input (a literal number or text as it
    is), ``${{outputs.y}}`` for the path to write to. Its output goes into the task's log. If it fails, nothing is
    delivered and the task fails with the tail of its output; when the task is killed, so is every process it started.

    :param experiment: the experiment's name.
    :param command: for ``bash``.
    :param inputs: what an ``IngestToExperimentOperator`` returned, or name -> ``azureml://`` URI, ``Input``, number,
        text.
    :param outputs: name -> ``Output``, an ``azureml://`` URI, or None for a folder in the run's own folder.
    :param code: folder that the command starts in, absolute or relative to the DAG's file; the command gets a copy.
    :param env: added to the command's environment, which has none of Airflow's own variables.
    :param metrics: name of the ``uri_file`` output to which the command writes its metrics, a JSON object.
    :param compute: where it runs; ``local`` is a process on the worker.
    :param run: name of the run; None takes that of the ingest, or derives it from the DAG run.
    :param workspace_conn_id: id of the workspace's connection.

    Returns ``experiment``, ``run``, ``outputs`` (per output ``uri``, ``files``, ``bytes``, ``manifest`` and ``type``)
    and ``metrics``.
    """

    template_fields: Sequence[str] = (
        "experiment",
        "command",
        "inputs",
        "outputs",
        "code",
        "env",
        "metrics",
        "compute",
        "run",
        "workspace_conn_id",
    )
    template_fields_renderers = {"command": "bash", "inputs": "json", "env": "json"}

    def __init__(
        self,
        *,
        experiment: str,
        command: str,
        inputs: Mapping[str, Any] | XComArg | None = None,
        outputs: Mapping[str, Output | str | None] | None = None,
        code: str | None = None,
        env: Mapping[str, str] | None = None,
        metrics: str | None = None,
        compute: str = "local",
        run: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.experiment = experiment
        self.command = command
        self.inputs: Any = inputs
        self.outputs = outputs
        self.code = code
        self.env = env
        self.metrics = metrics
        self.compute = compute
        self.run = run
        self._process: LocalProcess | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_azureml_datastores.compute.experiment import LocalExperiment
        from airflow_azureml_datastores.compute.local_process import LocalProcess

        if self.compute != "local":
            raise Unsupported(f"compute {self.compute!r} is not known in this workspace; use compute='local'.")
        run, inputs = self._run_and_inputs(context)
        self._process = LocalProcess()
        with self.workspace_hook() as hook:
            result = LocalExperiment(
                hook.open,
                run,
                self.command,
                inputs,
                {name: _output(value) for name, value in (self.outputs or {}).items()},
                say=self.log.info,
                on_line=self.log.info,
                code=self._code_folder(),
                env=self.env or {},
                metrics=self.metrics,
            ).execute(self._process)
        return {"experiment": run.experiment, "run": run.run, **result}

    def on_kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _run_and_inputs(self, context: Context) -> tuple[ExperimentRun, Mapping[str, Any]]:
        given = self.inputs or {}
        if isinstance(given.get("inputs"), Mapping) and "run" in given:
            return experiment_run(self.experiment, self.run or given["run"], context), given["inputs"]
        return experiment_run(self.experiment, self.run, context), given

    def _code_folder(self) -> Path | None:
        if not self.code:
            return None
        dag = self.get_dag()
        return Path(dag.folder if dag is not None else os.getcwd(), self.code)


def _output(value: Output | str | Mapping[str, Any] | None) -> Output:
    if isinstance(value, Output):
        return value
    if value is None or isinstance(value, str):
        return Output(path=value)
    if isinstance(value, Mapping):
        return Output(**value)
    raise InvalidInput(f"an output is an Output, an azureml:// URI or None; got {type(value).__name__}.")
