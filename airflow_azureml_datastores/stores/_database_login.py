"""Who is let into a database server of Azure's kind: a login, or a client of Microsoft Entra ID with tokens."""

from __future__ import annotations

from collections.abc import Mapping
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
    """A login, or tokens of Microsoft Entra ID, each time anew, as they expire.

    A token goes to servers whose certificate is known only; and one that opens every server of its kind to hosts of
    Azure only, as who may edit a datastore could otherwise have it sent to a host of theirs.

    :param product: how the kind of server is called: ``PostgreSQL``.
    :param scopes: for the end of each of Azure's hosts what a token is asked for.
    :param known_only: whether the server's certificate has to be known.
    :raises InvalidConnection: the credential is of no use for such a server, or not safe with this one.
    """

    def __init__(
        self, product: str, host: str, credential: Credential, scopes: Mapping[str, str], *, known_only: bool
    ) -> None:
        self._credential = credential
        self._scopes = [scope for end, scope in scopes.items() if host.endswith(end)]
        match credential:
            case Login():
                return
            case AccessToken() | ServicePrincipal() | Certificate() | Identity():
                self._entra = token_credential(credential)
            case _:
                raise InvalidConnection(
                    f"a {product} server does not take {describe(credential)}: give a login and a password, a service "
                    f"principal, an identity or an access token."
                )
        if not isinstance(credential, AccessToken) and not self._scopes:
            raise InvalidConnection(
                f"{describe(credential)} gets tokens that open every {product} server of Azure, and {host} is none of "
                f"its hosts: name a connection with a login and a password."
            )
        if not known_only:
            raise InvalidConnection(
                f"{host} is to be sent a token, which goes to servers with a certificate that is known only: register "
                f"the datastore with enforce_ssl=True, or name a connection with a login and a password."
            )

    def _token(self) -> str:
        """An access token, if there is no login."""
        return self._entra.get_token(*self._scopes).token


class RoleLogin(DatabaseLogin):
    """User and password of a server of an open-source kind, where a token stands in place of the password.

    :raises InvalidConnection: the credential is of no use for such a server, or not safe with this one.
    """

    def __init__(self, server: Server, credential: Credential) -> None:
        product, service = server.product
        scopes = {f".{service}.{domain}": scope for domain, scope in _SCOPES.items()}
        super().__init__(product, server.host, credential, scopes, known_only=server.enforce_ssl)
        self._server = server
        self.user = credential.username if isinstance(credential, Login) else self._role()

    def _role(self) -> str:
        if not self._server.role:
            raise InvalidConnection(
                f"{describe(self._credential)} logs in as a role of the database {self._server.url}: register the "
                f"datastore with its name as user_id, or name a connection with a login and a password."
            )
        return self._server.role

    def password(self) -> str:
        """The password, or a token in its place."""
        return self._credential.password if isinstance(self._credential, Login) else self._token()

    def authorities(self) -> str:
        """File with those that may have signed the server's certificate."""
        import certifi

        return self._server.authorities or certifi.where()
