"""A database on a PostgreSQL server as a datastore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.datastore import Service
from airflow_azureml_datastores.stores._database_server import RoleServerLocation
from airflow_azureml_datastores.stores._postgresql_store import PostgreSqlStore


@dataclass(frozen=True)
class AzurePostgreSql(RoleServerLocation):
    """A database on an Azure Database for PostgreSQL, or on any other PostgreSQL server.

    :param server_name: the server's name in Azure, or a whole host name, an address, or the folder of a socket.
    :param database_name: the database.
    :param port_number: the server's port.
    :param endpoint: the domain of the cloud's servers; ``postgres.database.usgovcloudapi.net`` and others in sovereign
        clouds. It does not count if ``server_name`` is a whole host name.
    :param enforce_ssl: TLS, with a certificate that is the host's and comes from an authority that is known. If not,
        TLS is used where the server has it, and its certificate is not looked at.
    :param user_id: the role that an application or identity logs in as; a connection with a login has its own.
    :param root_certificate: file on the worker with the authorities that may have signed the server's certificate; None
        are the public ones.
    """

    type: ClassVar[str] = "AzurePostgreSql"
    service: ClassVar[Service] = "postgresql"
    product: ClassVar[tuple[str, str]] = ("PostgreSQL", "postgres")
    scheme: ClassVar[str] = "postgresql"
    category: ClassVar[str] = "AzurePostgresDb"
    port_number: int = 5432
    endpoint: str = "postgres.database.azure.com"

    def open(self, credential: Credential) -> PostgreSqlStore:
        return PostgreSqlStore(self._server(), credential)
