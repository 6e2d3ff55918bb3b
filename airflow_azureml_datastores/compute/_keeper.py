"""Keeps one command for another process and lets nothing of it survive. A script that needs the stdlib alone.

Arguments: the file descriptor of a socket, a grace period in seconds, then the command's own. The keeper leads the
process group that the command runs in. When the command has ended, or the other end of the socket is shut or its
process is gone, whichever comes first, the keeper ends every process that the command left behind; then it writes the
command's exit code (negative: the signal that ended it) as decimal text into the socket.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Iterator

_LINGER = 1.0
"""Seconds that the rest of a finished command gets to end by itself: a ``tee`` has to write what it was given."""
_GIVE_UP = 5.0
"""Seconds to wait for killed processes; one that hangs in the kernel is left behind."""
_PR_SET_CHILD_SUBREAPER = 36
_END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Keeper:
    """The command, and all processes that come from it."""

    def __init__(self, argv: list[str], grace: float) -> None:
        self.grace = grace
        self.exit_code: int | None = None
        # Python ignores two signals, which a command has to get as usual.
        ignored = (signal.SIGPIPE, signal.SIGXFSZ)
        self.pid = os.posix_spawnp(argv[0], argv, os.environ, setsigdef=ignored, setsigmask=())

    def reap(self) -> bool:
        """Take notice of what has ended. Returns whether this process has no child any more."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            if pid == self.pid:
                self.exit_code = os.waitstatus_to_exitcode(status)

    def end(self) -> None:
        """End every process that is left, gently first."""
        if self.exit_code is not None and self._gone_within(_LINGER):
            return
        _send(signal.SIGTERM)
        if not self._gone_within(self.grace):
            self._gone_within(_GIVE_UP, killing=True)

    def _gone_within(self, seconds: float, *, killing: bool = False) -> bool:
        deadline = time.monotonic() + seconds
        pause = 0.002
        while True:
            if killing:  # again and again, as they may have started others meanwhile
                _send(signal.SIGKILL)
            # The list is no snapshot and may miss a newly started one; with no child left, nobody can have started it.
            if not family() and self.reap():
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.1)


def _send(number: signal.Signals) -> None:
    for pid in family():
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):  # it has just ended, or runs as another user
            continue


def family() -> set[int]:
    """Every living process, but this one, that descends from it or is in its process group."""
    me = os.getpid()
    table = {pid: (parent, group) for pid, parent, group in _processes()}
    table.pop(me, None)
    found: set[int] = set()
    while True:
        more = {pid for pid, (parent, group) in table.items() if parent == me or group == me or parent in found} - found
        if not more:
            return found
        found |= more


def _processes() -> Iterator[tuple[int, int, int]]:
    """Yield id, parent and process group of every process that has not ended."""
    if not os.path.exists("/proc/self/stat"):
        yield from _processes_by_ps()
        return
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                stat = file.read()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        state, parent, group = stat[stat.rindex(b")") + 2 :].split(maxsplit=3)[:3]
        if state not in b"ZX":
            yield int(name), int(parent), int(group)


def _processes_by_ps() -> Iterator[tuple[int, int, int]]:
    import subprocess

    with subprocess.Popen(["ps", "-A", "-o", "pid=,ppid=,pgid=,state="], stdout=subprocess.PIPE, text=True) as ps:
        lines = ps.communicate()[0].splitlines()
    for pid, parent, group, state in (line.split(maxsplit=3) for line in lines):
        if int(pid) != ps.pid and not state.startswith("Z"):
            yield int(pid), int(parent), int(group)


def _adopt_orphans() -> None:
    """Become the parent of processes that lose theirs, even of those that left the process group. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main(leash: int, grace: float, argv: list[str]) -> None:
    os.set_inheritable(leash, False)
    _adopt_orphans()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, *_END_SIGNALS):
        signal.signal(number, lambda *_: None)  # not ignored, as the command would inherit that
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    keeper = Keeper(argv, grace)
    events = select.poll()  # select() takes no descriptor past 1023
    events.register(leash, select.POLLIN)
    events.register(woken, select.POLLIN)
    while keeper.exit_code is None:
        ready = {fd for fd, _ in events.poll()}
        if leash in ready or set(os.read(woken, 4096)) & set(_END_SIGNALS):
            break
        keeper.reap()
    keeper.end()
    code = -signal.SIGKILL if keeper.exit_code is None else keeper.exit_code
    try:
        os.write(leash, str(int(code)).encode())
    except BrokenPipeError:  # nobody is left to be told
        return


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
