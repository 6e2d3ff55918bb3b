"""What an experiment takes in on this machine: found and checked, then brought near."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_azureml_datastores.core.experiment import Input, InputMode, as_run_input, check_binding_names
from airflow_azureml_datastores.core.place import OpenDatastore
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.errors import InvalidInput, NoData
from airflow_azureml_datastores.transfer.ingest import input_uri
from airflow_azureml_datastores.transfer.source import Source, find_source, from_manifest, read_manifest


@dataclass(frozen=True)
class FoundInput:
    """An input that has files.

    :param mode: how they get near: ``download``, ``ro_mount`` or ``rw_mount``.
    """

    source: Source
    mode: InputMode


def find_inputs(open_datastore: OpenDatastore, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What an experiment gets for its inputs: files, a URI, or a literal as it is.

    :param inputs: name -> URI, :class:`Input`, what an ingest returned for the input, or a literal number or text.
    :returns: name -> :class:`FoundInput`, URI or literal.
    :raises InvalidInput: a name or value is wrong, or a mode is not possible for what the input names.
    :raises NoData: an input is empty, and not ``allow_empty``.
    """
    check_binding_names("input", inputs)
    return {name: _find(open_datastore, name, value) for name, value in inputs.items()}


def _find(open_datastore: OpenDatastore, name: str, value: Any) -> Any:
    if isinstance(value, bool | int | float) or (isinstance(value, str) and not value.startswith("azureml:")):
        return value
    given, mode = as_run_input(value, name)
    if isinstance(given, Input):
        return _find_named(open_datastore, name, given, mode)
    return given["uri"] if mode == "direct" else _find_ingested(open_datastore, name, given, mode)


def _find_named(open_datastore: OpenDatastore, name: str, given: Input, mode: InputMode) -> FoundInput | str:
    uri = input_uri(given)
    if mode == "direct":
        return str(replace(uri, datastore=open_datastore(uri.datastore).datastore))
    source = find_source(open_datastore, uri)
    if mode == "rw_mount" and (uri.pattern or source.single):
        raise _no_folder(name, f"{source.uri} is a {'pattern' if uri.pattern else 'file'}")
    if not source.files and not given.allow_empty:
        raise NoData(f"the source {source.uri} of input {name!r} is empty; pass Input(…, allow_empty=True) to accept.")
    return FoundInput(source, mode)


def _find_ingested(open_datastore: OpenDatastore, name: str, given: Mapping[str, Any], mode: InputMode) -> FoundInput:
    """What an ingest delivered, or left where it is."""
    source = from_manifest(open_datastore, read_manifest(open_datastore, given["manifest"]))
    source = replace(source, single=given.get("type") == "uri_file")
    if mode == "rw_mount":
        folder = source.folder.folder()
        there = find_source(open_datastore, DatastoreUri(folder.datastore, folder.path))
        if source.single or there.files.keys() != source.files.keys():
            raise _no_folder(name, f"what was ingested is not all that is in {folder.uri}")
    return FoundInput(source, mode)


def _no_folder(name: str, what: str) -> InvalidInput:
    return InvalidInput(
        f"the mode 'rw_mount' of input {name!r} is for a whole folder, but {what}: use 'ro_mount' or 'download'."
    )
