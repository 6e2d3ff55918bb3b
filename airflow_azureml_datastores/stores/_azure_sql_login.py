"""How to get into a SQL Server: a login, or a token of Microsoft Entra ID."""

from __future__ import annotations

from collections.abc import Mapping

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

# https://learn.microsoft.com/azure/azure-sql/database/authentication-aad-overview, and the domains of the clouds
_SCOPES = {
    ".database.windows.net": "https://database.windows.net/.default",
    ".database.fabric.microsoft.com": "https://database.windows.net/.default",
    ".datawarehouse.fabric.microsoft.com": "https://database.windows.net/.default",
    ".sql.azuresynapse.net": "https://database.windows.net/.default",
    ".database.usgovcloudapi.net": "https://database.usgovcloudapi.net/.default",
    ".database.chinacloudapi.cn": "https://database.chinacloudapi.cn/.default",
}


class AzureSqlLogin:
    """What a connection is opened with, each time anew, as tokens expire.

    :param known_only: whether the server's certificate has to be known.
    :raises InvalidConnection: the credential is of no use for a SQL Server, or not safe with this one.
    """

    def __init__(self, host: str, credential: Credential, *, known_only: bool) -> None:
        self._host = host
        self._credential = credential
        match credential:
            case Login():
                pass
            case AccessToken() | ServicePrincipal() | Certificate() | Identity():
                self._entra = token_credential(credential)
                if not isinstance(credential, AccessToken) and self._scope is None:
                    raise InvalidConnection(
                        f"{describe(credential)} gets tokens that open every SQL database of Azure, and {host} is none "
                        f"of its hosts: name a connection with a login and a password."
                    )
            case _:
                raise InvalidConnection(
                    f"a SQL Server does not take {describe(credential)}: give a login and a password, a service "
                    f"principal, an identity or an access token."
                )

        if self.by_token and not known_only:
            raise InvalidConnection(
                f"{host} is to be sent a token, which goes to servers with a certificate that is known only: register "
                f"the datastore with enforce_ssl=True, or name a connection with a login and a password."
            )

    @property
    def _scope(self) -> str | None:
        return next((scope for domain, scope in _SCOPES.items() if self._host.endswith(domain)), None)

    @property
    def by_token(self) -> bool:
        return not isinstance(self._credential, Login)

    def values(self) -> Mapping[str, str]:
        """Of the connection string."""
        if isinstance(self._credential, Login):
            return {"UID": self._credential.username, "PWD": self._credential.password}
        return {}

    def token(self) -> str | None:
        """An access token, unless there is a login."""
        if not self.by_token:
            return None
        return self._entra.get_token(self._scope or "https://database.windows.net/.default").token
