"""The process of one mount: serves it until it is told to end, or whoever started it is gone.

It is given a socket. What comes through that: a line of JSON with the module search path, a line with a number, so many
bytes of a pickled :class:`Order`, then at some time the line ``end``. What goes back are lines of JSON: ``{"mounted":
true}``, ``{"say": text}``, and last ``{"lost": {path: reason}}``.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from airflow_azureml_datastores.compute._mount_folder import MountedFolder
    from airflow_azureml_datastores.compute._mount_order import Order


_LINGER = 3.0
"""Seconds for which whoever still uses the folder after the end may go on."""


class Line:
    """The socket, as messages."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.set_inheritable(False)
        self.file: BinaryIO = self._socket.makefile("rb")
        self._lock = threading.Lock()

    def send(self, **message: Any) -> None:
        with suppress(OSError), self._lock:  # nobody listens; the watch ends this process
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        """Nothing more will be sent."""
        with suppress(OSError):  # nobody listens
            self._socket.shutdown(socket.SHUT_WR)

    def say(self, text: str) -> None:
        self.send(say=text)


def main(fd: int) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):  # the line says when it is over, and nothing else
        signal.signal(number, signal.SIG_IGN)
    line = Line(fd)
    sys.path[:] = json.loads(line.file.readline())
    order: Order = pickle.loads(line.file.read(int(line.file.readline())))

    from airflow_azureml_datastores.compute._mount_system import library

    if name := library():  # the newest there is; mfusepy would take the oldest
        os.environ["FUSE_LIBRARY_NAME"] = name

    from airflow_azureml_datastores.compute._mount_operations import serve

    with order.open(line.say) as folder:
        mounted, served = threading.Event(), threading.Event()
        watch = threading.Thread(target=_watch, args=(line, order, folder, served), name="watch", daemon=True)
        watch.start()

        def say_mounted() -> None:
            mounted.set()
            line.send(mounted=True)

        try:
            serve(folder, order.mountpoint, order.name, say_mounted)
        except RuntimeError:
            if not mounted.is_set():  # libfuse has said why; else it is how libfuse 2 takes to a lazy unmount
                os._exit(1)
        served.set()
        _finish(line, folder)
        watch.join()


def _watch(line: Line, order: Order, folder: MountedFolder, served: threading.Event) -> None:
    """Unmount when told to. When nobody can tell any more, end at once."""
    from airflow_azureml_datastores.compute._mount_system import unmount

    if line.file.readline() == b"end\n":
        if not unmount(order.mountpoint):
            line.say(f"a process still used {order.name} when it was unmounted.")
            unmount(order.mountpoint, lazy=True)
            if not served.wait(_LINGER):
                _finish(line, folder)
        line.file.readline()  # nothing comes, but the end of whoever waits for what is being brought away
    shutil.rmtree(order.scratch, ignore_errors=True)  # first: with libfuse 2 the process may be gone with the mount
    unmount(order.mountpoint, lazy=True)
    shutil.rmtree(order.scratch, ignore_errors=True)
    os._exit(1)


def _finish(line: Line, folder: MountedFolder) -> None:
    folder.finish()
    line.send(lost=folder.lost)
    line.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
