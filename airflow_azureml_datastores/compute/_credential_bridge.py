"""Credentials for a child process: what cannot be pickled stays here, and the child asks for it through a socket."""

from __future__ import annotations

import os
import pickle
import select
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from airflow_azureml_datastores.core.credentials import Credential, RenewedSas
from airflow_azureml_datastores.errors import DatastoresError, Unavailable

_ASK = b"?"
_LENGTH = struct.Struct("!I")
PATIENCE = 120.0
"""Seconds that a child waits for an answer. The parent may be waiting for the child: for a file of its mount, in a call
that lets no other thread of Python go on."""
_one_at_a_time = threading.Lock()


@contextmanager
def portable(credential: Credential) -> Iterator[tuple[Credential, Sequence[int]]]:
    """A credential that can be pickled, and the file descriptors that the child has to inherit with it.

    A pickled credential is still a secret: it travels through a pipe or a socket. Where a token is to be renewed the
    child asks here, for as long as this context is open, and gets the token or the error that the renewal ended with.
    The descriptors keep their numbers (``subprocess.Popen(pass_fds=…)``); other processes must not inherit them.
    """
    if not isinstance(credential, RenewedSas):
        yield credential, ()
        return
    ours, theirs = socket.socketpair()
    with theirs:
        threading.Thread(target=_answer, args=(ours, credential), name="renew-for-child", daemon=True).start()
        try:
            yield RenewedSas(_AskParent(theirs.fileno())), (theirs.fileno(),)
        finally:
            with suppress(OSError):  # the thread has closed it already
                ours.shutdown(socket.SHUT_RDWR)


def _answer(line: socket.socket, credential: RenewedSas) -> None:
    with line, suppress(OSError):  # either side may close the line at any time
        while line.recv(1) == _ASK:
            answer = pickle.dumps(_renewed(credential))
            line.sendall(_LENGTH.pack(len(answer)) + answer)


def _renewed(credential: RenewedSas) -> str | DatastoresError:
    try:
        return credential.renew()
    except DatastoresError as error:
        return error


@dataclass(frozen=True, slots=True)
class _AskParent:
    """Renews by asking the parent process.

    :param descriptor: of the child's end of the line.
    """

    descriptor: int

    def __call__(self) -> str:
        """:raises Unavailable: the parent does not answer, or not any more."""
        with _one_at_a_time:
            try:
                os.set_inheritable(self.descriptor, False)
                os.write(self.descriptor, _ASK)
                (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
                answer: str | DatastoresError = pickle.loads(self._read(length))
            except TimeoutError:
                with socket.socket(fileno=os.dup(self.descriptor)) as line:  # a late answer must not become the next
                    line.shutdown(socket.SHUT_RDWR)
                raise Unavailable("the SAS token cannot be renewed: the worker does not answer.") from None
            except OSError:
                raise Unavailable("the SAS token cannot be renewed: the worker that did it is gone.") from None
        if isinstance(answer, DatastoresError):
            raise answer
        return answer

    def _read(self, length: int) -> bytes:
        """:raises ConnectionResetError: the line has ended. :raises TimeoutError: nothing came."""
        found = b""
        answers = select.poll()
        answers.register(self.descriptor, select.POLLIN)
        while len(found) < length:
            if not answers.poll(PATIENCE * 1000):
                raise TimeoutError
            part = os.read(self.descriptor, length - len(found))
            if not part:
                raise ConnectionResetError
            found += part
        return found
