"""Getting into a SQL Server: logins, tokens, certificates, and what the server notes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

from airflow_azureml_datastores.core.credentials import (
    Credential,
    Login,
)
from airflow_azureml_datastores.core.datastore import Datastore
from airflow_azureml_datastores.core.table_store import Load, Query, TableStore
from airflow_azureml_datastores.errors import AccessDenied, ContainerNotFound, DatastoresError
from airflow_azureml_datastores.hooks.database import AzureSqlDatabaseHook
from airflow_azureml_datastores.stores import _odbc
from airflow_azureml_datastores.stores.azure_sql import AzureSqlDatabase
from tests.contract.tables.test_writing import rows_of
from tests.servers.fixtures import Servers
from tests.servers.tsql import TSql, microsoft_driver, run_tsql

SECRET = "Wr0ng s3cret"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_odbc, "WAIT", 0.01)
    monkeypatch.setattr(_odbc, "ATTEMPTS", 2)
    monkeypatch.setattr(_odbc, "CONNECTING", 2)  # Microsoft's driver goes on trying for so long


@pytest.fixture
def sql(servers: Servers) -> Iterator[TSql]:
    if not isinstance(servers.mssql, TSql):
        pytest.skip("a real server is played with, not tested")
    servers.mssql.forget()
    yield servers.mssql
    servers.mssql.forget()


@pytest.fixture(params=["mssql-python", "pyodbc"])
def location(sql: TSql, request: pytest.FixtureRequest) -> AzureSqlDatabase:
    """Where a driver is named, pyodbc reads the rows."""
    driver = microsoft_driver() if request.param == "pyodbc" else None
    return AzureSqlDatabase("localhost", sql.database, sql.port, enforce_ssl=False, driver=driver)


@pytest.fixture
def login(sql: TSql) -> Login:
    return Login(*sql.login)


def take(store: TableStore, sql: str) -> list[dict[str, Any]]:
    with store.read(Query(sql)) as rows:
        return [row for batch in rows.batches for row in batch.to_pylist()]


def enter(location: AzureSqlDatabase, credential: Credential) -> str:
    """Who we are there."""
    with location.open(credential) as store:
        store.check()
        ((found,),) = [row.values() for row in take(store, "select suser_sname() as who")]
    return str(found)


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error.args)


def test_by_password(location: AzureSqlDatabase, login: Login, sql: TSql) -> None:
    before = len(sql.logins)
    assert enter(location, login) == login.username
    for found in sql.logins[before:]:
        found.pop("token")
        application = found.pop("application")
        assert found == {
            "user": login.username,
            "database": sql.database,
            "read_only": True,
            "accepted": True,
            "encrypted": True,
        }
    assert application == ("airflow-azureml-datastores" if location.driver else "MSSQL-Python")


@pytest.mark.parametrize("password", ["a;b", "{a}", "}", "a};b", "x};DRIVER={nope};DSN=no", " a= ", "ä'\"", "};"])
@pytest.mark.parametrize("user", ["bob", "b};o{b;", "UID=bob"])
def test_whatever_they_are(location: AzureSqlDatabase, sql: TSql, user: str, password: str) -> None:
    sql.account(user, password)
    assert enter(location, Login(user, password)) == user


@pytest.mark.parametrize("login", [("admin", SECRET), ("nobody", SECRET), ("admin", "")])
def test_a_wrong_login_is_refused(location: AzureSqlDatabase, sql: TSql, login: tuple[str, str]) -> None:
    before = len(sql.logins)
    with pytest.raises(AccessDenied, match=rf"Login failed for user '{login[0]}'") as caught:
        enter(location, Login(*login))
    assert SECRET not in told(caught.value)
    assert len(sql.logins) == before + 1  # or the account would be locked


@pytest.mark.parametrize("database", ["nope", "no;pe", "{nope}", "UID=x};"])
def test_no_such_database(location: AzureSqlDatabase, login: Login, database: str) -> None:
    with pytest.raises(ContainerNotFound) as caught:
        replace(location, database_name=database).open(login).check()
    assert f'Cannot open database "{database}"' in str(caught.value)


class TestCertificates:
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
    def test_of_an_unknown_authority(self, location: AzureSqlDatabase, login: Login, host: str) -> None:
        with pytest.raises(AccessDenied, match="certificate verify failed"):
            enter(replace(location, server_name=host, enforce_ssl=True), login)

    def test_is_what_is_asked_for(self) -> None:
        assert AzureSqlDatabase("h", "d").enforce_ssl

    def test_and_tokens(self, location: AzureSqlDatabase, sql: TSql, login: Login) -> None:
        """Of a known authority, which OpenSSL is told of when a process starts."""
        sql.account("service", None)
        sql.token("t0ken " * 300, "service")
        before = len(sql.logins)
        found = in_process(sql, replace(location, enforce_ssl=True))
        assert found == {
            "login": login.username,
            "another host": "AccessDenied",
            "token": "service",
            "wrong token": "AccessDenied",
            "told": False,
            "pooled": False,
        }
        by_token = [(each["user"], each["token"], each["accepted"]) for each in sql.logins[before:] if each["token"]]
        assert by_token[0] == ("service", True, True)
        assert by_token[-1] == ("", True, False)
        assert not any("t0ken" in text for text in sql.statements)

    def test_a_server_without_tls(self, login: Login) -> None:
        """Is not spoken to."""
        with run_tsql(encrypted=False) as plain:
            there = AzureSqlDatabase("localhost", plain.database, plain.port, driver=microsoft_driver())
            for enforce in (True, False):
                with pytest.raises(AccessDenied, match="Encryption not supported"):
                    replace(there, enforce_ssl=enforce).open(Login(*plain.login)).check()
            assert plain.logins == []


IN_PROCESS = """
import json, os, sys, traceback
from dataclasses import replace
from airflow_azureml_datastores.core.credentials import AccessToken, Login
from airflow_azureml_datastores.errors import DatastoresError
from airflow_azureml_datastores.stores.azure_sql import AzureSqlDatabase
from tests.integration.test_azure_sql_login import enter
given, texts = json.loads(os.environ["GIVEN"]), []
there = AzureSqlDatabase(**given["location"])
def tried(location, credential):
    try:
        return enter(location, credential)
    except DatastoresError as error:
        texts.append("".join(traceback.format_exception(error)))
        return type(error).__name__
token = "t0ken " * 300
found = {
    "login": tried(there, Login(*given["login"])),
    "another host": tried(replace(there, server_name="127.0.0.1"), Login(*given["login"])),
    "token": tried(there, AccessToken(token)),
    "wrong token": tried(there, AccessToken(token + "x")),
}
from mssql_python.pooling import PoolingManager
found |= {"told": any("t0ken" in text for text in texts), "pooled": PoolingManager.is_enabled()}
print("FOUND" + json.dumps(found))
"""


def in_process(sql: TSql, location: AzureSqlDatabase) -> Any:
    given = {"location": vars(location), "login": sql.login}
    environment = os.environ | {"SSL_CERT_FILE": str(sql.ca), "GIVEN": json.dumps(given)}
    done = subprocess.run(
        [sys.executable, "-c", IN_PROCESS], env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert "FOUND" in done.stdout, done.stderr
    return json.loads(done.stdout.partition("FOUND")[2])


def test_a_replica_is_read_and_the_database_written(location: AzureSqlDatabase, login: Login, sql: TSql) -> None:
    table = f"t{uuid4().hex}"
    load = Load(table, "append", [], create_if_missing=True, id=table)
    found = pa.table({"a": [1]})
    with location.open(login) as store:
        reading = [lambda: store.check(), lambda: store.check_query(Query("select 1 as a")),
                   lambda: take(store, "select 1 as a")]  # fmt: skip
        writing = [lambda: store.has_table(table), lambda: store.check_write(load, found.schema),
                   lambda: store.write(load, rows_of(found))]  # fmt: skip
        for calls, read_only in ((reading, True), (writing, False)):
            for call in calls:
                before = len(sql.logins)
                call()
                assert {each["read_only"] for each in sql.logins[before:]} == {read_only}
    sql.execute(f"drop table {table}")


def test_one_who_may_only_read(location: AzureSqlDatabase, sql: TSql) -> None:
    table = f"t{uuid4().hex}"
    sql.execute(f"create table {table} (a int)")
    sql.account("guest", "guest", may_write=False)
    with location.open(Login("guest", "guest")) as store:
        assert take(store, f"select * from {table}") == []
        with pytest.raises(AccessDenied, match="permission"):
            store.write(Load(table, "append", [], create_if_missing=False, id=table), rows_of(pa.table({"a": [1]})))
    sql.execute(f"drop table {table}")


class _Hook(AzureSqlDatabaseHook):
    """Of a workspace that is not asked."""

    def __init__(self, location: AzureSqlDatabase, credential: Credential) -> None:
        self.store = location.open(credential)

    def _name(self) -> str:
        return "crm"


def test_the_hook_tells_a_person(location: AzureSqlDatabase, login: Login) -> None:
    assert Datastore("crm", location).location == location
    assert _Hook(location, login).test_connection() == (True, f"crm: {location.url}")
    done, text = _Hook(location, Login("admin", SECRET)).test_connection()
    assert (done, text) == (False, f"{location.url}: Login failed for user 'admin'. (18456)")


def test_the_password_is_nowhere(
    location: AzureSqlDatabase, login: Login, sql: TSql, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever it fails."""
    caplog.set_level(0)
    texts = []
    broken = ["select 1 / 0 as x", "select * from nope", "select", "select 'x as a"]
    places = [location, replace(location, database_name="nope"), replace(location, enforce_ssl=True),
              replace(location, port_number=1)]  # fmt: skip
    for at, place in enumerate(places):
        sql.fault("LOGIN", drop=True)
        with place.open(login) as store:
            texts += [repr(store), str(vars(store)), str(vars(store._login)), repr(store._server), repr(login)]
            for text in broken if not at else broken[:1]:
                with pytest.raises(DatastoresError) as caught:
                    take(store, text)
                texts.append(told(caught.value))
    held = "\n".join([*texts, caplog.text, *sql.statements])
    assert len(texts) > 20
    assert not any(word in held for word in (login.password, login.password.replace("}", "}}"), "w}ord", "w}}ord"))
