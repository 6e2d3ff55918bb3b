"""Transfers in a process of their own, which tells what it has done, so that it can be killed in the middle of it."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

from airflow_azureml_datastores.core.experiment import ExperimentRun
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.transfer import engine, journal
from airflow_azureml_datastores.transfer.ingest import ingest
from airflow_azureml_datastores.transfer.publish import Policy
from airflow_azureml_datastores.transfer.source import find_source
from tests.integration.transfer_sites import Site
from tests.unit.transfer.publishing import Rig
from tests.unit.transfer.stores import Hook, Watched, opener

RUN = ExperimentRun("churn", "r1")
INPUTS = {"x": "azureml://datastores/s/paths/in/"}
TARGET = "gold/"
WORKERS = 8

Job = Callable[..., None]

processes = multiprocessing.get_context("forkserver")
"""Forks them of one that has imported what they need."""
processes.set_forkserver_preload(
    [__name__, "azure.storage.blob", "databricks.sdk", "duckdb", "obstore", "psycopg", "pyarrow.parquet", "pymysql"]
)


def bring(told: Hook, source: Site, home: Site) -> None:
    """Ingest ``in/`` of the source, WORKERS files at once, each of which is noted as soon as it has arrived."""
    journal._EVERY_SECONDS = 0.0
    engine.WORKERS = WORKERS
    with source.open() as here, home.open() as there:
        ingest(opener(s=here, workspaceblobstore=Watched(there, after=told)), RUN, INPUTS, say=lambda line: None)


def publish(told: Hook, source: Site, target: Site, policy: Policy) -> None:
    """Publish ``out/`` of the source."""
    with source.open() as here, target.open() as there:
        found = find_source(lambda _: Place("s", here), DatastoreUri("s", "out/"))
        Rig(Watched(there, after=told), TARGET).publish(found, policy)


def replace(site: Site, path: str, content: bytes) -> None:
    """Write a file."""
    with site.open() as store:
        store.write(path, [content], size=len(content))


def _run(job: Job, args: Sequence[object], ahead: int, told: Connection, heard: Connection) -> None:
    waits, turn = threading.Semaphore(ahead), threading.Lock()

    def hear() -> None:
        with suppress(EOFError, OSError):
            while True:
                heard.recv()
                waits.release()

    def tell(call: str, path: str) -> None:
        with turn:
            told.send((call, path))
        waits.acquire()

    threading.Thread(target=hear, daemon=True).start()
    job(tell, *args)


@contextmanager
def started(job: Job, *args: object, ahead: int = 8) -> Iterator[Iterator[tuple[str, str]]]:
    """Run a job in another process; killed (SIGKILL) on leaving if it has not ended by then.

    :param ahead: how many changes it may be ahead of the one that was asked for last.
    :returns: its changes, each as the name of the call and the path, as they are done; at its end the iterator ends.
    """
    # One pipe each way: a socket would lose what was told last if it was closed with something yet to be heard.
    (changed, told), (heard, go_on) = processes.Pipe(duplex=False), processes.Pipe(duplex=False)
    process = processes.Process(target=_run, args=(job, args, ahead, told, heard))
    process.start()
    told.close()
    heard.close()

    def changes() -> Iterator[tuple[str, str]]:
        while True:
            try:
                yield changed.recv()
                with suppress(BrokenPipeError):  # it has ended
                    go_on.send(None)
            except EOFError:
                process.join()
                assert process.exitcode == 0
                return

    try:
        yield changes()
    finally:
        process.kill()
        process.join()
        changed.close()
        go_on.close()
