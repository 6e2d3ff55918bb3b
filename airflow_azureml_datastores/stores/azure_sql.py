"""A SQL database of Azure, or of any other SQL Server, as a datastore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.datastore import Service
from airflow_azureml_datastores.stores._azure_sql_store import AzureSqlStore
from airflow_azureml_datastores.stores._database_server import DatabaseServerLocation
from airflow_azureml_datastores.stores._odbc import OdbcServer


@dataclass(frozen=True)
class AzureSqlDatabase(DatabaseServerLocation):
    """A database in Azure SQL, or in any other SQL Server.

    :param server_name: the server's name in Azure, or a whole host name or address.
    :param database_name: the database.
    :param port_number: the server's port.
    :param endpoint: the domain of the cloud's servers; ``database.usgovcloudapi.net`` and others in sovereign clouds.
        It does not count if ``server_name`` is a whole host name.
    :param enforce_ssl: TLS, with a certificate that is the host's and comes from an authority that the worker's system
        knows. If not, the certificate is not looked at.
    :param driver: the ODBC driver, as it is named in odbcinst.ini, or its file on the worker; None finds one.
    """

    type: ClassVar[str] = "AzureSqlDatabase"
    service: ClassVar[Service] = "mssql"
    scheme: ClassVar[str] = "sqlserver"
    category: ClassVar[str] = "AzureSqlDb"
    sockets: ClassVar[bool] = False
    port_number: int = 1433
    endpoint: str = "database.windows.net"
    driver: str | None = None

    def open(self, credential: Credential) -> AzureSqlStore:
        server = OdbcServer(self.host, self.port_number, self.database_name, self.enforce_ssl, self.driver, self.url)
        return AzureSqlStore(server, credential)

    def _target(self) -> str:
        return f"Server=tcp:{self.host},{self.port_number};Database={self.database_name}"
