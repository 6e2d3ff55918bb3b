"""Files of this machine as the source or target of a copy, without being a datastore."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from airflow_azureml_datastores.core.glob import folder_prefix, is_glob
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.errors import InvalidInput
from airflow_azureml_datastores.transfer.source import Source, find_source


@contextmanager
def local_folder(path: str | Path) -> Iterator[Place]:
    """A local folder as a target; it is made if need be."""
    from airflow_azureml_datastores.stores.local_directory import LocalDirectory

    with LocalDirectory(os.path.abspath(path)).create().open_plain() as store:
        yield Place("", store)


@contextmanager
def local_source(path: str | Path) -> Iterator[Source]:
    """A local file, folder or pattern as a source. :raises InvalidInput: the folder to look in is not there."""
    from airflow_azureml_datastores.stores.local_directory import LocalDirectory

    text = os.path.abspath(path)
    if os.path.isdir(text):
        root, uri = text, DatastoreUri(None, "")
    elif is_glob(text) and not os.path.lexists(text):
        root = folder_prefix(text)
        uri = DatastoreUri(None, text[len(glob.escape(root)) :], pattern=True)
    else:
        root, name = os.path.split(text)
        uri = DatastoreUri(None, name)
    if not os.path.isdir(root):
        raise InvalidInput(f"there is no folder {root!r} on this machine to take files from.")
    with LocalDirectory(root).open_plain() as store:
        yield replace(find_source(lambda _: Place("", store), uri, records=True), uri=text)
