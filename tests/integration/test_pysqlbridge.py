"""Reading what is not SQL Server and answers as it does: pysqlbridge, another's server of its protocol.

It serves files, to be read alone, and knows neither ``sp_describe_first_result_set`` nor the procedure that drivers
bind values by.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from airflow_azureml_datastores.core.credentials import Login
from airflow_azureml_datastores.core.table_store import TableStore
from airflow_azureml_datastores.errors import AccessDenied, DatastoresError, InvalidInput
from airflow_azureml_datastores.stores import _odbc
from airflow_azureml_datastores.stores.azure_sql import AzureSqlDatabase
from tests.contract.tables.test_reading import get
from tests.integration.test_azure_sql_rows import FREE_TDS
from tests.servers.ports import held_port
from tests.servers.tsql import lacks_driver, microsoft_driver

PASSWORD = "Pa;ss {w}ord"
PEOPLE = "id,name,score,joined\n1,ann,1.5,2026-11-26T10:00:00\n2,bøb 語,,2020-01-01T00:00:00\n3,,2.25,\n"


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureSqlDatabase]:
    if problem := lacks_driver():
        pytest.skip(problem)
    folder = tmp_path_factory.mktemp("bridge")
    (folder / "people.csv").write_text(PEOPLE)
    (folder / "halves.csv").write_text("name\n𝒳\n")
    given = {
        "logins": [{"user": "reader", "password": "${env:BRIDGE_PASSWORD}"}],
        "tables": [{"name": name, "csv": f"{name}.csv"} for name in ("people", "halves")],
    }
    (folder / "tables.json").write_text(json.dumps(given))
    with held_port() as port, (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "pysqlbridge.server", "--port", str(port), "--config", "tables.json"]
        environment = os.environ | {"BRIDGE_PASSWORD": PASSWORD}
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            _wait(server, folder / "log")
            yield AzureSqlDatabase("127.0.0.1", "master", port, enforce_ssl=False)
        finally:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if "listening on" in log.read_text():
            return
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture(params=["mssql-python", "microsoft", "freetds"])
def store(location: AzureSqlDatabase, request: pytest.FixtureRequest) -> Iterator[TableStore]:
    driver = {"mssql-python": None, "microsoft": microsoft_driver(), "freetds": FREE_TDS}[request.param]
    if driver is not None and not Path(driver).is_file():
        pytest.skip(f"no driver at {driver}")
    with replace(location, driver=driver).open(Login("reader", PASSWORD)) as opened:
        yield opened


def test_a_table(store: TableStore) -> None:
    found = get(store, "select * from people")
    assert found.drop_columns(["joined"]).to_pylist() == [
        {"id": 1, "name": "ann", "score": 1.5},
        {"id": 2, "name": "bøb 語", "score": None},
        {"id": 3, "name": None, "score": 2.25},
    ]
    assert get(store, store.table("people", ["score", "id"])).schema.names == ["score", "id"]


def test_a_query(store: TableStore) -> None:
    text = "with q as (select id, cast(joined as datetime2(3)) as at from people) select * from q order by id desc;"
    assert get(store, text).to_pylist() == [
        {"id": 3, "at": None},
        {"id": 2, "at": datetime(2020, 1, 1)},  # noqa: DTZ001
        {"id": 1, "at": datetime(2026, 11, 26, 10)},  # noqa: DTZ001
    ]
    assert get(store, store.count(store.table("people")))["n"].to_pylist() == [3]
    assert get(store, store.newest(store.table("people"), "id"))["id"].to_pylist() == [3]


@pytest.mark.parametrize("text", ["select * from nowhere", "select nothing from people", "select * from"])
def test_what_is_not_there(store: TableStore, text: str) -> None:
    with pytest.raises(InvalidInput):
        get(store, text)


def test_half_a_character(store: TableStore) -> None:
    """The server takes a character of two units for one, says that texts are so long, and cuts it in the middle."""
    with pytest.raises(DatastoresError):
        get(store, "select * from halves")


def test_who_is_not_let_in(location: AzureSqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_odbc, "ATTEMPTS", 1)
    with location.open(Login("reader", "wrong")) as store, pytest.raises(AccessDenied, match="Login failed"):
        store.check()
    known_only = replace(location, enforce_ssl=True)
    with known_only.open(Login("reader", PASSWORD)) as store, pytest.raises(AccessDenied, match="certificate") as told:
        store.check()
    assert PASSWORD not in str(told.value)
