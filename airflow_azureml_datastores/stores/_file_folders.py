"""Folders of a share, which are things of their own: made, found empty, renamed, deleted."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.errors import Conflict, InvalidInput, PathExists, PathNotFound, UnsafePath
from airflow_azureml_datastores.stores._azure_errors import code_of
from airflow_azureml_datastores.stores._file_leases import Leases
from airflow_azureml_datastores.stores._file_names import check_file_name, folder_of
from airflow_azureml_datastores.stores._file_share import NOT_THERE, TRIES, FileShare
from airflow_azureml_datastores.stores._tree_listing import Entry, FolderInfo

TAKEN = ("ResourceAlreadyExists", "ResourceTypeMismatch")
"""The codes that say that something else is where a file or folder is to be."""

_AT_ONCE = 16
"""Requests of one deletion that are on their way."""


def folder_id(share: FileShare, path: str) -> str | None:
    """The id of a folder ("" is the root), which it keeps when it is renamed; None if there is no folder."""
    try:
        return share.folder(path).get_directory_properties().file_id
    except share.errors.upstream as error:
        if code_of(error) in NOT_THERE:
            return None
        raise share.errors.translate(error, path or None) from None


def make_folders(share: FileShare, path: str) -> None:
    """Make a folder and those above it, where they are missing; "" is the root.

    :raises UnsafePath: there is a file where one of them would be.
    """
    for _ in range(TRIES):
        if not path or _make(share, path):
            return
        make_folders(share, folder_of(path))
    raise Conflict(f"{show(path)} in {share.url}: the folders above it are deleted again and again.")


def _make(share: FileShare, path: str) -> bool:
    """Make one folder. Returns False if the one above it is missing, or is a file."""
    try:
        share.folder(path).create_directory()
    except share.errors.upstream as error:
        if code_of(error) in TAKEN and _is_file(share, path):
            raise UnsafePath(f"{show(path)} in {share.url} is a file, so there can be nothing in it.") from None
        if code_of(error) in NOT_THERE:
            return False
        if code_of(error) not in TAKEN:
            raise share.errors.translate(error, path) from None
    return True


def _is_file(share: FileShare, path: str) -> bool:
    try:
        share.file(path).get_file_properties()
    except share.errors.upstream as error:
        if code_of(error) in NOT_THERE:
            return False
        raise share.errors.translate(error, path) from None
    return True


def remove_empty(share: FileShare, path: str) -> None:
    """Delete a folder that holds nothing but empty folders. :raises UnsafePath: there is a file in it."""
    folders = []
    try:
        for child in share.children(path):
            if not isinstance(child, FolderInfo):
                raise UnsafePath(f"{show(path)} in {share.url} is a folder that is not empty.")
            folders.append(child.path)
        for folder in folders:
            remove_empty(share, folder)
        share.folder(path).delete_directory()
    except share.errors.upstream as error:
        if code_of(error) == "DirectoryNotEmpty":
            raise UnsafePath(f"{show(path)} in {share.url} is a folder that is not empty.") from None
        if code_of(error) not in NOT_THERE:
            raise share.errors.translate(error, path) from None


def rename_folder(share: FileShare, source: str, target: str) -> None:
    """Rename a folder as :meth:`FileStore.rename_directory` promises.

    An SMB client that has anything in it open keeps it where it is: a :class:`Conflict`.
    """
    for path in (source, target):
        check_file_name(path)
    if len(target) > len(source) and f"{target}/".casefold().startswith(f"{source}/".casefold()):
        raise InvalidInput(f"the folder {show(source)} cannot be renamed to {show(target)}, which is inside of it.")
    if share.is_too_long_a_source(source):
        raise UnsafePath(f"the URL of {show(source)} in {share.url} is too long for the service to rename it.")
    own = folder_id(share, source)
    if own is None:
        raise PathNotFound(f"{show(source)} in {share.url}: there is no such folder.")
    for _ in range(TRIES):
        try:
            share.folder(source).rename_directory(target)
            return
        except share.errors.upstream as error:
            if code_of(error) not in (*NOT_THERE, *TAKEN):
                raise share.errors.translate(error, source) from None
        there = folder_id(share, target)
        if there == own:
            return  # which an earlier attempt has done, whose answer got lost
        if there is not None or _is_file(share, target):
            raise PathExists(f"{show(target)} in {share.url}: there is something already.")
        if folder_id(share, source) != own:
            raise PathNotFound(f"{show(source)} in {share.url}: there is no such folder any more.")
        make_folders(share, folder_of(target))
    raise Conflict(f"{show(target)} in {share.url}: the folders above it are deleted again and again.")


def delete_folder(share: FileShare, leases: Leases, path: str) -> None:
    """Delete a folder with all that is in it, drafts too; one that is not there is no error.

    :raises Conflict: others wrote into it again and again.
    """
    check_file_name(path)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="delete-folder") as pool:
        for _ in range(TRIES):
            levels = [[path]]
            while levels[-1]:
                levels.append(_delete_files(share, leases, levels[-1], pool))
            done = [all(pool.map(partial(_delete, share), level)) for level in reversed(levels)]
            if all(done):
                return
    raise Conflict(f"{show(path)} in {share.url}: others go on writing into the folder while it is deleted.")


def _delete_files(share: FileShare, leases: Leases, folders: Iterable[str], pool: ThreadPoolExecutor) -> list[str]:
    """Delete the files in each of these folders; returns the folders in them."""
    found = [child for children in pool.map(partial(_children, share), folders) for child in children]
    for _ in pool.map(leases.delete, [child.path for child in found if not isinstance(child, FolderInfo)]):
        pass
    return [child.path for child in found if isinstance(child, FolderInfo)]


def _children(share: FileShare, folder: str) -> list[Entry]:
    """What is in a folder; nothing, if it is not there."""
    try:
        return list(share.children(folder))
    except share.errors.upstream as error:
        if code_of(error) in NOT_THERE:
            return []
        raise share.errors.translate(error, folder) from None


def _delete(share: FileShare, folder: str) -> bool:
    """Delete an empty folder. Returns whether it is gone."""
    try:
        share.folder(folder).delete_directory()
    except share.errors.upstream as error:
        if code_of(error) == "DirectoryNotEmpty":
            return False
        if code_of(error) not in NOT_THERE:
            raise share.errors.translate(error, folder) from None
    return True
