"""What the operating system says about mounts."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

from airflow_azureml_datastores.errors import MissingExtra, Unsupported

_DEVICE = "/dev/fuse"
_HELPERS = ("fusermount3", "fusermount")
_LIBRARIES = ("fuse3", "fuse") if sys.platform == "linux" else ("fuse", "fuse-t", "fuse3")
_CAP_SYS_ADMIN = 21
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_BUSY_FOR = 1.0
"""Seconds that processes which have just ended get to let go of a mount."""


def check_system() -> None:
    """:raises MissingExtra: mfusepy is missing. :raises Unsupported: the system lacks FUSE, or the right to use it."""
    if importlib.util.find_spec("mfusepy") is None:
        raise MissingExtra("a mount", "mount")
    if problem := _problem():
        raise Unsupported(
            f"datastores cannot be mounted here: {problem}. Use mode 'download' for inputs and 'upload' for outputs, "
            f"which need no mount."
        )


def _problem() -> str | None:
    if sys.platform not in ("linux", "darwin"):
        return f"there are no mounts on {sys.platform}, only on Linux and macOS"
    if library() is None:
        return "the library libfuse is not installed (Debian and Ubuntu: apt install fuse3)"
    if sys.platform == "darwin":
        return None
    if not os.path.exists(_DEVICE):
        return f"there is no {_DEVICE} (in a container: --device {_DEVICE} --cap-add SYS_ADMIN)"
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return f"this user may not use {_DEVICE}"
    if not _may_mount():
        return (
            "this process may not mount: it lacks the capability SYS_ADMIN, and there is no fusermount that could "
            "(in a container: --cap-add SYS_ADMIN)"
        )
    return None


def library() -> str | None:
    """The name of the libfuse to load; "" if the environment names one."""
    if os.environ.get("FUSE_LIBRARY_PATH") or os.environ.get("FUSE_LIBRARY_NAME"):
        return ""
    return next((name for name in _LIBRARIES if ctypes.util.find_library(name)), None)


def _may_mount() -> bool:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    if int(status["CapEff"], 16) >> _CAP_SYS_ADMIN & 1:
        return True
    if not int(status["CapBnd"], 16) >> _CAP_SYS_ADMIN & 1 or status.get("NoNewPrivs", "0").strip() == "1":
        return False  # nor may a helper, as in a container that is not allowed to
    helper = _helper()
    return helper is not None and bool(os.stat(helper).st_mode & stat.S_ISUID)


def _helper() -> str | None:
    return next((found for name in _HELPERS if (found := shutil.which(name))), None)


def is_mounted(folder: str) -> bool:
    """Whether something is mounted at a folder, even if nobody serves it any more."""
    if sys.platform != "linux":
        return os.path.ismount(folder)
    escaped = "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in folder)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return any(line.split(" ", 5)[4] == escaped for line in file)


def unmount(folder: str, *, lazy: bool = False) -> bool:
    """Unmount a folder, if something is mounted there. Returns False if it is in use.

    :param lazy: take it from everybody's sight at once, whoever uses it.
    """
    deadline = time.monotonic() + _BUSY_FOR
    while is_mounted(folder):
        if _unmount_once(folder, lazy=lazy) or not is_mounted(folder):
            continue
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _unmount_once(folder: str, *, lazy: bool) -> bool:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0)
        if libc.umount2(os.fsencode(folder), flags) == 0:
            return True
        if ctypes.get_errno() != errno.EPERM:
            return False
        helper = _helper()
        command = [helper, "-u", "-q", *(["-z"] if lazy else []), "--", folder] if helper else ["false"]
    else:
        command = ["umount", *(["-f"] if lazy else []), folder]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
