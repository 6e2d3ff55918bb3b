"""Data assets in operators' arguments: named as sources, and made of what was delivered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from airflow_azureml_datastores.core.data_asset import DataAsset, DataType
from airflow_azureml_datastores.core.experiment import Input
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.uri import DatastoreUri, parse_uri
from airflow_azureml_datastores.errors import InvalidInput, PathNotFound
from airflow_azureml_datastores.hooks.workspace import WorkspaceHook
from airflow_azureml_datastores.operators._base import mapping
from airflow_azureml_datastores.transfer.content import digest_of_content
from airflow_azureml_datastores.transfer.source import Source, read_manifest

MLTABLE = "MLTable"
"""The file that makes a folder an ``mltable``: learn.microsoft.com/azure/machine-learning/how-to-mltable"""


def named_source(hook: WorkspaceHook, value: Any) -> tuple[Any, str | None]:
    """What a user gave for a source, as a place in a datastore, and the data asset or job's output that it named.

    The latest version is written out with its number.
    """
    path = value.path if isinstance(value, Input) else value.get("path") if isinstance(value, Mapping) else value
    if not isinstance(path, str) or not path.startswith("azureml:"):
        return value, None
    pinned = hook.pin(path)
    named = None if isinstance(parse_uri(pinned), DatastoreUri) else pinned
    place = hook.resolve(pinned)
    if isinstance(value, Input):
        return replace(value, path=place), named
    return ({**value, "path": place} if isinstance(value, Mapping) else place), named


def target_uri(hook: WorkspaceHook, text: str) -> str:
    """A place to write to, in this workspace.

    :raises InvalidInput: it is a data asset or a job's output, which nobody changes.
    """
    if isinstance(text, str) and text.startswith("azureml:") and not isinstance(parse_uri(text), DatastoreUri):
        raise InvalidInput(f"{text!r} is no place to write to: name a folder of a datastore.")
    return hook.resolve(text)


def assets_to_register(
    assets: Mapping[str, str | DataAsset] | None, kind: str, known: Iterable[str]
) -> dict[str, DataAsset]:
    """The data assets that inputs or outputs are to become, by these names.

    :param kind: ``input`` or ``output``.
    :param known: the names of those that are there.
    :raises InvalidInput: an unknown name, or an asset with what follows from the delivery.
    :raises InvalidName: no name of an asset.
    """
    names = sorted(known)
    found = {}
    for name, value in mapping("assets", assets).items():
        if name not in names:
            raise InvalidInput(f"assets names the {kind} {name!r}, but the {kind}s are: {', '.join(names) or 'none'}.")
        if not isinstance(value, str | DataAsset):
            raise InvalidInput(f"assets[{name!r}] is a data asset's name or a DataAsset; got {type(value).__name__}.")
        asset = DataAsset(value) if isinstance(value, str) else value
        asset.check()
        for field in ("path", "version", "digest"):
            if getattr(asset, field):
                raise InvalidInput(
                    f"assets[{name!r}] has a {field}, which is not for you to give: path and digest are those of what "
                    f"is delivered, and versions are numbered."
                )
        found[name] = asset
    return found


def check_fits(name: str, asset: DataAsset, source: Source, *, single: bool, beside: Place | None = None) -> None:
    """Refuse to make a data asset of files that are not of its type.

    :param name: of the input or output.
    :param single: whether it is delivered as a file, not as a folder.
    :param beside: the folder whose files stay, too.
    :raises InvalidInput: a single file is wanted and it is a folder, or a table and it is none.
    """
    if asset.type == "uri_file" and not single:
        raise InvalidInput(f"{name!r} is a folder, but data asset {asset.name!r} is to be of type uri_file.")
    if asset.type != "mltable":
        return
    there = MLTABLE in source.files or (beside is not None and _is_there(beside.at(MLTABLE)))
    if single or not there:
        raise InvalidInput(
            f"{name!r} is to be the mltable {asset.name!r}, but there is no file {MLTABLE!r} in {source.uri}; that "
            f"file says how the others are read."
        )


def _is_there(place: Place) -> bool:
    try:
        place.store.stat(place.path)
    except PathNotFound:
        return False
    return True


def register(hook: WorkspaceHook, asset: DataAsset, delivered: Mapping[str, Any], sources: str | None = None) -> str:
    """Register what was delivered. Returns the version's URI, the same whenever the content is.

    :param delivered: with ``uri`` and ``manifest``; a file's URI has no slash at its end.
    :param sources: URI of the manifest of what was copied.
    """
    digest = digest_of_content(
        hook.open,
        read_manifest(hook.open, delivered["manifest"]),
        read_manifest(hook.open, sources) if sources is not None else None,
    )
    kind: DataType = "mltable" if asset.type == "mltable" else "uri_folder"
    if not delivered["uri"].endswith("/"):
        kind = "uri_file"
    return hook.register_data(replace(asset, path=delivered["uri"], type=kind, digest=digest)).uri
