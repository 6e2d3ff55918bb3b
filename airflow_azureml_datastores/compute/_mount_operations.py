"""What libfuse asks, passed on to a mounted folder. Imported by the process of a mount only."""

from __future__ import annotations

import errno
import functools
import itertools
import os
import stat
from collections.abc import Callable
from typing import Any, TypeVar, cast

import mfusepy

from airflow_azureml_datastores.compute._mount_file import OpenFile
from airflow_azureml_datastores.compute._mount_folder import Attributes, MountedFolder, WritableFolder
from airflow_azureml_datastores.core.paths import MAX_NAME_BYTES
from airflow_azureml_datastores.errors import (
    AccessDenied,
    Changed,
    DatastoresError,
    InvalidInput,
    PathExists,
    PathNotFound,
    Unsupported,
)

Method = TypeVar("Method", bound=Callable[..., Any])

_NUMBERS: tuple[tuple[type[DatastoresError], int], ...] = (
    (PathNotFound, errno.ENOENT),
    (PathExists, errno.EEXIST),
    (Changed, errno.ESTALE),
    (AccessDenied, errno.EACCES),
    (InvalidInput, errno.EINVAL),
    (Unsupported, errno.ENOTSUP),
)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_FREE = dict.fromkeys(("f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail"), 1 << 30)
"""Nobody knows how much room a datastore has."""
_NOREPLACE = 1  # of renameat2(2); the kernel has looked already


def error_number(error: DatastoresError) -> int:
    """What a program is told in place of one of our errors."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in _DISK_FULL:
        return cause.errno
    return next((number for kind, number in _NUMBERS if isinstance(error, kind)), errno.EIO)


def _answering(method: Method) -> Method:
    """Give our errors as numbers."""

    @functools.wraps(method)
    def answer(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except DatastoresError as error:
            raise mfusepy.FuseOSError(error_number(error)) from None

    return cast("Method", answer)


def _refused(*_: Any) -> int:
    """What a folder of objects does not have: links, devices."""
    raise mfusepy.FuseOSError(errno.EPERM)


class ReadOperations(mfusepy.Operations):  # type: ignore[misc]
    """A folder that is read.

    What is open is known by its handle, not by its path: it may have none any more.

    :param mounted: is called once the system asks for the first time.
    """

    use_ns = True
    flag_nullpath_ok = 1
    flag_nopath = 1

    def __init__(self, folder: MountedFolder, mounted: Callable[[], None]) -> None:
        self._folder, self._mounted = folder, mounted
        self._numbers = itertools.count(1)
        self._files: dict[int, OpenFile] = {}
        self._folders: dict[int, str] = {}
        self._modes = {True: stat.S_IFDIR | 0o555, False: stat.S_IFREG | 0o444}
        self._owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}

    def init(self, path: str) -> None:
        self._mounted()

    @_answering
    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        file = self._files.get(fh or 0)
        return self._stat(self._folder.describe_file(file) if file else self._folder.describe(_relative(path)))

    def opendir(self, path: str) -> int:
        number = next(self._numbers)
        self._folders[number] = _relative(path)
        return number

    @_answering
    def readdir(self, path: str | None, fh: int) -> list[tuple[str, int, int]]:
        entries = {".": True, "..": True, **self._folder.entries(self._folders[fh])}
        return [(name, self._modes[is_folder], 0) for name, is_folder in entries.items()]

    def releasedir(self, path: str | None, fh: int) -> int:
        del self._folders[fh]
        return 0

    @_answering
    def open(self, path: str, flags: int) -> int:
        return self._handle(self._folder.open(_relative(path)))

    @_answering
    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        return self._folder.read(self._files[fh], offset, size)

    @_answering
    def release(self, path: str | None, fh: int) -> int:
        self._folder.release(self._files.pop(fh))
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_frsize": 4096, "f_namemax": MAX_NAME_BYTES, **_FREE}

    def _handle(self, file: OpenFile) -> int:
        number = next(self._numbers)
        self._files[number] = file
        return number

    def _stat(self, found: Attributes) -> dict[str, Any]:
        size, time = found.size or 0, int(found.modified.timestamp() * 1e9)
        return {
            "st_mode": self._modes[found.size is None],
            "st_nlink": found.links,
            "st_size": size,
            "st_blocks": -(-size // 512),
            "st_atime": time,
            "st_mtime": time,
            "st_ctime": time,
            **self._owner,
        }


class WriteOperations(ReadOperations):
    """A folder that is read and written."""

    _folder: WritableFolder

    def __init__(self, folder: WritableFolder, mounted: Callable[[], None]) -> None:
        super().__init__(folder, mounted)
        self._modes = {True: stat.S_IFDIR | 0o755, False: stat.S_IFREG | 0o644}
        self._writers: set[int] = set()

    @_answering
    def open(self, path: str, flags: int) -> int:
        file = self._folder.open(_relative(path))
        number = self._handle(file)
        if flags & os.O_ACCMODE != os.O_RDONLY:
            self._writers.add(number)
        if flags & os.O_TRUNC:
            file.truncate(0)
        return number

    @_answering
    def create(self, path: str, mode: int, flags: int) -> int:
        number = self._handle(self._folder.create(_relative(path), exclusive=bool(flags & os.O_EXCL)))
        self._writers.add(number)
        return number

    @_answering
    def mknod(self, path: str, mode: int, dev: int) -> int:
        if not stat.S_ISREG(mode):
            return _refused()
        number = self.create(path, mode, os.O_EXCL)
        try:
            return self.flush(path, number)
        finally:
            self.release(path, number)

    @_answering
    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        return self._files[fh].write(data, offset)

    @_answering
    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
        file = self._files.get(fh or 0)
        if file:
            file.truncate(length)
        else:
            self._folder.truncate(_relative(path), length)
        return 0

    @_answering
    def flush(self, path: str | None, fh: int) -> int:
        if fh in self._writers:
            self._folder.sync(self._files[fh])
        return 0

    def fsync(self, path: str | None, datasync: int, fh: int) -> int:
        return self.flush(path, fh)

    def release(self, path: str | None, fh: int) -> int:
        self._writers.discard(fh)
        return super().release(path, fh)

    @_answering
    def unlink(self, path: str) -> int:
        self._folder.unlink(_relative(path))
        return 0

    @_answering
    def mkdir(self, path: str, mode: int) -> int:
        self._folder.make_folder(_relative(path))
        return 0

    @_answering
    def rmdir(self, path: str) -> int:
        self._folder.remove_folder(_relative(path))
        return 0

    @_answering
    def rename(self, old: str, new: str) -> int:
        self._folder.rename(_relative(old), _relative(new))
        return 0

    def chmod(self, path: str | None, mode: int) -> int:
        return 0  # not kept, but no reason for cp and tar to fail

    def chown(self, path: str | None, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str | None, times: tuple[int, int] | None = None) -> int:
        return 0

    symlink = link = _refused


class Fuse(mfusepy.FUSE):  # type: ignore[misc]
    """mfusepy's loop, where it would lose what libfuse 3 says."""

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        if flags & ~_NOREPLACE:  # to exchange two files, say
            return -errno.EINVAL
        return int(self.rename_fuse_2(old, new))

    def truncate_fuse_3(self, path: bytes | None, length: int, info: Any) -> int:
        return int(self.ftruncate(path, length, info))


def serve(folder: MountedFolder, mountpoint: str, name: str, mounted: Callable[[], None]) -> None:
    """Mount, and serve until it is unmounted.

    :param name: how the list of mounts calls it.
    :param mounted: is called once it is mounted.
    :raises RuntimeError: it cannot be mounted; libfuse has said why on standard error.
    """
    options: dict[str, Any] = {"fsname": name.replace(",", "_"), "subtype": "azureml"}
    if mfusepy.fuse_version_major == 2:
        options["big_writes"] = True  # else 4 KiB at a time
    if folder.is_fixed:  # what the kernel has seen it need not ask for again
        options |= {"kernel_cache": True, **dict.fromkeys(("attr_timeout", "entry_timeout", "negative_timeout"), 3600)}
    if isinstance(folder, WritableFolder):
        Fuse(WriteOperations(folder, mounted), mountpoint, foreground=True, **options)
    else:
        Fuse(ReadOperations(folder, mounted), mountpoint, foreground=True, ro=True, **options)


def _relative(path: str | None) -> str:
    assert path is not None
    return path.lstrip("/")
