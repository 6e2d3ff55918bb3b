"""Copying files to where others may have files too: nothing is removed, nothing replaced unless asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from airflow_azureml_datastores.core.manifest import MANIFEST, Manifest
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.errors import NoData
from airflow_azureml_datastores.transfer.delivery import Delivery
from airflow_azureml_datastores.transfer.progress import Say
from airflow_azureml_datastores.transfer.source import Source


def prepare_copy(
    source: Source,
    target: Place,
    *,
    label: str,
    say: Say,
    overwrite: bool = False,
    allow_empty: bool = False,
    record: Place | None = None,
    origin: Mapping[str, str] | None = None,
) -> Callable[[], Manifest]:
    """Check a copy of a source into a folder; a target without a trailing slash is a single file's new name.

    :returns: does the copying.
    :param overwrite: replace files of the same name.
    :param record: folder in which this copy is remembered: with it, an interrupted copy goes on where it was when it is
        called again, and a finished one changes nothing.
    :raises NoData: the source is empty, and not ``allow_empty``.
    :raises PathExists: a file of the same name is there, and not ``overwrite``; nothing has moved.
    """
    if not source.files and not allow_empty:
        raise NoData(f"there are no files at {source.uri}; pass allow_empty=True to accept that.")
    if source.single and target.path and not target.path.endswith("/"):
        folder, slash, name = target.path.rpartition("/")
        source, target = renamed(source, name), replace(target, path=folder + slash)
    delivery = Delivery(
        source,
        target,
        label=label,
        say=say,
        manifest=record.at(MANIFEST) if record else None,
        journal=record.at("journal/") if record else None,
        overwrite=overwrite,
        origin=origin or {},
    )
    delivery.check()
    return lambda: delivery.seal(delivery.move())


def renamed(source: Source, name: str) -> Source:
    """A single file under another name."""
    (version,) = source.files.values()
    again = source.again
    return replace(source, files={name: version}, again=(lambda: renamed(again(), name)) if again else None)
