"""How to get into a SQL Server: a login, or a token of Microsoft Entra ID."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_azureml_datastores.core.credentials import Credential, Login
from airflow_azureml_datastores.stores._database_login import DatabaseLogin

# https://learn.microsoft.com/azure/azure-sql/database/authentication-aad-overview, and the domains of the clouds
_SCOPES = {
    ".database.windows.net": "https://database.windows.net/.default",
    ".database.fabric.microsoft.com": "https://database.windows.net/.default",
    ".datawarehouse.fabric.microsoft.com": "https://database.windows.net/.default",
    ".sql.azuresynapse.net": "https://database.windows.net/.default",
    ".database.usgovcloudapi.net": "https://database.usgovcloudapi.net/.default",
    ".database.chinacloudapi.cn": "https://database.chinacloudapi.cn/.default",
}


class AzureSqlLogin(DatabaseLogin):
    """What a connection is opened with."""

    def __init__(self, host: str, credential: Credential, *, known_only: bool) -> None:
        super().__init__("SQL", host, credential, _SCOPES, known_only=known_only)

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
        return self._token() if self.by_token else None
