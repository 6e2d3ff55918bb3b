"""What the types that are a database on a server have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal, Self

from airflow_azureml_datastores.core.arm import ArmConnection, ArmForm
from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    Certificate,
    CredentialTypes,
    Identity,
    Login,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.template import flag, whole_number
from airflow_azureml_datastores.errors import InvalidInput, InvalidName, Unsupported
from airflow_azureml_datastores.stores._database_login import Server

_NO_HOST = re.compile(r"[\s/@,;?#\\{}]")


@dataclass(frozen=True)
class DatabaseServerLocation(Location):
    """A database on a server. A subclass gives port and domain their defaults.

    :cvar category: of the connection that an Azure ML workspace keeps it as.
    :cvar scheme: of the URL for people.
    :cvar sockets: whether a server may be at the path of a socket, which is its name then.
    """

    holds: ClassVar[Literal["files", "tables"]] = "tables"
    takes: ClassVar[CredentialTypes] = (Login, ServicePrincipal, Certificate, Identity, AccessToken)
    category: ClassVar[str]
    scheme: ClassVar[str]
    sockets: ClassVar[bool] = True
    server_name: str
    database_name: str
    port_number: int = 0
    endpoint: str = ""
    enforce_ssl: bool = True

    def check(self) -> None:
        object.__setattr__(self, "port_number", whole_number("port_number", self.port_number))
        object.__setattr__(self, "enforce_ssl", flag("enforce_ssl", self.enforce_ssl))
        for name in ("server_name", "database_name", "endpoint"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value or re.search(r"[\x00-\x1f]", value):
                raise InvalidName(f"the {name} of an {self.type} is a text, not {value!r}.")
        if not (self.sockets and self.server_name.startswith("/")) and _NO_HOST.search(self.server_name):
            raise InvalidName(f"{self.server_name!r} is no name of a server: give its host, the port apart.")
        if _NO_HOST.search(self.endpoint):
            raise InvalidName(f"the endpoint {self.endpoint!r} is no domain.")
        if not 0 < self.port_number < 65536:
            raise InvalidInput(f"the port_number of an {self.type} is 1 to 65535, not {self.port_number}.")

    @property
    def host(self) -> str:
        """Where the server is: a host, or the path of a socket."""
        whole = re.search(r"[.:/]", self.server_name) or self.server_name == "localhost"
        return self.server_name if whole else f"{self.server_name}.{self.endpoint}"

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port_number == type(self).port_number else f":{self.port_number}"
        return f"{self.scheme}://{host}{port}/{self.database_name}"

    @classmethod
    def default_endpoint(cls) -> str:
        return f"`<server>.{cls.endpoint}`"

    def redirected(self, endpoint: str) -> Self:
        """The connection's host, ``host`` or ``host:port``, is where its password goes: a private link, a tunnel."""
        host, port = _host_and_port(endpoint)
        return replace(self, server_name=host, port_number=port or self.port_number)

    def to_arm(self) -> ArmConnection:
        metadata = {name: str(value) for name, value in asdict(self).items() if value is not None}
        return ArmConnection(self.category, self._target(), metadata)

    def _target(self) -> str:
        return f"Server={self.host};Port={self.port_number};Database={self.database_name}"

    @classmethod
    def from_arm(cls, form: ArmForm) -> Self:
        """A connection of others counts if its target names a server and a database."""
        if not isinstance(form, ArmConnection) or form.category != cls.category:
            raise Unsupported(f"an {cls.type} is a {cls.category} connection of an Azure ML workspace.")
        known = {name: text for name, text in form.metadata.items() if name in cls.__dataclass_fields__}
        if {"server_name", "database_name"} <= set(known):
            return cls(**known)  # type: ignore[arg-type]
        return cls(**cls._parse_target(form.target))

    @classmethod
    def _parse_target(cls, target: str) -> Mapping[str, Any]:
        """What ``Server=…;Port=…;Database=…`` or ``Server=tcp:…,…;…`` says, in any of the spellings that are common."""
        pairs = [pair.partition("=") for pair in target.split(";") if pair.strip()]
        given = {name.strip().lower(): value.strip() for name, _, value in pairs}
        names = {
            "server_name": ("server", "host", "data source", "address"),
            "database_name": ("database", "dbname", "initial catalog"),
            "port_number": ("port",),
        }
        found: dict[str, Any] = {name: given[key] for name, keys in names.items() for key in keys if given.get(key)}
        if not {"server_name", "database_name"} <= set(found):
            raise InvalidInput(f"a {cls.category} connection is a datastore if its target says Server=…;Database=….")
        host, port = _host_and_port(found["server_name"].removeprefix("tcp:"))
        return {**found, "server_name": host} | ({"port_number": port} if port else {})


def _host_and_port(text: str) -> tuple[str, int | None]:
    """What ``host``, ``host:port`` or ``host,port`` says; an address of IPv6 is in brackets if there is a port."""
    found = re.fullmatch(r"(?P<host>\[.+\]|.*[^:])[:,](?P<port>\d+)", text)
    if found is None:
        return text.strip("[]"), None
    return found["host"].strip("[]"), int(found["port"])


@dataclass(frozen=True)
class RoleServerLocation(DatabaseServerLocation):
    """A database on a server of an open-source kind, in which applications and identities have roles.

    :cvar product: how the kind of server is called, and by Azure's hosts: ``PostgreSQL``, ``postgres``.
    """

    product: ClassVar[tuple[str, str]]
    user_id: str | None = None
    root_certificate: str | None = None

    def _server(self) -> Server:
        return Server(
            self.product,
            self.host,
            self.port_number,
            self.database_name,
            self.enforce_ssl,
            self.user_id,
            self.root_certificate,
            self.url,
        )
