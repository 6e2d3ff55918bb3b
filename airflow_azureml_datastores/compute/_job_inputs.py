"""What an experiment takes in, as the inputs of a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from airflow_azureml_datastores.core.arm import ArmDatastore
from airflow_azureml_datastores.core.experiment import (
    Input,
    InputMode,
    as_run_input,
    bind_command,
    check_binding_names,
)
from airflow_azureml_datastores.core.job import JobInput
from airflow_azureml_datastores.core.manifest import Manifest
from airflow_azureml_datastores.core.place import OpenDatastore
from airflow_azureml_datastores.core.uri import DataAssetUri, parse_datastore_uri, parse_uri
from airflow_azureml_datastores.core.workspace import Workspace
from airflow_azureml_datastores.errors import Changed, InvalidInput, NoData, Unsupported
from airflow_azureml_datastores.transfer.ingest import input_uri
from airflow_azureml_datastores.transfer.source import extent, find_source, read_manifest


@dataclass(frozen=True)
class JobInputs:
    """Maps inputs to those of a job: their files are checked, and stay where they are.

    :param open_datastore: opens the workspace's datastores.
    """

    workspace: Workspace
    open_datastore: OpenDatastore
    _reachable: set[str] = field(default_factory=set, init=False, repr=False)

    def find(self, inputs: Mapping[str, Any]) -> dict[str, JobInput | str]:
        """The job's inputs, and literals as texts.

        :param inputs: name -> URI of a datastore or data asset, :class:`Input`, what an ingest returned for the input,
            or a literal number or text.
        :raises InvalidInput: a name, a value or a mode is wrong, or the job could not reach the data as it is.
        :raises NoData: an input is empty, and not ``allow_empty``.
        :raises Changed: files are not what was ingested any more.
        """
        check_binding_names("input", inputs)
        return {name: self._find(name, value) for name, value in inputs.items()}

    def check_reachable(self, name: str, datastore: str) -> None:
        """:raises InvalidInput: a job cannot get at this datastore by itself.

        :param name: of the input or output, for the message.
        """
        if datastore in self._reachable:
            return
        record = self.workspace.get(datastore)
        try:
            reachable = isinstance(record.location.to_arm(), ArmDatastore)
        except Unsupported:
            reachable = False
        if not reachable:
            raise InvalidInput(
                f"{name!r} is in datastore {datastore!r} of type {record.type}, which the workspace's computes cannot "
                f"read or write: ingest inputs first, and publish outputs afterwards."
            )
        self._reachable.add(datastore)

    def _find(self, name: str, value: Any) -> JobInput | str:
        if isinstance(value, bool | int | float) or (isinstance(value, str) and not value.startswith("azureml:")):
            return str(value)
        given, mode = as_run_input(value, name)
        return self._named(name, given, mode) if isinstance(given, Input) else self._ingested(name, given, mode)

    def _named(self, name: str, given: Input, mode: InputMode) -> JobInput:
        asset = parse_uri(given.path)
        if isinstance(asset, DataAssetUri):
            version = self.workspace.get_data(asset.name, asset.version)
            return JobInput(version.uri, version.type, mode)
        uri = input_uri(given)
        if uri.pattern:
            raise InvalidInput(f"{uri}, the input {name!r}, is a pattern, which a job does not take: ingest it first.")
        root = self.open_datastore(uri.datastore)
        self.check_reachable(name, root.datastore)
        reach = extent(root, uri)
        if not given.allow_empty and not any(reach.covers(info.path) for info in root.store.list(reach.prefix)):
            raise NoData(f"the source {uri} of input {name!r} is empty; pass Input(…, allow_empty=True) to accept.")
        place = root.at(uri.path) if reach.single else root.at(reach.folder)
        return JobInput(place.uri, "uri_file" if reach.single else "uri_folder", mode)

    def _ingested(self, name: str, given: Mapping[str, Any], mode: InputMode) -> JobInput:
        manifest = read_manifest(self.open_datastore, given["manifest"])
        folder = parse_datastore_uri(manifest.target)
        self.check_reachable(name, str(folder.datastore))
        if given.get("type") == "uri_file":
            (entry,) = manifest.entries
            path = replace(folder, path=folder.path + entry.path)
            self._check_ingested(name, manifest, find_source(self.open_datastore, path).files)
            return JobInput(str(path), "uri_file", mode)
        files = find_source(self.open_datastore, folder).files
        self._check_ingested(name, manifest, files)
        if more := files.keys() - {entry.path for entry in manifest.entries}:
            raise InvalidInput(
                f"the input {name!r} is a part of {manifest.target}, where there is {min(more)!r}, too, and a job gets "
                f"the whole folder: ingest it with mode='copy'."
            )
        return JobInput(manifest.target, "uri_folder", mode)

    def _check_ingested(self, name: str, manifest: Manifest, files: Mapping[str, Any]) -> None:
        for entry in manifest.entries:
            if not entry.is_at(files.get(entry.path)):
                raise Changed(
                    f"{entry.path!r} in {manifest.target}, of input {name!r}, was changed or removed since it was "
                    f"ingested; ingest it again."
                )


def quote_literals(command: str, inputs: Mapping[str, JobInput | str], outputs: Mapping[str, Any]) -> str:
    """A command whose literals are put in, quoted, as Azure ML puts them in as they are; the rest stays for the job.

    :raises InvalidInput: a literal has special characters and stands where they cannot be quoted reliably.
    """
    if spoilt := [name for name, value in inputs.items() if isinstance(value, str) and "${{" in value]:
        raise InvalidInput(
            f"the value of input {spoilt[0]!r} holds '${{{{', which Azure ML would take for a placeholder."
        )
    call = uuid4().hex  # so that no value looks like a word that stands for a placeholder
    words = {(kind, name): f"{call}.{kind}.{name}." for kind in ("inputs", "outputs") for name in (*inputs, *outputs)}
    bound = bind_command(
        command,
        {name: value if isinstance(value, str) else words["inputs", name] for name, value in inputs.items()},
        {name: words["outputs", name] for name in outputs},
    )
    for (kind, name), word in words.items():
        bound = bound.replace(word, f"${{{{{kind}.{name}}}}}")
    return bound
