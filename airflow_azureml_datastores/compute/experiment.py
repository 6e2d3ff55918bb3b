"""An experiment's run on this machine: inputs brought near, the command run, outputs delivered."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from airflow_azureml_datastores.core.experiment import (
    ExperimentRun,
    Input,
    Output,
    as_input,
    bind_command,
    check_binding_names,
    check_command,
)
from airflow_azureml_datastores.core.manifest import MANIFEST
from airflow_azureml_datastores.core.place import OpenDatastore, Place, open_place
from airflow_azureml_datastores.core.uri import DatastoreUri, parse_datastore_uri, quote_path
from airflow_azureml_datastores.errors import ExperimentFailed, InvalidInput, NoData
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.transfer.delivery import Delivery
from airflow_azureml_datastores.transfer.ingest import input_uri
from airflow_azureml_datastores.transfer.progress import Say
from airflow_azureml_datastores.transfer.publish import prepare_publish
from airflow_azureml_datastores.transfer.source import Source, find_source, from_manifest, read_manifest

METRICS_LIMIT = 64 * 1024
"""Bytes of metrics that are taken: they go into XCom."""


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
        :raises InvalidInput: a name, placeholder, mode, folder or target is wrong; nothing has happened yet.
        :raises DatastoreNotFound: an input or output is in a datastore that is not registered; likewise.
        :raises ExperimentFailed: the command ended with an error, or did not write a file that it should have.
        """
        self._check()
        sources = {name: self._find(name, value) for name, value in self.inputs.items()}
        with _workdir(self.scratch) as (folder, root):
            inputs = {name: self._bring(name, found, folder, root) for name, found in sources.items()}
            outputs = {name: self._prepare(name, output, folder) for name, output in self.outputs.items()}
            code = folder / "code"
            shutil.copytree(self.code, code) if self.code else code.mkdir()
            command = bind_command(self.command, inputs, {name: str(path) for name, path in outputs.items()})
            process.run(command, cwd=code, env=self.env, on_line=self.on_line)
            metrics = self._read_metrics(outputs)
            return {"outputs": {name: self._deliver(name, outputs[name], root) for name in outputs}, "metrics": metrics}

    def _check(self) -> None:
        check_binding_names("input", self.inputs)
        check_binding_names("output", self.outputs)
        check_command(self.command, self.inputs, self.outputs)
        if self.code is not None and not self.code.is_dir():
            raise InvalidInput(f"the code folder {str(self.code)!r} is not there.")
        if self.metrics is not None and (
            self.metrics not in self.outputs or self.outputs[self.metrics].type != "uri_file"
        ):
            raise InvalidInput(f"metrics={self.metrics!r} has to name an output of type 'uri_file'.")
        for name, output in self.outputs.items():
            if output.mode != "upload":
                raise InvalidInput(f"the mode {output.mode!r} of output {name!r} is not possible here: use 'upload'.")
            if output.path is not None:  # a target that cannot be opened should not be found out after the command
                open_place(self.open_datastore, parse_datastore_uri(output.path))

    def _find(self, name: str, value: Any) -> Source | str:
        """The files of an input, or the text that the command gets for it."""
        if isinstance(value, bool | int | float) or (isinstance(value, str) and not value.startswith("azureml:")):
            return str(value)
        given = as_input(value)
        if not isinstance(given, Input):
            source = from_manifest(self.open_datastore, read_manifest(self.open_datastore, given["manifest"]))
            return replace(source, single=given.get("type") == "uri_file")
        if given.mode not in (None, "download", "direct"):
            raise InvalidInput(
                f"the mode {given.mode!r} of input {name!r} is not one of a run: use 'download' or 'direct'."
            )
        uri = input_uri(given)
        if given.mode == "direct":
            return str(replace(uri, datastore=self.open_datastore(uri.datastore).datastore))
        source = find_source(self.open_datastore, uri)
        if not source.files and not given.allow_empty:
            raise NoData(
                f"the source {source.uri} of input {name!r} is empty; pass Input(…, allow_empty=True) to accept."
            )
        return source

    def _bring(self, name: str, found: Source | str, folder: Path, root: Place) -> str:
        if isinstance(found, str):
            return found
        delivery = Delivery(found, root.at(f"inputs/{name}/"), label=self._label("get", name), say=self.say)
        (folder / "inputs" / name).mkdir(parents=True, exist_ok=True)
        delivery.check()
        entries = delivery.move()
        path = folder / "inputs" / name
        return str(path / entries[0].path if found.single else path)

    def _prepare(self, name: str, output: Output, folder: Path) -> Path:
        """The path that the command gets for an output: an empty folder, or a file that is not there yet."""
        path = folder / "outputs" / name
        path.mkdir(parents=True)
        return path / _file_name(name, output) if output.type == "uri_file" else path

    def _read_metrics(self, outputs: Mapping[str, Path]) -> dict[str, Any]:
        for name, output in self.outputs.items():
            if output.type == "uri_file" and not outputs[name].is_file():
                raise ExperimentFailed(f"the command succeeded but wrote no file to ${{{{outputs.{name}}}}}.", 0)
        if self.metrics is None:
            return {}
        content = outputs[self.metrics].read_bytes()
        if len(content) > METRICS_LIMIT:
            raise ExperimentFailed(f"the metrics are {len(content)} bytes; at most {METRICS_LIMIT} are taken.", 0)
        try:
            metrics = json.loads(content)
        except ValueError as error:
            raise ExperimentFailed(f"the metrics in output {self.metrics!r} are not JSON: {error}", 0) from error
        if not isinstance(metrics, dict):
            raise ExperimentFailed(f"the metrics in output {self.metrics!r} are not a JSON object.", 0)
        return metrics

    def _deliver(self, name: str, path: Path, root: Place) -> dict[str, Any]:
        output = self.outputs[name]
        single = output.type == "uri_file"
        local = find_source(lambda _: root, DatastoreUri(None, f"outputs/{name}/{path.name if single else ''}"))
        origin = {"experiment": self.run.experiment, "run": self.run.run, "output": name}
        record = self.open_datastore(None).at(self.run.output_folder(name))
        label = self._label("put", name)
        if output.path is None:
            delivery = Delivery(
                local, record, label, self.say, manifest=record.at(MANIFEST), exclusive=True, origin=origin
            )
            delivery.check()
            manifest = delivery.seal(delivery.move())
        else:
            uri = parse_datastore_uri(output.path)
            target = open_place(self.open_datastore, uri)
            publisher = f"{self.run.experiment}/{self.run.run}/{name}"
            manifest = prepare_publish(
                local,
                target if single else target.folder(),
                policy="overwrite",
                publisher=publisher,
                label=label,
                say=self.say,
                origin=origin,
                record=record,
            )()
            if not (single and target.path and not target.path.endswith("/")):
                record = target.folder()
        return {
            "uri": manifest.target + (quote_path(manifest.entries[0].path) if single else ""),
            "files": manifest.files,
            "bytes": manifest.size,
            "manifest": record.at(MANIFEST).uri,
            "type": output.type,
        }

    def _label(self, verb: str, name: str) -> str:
        return f"[{verb}] {self.run.experiment}/{self.run.run}  {name}"


def _file_name(name: str, output: Output) -> str:
    """What an output file is called: as its path says, or else as the output."""
    return (output.path or "").rpartition("/")[2] or name


@contextmanager
def _workdir(scratch: Path | None) -> Iterator[tuple[Path, Place]]:
    """A folder of the run's own, which vanishes with it, and the same folder as a store."""
    with tempfile.TemporaryDirectory(prefix="azureml-run-", dir=scratch, ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        with LocalDirectory(str(folder)).open_plain() as store:
            yield folder, Place("", store)
