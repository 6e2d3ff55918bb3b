"""A run on this machine: inputs brought near, the work done, outputs delivered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_azureml_datastores.compute._inputs import FoundInput, find_inputs
from airflow_azureml_datastores.compute._outputs import Outputs
from airflow_azureml_datastores.compute._scratch import scratch_folder
from airflow_azureml_datastores.compute.mount import check_mounts, mount_folder, mount_source
from airflow_azureml_datastores.core.experiment import ExperimentRun, Output
from airflow_azureml_datastores.core.place import OpenDatastore, Place
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.errors import DatastoresError, ExperimentFailed, InvalidInput
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.transfer.delivery import Delivery
from airflow_azureml_datastores.transfer.progress import Say
from airflow_azureml_datastores.transfer.source import Source, find_source

Work = Callable[[Mapping[str, Any], Mapping[str, "str | Path"], Path], None]
"""What a run does. It gets the inputs (paths, URIs and literals), the outputs (paths to write to, and URIs) and the
run's folder on this machine, and raises an error if it fails."""


@dataclass
class LocalRun:
    """One run of an experiment on this machine.

    :param open_datastore: opens the workspace's datastores.
    :param run: which run.
    :param inputs: name -> URI, :class:`Input`, what an ingest returned for the input, or a literal number or text.
    :param outputs: name -> :class:`Output`.
    :param say: takes progress lines.
    :param metrics: name of the ``uri_file`` output with the metrics, a JSON object; None if there are none.
    :param scratch: where the run's folder on this machine is made; None is the system's temporary folder.
    """

    open_datastore: OpenDatastore
    run: ExperimentRun
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Output]
    say: Say
    metrics: str | None = None
    scratch: Path | None = None

    def execute(self, work: Work) -> dict[str, Any]:
        """Do it all. Begun again after an interruption, it does the work anew and replaces the outputs.

        Mounts are gone before outputs are delivered, and whatever happens.

        :returns: ``outputs``, per output ``uri``, ``files``, ``bytes``, ``manifest`` and ``type``; ``metrics``.
        :raises InvalidInput: a name, mode or target is wrong; nothing has happened yet.
        :raises DatastoreNotFound: an input or output is in a datastore that is not registered; likewise.
        :raises Unsupported: a mode needs a mount, which is not possible here; likewise.
        :raises ExperimentFailed: a file that should have been written was not.
        :raises TransferIncomplete: what was written into a mount could not be stored.
        """
        outputs = Outputs(self.open_datastore, self.run, self.outputs, self.say, self.metrics)
        outputs.check()
        inputs = find_inputs(self.open_datastore, self.inputs)
        self._check_mounts(inputs, outputs)
        self._check_apart(inputs, outputs)
        with (
            scratch_folder(self.scratch) as folder,
            closing(LocalDirectory(str(folder)).open_plain()) as store,
        ):
            near = Place("", store)
            downloads = self._downloads(inputs, near)
            with self._cleared(outputs):
                with ExitStack() as mounts:
                    given = {name: self._bring(name, inputs[name], downloads, folder, mounts) for name in inputs}
                    paths = {name: self._open(name, outputs, folder, mounts) for name in self.outputs}
                    work(given, paths, folder)
                deliver = outputs.prepare(self._uploads(near, paths))
            return deliver()

    def _check_mounts(self, inputs: Mapping[str, Any], outputs: Outputs) -> None:
        found = [i for i in inputs.values() if isinstance(i, FoundInput) and i.mode != "download"]
        places = [i.source.folder for i in found]
        places += [outputs.place(name) for name, output in self.outputs.items() if output.mode == "rw_mount"]
        if places:
            check_mounts()
        for place in places:
            _ = place.store.door

    def _check_apart(self, inputs: Mapping[str, Any], outputs: Outputs) -> None:
        """Refuse to empty an output's folder while an input is to be read there."""
        mounted = {n: i.source for n, i in inputs.items() if isinstance(i, FoundInput) and i.mode != "download"}
        for name in (name for name, output in self.outputs.items() if output.mode != "upload"):
            emptied = outputs.record(name).folder()
            for input_name, source in mounted.items():
                paths = (version.path for version in source.files.values())
                if source.folder.store.url == emptied.store.url and any(p.startswith(emptied.path) for p in paths):
                    raise InvalidInput(
                        f"the input {input_name!r} is in {emptied.uri}, which is emptied for the output {name!r} "
                        f"before the run: use mode 'download' for the input, or 'upload' for the output."
                    )

    def _downloads(self, inputs: Mapping[str, Any], near: Place) -> dict[str, Delivery]:
        """Inputs to download, all of them checked before the first one moves."""
        downloads = {
            name: Delivery(
                found.source,
                near.at(f"inputs/{name}/"),
                label=f"[get] {self.run.experiment}/{self.run.run}  {name}",
                say=self.say,
            )
            for name, found in inputs.items()
            if isinstance(found, FoundInput) and found.mode == "download"
        }
        for delivery in downloads.values():
            delivery.check()
        return downloads

    def _bring(self, name: str, found: Any, downloads: Mapping[str, Delivery], folder: Path, mounts: ExitStack) -> Any:
        if not isinstance(found, FoundInput):
            return found
        path = folder / "inputs" / name
        path.mkdir(parents=True)
        if name in downloads:
            (file, *_) = [entry.path for entry in downloads[name].move()] or [""]
        else:
            (file, *_) = [*found.source.files] or [""]
            mounts.enter_context(self._mounted(found, path, folder))
        return path / file if found.source.single else path

    @contextmanager
    def _mounted(self, found: FoundInput, path: Path, folder: Path) -> Iterator[None]:
        if found.mode == "ro_mount":
            with mount_source(path, found.source, scratch=folder, say=self.say):
                yield
        else:
            with mount_folder(path, found.source.folder, writable=True, scratch=folder, say=self.say):
                yield

    def _open(self, name: str, outputs: Outputs, folder: Path, mounts: ExitStack) -> str | Path:
        """Where an output is written: an empty folder or a file that is not there yet, or with ``direct`` the URI."""
        output = self.outputs[name]
        if output.mode != "upload":
            outputs.clear(name)
        if output.mode == "direct":
            return outputs.place(name).uri
        path = folder / "outputs" / name
        path.mkdir(parents=True)
        if output.mode == "rw_mount":
            mounts.enter_context(mount_folder(path, outputs.record(name), writable=True, scratch=folder, say=self.say))
        return path / outputs.file_name(name) if output.type == "uri_file" else path

    def _uploads(self, near: Place, paths: Mapping[str, str | Path]) -> dict[str, Source]:
        """What was written to the outputs that are not where they belong yet."""
        written = {}
        for name, output in self.outputs.items():
            if output.mode == "upload":
                file = Path(paths[name]).name if output.type == "uri_file" else ""
                folder = Path(paths[name]).parent if file else Path(paths[name])
                if folder.is_symlink() or not folder.is_dir():
                    raise ExperimentFailed(f"output {name!r} was to be written in {folder}, which is no folder now.", 0)
                written[name] = find_source(lambda _: near, DatastoreUri(None, f"outputs/{name}/{file}"))
        return written

    @contextmanager
    def _cleared(self, outputs: Outputs) -> Iterator[None]:
        """Leave nothing of the outputs that were mounted if it fails."""
        try:
            yield
        except BaseException:
            for name, output in self.outputs.items():
                if output.mode == "rw_mount":
                    self._clear(name, outputs)
            raise

    def _clear(self, name: str, outputs: Outputs) -> None:
        try:
            outputs.clear(name)
        except DatastoresError as error:  # what has failed is more important; the next try clears it
            self.say(f"what was written to output {name!r} could not be removed: {error}")
