"""Listing the files of a share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.stores._azure_errors import code_of
from airflow_azureml_datastores.stores._file_names import can_start_a_name, is_draft, is_name_in_folder
from airflow_azureml_datastores.stores._file_share import NOT_THERE, FileShare
from airflow_azureml_datastores.stores._tree_listing import Entry, walk

log = logging.getLogger(__name__)


def list_files(share: FileShare, prefix: str) -> Iterator[ObjectInfo]:
    """Yield all files whose path starts with this text, in ascending order of path; drafts are none.

    :raises ContainerNotFound: there is no such share.
    """
    if not can_start_a_name(prefix):
        return
    first = prefix[: prefix.rfind("/") + 1]

    def entries(folder: str) -> Iterator[Entry]:
        try:
            yield from (child for child in share.children(folder.rstrip("/")) if _is_shown(share, child.path))
        except share.errors.upstream as error:
            if code_of(error) not in NOT_THERE:
                raise share.errors.translate(error, folder or None) from None
            if folder == first:
                share.check_there()

    yield from walk(entries, prefix)


def _is_shown(share: FileShare, path: str) -> bool:
    if is_draft(path):
        return False
    if is_name_in_folder(path):
        return True
    log.warning("%s in %s is not listed: its name cannot be handled.", show(path), share.url)
    return False
