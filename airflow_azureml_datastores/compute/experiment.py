"""An experiment's command, run on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from airflow_azureml_datastores.compute.local_run import LocalRun
from airflow_azureml_datastores.core.experiment import ExperimentRun, Output, bind_command, check_command
from airflow_azureml_datastores.core.place import OpenDatastore
from airflow_azureml_datastores.errors import InvalidInput
from airflow_azureml_datastores.transfer.progress import Say


class Process(Protocol):
    """Runs a command; see :class:`~airflow_azureml_datastores.compute.local_process.LocalProcess`."""

    def run(self, command: str, *, cwd: Path, env: Mapping[str, str], on_line: Say) -> None: ...


@dataclass
class LocalExperiment:
    """One run of an experiment as a local process.

    :param open_datastore: opens the workspace's datastores.
    :param run: which run.
    :param command: with ``${{inputs.x}}`` and ``${{outputs.y}}``.
    :param inputs: name -> URI, :class:`Input`, what an ingest returned for the input, or a literal number or text.
    :param outputs: name -> :class:`Output`.
    :param code: folder that the command starts in; it gets a copy.
    :param env: added to the command's environment.
    :param metrics: name of the ``uri_file`` output with the metrics, a JSON object; None if there are none.
    :param say: takes progress lines.
    :param on_line: takes the command's output.
    :param scratch: where the run's folder on this machine is made; None is the system's temporary folder.
    """

    open_datastore: OpenDatastore
    run: ExperimentRun
    command: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Output]
    say: Say
    on_line: Say
    code: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    metrics: str | None = None
    scratch: Path | None = None

    def execute(self, process: Process) -> dict[str, Any]:
        """Run it all. Begun again after an interruption, it runs the command anew and replaces the outputs.

        :returns: ``outputs``, per output ``uri``, ``files``, ``bytes``, ``manifest`` and ``type``; ``metrics``.
        :raises InvalidInput: a placeholder or the code's folder is wrong; nothing has happened yet. For more errors
            see :meth:`.LocalRun.execute`.
        :raises ExperimentFailed: the command ended with an error, or did not write a file that it should have.
        """
        check_command(self.command, self.inputs, self.outputs)
        if self.code is not None and not self.code.is_dir():
            raise InvalidInput(f"the code folder {str(self.code)!r} is not there.")

        def work(inputs: Mapping[str, Any], outputs: Mapping[str, str | Path], folder: Path) -> None:
            code = folder / "code"
            shutil.copytree(self.code, code) if self.code else code.mkdir()
            command = bind_command(self.command, inputs, {name: str(path) for name, path in outputs.items()})
            process.run(command, cwd=code, env=self.env, on_line=self.on_line)

        run = LocalRun(self.open_datastore, self.run, self.inputs, self.outputs, self.say, self.metrics, self.scratch)
        return run.execute(work)
