"""The embedded workspace under contract, on each of its databases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar
from uuid import uuid4

import pytest
import sqlalchemy

from airflow_azureml_datastores.core.datastore import Datastore, Location
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.workspaces.local import LocalWorkspace


@dataclass(frozen=True)
class LocalSite:
    """Where a workspace that nobody has opened yet will be; travels to other processes."""

    home: Path
    url: str | None = None

    names: ClassVar[Sequence[str]] = ("workspaceblobstore", "workspacefilestore")

    def open(self) -> LocalWorkspace:
        return LocalWorkspace("lab", self.home, self.url)

    def location(self, number: int) -> Location:
        return LocalDirectory(f"/data/{number}")

    def elsewhere(self, datastore: Datastore) -> Location:
        return LocalDirectory(f"/elsewhere/{datastore.name}")

    def engine(self) -> sqlalchemy.Engine:
        """The bare database, for looking behind the workspace's back."""
        url = self.url or f"sqlite:///{self.home / 'workspace.db'}"
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """The URL of a new, empty database on a PostgreSQL server, given the URL of another one there."""
    name = f"workspace_{uuid4().hex}"
    address = sqlalchemy.make_url(server).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    try:
        yield address.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))


class LocalRig:
    deviations: ClassVar[Mapping[str, str]] = {}
    left_out: ClassVar[Mapping[str, str]] = {}


class SqliteRig(LocalRig):
    name: ClassVar[str] = "local-sqlite"

    def __init__(self, request: pytest.FixtureRequest) -> None:
        pass

    @contextmanager
    def new_site(self) -> Iterator[LocalSite]:
        with TemporaryDirectory() as home:
            yield LocalSite(Path(home, "not", "there", "yet"))


class PostgresqlRig(LocalRig):
    name: ClassVar[str] = "local-postgresql"

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._server: str = request.getfixturevalue("servers").postgres

    @contextmanager
    def new_site(self) -> Iterator[LocalSite]:
        with TemporaryDirectory() as home, new_database(self._server) as url:
            yield LocalSite(Path(home), url)


RIGS = [SqliteRig, PostgresqlRig]
