"""A session per page: an embedded workspace, files to work on, and Airflow to run the DAGs."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk import Connection
from sqlalchemy import create_engine, make_url, text

from airflow_azureml_datastores.core.datastore import Service as ServiceName
from airflow_azureml_datastores.hooks.connections import access_of
from tests.dags.conftest import airflow_db  # noqa: F401
from tests.docs.session import Session
from tests.servers.adls import DataLake
from tests.servers.azurefiles import AzureFiles, run_azurefiles
from tests.servers.azurite import ACCOUNT, BlobService
from tests.servers.databricks import DatabricksService
from tests.servers.fixtures import Servers
from tests.servers.tsql import SqlServer

FILES = Path(__file__).with_name("files")
"""What a page finds on the machine: data in ``srv/``, and in ``dags/`` what lies beside its DAG files."""
CONTAINER = "raw"
"""The container that the pages register."""
FILES_ACCOUNT = "filesaccount1"
ADDRESS, VOLUME = "https://adb-1234567890123456.7.azuredatabricks.net", "/Volumes/main/sales/raw"
"""The Databricks workspace and the volume that the pages register."""
HOUR = 3600


@pytest.fixture
def session(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    (tmp_path / "srv/gold").mkdir()
    for file in tmp_path.rglob("*.csv"):
        os.utime(file, (time.time() - HOUR, time.time() - HOUR))

    stands_for = {"/srv/": f"{tmp_path}/srv/", '"contoso"': f'"{ACCOUNT}"'}

    def connect(conn_id: str, fields: dict[str, Any]) -> None:
        for secret in SERVICES.keys() & set(map(str, fields.values())):
            found: Service = SERVICES[secret](request)
            fields = {name: value for name, value in fields.items() if name not in found.without} | found.fields
            stands_for.update(found.stands_for)
        if not fields["conn_type"].startswith("azureml_"):
            access_of(Connection(conn_id=conn_id, **fields), OWN_SERVICES.get(fields["conn_type"], "blob"))
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    home = {"conn_type": "azureml_local_workspace", "extra": json.dumps({"home": str(tmp_path / "srv/workspace")})}
    connect("ml_workspace", home)
    connect("azureml_workspace_default", home)
    return Session(tmp_path / "dags", stands_for, connect)


@dataclass(frozen=True)
class Service:
    """What is here in place of a service that a page's connection is for.

    :param fields: of the connection, as they are here.
    :param stands_for: what the page writes -> what is here in its place.
    :param without: fields of the page's connection that are of no use here.
    """

    fields: dict[str, Any]
    stands_for: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()


def _blob(request: pytest.FixtureRequest) -> Service:
    storage: BlobService = request.getfixturevalue("storage")
    return Service({"password": storage.key, "host": storage.url})


def _lake(request: pytest.FixtureRequest) -> Service:
    lake: DataLake = request.getfixturevalue("servers").adls
    account = lake.new_account()
    return Service({"password": account.key, "host": lake.plain_url(account)}, {"contosolake": account.name})


def _fabric(request: pytest.FixtureRequest) -> Service:
    """Logging in would go to Microsoft, so the connection gets a token that is there already."""
    lake: DataLake = request.getfixturevalue("servers").adls
    request.getfixturevalue("monkeypatch").setenv("REQUESTS_CA_BUNDLE", str(lake.ca))
    workspace = lake.onelake.new_workspace(f"ml-{uuid4().hex}", ["Sales.Lakehouse"])
    extra = json.dumps({"access_token": lake.token()})
    fields = {"conn_type": "generic", "host": lake.url(lake.onelake), "extra": extra}
    return Service(fields, {'"ml"': f'"{workspace.name}"', "/ml/": f"/{workspace.name}/"}, ("login", "password"))


def _files(request: pytest.FixtureRequest) -> Service:
    files: AzureFiles = request.getfixturevalue("files")
    return Service({"password": files.key, "login": files.plain_url}, {'"adatum"': f'"{FILES_ACCOUNT}"'})


def _databricks(request: pytest.FixtureRequest) -> Service:
    databricks: DatabricksService = request.getfixturevalue("servers").databricks
    volume: str = request.getfixturevalue("volume")
    return Service({"password": databricks.token, "host": databricks.url}, {ADDRESS: databricks.url, VOLUME: volume})


def _crm(request: pytest.FixtureRequest) -> Service:
    url = make_url(request.getfixturevalue("crm"))
    return Service({"host": str(url.query["host"]), "login": url.username, "password": "any password"})


def _shop(request: pytest.FixtureRequest) -> Service:
    """The server has no certificate."""
    url = make_url(request.getfixturevalue("shop"))
    at = {"host": url.host, "port": url.port or 3306, "login": url.username, "password": url.password}
    return Service(at, {'"contoso-shop"': '"contoso-shop", enforce_ssl=False'})


def _dwh(request: pytest.FixtureRequest) -> Service:
    """The server has a certificate that nobody knows."""
    server: SqlServer = request.getfixturevalue("dwh")
    at = {"host": server.host, "port": server.port, "login": server.login[0], "password": server.login[1]}
    here = {'"contoso-dwh"': '"contoso-dwh", enforce_ssl=False', 'name="dwh"': f'name="{server.database}"'}
    return Service(at, here)


OWN_SERVICES: dict[str, ServiceName] = {
    "databricks": "databricks",
    "mssql": "mssql",
    "mysql": "mysql",
    "postgres": "postgresql",
}
"""Types whose connections are for nothing else."""

SERVICES: dict[str, Callable[[pytest.FixtureRequest], Service]] = {
    "$STORAGE_KEY": _blob,
    "$LAKE_KEY": _lake,
    "$FILES_KEY": _files,
    "$FABRIC_SECRET": _fabric,
    "$DATABRICKS_TOKEN": _databricks,
    "$CRM_PASSWORD": _crm,
    "$SHOP_PASSWORD": _shop,
    "$DWH_PASSWORD": _dwh,
}
"""The secret that a page's connection names -> the service."""


@pytest.fixture
def files() -> Iterator[AzureFiles]:
    """The account that stands in for ``adatum``, without shares."""
    with run_azurefiles(FILES_ACCOUNT) as found:
        yield found


@pytest.fixture
def volume(servers: Servers) -> Iterator[str]:
    """The folder that stands in for the volume of the pages, empty."""
    with servers.databricks.folder() as path:
        yield path


CRM = """
create table customers (name text, region text, active bool, since date);
insert into customers values ('Zoë', 'no''rth', true, '2026-10-31'), ('Bo', 'south', true, '2025-01-01'),
    ('Al', 'south', false, '2024-01-01'), ('Cy', 'south', true, '2026-11-01');
create table regions (id int, name text);
insert into regions values (1, 'north'), (2, 'south');
"""


@pytest.fixture
def crm(servers: Servers) -> Iterator[str]:
    """The database ``crm`` of the pages."""
    url = make_url(servers.postgres)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    made = create_engine(url.set(database="crm"))
    with engine.connect() as connection:
        connection.execute(text("drop database if exists crm"))
        connection.execute(text("create database crm"))
        with made.begin() as database:
            database.execute(text(CRM.replace(":", "\\:")))
        yield servers.postgres
        made.dispose()
        connection.execute(text("drop database crm with (force)"))
    engine.dispose()


SHOP = (
    "drop database if exists shop",
    "create database shop",
    "create table shop.orders (id int, total decimal(10, 2), placed date, note varchar(20))",
    "insert into shop.orders values (1, 9.99, '2026-11-02', ''), (2, 5, '2026-11-03', ''), (3, 1, '2026-10-03', '')",
)


@pytest.fixture
def shop(servers: Servers) -> Iterator[str]:
    """The database ``shop`` of the pages."""
    engine = create_engine(servers.mysql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in SHOP:
            connection.execute(text(statement))
        yield servers.mysql
        connection.execute(text("drop database shop"))
    engine.dispose()


DWH = (
    "create table dbo.sales (id int, amount decimal(10, 2), sold date)",
    "insert into dbo.sales values (1, 9.99, '2026-11-02'), (2, 5, '2026-11-03'), (3, 1, '2026-10-03')",
)


@pytest.fixture
def dwh(servers: Servers) -> Iterator[SqlServer]:
    """The tables of the pages' database ``dwh``."""
    server = servers.mssql
    for statement in DWH:
        server.execute(statement)
    yield server
    for table in ("sales", "sales_2026", "azureml_datastores_loads"):
        server.execute(f"drop table if exists dbo.{table}")


@pytest.fixture
def storage(servers: Servers) -> BlobService:
    """The account that stands in for ``contoso``, with an empty container."""
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.storage.blob import BlobServiceClient

    found = servers.azurite
    with BlobServiceClient(found.url, credential=AzureNamedKeyCredential(found.account, found.key)) as client:
        container = client.get_container_client(CONTAINER)
        if not container.exists():
            container.create_container()
        for blob in container.list_blob_names():
            container.delete_blob(blob)
    return found
