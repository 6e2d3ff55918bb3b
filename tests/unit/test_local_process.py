"""An experiment's command as a local process: real shells, real signals."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from airflow_azureml_datastores.compute import _keeper
from airflow_azureml_datastores.compute.local_process import LocalProcess, environment
from airflow_azureml_datastores.errors import ExperimentFailed, InvalidInput


class Run:
    """Runs commands in an empty folder and keeps their output."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        self.lines: list[str] = []
        self.process = LocalProcess(grace=5.0, progress_every=0.0)

    def __call__(
        self, command: str, *, on: dict[str, Callable[[], object]] | None = None, env: dict[str, str] | None = None
    ) -> list[str]:
        """Run a command; ``on`` says what to do when a line arrives."""

        def take(line: str) -> None:
            self.lines.append(line)
            if on and line in on:
                on[line]()

        self.process.run(command, cwd=self.cwd, env=env or {}, on_line=take)
        return self.lines

    def fails(self, command: str, **kwargs: dict[str, Callable[[], object]]) -> ExperimentFailed:
        with pytest.raises(ExperimentFailed) as caught:
            self(command, **kwargs)
        return caught.value


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def assert_vanish(pids: list[int]) -> None:
    """The processes end within seconds."""
    assert pids
    deadline = time.monotonic() + 20
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def test_output_of_both_streams_in_order(run: Run) -> None:
    assert run("echo one; echo two >&2; echo three") == ["one", "two", "three"]


@pytest.mark.parametrize("printing", ["echo one", f"{sys.executable} -c 'print(\"one\")'"])
def test_output_arrives_while_the_command_runs(run: Run, printing: str) -> None:
    """The command goes on only when its first line has arrived; Python's print() is not held back either."""
    waiting = "while [ ! -e go ]; do sleep 0.01; done"
    assert run(f"({printing}; {waiting}); echo two", on={"one": (run.cwd / "go").touch}) == ["one", "two"]


def test_pythons_output_is_not_buffered(run: Run) -> None:
    script = "import os, time\nprint('one')\nwhile not os.path.exists('go'): time.sleep(0.01)"
    (run.cwd / "train.py").write_text(script)
    assert run(f"{sys.executable} train.py", on={"one": (run.cwd / "go").touch}) == ["one"]


def test_unicode_and_bytes_that_are_none(run: Run) -> None:
    assert run("printf 'zw\\303\\266lf ☃\\n\\377\\n'") == ["zwölf ☃", "\ufffd"]


def test_progress_bar(run: Run) -> None:
    run.process = LocalProcess(progress_every=3600)
    assert run('for i in 1 2 3; do printf "\\r$i/3"; done; echo; echo done') == ["1/3", "3/3", "done"]


def test_it_runs_in_the_folder_and_reads_nothing(run: Run) -> None:
    assert run("pwd -P; cat") == [str(run.cwd.resolve())]


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("exit 3", 3, "exited with code 3. It wrote no output."),
        ("echo oh; echo no; exit 3", 3, "exited with code 3. Last lines of its output:\noh\nno"),
        ("printf unfinished; exit 1", 1, "output:\nunfinished"),
        ("no-such-program", 127, "code 127: a program that it names was not found. Last"),
        ("./not-executable", 126, "code 126: a program that it names cannot be executed."),
        ("kill -TERM $$", -15, "was killed by SIGTERM."),
        ("kill -KILL $$", -9, "was killed by SIGKILL, perhaps as memory ran out."),
        ("(exec sh -c 'kill -SEGV $$'); true", 139, "code 139: a process of it was killed by SIGSEGV."),
        ("exit 255", 255, "exited with code 255. "),
        ("false; echo not reached", 1, "exited with code 1. It wrote no output."),
        ("false | cat", 1, "exited with code 1."),
        ("-x", 127, "-x: command not found"),
    ],
)
def test_failure(run: Run, command: str, code: int, message: str) -> None:
    (run.cwd / "not-executable").touch()
    failed = run.fails(command)
    assert failed.exit_code == code
    assert message in str(failed)


def test_without_bash_it_runs_under_sh(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sh = run.cwd / "bin" / "sh"
    sh.parent.mkdir()
    sh.symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(sh.parent))
    assert run("echo $0") == ["/bin/sh"]
    assert run.fails("false; echo not reached").exit_code == 1


def test_the_message_ends_with_the_last_lines(run: Run) -> None:
    failed = run.fails("for i in $(seq 1000); do echo line $i; done; exit 1")
    assert str(failed).splitlines()[1:] == [f"line {i}" for i in range(961, 1001)]


def test_airflows_variables_stay_here(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "s3cret")
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", "wasb://a:s3cret@b")
    monkeypatch.setenv("_AIRFLOW_WWW_USER_PASSWORD", "s3cret")
    monkeypatch.setenv("LAKE", "inherited")
    monkeypatch.setenv("SEED", "inherited")
    output = run("env", env={"SEED": "42"})
    assert "LAKE=inherited" in output
    assert "SEED=42" in output
    assert "s3cret" not in "\n".join(output)
    assert not any("AIRFLOW" in line.partition("=")[0] for line in output)


def test_python_is_the_one_that_runs_airflow(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    other = run.cwd / "other"
    other.mkdir()
    (other / "python").symlink_to("/bin/false")
    monkeypatch.setenv("PATH", f"{other}:/usr/bin:/bin")
    assert run("python -c 'import sys; print(sys.prefix)'") == [sys.prefix]
    assert environment({"PATH": "/theirs"})["PATH"] == "/theirs"


def test_a_path_that_names_this_python_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/mine:{Path(sys.executable).parent}:/usr/bin")
    assert environment({})["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("command", "env", "message"),
    [
        ("echo \0", {}, "no such command or environment: embedded null byte"),
        ("true", {"A=B": "c"}, "illegal environment variable name"),
        ("true", {"SEED": 42}, "not int"),
    ],
)
def test_what_no_process_can_get_is_refused(run: Run, command: str, env: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        run(command, env=env)


def test_it_cannot_be_started(run: Run) -> None:
    assert "Argument list too long" in str(run.fails("true " + "x" * 4_000_000))
    run.cwd = run.cwd / "gone"
    assert f"cannot be started in {str(run.cwd)!r}: No such file" in str(run.fails("true"))


def test_kill_ends_it_gently_and_tells_the_last_words(run: Run) -> None:
    failed = run.fails(
        "trap 'echo saved; exit 7' TERM; echo ready; while true; do sleep 0.01; done", on={"ready": run.process.kill}
    )
    assert str(failed).startswith("the command was ended, as its task was. Last lines of its output:\nready\n")
    assert str(failed).endswith("\nsaved")
    assert failed.exit_code == 7


def test_kill_makes_even_a_success_a_failure(run: Run) -> None:
    command = "trap 'exit 0' TERM; echo ready; while true; do sleep 0.01; done"
    assert run.fails(command, on={"ready": run.process.kill}).exit_code == 0


def test_kill_ends_a_stubborn_command_after_the_grace_period(run: Run) -> None:
    run.process = LocalProcess(grace=0.3)
    began = time.monotonic()
    failed = run.fails("trap '' TERM; echo ready; while true; do sleep 0.01; done", on={"ready": run.process.kill})
    assert failed.exit_code == -9
    assert 0.3 <= time.monotonic() - began < 5


def test_kill_from_another_thread_and_twice(run: Run) -> None:
    ready = threading.Event()

    def end() -> None:
        ready.wait(20)
        run.process.kill()
        run.process.kill()

    thread = threading.Thread(target=end)
    thread.start()
    assert run.fails("echo ready; sleep 60", on={"ready": ready.set}).exit_code == -15
    thread.join()


def test_kill_from_a_signal_handler(run: Run) -> None:
    """As Airflow does it: its handler of SIGTERM calls on_kill() and returns."""
    before = signal.signal(signal.SIGUSR1, lambda *_: run.process.kill())
    try:
        failed = run.fails("echo ready; kill -USR1 $WORKER; sleep 60", env={"WORKER": str(os.getpid())})
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert failed.exit_code == -15


def test_kill_before_and_after(run: Run) -> None:
    run("true")
    run.process.kill()
    failed = run.fails("touch started")
    assert "was not started" in str(failed)
    assert not (run.cwd / "started").exists()


# How a command may start processes that outlive it, each writing its own id to the file "pids".
SLEEPER = "sh -c 'echo $$ >> pids; exec sleep 60'"
CHILDREN = {
    "background": f"{SLEEPER} &",
    "own group": f"timeout 60 {SLEEPER} &",
    "own session": f"setsid {SLEEPER} &",
    "daemon": f"(setsid {SLEEPER} &) &",
    "deaf": "nohup sh -c 'trap \"\" TERM HUP INT; echo $$ >> pids; while true; do sleep 0.1; done' &",
}


def until_started(count: int) -> str:
    return f"until [ -e pids ] && [ $(wc -l < pids) = {count} ]; do sleep 0.01; done"


def started(run: Run) -> list[int]:
    return [int(line) for line in (run.cwd / "pids").read_text().split()]


@pytest.fixture(params=CHILDREN.values(), ids=CHILDREN.keys())
def children(request: pytest.FixtureRequest, run: Run) -> str:
    run.process = LocalProcess(grace=0.2)
    return f"{request.param}\n{until_started(1)}"


def test_children_do_not_outlive_the_command(run: Run, children: str) -> None:
    """Nor do they keep the run from ending, though they hold its output open."""
    assert run(f"{children}; echo done") == ["done"]
    assert not any(map(alive, started(run)))


def test_children_do_not_outlive_a_kill(run: Run, children: str) -> None:
    run.fails(f"{children}; echo ready; sleep 60", on={"ready": run.process.kill})
    assert not any(map(alive, started(run)))


def test_children_do_not_outlive_an_exception(run: Run, children: str) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(f"{children}; echo ready; sleep 60", on={"ready": fail})
    assert not any(map(alive, started(run)))


def test_an_exception_of_a_signal_handler_ends_all(run: Run) -> None:
    """As a task's time-out does it."""

    class TaskTimeout(Exception):
        pass

    def fail(*_: object) -> None:
        raise TaskTimeout

    before = signal.signal(signal.SIGUSR1, fail)
    try:
        with pytest.raises(TaskTimeout):
            run("echo $$ >> pids; kill -USR1 $WORKER; sleep 60", env={"WORKER": str(os.getpid())})
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not any(map(alive, started(run)))


def test_a_command_that_talks_while_it_ends_is_not_held_up(run: Run) -> None:
    """Much more than fits into a pipe, after nobody wants to hear it any more."""
    command = "trap 'seq 200000; touch saved; exit' TERM; echo ready; while true; do sleep 0.01; done"
    with pytest.raises(ZeroDivisionError):
        run(command, on={"ready": lambda: 1 / 0})
    assert (run.cwd / "saved").exists()


def test_what_finishes_by_itself_may_finish(run: Run) -> None:
    """A tee behind a process substitution writes all that it was given."""
    run("exec > >(sleep 0.2; tee log); seq 1000")
    assert (run.cwd / "log").read_text().split() == [str(i) for i in range(1, 1001)]


def test_a_killed_worker_takes_all_with_it(run: Run) -> None:
    """The plug is pulled: nothing here can clean up, and yet nothing stays."""
    command = "\n".join(
        [*CHILDREN.values(), "echo $$ >> pids", until_started(len(CHILDREN) + 1), "echo ready; sleep 60"]
    )
    script = (
        "import sys; from pathlib import Path\n"
        "from airflow_azureml_datastores.compute.local_process import LocalProcess\n"
        "run = LocalProcess(grace=0.2).run\n"
        "run(sys.argv[1], cwd=Path(sys.argv[2]), env={}, on_line=lambda line: print(line, flush=True))"
    )
    argv = [sys.executable, "-c", script, command, str(run.cwd)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        assert all(map(alive, started(run)))
        worker.kill()
    assert_vanish(started(run))


def test_a_killed_keeper_is_noticed(run: Run) -> None:
    failed = run.fails("echo $$ >> pids; kill -KILL $PPID; sleep 60")
    assert failed.exit_code == -9
    assert_vanish(started(run))


def test_much_output_takes_little_memory(run: Run) -> None:
    seen = 0

    def count(_: str) -> None:
        nonlocal seen
        seen += 1

    tracemalloc.start()
    try:
        run.process.run("seq 200000; head -c 50000000 /dev/zero | tr '\\0' x", cwd=run.cwd, env={}, on_line=count)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen >= 200_000 + 50_000_000 // (16 * 1024)
    assert peak < 8 * 1024 * 1024


def test_it_works_with_thousands_of_open_files(run: Run) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip(f"only {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    try:
        with ExitStack() as files:
            for _ in range(1500):
                files.enter_context(open(os.devnull))
            assert run("echo one") == ["one"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("listing", [_keeper._processes_by_ps, _keeper._processes])
def test_the_keeper_finds_its_family(listing: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without /proc, children of children and other groups too, but not what has ended."""
    monkeypatch.setattr(_keeper, "_processes", listing)
    command = "sleep 60 & echo $!; setsid sleep 60 & echo $!; true & wait $!; echo; wait"
    before = _keeper.family()
    with subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE, text=True, start_new_session=True) as shell:
        assert shell.stdout is not None
        children = {int(line) for line in iter(shell.stdout.readline, "\n")}
        family = _keeper.family() - before
        for pid in family:
            os.kill(pid, signal.SIGKILL)
    assert {*children, shell.pid} <= family
    assert os.getpid() not in family
    assert _keeper.family().isdisjoint(family)
