"""The tables of an embedded workspace, and how older ones become the present ones."""

from __future__ import annotations

from collections.abc import Callable

from airflow_azureml_datastores.errors import Unsupported
from airflow_azureml_datastores.workspaces._database import Database, Transaction

# One entry per version, statements in the SQL that SQLite and PostgreSQL share. Once released, an entry never changes.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE azureml_schema_version (version INTEGER NOT NULL)",
        "INSERT INTO azureml_schema_version (version) VALUES (0)",
        """
        CREATE TABLE azureml_datastores (
            name_key TEXT NOT NULL PRIMARY KEY,
            name TEXT NOT NULL,
            definition TEXT NOT NULL
        )
        """,
        # One row, and its datastore has to exist: so there is exactly one default.
        """
        CREATE TABLE azureml_workspace (
            id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
            default_datastore TEXT NOT NULL REFERENCES azureml_datastores (name_key)
        )
        """,
    ),
    (
        # position: of the registration among those of the name. The key has no room for names that differ only in case.
        """
        CREATE TABLE azureml_data_versions (
            name_key TEXT NOT NULL,
            position INTEGER NOT NULL,
            name TEXT NOT NULL,
            version TEXT NOT NULL,
            definition TEXT NOT NULL,
            PRIMARY KEY (name_key, position),
            UNIQUE (name_key, version)
        )
        """,
    ),
)

_VERSION = "azureml_schema_version"


def bring_up_to_date(database: Database, found: Callable[[Transaction], None]) -> None:
    """Create what is missing and migrate what is older, all or nothing, whoever else does the same.

    :param found: fills a database that had no tables, in the transaction that makes them.
    :raises Unsupported: the database was written by a later version of this package.
    """
    with database.reading() as transaction:
        if _version(database, transaction) == len(MIGRATIONS):
            return
    with database.writing() as transaction:
        version = _version(database, transaction)
        for statement in (statement for migration in MIGRATIONS[version:] for statement in migration):
            transaction.run(statement)
        if version == 0:
            found(transaction)
        transaction.run(f"UPDATE {_VERSION} SET version = :version", version=len(MIGRATIONS))


def _version(database: Database, transaction: Transaction) -> int:
    if not transaction.has_table(_VERSION):
        return 0
    version: int = transaction.rows(f"SELECT version FROM {_VERSION}")[0]["version"]
    if version > len(MIGRATIONS):
        raise Unsupported(
            f"{database}: its schema has version {version}, but this version of airflow-azureml-datastores knows those "
            f"up to {len(MIGRATIONS)}; upgrade the package."
        )
    return version
