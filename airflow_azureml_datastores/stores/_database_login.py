"""Who is let into a database server of Azure's kind: a login, or a client of Microsoft Entra ID with tokens."""

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

# Domain of a cloud's servers, behind `<server>.postgres.` and the like, and what a token for them is asked for.
# https://learn.microsoft.com/azure/postgresql/flexible-server/how-to-configure-sign-in-azure-ad-authentication
# https://learn.microsoft.com/azure/mysql/flexible-server/how-to-azure-ad
_SCOPES = {
    "database.azure.com": "https://ossrdbms-aad.database.windows.net/.default",
    "database.usgovcloudapi.net": "https://ossrdbms-aad.database.usgovcloudapi.net/.default",
    "database.chinacloudapi.cn": "https://ossrdbms-aad.database.chinacloudapi.cn/.default",
}
_PUBLIC = "database.azure.com"

CONNECTING = 15
"""Seconds."""


@dataclass(frozen=True)
class Server:
    """A database, and how its server is reached.

    :param product: how the kind of server is called, and by Azure's hosts: ``PostgreSQL``, ``postgres``.
    :param host: or the folder or file of a socket.
    :param role: that an application or identity logs in as.
    :param authorities: file with those that may have signed the server's certificate; None are the public ones.
    :param url: of the database, for people.
    """

    product: tuple[str, str]
    host: str
    port: int
    database: str
    enforce_ssl: bool
    role: str | None
    authorities: str | None
    url: str


class DatabaseLogin:
    """User and password, each time anew, as tokens expire.

    :raises InvalidConnection: the credential is of no use for such a server.
    """

    def __init__(self, server: Server, credential: Credential) -> None:
        self._server = server
        self._credential = credential
        product, service = server.product
        match credential:
            case Login(username, _):
                self.user = username
            case AccessToken() | ServicePrincipal() | Certificate() | Identity():
                self.user = self._role()
                self._entra = token_credential(credential)
                hosts = tuple(f".{service}.{domain}" for domain in _SCOPES)
                if not isinstance(credential, AccessToken) and not server.host.endswith(hosts):
                    raise InvalidConnection(
                        f"{describe(credential)} gets tokens that open every {product} server of Azure, and "
                        f"{server.host} is none of its hosts: name a connection with a login and a password."
                    )
            case _:
                raise InvalidConnection(
                    f"a {product} server does not take {describe(credential)}: give a login and a password, a service "
                    f"principal, an identity or an access token."
                )

    def _role(self) -> str:
        if not self._server.role:
            raise InvalidConnection(
                f"{describe(self._credential)} logs in as a role of the database {self._server.url}: register the "
                f"datastore with its name as user_id, or name a connection with a login and a password."
            )
        return self._server.role

    @property
    def has_token(self) -> bool:
        """Whether the password is a token of Microsoft Entra ID."""
        return not isinstance(self._credential, Login)

    def password(self) -> str:
        """The password, or a token in its place."""
        if isinstance(self._credential, Login):
            return self._credential.password
        host = self._server.host
        domain = next((domain for domain in _SCOPES if host.endswith(domain)), _PUBLIC)
        return self._entra.get_token(_SCOPES[domain]).token

    def authorities(self) -> str:
        """File with those that may have signed the server's certificate."""
        import certifi

        return self._server.authorities or certifi.where()
