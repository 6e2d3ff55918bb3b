"""An experiment's command as a process of this machine, which ends with the task, however the task ends."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from airflow_azureml_datastores.compute._lines import Lines
from airflow_azureml_datastores.errors import ExperimentFailed, InvalidInput

_KEEPER = Path(__file__).with_name("_keeper.py")
_READ = 64 * 1024
_DRAIN = 1024 * 1024
"""Bytes that a pipe can hold at most: what may still lie there when the command has ended."""
_KEEPER_SLACK = 10.0
"""Seconds that the keeper may need beyond the grace period, before it is taken for stuck."""
_EXIT_HINTS = {126: ": a program that it names cannot be executed", 127: ": a program that it names was not found"}


@dataclass
class LocalProcess:
    """Runs an experiment's command in a shell; one object runs one command.

    The command runs under ``bash -e -o pipefail``: a step that fails ends it, also in the middle and within a pipe
    (``sh -e`` where there is no bash). Nothing that the command has started outlives it, nor this process: a small
    keeper process ends all of it as soon as this process is gone, even if that was killed by ``SIGKILL``.

    :param grace: seconds between ``SIGTERM`` and ``SIGKILL`` when the command is ended from outside.
    :param progress_every: seconds between two states of a progress bar (a line rewritten by carriage returns).
    """

    grace: float = 10.0
    progress_every: float = 5.0
    _leash: socket.socket | None = field(default=None, init=False, repr=False)
    _killed: bool = field(default=False, init=False, repr=False)

    def run(self, command: str, *, cwd: Path, env: Mapping[str, str], on_line: Callable[[str], None]) -> None:
        """Run a command to its end, passing on its output (both streams) line by line as it comes.

        What the command leaves running in the background is ended with it.

        :param cwd: folder that it starts in.
        :param env: added to this process's environment without Airflow's own variables (see :func:`environment`).
        :raises InvalidInput: the system does not take such a command or environment.
        :raises ExperimentFailed: it could not be started, ended with an error, or was ended by :meth:`kill`; the
            message has the last lines of its output.
        """
        lines = Lines(on_line, self.progress_every)
        self._leash, theirs = socket.socketpair()
        with self._leash as leash:
            with theirs:
                if self._killed:
                    raise ExperimentFailed("the command was not started, as its task was ended.", -signal.SIGTERM)
                keeper = self._start(command, cwd, environment(env), theirs)
            try:
                code = _follow(keeper, leash, lines.feed)
                lines.end()
            finally:  # whatever was raised, by a signal handler too: leave with nothing running
                self._end(keeper, leash)
        if code != 0 or self._killed:
            raise ExperimentFailed(_failure(code, self._killed, lines.tail), code)

    def kill(self) -> None:
        """End the command, from another thread or a signal handler; :meth:`run` returns once all of it is dead.

        ``SIGTERM`` goes to all its processes, and after the grace period ``SIGKILL`` to what is left. It does not wait
        for that. More than once, or after the end, is no error; before :meth:`run`, the command will not start.
        """
        self._killed = True
        if self._leash is not None:
            _let_go(self._leash)

    def _start(self, command: str, cwd: Path, env: Mapping[str, str], leash: socket.socket) -> subprocess.Popen[bytes]:
        keeper = [sys.executable, "-I", "-S", str(_KEEPER), str(leash.fileno()), str(self.grace)]
        try:
            return subprocess.Popen(
                [*keeper, *_shell(), command],
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                pass_fds=[leash.fileno()],
                start_new_session=True,
            )
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"the system takes no such command or environment: {error}.") from None
        except OSError as error:
            raise ExperimentFailed(f"the command cannot be started in {str(cwd)!r}: {error.strerror}.", 126) from error

    def _end(self, keeper: subprocess.Popen[bytes], leash: socket.socket) -> None:
        """End what still runs, and wait for it."""
        _let_go(leash)
        with _output(keeper):
            # It may write while it ends, and would wait for ever for a reader.
            _follow(keeper, leash, lambda _: None, seconds=self.grace + _KEEPER_SLACK)
        with suppress(ProcessLookupError, PermissionError):  # if the keeper was killed or is stuck; mostly it has ended
            os.killpg(keeper.pid, signal.SIGKILL)
        keeper.wait()


def environment(added: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: this process's, without Airflow's own variables.

    ``AIRFLOW_*`` and ``_AIRFLOW_*`` are left out, as they hold connections, the database's password and the Fernet key.
    The folder of this Python, unless it is on the ``PATH``, comes first there: ``python`` is this one, with what is
    installed for it, also where its virtual environment is not activated. Python's output is unbuffered.

    :param added: wins over what is inherited.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW_", "_AIRFLOW_"))}
    path, python = inherited.get("PATH", os.defpath), str(Path(sys.executable).parent)
    if python not in path.split(os.pathsep):
        path = os.pathsep.join([python, path])
    return {**inherited, "PATH": path, "PYTHONUNBUFFERED": "1", **added}


def _shell() -> list[str]:
    bash = shutil.which("bash")
    return [bash, "-e", "-o", "pipefail", "-c", "--"] if bash else ["/bin/sh", "-e", "-c", "--"]


def _let_go(leash: socket.socket) -> None:
    with suppress(OSError):  # closed already
        leash.shutdown(socket.SHUT_WR)


def _output(keeper: subprocess.Popen[bytes]) -> IO[bytes]:
    assert keeper.stdout is not None
    return keeper.stdout


def _follow(
    keeper: subprocess.Popen[bytes], leash: socket.socket, take: Callable[[bytes], None], seconds: float | None = None
) -> int:
    """Read the output until the keeper reports the command's exit code, at most so many seconds.

    A keeper that ends without a report, or does not end in time, counts as killed.
    """
    output = _output(keeper).fileno()
    deadline = None if seconds is None else time.monotonic() + seconds
    events = select.poll()  # select() takes no descriptor past 1023
    events.register(output, select.POLLIN)
    events.register(leash, select.POLLIN)
    while ready := {fd for fd, _ in events.poll(deadline and max(0.0, deadline - time.monotonic()) * 1000)}:
        if leash.fileno() in ready:
            break
        if data := os.read(output, _READ):
            take(data)
        else:
            events.unregister(output)
    report = leash.recv(32) if ready else b""
    os.set_blocking(output, False)
    left = _DRAIN
    with suppress(BlockingIOError):
        while left > 0 and (data := os.read(output, _READ)):
            left -= len(data)
            take(data)
    return int(report or -signal.SIGKILL)


def _failure(code: int, killed: bool, tail: str) -> str:
    if killed:
        what = "the command was ended, as its task was."
    elif code < 0:
        what = f"the command was killed by {_signal(-code)}."
    else:
        what = f"the command exited with code {code}{_EXIT_HINTS.get(code, '')}."
        if name := _signal(code - 128):
            what = f"the command exited with code {code}: a process of it was killed by {name}."
    return f"{what} Last lines of its output:\n{tail}" if tail else f"{what} It wrote no output."


def _signal(number: int) -> str:
    """A signal's name, or "" for a number that is none."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        return ""
    return f"{name}, perhaps as memory ran out" if number == signal.SIGKILL else name
