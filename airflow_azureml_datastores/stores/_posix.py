"""What a POSIX file system gives to a store: versions of files, locks, renames in one step, and its errors as ours."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from airflow_azureml_datastores.errors import (
    AccessDenied,
    DatastoresError,
    PathExists,
    PathNotFound,
    Unavailable,
    UnsafePath,
    Unsupported,
)

_ERRORS: dict[type[DatastoresError], tuple[int, ...]] = {
    PathNotFound: (errno.ENOENT,),
    PathExists: (errno.EEXIST,),
    AccessDenied: (errno.EACCES, errno.EPERM, errno.EROFS),
    UnsafePath: (
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENOTEMPTY,
        errno.EILSEQ,
        errno.EINVAL,  # what file systems with rules of their own (vfat, CIFS) say to a name
    ),
    Unsupported: (errno.EXDEV, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP),
}
_MEANING = {number: kind for kind, numbers in _ERRORS.items() for number in numbers}

_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)
_COPY_STEP = 1 << 30
_COPY_CHUNK = 1 << 20
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


def translate(error: OSError, subject: str) -> DatastoresError:
    """Our error for one of the operating system's; what is not in the table is Unavailable.

    :param subject: what was being done to what, for the message.
    """
    kind = _MEANING.get(error.errno or 0, Unavailable)
    return kind(f"{subject}: {error.strerror or type(error).__name__}")


@contextmanager
def os_errors(subject: str) -> Iterator[None]:
    """Raise the operating system's errors as ours. A caller's code must not run inside: its errors are its own."""
    try:
        yield
    except DatastoresError:
        raise
    except OSError as error:
        raise translate(error, subject) from error


def etag(found: os.stat_result) -> str:
    """The version of a file.

    Writers here give each version a modification time of its own (:func:`stamp`); the inode and the change time also
    tell apart what other programs did while keeping size and modification time. So a rename in place, ``chmod`` or a
    hard link gives a new etag without a change of content: never the other way round.
    """
    return f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"


def modified(found: os.stat_result) -> datetime:
    """When a file's content last changed; a time that datetime cannot hold becomes the nearest it can."""
    try:
        return datetime.fromtimestamp(found.st_mtime, UTC)
    except (OverflowError, ValueError, OSError):
        return _LATEST if found.st_mtime > 0 else _EARLIEST


def sync(fd: int) -> None:
    """Wait until a file or folder is on the medium."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


def sync_folder(path: str) -> None:
    """Wait until a folder's entries are on the medium; one that is gone by now has nothing to keep."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        sync(fd)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(fd)


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock file at ``path`` against every other thread and process.

    :raises FileNotFoundError: its folder is not there.
    """
    fd = _open_locked(path)
    try:
        try:
            yield
        finally:
            # Not left to close(): a child forked meanwhile has the same open file and would keep the lock.
            fcntl.flock(fd, fcntl.LOCK_UN)
    finally:
        os.close(fd)


def _open_locked(path: str) -> int:
    """Open and lock a lock file that others may remove while they hold it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), os.stat(path)):
                    return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def try_lock(fd: int, *, shared: bool = False) -> bool:
    """Lock an open file or folder until it is closed; False if somebody else has it.

    Where the file system has no such locks the answer is True: nobody else can have it either.
    """
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED | {errno.ENOLCK, errno.EBADF}:
            raise
    return True


def rename_new(source: str, target: str) -> None:
    """Rename a file unless there is something at ``target``. :raises FileExistsError: there is."""
    if _rename(source, target, linux=1, darwin=4):  # RENAME_NOREPLACE, RENAME_EXCL
        return
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _UNSUPPORTED | {errno.EPERM, errno.EMLINK}:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        os.rename(source, target)
    else:
        os.unlink(source)


def exchange(one: str, other: str) -> bool:
    """Swap two files or folders in one step; False if the system or the file system cannot."""
    return _rename(one, other, linux=2, darwin=2)  # RENAME_EXCHANGE, RENAME_SWAP


def _rename(source: str, target: str, *, linux: int, darwin: int) -> bool:
    rename = _native_rename()
    if rename is None:
        return False
    if rename(os.fsencode(source), os.fsencode(target), darwin if sys.platform == "darwin" else linux) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), source, None, target)


@functools.cache
def _native_rename() -> Callable[[bytes, bytes, int], int] | None:
    """The C library's rename with flags: renameat2(2) of Linux, renamex_np(2) of macOS."""
    library = ctypes.CDLL(None, use_errno=True)
    with contextlib.suppress(AttributeError):
        if sys.platform == "darwin":
            function = library.renamex_np
            function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint]
            return lambda source, target, flags: int(function(source, target, flags))
        function = library.renameat2
        function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
        here = -100  # AT_FDCWD
        return lambda source, target, flags: int(function(here, source, here, target, flags))
    return None


def write_all(fd: int, data: bytes) -> None:
    """Write all of the data at the file's position."""
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(fd, view) :]


def copy_content(source: int, target: int) -> None:
    """Copy an open file into another, inside the file system (sharing blocks where it can) or else through memory."""
    if hasattr(os, "copy_file_range"):
        try:
            while os.copy_file_range(source, target, _COPY_STEP):
                pass
        except OSError as error:
            if error.errno not in _UNSUPPORTED | {errno.EXDEV}:
                raise
    # Goes on where the call above stopped: at the end, unless the system could not do it.
    while data := os.read(source, _COPY_CHUNK):
        write_all(target, data)
