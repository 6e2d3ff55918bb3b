"""A database on a PostgreSQL server as a datastore."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import ClassVar, Literal, Self

from airflow_azureml_datastores.core.arm import ArmConnection, ArmForm
from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    Certificate,
    Credential,
    CredentialTypes,
    Identity,
    Login,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.datastore import Location, Service
from airflow_azureml_datastores.core.template import flag, whole_number
from airflow_azureml_datastores.errors import InvalidInput, InvalidName, Unsupported
from airflow_azureml_datastores.stores._postgresql_login import Server
from airflow_azureml_datastores.stores._postgresql_store import PostgreSqlStore

PUBLIC = "postgres.database.azure.com"
PORT = 5432

_CATEGORY = "AzurePostgresDb"


@dataclass(frozen=True)
class AzurePostgreSql(Location):
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
    holds: ClassVar[Literal["files", "tables"]] = "tables"
    takes: ClassVar[CredentialTypes] = (Login, ServicePrincipal, Certificate, Identity, AccessToken)
    server_name: str
    database_name: str
    port_number: int = PORT
    endpoint: str = PUBLIC
    enforce_ssl: bool = True
    user_id: str | None = None
    root_certificate: str | None = None

    def check(self) -> None:
        object.__setattr__(self, "port_number", whole_number("port_number", self.port_number))
        object.__setattr__(self, "enforce_ssl", flag("enforce_ssl", self.enforce_ssl))
        for name in ("server_name", "database_name", "endpoint"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value or re.search(r"[\x00-\x1f]", value):
                raise InvalidName(f"the {name} of an AzurePostgreSql is a text, not {value!r}.")
        if not self.server_name.startswith("/") and re.search(r"[\s/@,;?#]", self.server_name):
            raise InvalidName(f"{self.server_name!r} is no name of a server: give its host, the port apart.")
        if not 0 < self.port_number < 65536:
            raise InvalidInput(f"the port_number of an AzurePostgreSql is 1 to 65535, not {self.port_number}.")

    @property
    def host(self) -> str:
        """Where the server is: a host, or the folder of a socket."""
        whole = re.search(r"[.:/]", self.server_name) or self.server_name == "localhost"
        return self.server_name if whole else f"{self.server_name}.{self.endpoint}"

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port_number == PORT else f":{self.port_number}"
        return f"postgresql://{host}{port}/{self.database_name}"

    def open(self, credential: Credential) -> PostgreSqlStore:
        server = Server(
            self.host,
            self.port_number,
            self.database_name,
            self.enforce_ssl,
            self.user_id,
            self.root_certificate,
            self.url,
        )
        return PostgreSqlStore(server, credential)

    @classmethod
    def default_endpoint(cls) -> str:
        return f"`<server>.{PUBLIC}`"

    def redirected(self, endpoint: str) -> Self:
        """The connection's host, ``host`` or ``host:port``, is where its password goes: a private link, a tunnel."""
        host, _, port = endpoint.rpartition(":") if re.search(r"[^:]:\d+$", endpoint) else (endpoint, "", "")
        return replace(self, server_name=host.strip("[]"), port_number=int(port) if port else self.port_number)

    def to_arm(self) -> ArmConnection:
        target = f"Server={self.host};Port={self.port_number};Database={self.database_name}"
        metadata = {name: str(value) for name, value in asdict(self).items() if value is not None}
        return ArmConnection(_CATEGORY, target, metadata)

    @classmethod
    def from_arm(cls, form: ArmForm) -> Self:
        """A connection of others counts if its target names a server and a database."""
        if not isinstance(form, ArmConnection) or form.category != _CATEGORY:
            raise Unsupported(f"an AzurePostgreSql is a {_CATEGORY} connection of an Azure ML workspace.")
        known = {name: text for name, text in form.metadata.items() if name in cls.__dataclass_fields__}
        if {"server_name", "database_name"} <= set(known):
            return cls(**known)  # type: ignore[arg-type]
        return cls(**_parse_target(form.target))  # type: ignore[arg-type]


def _parse_target(target: str) -> Mapping[str, str]:
    """What ``Server=…;Port=…;Database=…`` says, in either of the spellings that are common."""
    pairs = [pair.partition("=") for pair in target.split(";") if pair.strip()]
    given = {name.strip().lower(): value.strip() for name, _, value in pairs}
    names = {
        "server_name": ("server", "host"),
        "database_name": ("database", "dbname", "initial catalog"),
        "port_number": ("port",),
    }
    found = {name: given[key] for name, keys in names.items() for key in keys if given.get(key)}
    if not {"server_name", "database_name"} <= set(found):
        raise InvalidInput(f"a {_CATEGORY} connection is a datastore if its target says Server=…;Database=….")
    return found
