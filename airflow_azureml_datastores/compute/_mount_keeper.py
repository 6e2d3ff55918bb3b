"""The process of a mount, as whoever wants the mount sees it."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from airflow_azureml_datastores.compute._mount_order import Order
from airflow_azureml_datastores.compute._mount_system import is_mounted, unmount
from airflow_azureml_datastores.compute.local_process import environment
from airflow_azureml_datastores.core.paths import show
from airflow_azureml_datastores.errors import TransferIncomplete, Unavailable, Unsupported
from airflow_azureml_datastores.transfer.progress import Say, human_count

_PROCESS = Path(__file__).with_name("_mount_process.py")
_START = 60.0
"""Seconds that a mount may take to appear."""
_FAREWELL = 5.0
"""Seconds that a process which was let go may take to end."""
_SHOWN = 5
_NOISE = "Ignoring invalid max threads value"
"""What some versions of libfuse say of their own default (libfuse/libfuse#1003)."""
_lines: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _let_go() -> None:
    """In a process forked from this one: it must not keep mounts for which this one is gone."""
    for line in list(_lines):
        if (fd := line.detach()) >= 0:
            os.close(fd)


os.register_at_fork(after_in_child=_let_go)


class MountProcess:
    """Serves one mount from a process of its own: the command that uses the mount does not wait for this one's lock.

    :param order: what to mount.
    :param say: takes what the process says, from a thread.
    """

    def __init__(self, order: Order, say: Say) -> None:
        self._order, self._say = order, say
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._readers: list[threading.Thread] = []
        self._mounted = threading.Event()
        self._over = threading.Event()
        self._lost: Mapping[str, str] | None = None
        self._complaints: deque[str] = deque(maxlen=20)

    def start(self, inherited: Sequence[int] = ()) -> None:
        """Mount, and wait until it is there.

        :param inherited: file descriptors that the order's credential needs.
        :raises Unsupported: the system refuses it.
        """
        self._line, theirs = socket.socketpair()
        _lines.add(self._line)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_PROCESS), str(theirs.fileno())],
                cwd="/",
                env=environment({}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno(), *inherited],
                start_new_session=True,
            )
        assert self._process.stderr is not None
        for target, source in ((self._listen, self._line), (self._overhear, self._process.stderr)):
            reader = threading.Thread(target=target, args=(source,), name="mount", daemon=True)
            reader.start()
            self._readers.append(reader)
        order, search_path = pickle.dumps(self._order), [os.path.abspath(path) for path in sys.path]
        with suppress(BrokenPipeError):  # it has ended: that is told below
            self._line.sendall(json.dumps(search_path).encode() + b"\n" + f"{len(order)}\n".encode() + order)
        deadline = time.monotonic() + _START
        while not self._mounted.wait(0.05):
            if self._over.is_set() or time.monotonic() > deadline:
                self.kill()
                reason = self._complaints[-1] if self._complaints else "it gave no reason"
                raise Unsupported(
                    f"{self._order.name} cannot be mounted: {reason}. Use mode 'download' for inputs and 'upload' for "
                    f"outputs, which need no mount."
                )

    def end(self) -> None:
        """Unmount, and wait until all that was written has been stored.

        :raises Unavailable: the process has ended by itself.
        :raises TransferIncomplete: something could not be stored.
        """
        assert self._line is not None
        early = self._over.is_set() or not is_mounted(self._order.mountpoint)
        with suppress(BrokenPipeError):
            self._line.sendall(b"end\n")
        self._over.wait()
        lost = None if early else self._lost
        self.kill()
        if lost is None:
            raise Unavailable(
                f"the process that served the mount of {self._order.name} ended early"
                + "".join(f": {line}" for line in list(self._complaints)[-1:])
                + "; what was being written then is lost."
            )
        if lost:
            raise TransferIncomplete(
                f"{human_count(len(lost))} written to the mount of {self._order.name} could not be stored: "
                + "; ".join(f"{show(path)}: {reason}" for path, reason in sorted(lost.items())[:_SHOWN])
            )

    def kill(self) -> None:
        """Leave nothing mounted and nothing running. More than once is no error."""
        line, process = self._line, self._process
        self._line = self._process = None
        if line is not None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_FAREWELL)
            process.kill()
            process.wait()
        unmount(self._order.mountpoint, lazy=True)
        for reader in self._readers:
            reader.join()
        if line is not None:
            line.close()
        if process is not None and process.stderr is not None:
            process.stderr.close()

    def _listen(self, line: socket.socket) -> None:
        with line.makefile("rb") as file:
            for text in file:
                message: dict[str, Any] = json.loads(text)
                if "say" in message:
                    self._say(f"[mount] {message['say']}")
                elif "mounted" in message:
                    self._mounted.set()
                elif "lost" in message:
                    self._lost = message["lost"]
        self._over.set()

    def _overhear(self, stderr: IO[bytes]) -> None:
        for line in stderr:
            text = line.decode(errors="replace").rstrip()
            if text.startswith(_NOISE):
                continue
            self._complaints.append(text)
            self._say(f"[mount] {text}")
