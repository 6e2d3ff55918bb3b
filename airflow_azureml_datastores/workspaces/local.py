"""The embedded workspace: an Azure ML workspace's semantics on a folder and a small database."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.core.datastore import BUILT_IN, Datastore
from airflow_azureml_datastores.core.job import Jobs
from airflow_azureml_datastores.core.workspace import Registered
from airflow_azureml_datastores.errors import DatastoreExists, DatastoreNotFound, DatastoreProtected, Unsupported
from airflow_azureml_datastores.stores.local_directory import LocalDirectory
from airflow_azureml_datastores.workspaces import _local_data, _schema
from airflow_azureml_datastores.workspaces._data_rules import checked
from airflow_azureml_datastores.workspaces._database import Database, Transaction
from airflow_azureml_datastores.workspaces._definition import (
    check_definition,
    datastore_of,
    definition_of,
    differences,
)


class LocalWorkspace:
    """A workspace in a database of its own, with its built-in datastores on disk.

    One database is one workspace: whoever opens the same database sees the same datastores. Building the object opens
    nothing; the first call does, and where there is no workspace yet it makes one: the tables, the built-in datastores
    and their folders below ``home``. Their absolute paths are registered, so ``home`` has to be at the same place on
    all machines that use a shared database (and counts only for the one that opens it first).

    Built-in datastores may be re-pointed (``register`` with ``overwrite=True``), for example to a blob container, and
    stay built in.

    All calls may be made from many threads and processes at once. Besides what :class:`Workspace` lists they raise
    Unavailable, AccessDenied or InvalidInput for what is wrong with the database.

    :param name: what messages call the workspace.
    :param home: folder of the built-in datastores and, without ``url``, of the database ``workspace.db``.
    :param url: a PostgreSQL database for a workspace that many machines share, for example
        ``postgresql://user:password@host/database``; other tables there are left alone. The user needs the right to
        create tables. A password in it is never shown.
    :raises InvalidInput: ``url`` is no such URL.
    :raises MissingExtra: (by the first call) the PostgreSQL driver is not installed.
    """

    def __init__(self, name: str, home: Path, url: str | None = None) -> None:
        self._name = name
        self._home = Path(home).expanduser().absolute()
        self._database = Database(self._home / "workspace.db", url)
        self._on_disk = url is None
        self._opening = threading.Lock()
        self._opened = False

    @property
    def name(self) -> str:
        return f"{self._name!r} (local)"

    @property
    def id(self) -> None:
        """It is not in Azure Resource Manager."""

    @property
    def jobs(self) -> Jobs:
        raise Unsupported(f"workspace {self.name} has no computes of its own; use compute='local'.")

    def __repr__(self) -> str:
        return f"<LocalWorkspace {self.name}: {self._database}>"

    def list(self) -> Sequence[Datastore]:
        with self._open().reading() as transaction:
            rows = transaction.rows("SELECT name, definition FROM azureml_datastores")
        return sorted(map(_datastore, rows), key=lambda datastore: datastore.name.casefold())

    def get(self, name: str) -> Datastore:
        with self._open().reading() as transaction:
            return self._find(transaction, name)

    def default(self) -> Datastore:
        with self._open().reading() as transaction:
            return self._default(transaction)

    def set_default(self, name: str) -> Datastore:
        with self._open().writing() as transaction:
            datastore = self._find(transaction, name)
            transaction.run("UPDATE azureml_workspace SET default_datastore = :key", key=_key(name))
        return datastore

    def register(
        self, datastore: Datastore, *, credential: Credential | None = None, overwrite: bool = False
    ) -> Registered:
        """As the port says. The credential stays in its connection: nothing of it is kept here."""
        asked = definition_of(datastore)
        check_definition(datastore.name, asked)
        with self._open().writing() as transaction:
            rows = _select(transaction, datastore.name)
            if not rows:
                _insert(transaction, datastore.name, asked)
                return "created"
            registered = definition_of(_datastore(rows[0]))
            asked = definition_of(datastore.completed(_datastore(rows[0])))
            if registered == asked:
                return "unchanged"
            if not overwrite:
                raise DatastoreExists(
                    f"datastore {rows[0]['name']!r} is already registered in workspace {self.name} with another "
                    f"definition: {differences(registered, asked)}. Register it with overwrite=True to re-point it."
                )
            transaction.run(
                "UPDATE azureml_datastores SET definition = :definition WHERE name_key = :key",
                definition=json.dumps(asked),
                key=_key(datastore.name),
            )
            return "updated"

    def unregister(self, name: str) -> Datastore:
        with self._open().writing() as transaction:
            datastore = self._find(transaction, name)
            if datastore.built_in:
                raise DatastoreProtected(
                    f"datastore {datastore.name!r} is built into workspace {self.name} and cannot be unregistered."
                )
            if datastore.name == self._default(transaction).name:
                raise DatastoreProtected(
                    f"datastore {datastore.name!r} is the default of workspace {self.name}; "
                    f"make another one the default first."
                )
            transaction.run("DELETE FROM azureml_datastores WHERE name_key = :key", key=_key(name))
        return datastore

    def credential(self, datastore: Datastore) -> None:
        """It keeps none."""

    def get_data(self, name: str, version: str | None = None) -> DataAsset:
        with self._open().reading() as transaction:
            return _local_data.find(transaction, name, version, self.name)

    def register_data(self, asset: DataAsset) -> DataAsset:
        asset.check()
        with self._open().writing() as transaction:
            asset = checked(asset, lambda: self._default(transaction).name)
            return _local_data.register(transaction, asset, self.name)

    def job_output(self, job: str, output: str) -> str:
        raise Unsupported(f"workspace {self.name} has no jobs, so there is no output {output!r} of job {job!r}.")

    def close(self) -> None:
        """Nothing is kept open between calls."""

    def _open(self) -> Database:
        with self._opening:
            if not self._opened:
                if self._on_disk:
                    LocalDirectory(str(self._home)).create()
                _schema.bring_up_to_date(self._database, self._found)
                self._opened = True
        return self._database

    def _found(self, transaction: Transaction) -> None:
        for name in BUILT_IN:
            location = LocalDirectory(str(self._home / name)).create()
            _insert(transaction, name, definition_of(Datastore(name, location)))
        transaction.run("INSERT INTO azureml_workspace (id, default_datastore) VALUES (1, :key)", key=_key(BUILT_IN[0]))

    def _find(self, transaction: Transaction, name: str) -> Datastore:
        rows = _select(transaction, name)
        if rows:
            return _datastore(rows[0])
        names = [row["name"] for row in transaction.rows("SELECT name FROM azureml_datastores")]
        raise DatastoreNotFound(name, self.name, names)

    def _default(self, transaction: Transaction) -> Datastore:
        rows = transaction.rows(
            "SELECT d.name, d.definition FROM azureml_workspace w "
            "JOIN azureml_datastores d ON d.name_key = w.default_datastore"
        )
        return _datastore(rows[0])


def _key(name: str) -> str:
    # No datastore has a name beyond ASCII, where casefold would find likenesses ('ſ' is an 's') and NUL no text.
    return name.casefold() if name.isascii() and name.isprintable() else ""


def _select(transaction: Transaction, name: str) -> Sequence[Mapping[str, Any]]:
    return transaction.rows("SELECT name, definition FROM azureml_datastores WHERE name_key = :key", key=_key(name))


def _insert(transaction: Transaction, name: str, definition: Mapping[str, Any]) -> None:
    transaction.run(
        "INSERT INTO azureml_datastores (name_key, name, definition) VALUES (:key, :name, :definition)",
        key=_key(name),
        name=name,
        definition=json.dumps(definition),
    )


def _datastore(row: Mapping[str, Any]) -> Datastore:
    return datastore_of(row["name"], json.loads(row["definition"]))
