"""Many processes on one embedded workspace, at the same moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.core.datastore import Datastore
from airflow_azureml_datastores.core.workspace import Workspace
from airflow_azureml_datastores.errors import DatastoreExists, DatastoreNotFound, DatastoreProtected, DatastoresError
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.workspaces import _schema
from tests.contract.workspace.rigs_local import RIGS, LocalSite

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("workspace processes")]

PROCESSES = 6
BUILT_IN = ["workspaceblobstore", "workspacefilestore"]


class Together:
    """Calls in processes of their own, all begun at the same moment."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(PROCESSES)
        self._pool = ProcessPoolExecutor(PROCESSES, context, initializer=_set_barrier, initargs=(barrier,))

    def __call__(self, *calls: tuple[Callable[..., object], object]) -> list[object]:
        """What each of the PROCESSES calls gives: a result, or the kind of error."""
        assert len(calls) == PROCESSES
        return [future.result() for future in [self._pool.submit(_call, *call) for call in calls]]

    def close(self) -> None:
        self._pool.shutdown()


_barrier: Any = None


def _set_barrier(barrier: object) -> None:
    global _barrier
    _barrier = barrier


def _call(function: Callable[..., object], argument: object) -> object:
    _barrier.wait(60)
    try:
        return function(argument)
    except DatastoresError as error:
        return type(error)


@pytest.fixture(scope="module")
def together() -> Iterator[Together]:
    found = Together()
    yield found
    found.close()


@pytest.fixture(params=[pytest.param(rig, id=rig.name) for rig in RIGS])
def site(request: pytest.FixtureRequest) -> Iterator[LocalSite]:
    with request.param(request).new_site() as new:
        yield new


def sales(number: int = 1) -> Datastore:
    return Datastore("sales", LocalDirectory(f"/data/{number}"), tags={"number": str(number)})


def list_all(site: LocalSite) -> Sequence[Datastore]:
    return site.open().list()


def register(asked: tuple[LocalSite, Datastore]) -> str:
    site, datastore = asked
    return site.open().register(datastore)


def register_own(asked: tuple[LocalSite, int]) -> list[str]:
    site, number = asked
    workspace = site.open()
    return [workspace.register(Datastore(f"own-{number}-{n}", LocalDirectory("/data"))) for n in range(10)]


def register_data(asked: tuple[LocalSite, int]) -> str | None:
    site, number = asked
    path = f"azureml://datastores/workspaceblobstore/paths/{number}/"
    return site.open().register_data(DataAsset("sales", path, digest=f"sha256:{number}")).version


def set_default(site: LocalSite) -> Datastore:
    return site.open().set_default("sales")


def unregister(site: LocalSite) -> Datastore:
    return site.open().unregister("sales")


def open_later_version(site: LocalSite) -> Sequence[Datastore]:
    upgrade = (
        "ALTER TABLE azureml_datastores ADD COLUMN used INTEGER",
        "CREATE TABLE azureml_more (id INTEGER)",
        "INSERT INTO azureml_more (id) VALUES (1)",
    )
    before = _schema.MIGRATIONS
    _schema.MIGRATIONS = (*before, upgrade)
    try:
        return site.open().list()
    finally:
        _schema.MIGRATIONS = before


def names(workspace: Workspace) -> list[str]:
    return [datastore.name for datastore in workspace.list()]


def test_first_opening(together: Together, site: LocalSite) -> None:
    found = together(*[(list_all, site)] * PROCESSES)
    assert found == [site.open().list()] * PROCESSES
    assert names(site.open()) == BUILT_IN
    assert site.open().default().name == "workspaceblobstore"


def test_first_opening_by_registering(together: Together, site: LocalSite) -> None:
    found = together(*[(register, (site, sales()))] * PROCESSES)
    assert Counter(found) == {"created": 1, "unchanged": PROCESSES - 1}
    assert site.open().get("sales") == sales()


def test_different_definitions(together: Together, site: LocalSite) -> None:
    site.open().list()
    found = together(*((register, (site, sales(number))) for number in range(PROCESSES)))
    assert Counter(found) == {"created": 1, DatastoreExists: PROCESSES - 1}
    assert site.open().get("sales") == sales(found.index("created"))


def test_different_names(together: Together, site: LocalSite) -> None:
    found = together(*((register_own, (site, number)) for number in range(PROCESSES)))
    assert found == [["created"] * 10] * PROCESSES
    assert len(names(site.open())) == 2 + 10 * PROCESSES


def test_data_with_the_same_content(together: Together, site: LocalSite) -> None:
    assert together(*[(register_data, (site, 1))] * PROCESSES) == ["1"] * PROCESSES


def test_data_with_different_contents(together: Together, site: LocalSite) -> None:
    found = together(*((register_data, (site, number)) for number in range(PROCESSES)))
    assert sorted(map(str, found)) == [str(n) for n in range(1, PROCESSES + 1)]


def test_default_is_never_unregistered(together: Together, site: LocalSite) -> None:
    site.open().register(sales())
    half = PROCESSES // 2
    found = together(*[(set_default, site)] * half, *[(unregister, site)] * half)
    if sales() in found[half:]:
        assert Counter(map(str, found[half:])) == Counter(map(str, [sales(), *[DatastoreNotFound] * (half - 1)]))
        assert set(map(str, found[:half])) == {str(DatastoreNotFound)}
        assert names(site.open()) == BUILT_IN
        assert site.open().default().name == "workspaceblobstore"
    else:
        assert found == [sales()] * half + [DatastoreProtected] * half
        assert site.open().default() == sales()


def test_migration(together: Together, site: LocalSite) -> None:
    site.open().register(sales())
    found = together(*[(open_later_version, site)] * PROCESSES)
    assert all(names[0] == sales() for names in found)  # type: ignore[index]
    with site.engine().connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM azureml_more").scalar_one() == 1
        assert (
            connection.exec_driver_sql("SELECT version FROM azureml_schema_version").scalar_one()
            == len(_schema.MIGRATIONS) + 1
        )


def test_writer_is_killed(site: LocalSite) -> None:
    """Its transaction is undone and its lock let go."""
    site.open().register(sales())
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.contract.workspace.rigs_local import LocalSite\n"
        f"with LocalSite(Path({str(site.home)!r}), {site.url!r}).open()._open().writing() as transaction:\n"
        "    transaction.run('UPDATE azureml_workspace SET default_datastore = :key', key='sales')\n"
        "    transaction.run('DELETE FROM azureml_datastores WHERE name_key = :key', key='workspaceblobstore')\n"
        "    print('inside', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "inside\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert site.open().default().name == "workspaceblobstore"
    assert site.open().register(sales()) == "unchanged"
    assert site.open().set_default("sales") == sales()
