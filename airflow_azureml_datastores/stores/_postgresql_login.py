"""How to get into a PostgreSQL server: the parameters that its clients connect with."""

from __future__ import annotations

from airflow_azureml_datastores.stores._database_login import CONNECTING, RoleLogin


class PostgreSqlLogin(RoleLogin):
    """The parameters for libpq."""

    def parameters(self) -> dict[str, str]:
        """https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""
        server = self._server
        found = {
            "host": server.host,
            "port": str(server.port),
            "dbname": server.database,
            "user": self.user,
            "password": self.password(),
            "connect_timeout": str(CONNECTING),
            "application_name": "airflow-azureml-datastores",
            "client_encoding": "UTF8",
            "sslmode": "verify-full" if server.enforce_ssl else "prefer",
        }
        if server.enforce_ssl:
            found["sslrootcert"] = self.authorities()
        return found
