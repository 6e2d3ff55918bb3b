"""A database on a MySQL server as a datastore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from airflow_azureml_datastores.core.credentials import Credential
from airflow_azureml_datastores.core.datastore import Service
from airflow_azureml_datastores.stores._database_server import RoleServerLocation
from airflow_azureml_datastores.stores._mysql_store import MySqlStore


@dataclass(frozen=True)
class AzureMySql(RoleServerLocation):
    """A database on an Azure Database for MySQL, or on any other server of MySQL or MariaDB.

    :param server_name: the server's name in Azure, or a whole host name, an address, or the file of a socket.
    :param database_name: the database.
    :param port_number: the server's port.
    :param endpoint: the domain of the cloud's servers; ``mysql.database.usgovcloudapi.net`` and others in sovereign
        clouds. It does not count if ``server_name`` is a whole host name.
    :param enforce_ssl: TLS, with a certificate that is the host's and comes from an authority that is known. If not,
        TLS is used where the server has it, and its certificate is not looked at.
    :param user_id: the user that an application or identity logs in as; a connection with a login has its own.
    :param root_certificate: file on the worker with the authorities that may have signed the server's certificate; None
        are the public ones.
    """

    type: ClassVar[str] = "AzureMySql"
    service: ClassVar[Service] = "mysql"
    product: ClassVar[tuple[str, str]] = ("MySQL", "mysql")
    scheme: ClassVar[str] = "mysql"
    category: ClassVar[str] = "AzureMySqlDb"
    port_number: int = 3306
    endpoint: str = "mysql.database.azure.com"

    def open(self, credential: Credential) -> MySqlStore:
        return MySqlStore(self._server(), credential)
