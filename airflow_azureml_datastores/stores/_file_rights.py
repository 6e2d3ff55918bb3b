"""Folders with the NTFS rights of others, known by the keys that the service gives to sets of rights.

https://learn.microsoft.com/rest/api/storageservices/create-permission
"""

from __future__ import annotations

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.errors import AccessDenied, Conflict
from airflow_azureml_datastores.stores._azure_errors import code_of
from airflow_azureml_datastores.stores._file_folders import TAKEN, make_folders
from airflow_azureml_datastores.stores._file_names import check_file_name, folder_of, new_draft
from airflow_azureml_datastores.stores._file_share import NOT_THERE, TIDYING, TRIES, FileShare


def make_folder_like(share: FileShare, path: str, model: str) -> bool:
    """Make a folder as :meth:`FileStore.make_directory_like` promises."""
    for name in (path, model):
        check_file_name(name)
    try:
        with share.errors.translated(path):
            return _make_with(share, path, _rights_of(share, model))
    except AccessDenied:
        return False


def _rights_of(share: FileShare, model: str) -> str:
    """The key of a folder's rights; if it is not there, of the rights that it would inherit."""
    try:
        return str(share.folder(model).get_directory_properties().permission_key)
    except share.errors.upstream as error:
        if code_of(error) not in NOT_THERE:
            raise
    above = folder_of(model)
    while (inherited := _inherited(share, above)) is None:
        above = folder_of(above)
    return inherited


def _inherited(share: FileShare, folder: str) -> str | None:
    """The key of the rights that a folder inherits which is made in this one; None if it is not there."""
    probe = share.folder(new_draft(folder))
    try:
        made = probe.create_directory()
    except share.errors.upstream as error:
        if code_of(error) in NOT_THERE and folder:
            return None
        raise
    with share.quietly():
        probe.delete_directory(**TIDYING)
    return str(made["file_permission_key"])


def _make_with(share: FileShare, path: str, rights: str) -> bool:
    folder = share.folder(path)
    for _ in range(TRIES):
        try:
            # Restore: just these rights, with nothing inherited besides.
            made = folder.create_directory(file_permission_key=rights, file_property_semantics="Restore")
            return made["file_permission_key"] == rights or _give(share, path, rights)
        except share.errors.upstream as error:
            if code_of(error) in TAKEN:
                return _give(share, path, rights)
            if code_of(error) not in NOT_THERE:
                raise
        make_folders(share, folder_of(path))
    raise Conflict(f"{show(path)} in {share.url}: the folders above it are deleted again and again.")


def _give(share: FileShare, path: str, rights: str) -> bool:
    """Give rights to a folder that is there; False if it has others already, and something in it."""
    folder = share.folder(path)
    try:
        if folder.get_directory_properties().permission_key == rights:
            return True
        if next(share.children(path), None) is not None:
            return False
        return bool(folder.set_http_headers(permission_key=rights)["file_permission_key"] == rights)
    except share.errors.upstream as error:
        if code_of(error) in NOT_THERE:
            return False
        raise
