"""How to get into a PostgreSQL server: the parameters that its clients connect with."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    Certificate,
    Credential,
    Identity,
    Login,
    ServicePrincipal,
)
from airflow_azureml_datastores.errors import InvalidConnection
from airflow_azureml_datastores.stores._azure import describe
from airflow_azureml_datastores.stores._token_credential import token_credential

# https://learn.microsoft.com/azure/postgresql/flexible-server/how-to-configure-sign-in-azure-ad-authentication
_SCOPES = {
    "postgres.database.usgovcloudapi.net": "https://ossrdbms-aad.database.usgovcloudapi.net/.default",
    "postgres.database.chinacloudapi.cn": "https://ossrdbms-aad.database.chinacloudapi.cn/.default",
}
_PUBLIC_SCOPE = "https://ossrdbms-aad.database.windows.net/.default"
_DOMAINS = (".postgres.database.azure.com", *(f".{domain}" for domain in _SCOPES))

_CONNECTING = 15
"""Seconds."""


@dataclass(frozen=True)
class Server:
    """A database, and how its server is reached.

    :param host: or the folder of a socket.
    :param role: that an application or identity logs in as.
    :param url: of the database, for people.
    :param authorities: file with those that may have signed the server's certificate; None are the public ones.
    """

    host: str
    port: int
    database: str
    enforce_ssl: bool
    role: str | None
    authorities: str | None
    url: str


class PostgreSqlLogin:
    """The parameters for libpq, each time anew, as tokens expire.

    :raises InvalidConnection: the credential is of no use for a PostgreSQL server.
    """

    def __init__(self, server: Server, credential: Credential) -> None:
        self._server = server
        self._credential = credential
        match credential:
            case Login(username, _):
                self._user = username
            case AccessToken() | ServicePrincipal() | Certificate() | Identity():
                self._user = self._role()
                self._entra = token_credential(credential)
                if not isinstance(credential, AccessToken) and not server.host.endswith(_DOMAINS):
                    raise InvalidConnection(
                        f"{describe(credential)} gets tokens that open every PostgreSQL server of Azure, and "
                        f"{server.host} is none of its hosts: name a connection with a login and a password."
                    )
            case _:
                raise InvalidConnection(
                    f"a PostgreSQL server does not take {describe(credential)}: give a login and a password, a service "
                    f"principal, an identity or an access token."
                )

    def _role(self) -> str:
        if not self._server.role:
            raise InvalidConnection(
                f"{describe(self._credential)} logs in as a role of the database {self._server.url}: register the "
                f"datastore with its name as user_id, or name a connection with a login and a password."
            )
        return self._server.role

    def parameters(self) -> dict[str, str]:
        """https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""
        server = self._server
        found = {
            "host": server.host,
            "port": str(server.port),
            "dbname": server.database,
            "user": self._user,
            "password": self._password(),
            "connect_timeout": str(_CONNECTING),
            "application_name": "airflow-azureml-datastores",
            "client_encoding": "UTF8",
            "sslmode": "verify-full" if server.enforce_ssl else "prefer",
        }
        if server.enforce_ssl:
            found["sslrootcert"] = server.authorities or _public_authorities()
        return found

    def _password(self) -> str:
        if isinstance(self._credential, Login):
            return self._credential.password
        scope = next((scope for domain, scope in _SCOPES.items() if self._server.host.endswith(domain)), _PUBLIC_SCOPE)
        return self._entra.get_token(scope).token


def _public_authorities() -> str:
    import certifi

    return certifi.where()
