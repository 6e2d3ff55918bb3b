"""What a local directory promises between processes, also to those that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_azureml_datastores.stores import _local_backstage
from airflow_azureml_datastores.stores.local_directory import LocalDirectoryStore
from tests.contract.helpers import get, paths, put

PRELUDE = """
import sys
from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.errors import Changed, PathExists
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
store = LocalDirectory(sys.argv[1]).open(Anonymous())
print("ready", flush=True)
sys.stdin.readline()
"""


class Started:
    """A process that has opened the store and waits for the word to go on with its script."""

    def __init__(self, root: Path, script: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + script, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.expect("ready")

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def expect(self, line: str) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline().strip() == line

    def output(self) -> str:
        text, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return text.strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


@contextmanager
def started(root: Path, script: str, count: int = 1) -> Iterator[list[Started]]:
    running = [Started(root, script) for _ in range(count)]
    try:
        for each in running:
            each.go()
        yield running
    finally:
        for each in running:
            each.kill()


def test_compare_and_swap(store: LocalDirectoryStore, root: Path) -> None:
    put(store, "counter", b"0")
    script = """
for _ in range(40):
    while True:
        etag = store.stat("counter").etag
        try:
            store.write("counter", [b"%d" % (int(b"".join(store.read("counter", if_match=etag))) + 1)], if_match=etag)
            break
        except Changed:
            continue
"""
    with started(root, script, 3) as processes:
        assert [each.output() for each in processes] == [""] * 3
    assert get(store, "counter") == b"120"


def test_create(store: LocalDirectoryStore, root: Path) -> None:
    script = """
import os
for number in range(50):
    try:
        store.write(f"folder/{number}", [b"%d" % os.getpid()], create=True)
        print(number)
    except PathExists:
        pass
"""
    with started(root, script, 3) as processes:
        won = {each.process.pid: each.output().split() for each in processes}
    assert sorted(int(number) for numbers in won.values() for number in numbers) == list(range(50))
    for pid, numbers in won.items():
        assert all(get(store, f"folder/{number}") == b"%d" % pid for number in numbers)


def test_folder_that_empties_and_fills(store: LocalDirectoryStore, root: Path) -> None:
    script = """
import os
path = f"folder/sub/{os.getpid()}"
for number in range(150):
    store.write(path, [b"%d" % number])
    assert b"".join(store.read(path)) == b"%d" % number
    store.delete(path)
"""
    with started(root, script, 3) as processes:
        assert [each.output() for each in processes] == [""] * 3
    assert os.listdir(root) == [".datastore"]


def test_killed_in_the_middle_of_the_content(store: LocalDirectoryStore, root: Path) -> None:
    old = put(store, "a", b"old")
    script = """
def chunks():
    yield bytes(5 << 20)
    print("half", flush=True)
    sys.stdin.readline()
    yield bytes(5 << 20)
store.write("a", chunks())
"""
    with started(root, script) as (process,):
        process.expect("half")
        (draft,) = (root / ".datastore" / "tmp").iterdir()
        past = time.time() - _local_backstage.STALE_AFTER - 60
        os.utime(draft, (past, past))
        put(LocalDirectoryStore(str(root)), "b")
        assert draft.exists(), "the writer lives"
        process.kill()
    assert get(store, "a", if_match=old) == b"old"
    assert paths(store) == ["a", "b"]
    put(LocalDirectoryStore(str(root)), "b")
    assert not draft.exists()


def test_killed_anywhere(store: LocalDirectoryStore, root: Path) -> None:
    """Whatever the moment: a whole version is there, and others can go on writing."""
    put(store, "a", bytes(100_000))
    script = """
number = 0
print("writing", flush=True)
while True:
    number = (number + 1) % 256
    store.write("a", [bytes([number]) * 100_000])
    store.write("folder/b", [bytes([number]) * 10])
    store.delete("folder/b")
"""
    for pause in (0.0, 0.003, 0.007, 0.02, 0.05):
        with started(root, script) as (process,):
            process.expect("writing")
            time.sleep(pause)  # the very chance is what is tested
            process.kill()
        content = get(store, "a")
        assert content == content[:1] * 100_000
        assert set(paths(store)) <= {"a", "folder/b"}
        put(store, "a", bytes(100_000), if_match=store.stat("a").etag)


def test_killed_while_replacing_a_folder(store: LocalDirectoryStore, root: Path) -> None:
    """The target is the old or a new generation, whole; what was in motion is nowhere to be seen."""
    for number in range(20):
        put(store, f"target/0-{number}")
    script = """
generation = 0
print("replacing", flush=True)
while True:
    generation += 1
    for number in range(20):
        store.write(f"staged/{generation}-{number}", [b"x"])
    store.replace_directory("staged", "target")
"""
    for pause in (0.02, 0.04, 0.06, 0.1):
        with started(root, script) as (process,):
            process.expect("replacing")
            time.sleep(pause)
            process.kill()
        found = paths(store, "target/")
        (generation,) = {path.partition("-")[0] for path in found}
        assert sorted(found) == sorted(f"{generation}-{number}" for number in range(20))
        for info in list(store.list("staged/")):
            store.delete(info.path)
        fresh = LocalDirectoryStore(str(root))
        put(fresh, "after")
        tmp = root / ".datastore" / "tmp"
        assert not [entry for entry in tmp.iterdir() if entry.is_dir()]


def test_child_of_a_fork_does_not_keep_the_lock(store: LocalDirectoryStore, root: Path) -> None:
    """A child that was forked in the moment of a commit, and lives on, does not stop the other writers."""
    put(store, "a")
    script = """
import os, signal
replace, children = os.replace, []
def forking(source, target):
    pid = os.fork()
    if pid == 0:
        signal.pause()
    children.append(pid)
    replace(source, target)
os.replace = forking
store.write("a", [b"forked"])
print("written", flush=True)
sys.stdin.readline()
os.kill(children[0], signal.SIGKILL)
os.waitpid(children[0], 0)
"""
    with started(root, script) as (process,):
        process.expect("written")
        put(store, "a", b"after")
        process.go()
        process.output()
    assert get(store, "a") == b"after"
