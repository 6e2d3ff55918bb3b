"""Credentials on their way to a child process."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_azureml_datastores.compute import _credential_bridge
from airflow_azureml_datastores.compute._credential_bridge import portable
from airflow_azureml_datastores.core.credentials import AccountKey, Credential, Identity, RenewedSas, SasToken
from airflow_azureml_datastores.errors import AccessDenied, Unavailable

CHILD = """
import pickle, sys
credential = pickle.load(sys.stdin.buffer)
for line in sys.stdin.buffer:
    try:
        print(credential.renew(), flush=True)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
"""


class Child:
    """A process of its own that renews whenever it is told to."""

    def __init__(self, credential: Credential, descriptors: Sequence[int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=descriptors,
            cwd=Path(__file__).parents[3],
        )
        self._send(pickle.dumps(credential))

    def renew(self) -> str:
        assert self._process.stdout is not None
        self._send(b"\n")
        return self._process.stdout.readline().decode().rstrip("\n")

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _send(self, content: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(content)
        self._process.stdin.flush()


@contextmanager
def child(credential: Credential, descriptors: Sequence[int]) -> Iterator[Child]:
    started = Child(credential, descriptors)
    try:
        yield started
    finally:
        started.end()


@pytest.mark.parametrize("credential", [AccountKey("a2V5"), SasToken("sig=x"), Identity("managed", "c")], ids=repr)
def test_what_can_be_pickled_goes_as_it_is(credential: Credential) -> None:
    with portable(credential) as (carried, descriptors):
        assert pickle.loads(pickle.dumps(carried)) == credential
        assert not descriptors


def test_a_child_has_its_token_renewed() -> None:
    tokens = iter(["sig=1", "sig=" + "2" * 100_000])
    with (
        portable(RenewedSas(lambda: next(tokens))) as (carried, descriptors),
        child(carried, descriptors) as process,
    ):
        assert process.renew() == "sig=1"
        assert process.renew() == "sig=" + "2" * 100_000


def test_the_error_of_a_renewal_is_the_childs_too_and_may_pass() -> None:
    answers: list[str | AccessDenied] = [AccessDenied("the role is missing"), "sig=1"]

    def renew() -> str:
        answer = answers.pop(0)
        if isinstance(answer, AccessDenied):
            raise answer
        return answer

    with portable(RenewedSas(renew)) as (carried, descriptors), child(carried, descriptors) as process:
        assert process.renew() == "AccessDenied the role is missing"
        assert process.renew() == "sig=1"


def test_no_secret_is_pickled() -> None:
    def renew() -> str:
        return "sig=HUSH"

    with portable(RenewedSas(renew)) as (carried, _):
        assert isinstance(carried, RenewedSas)
        assert carried.renew() == "sig=HUSH"
        assert b"HUSH" not in pickle.dumps(carried)


def test_a_child_that_outlives_its_parents_interest() -> None:
    with portable(RenewedSas(lambda: "sig=1")) as (carried, descriptors):
        started = Child(carried, descriptors)
        assert started.renew() == "sig=1"
    try:
        assert started.renew() == "Unavailable the SAS token cannot be renewed: the worker that did it is gone."
    finally:
        started.end()


def test_threads_of_a_child_take_turns() -> None:
    asked: list[int] = []

    def renew() -> str:
        asked.append(len(asked))
        return f"sig={len(asked)}" + "x" * 50_000

    found: list[str] = []
    with portable(RenewedSas(renew)) as (carried, _):
        assert isinstance(carried, RenewedSas)
        there = pickle.loads(pickle.dumps(carried))  # the same descriptor, as in a child
        threads = [threading.Thread(target=lambda: found.append(there.renew())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == sorted(f"sig={n}" + "x" * 50_000 for n in range(1, 9))


def test_nothing_is_left_behind() -> None:
    with portable(RenewedSas(lambda: "sig=1")):
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "renew-for-child"]
    thread.join(10)
    assert not thread.is_alive()


def test_a_worker_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one whose only running thread waits for the very mount that waits for it; later answers are for nobody."""
    monkeypatch.setattr(_credential_bridge, "PATIENCE", 0.1)
    answered = threading.Event()

    def renew() -> str:
        answered.wait(60)
        return "sig=late"

    with portable(RenewedSas(renew)) as (carried, _):
        assert isinstance(carried, RenewedSas)
        with pytest.raises(Unavailable, match="the worker does not answer"):
            carried.renew()
        answered.set()
        with pytest.raises(Unavailable, match="the worker that did it is gone"):
            carried.renew()
