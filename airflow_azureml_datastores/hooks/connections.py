"""Which credential an Airflow connection gives: the one place where connections are mapped.

What the types of connections offer is data, in :mod:`~airflow_azureml_datastores.hooks._connection_types`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Anonymous,
    Certificate,
    Credential,
    DatabricksOAuth,
    Identity,
    Login,
    RenewedSas,
    SasToken,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.datastore import Service
from airflow_azureml_datastores.errors import InvalidConnection
from airflow_azureml_datastores.hooks import _ways
from airflow_azureml_datastores.hooks._connection_fields import ConnectionLike, Field, Filled
from airflow_azureml_datastores.hooks._connection_types import CONNECTION_TYPES, ConnectionType, Way
from airflow_azureml_datastores.hooks._ways import Access, InvalidField

__all__ = [
    "CONNECTION_TYPES",
    "SUGGESTED",
    "Access",
    "ConnectionType",
    "Field",
    "Service",
    "Way",
    "access_of",
    "secrets_of",
]


SUGGESTED: Mapping[Service, str] = {
    "blob": "wasb",
    "dfs": "adls",
    "file": "azure_fileshare",
    "databricks": "databricks",
    "postgresql": "postgres",
    "mssql": "mssql",
    "mysql": "mysql",
}
"""The type of connection that is at hand for a service."""


def access_of(connection: ConnectionLike, service: Service = "blob") -> Access:
    """Map a connection to a credential and, if it names one, an endpoint. Makes no request and reads no file.

    :param connection: an Airflow connection.
    :param service: the service whose URL is wanted as endpoint.
    :raises InvalidConnection: a type that gives no credential for it, a field that is missing, or a value that cannot
        be used. It names connection and field, never the value.
    """
    declared = _declared(connection)
    filled = Filled(connection)
    if service not in declared.services:
        wanted = SUGGESTED[service]
        raise InvalidConnection(
            f"{filled.name} gives no credential for this datastore's service: name one of type {wanted!r} or 'generic'."
        )
    way = next(way for way in declared.ways if service in way.services and _is_chosen(way, filled))
    values = _values(filled, way)
    server = next(filter(filled.get, declared.endpoint), None) if service in declared.endpoint_of else None
    try:
        access = way.build(service, **values)
        if access.endpoint is None and server is not None:
            endpoint = _ways.endpoint_from("endpoint", filled.get_endpoint(server), service)
            access = Access(access.credential, endpoint)
    except InvalidField as error:
        where = {**way.needs, **way.takes, "endpoint": server}[error.parameter]
        raise InvalidConnection(f"{filled.name}: {where} {error.problem}.") from None
    if declared.bound and access.endpoint is None and isinstance(access.credential, AccessToken | DatabricksOAuth):
        raise InvalidConnection(f"{filled.name} lacks {declared.endpoint[-1]}: the address that its secret is for.")
    return access


def _is_chosen(way: Way, filled: Filled) -> bool:
    if way.unless is not None and filled.get(way.unless):
        return False
    return not way.needs or filled.get(next(iter(way.needs.values()))) is not None


def _declared(connection: ConnectionLike) -> ConnectionType:
    conn_type = connection.conn_type or ""
    if conn_type not in CONNECTION_TYPES:
        raise InvalidConnection(
            f"connection {connection.conn_id!r} has type {conn_type!r}, which gives no credential for a datastore; "
            f"types that do: {', '.join(CONNECTION_TYPES)}."
        )
    return CONNECTION_TYPES[conn_type]


def _values(filled: Filled, way: Way) -> dict[str, str]:
    fields = {**way.needs, **way.takes}
    values = {parameter: value for parameter, wanted in fields.items() if (value := filled.get(wanted))}
    for parameter, wanted in way.needs.items():
        if parameter not in values:
            raise InvalidConnection(
                f"{filled.name} lacks {wanted}, which {way.title} needs; this way in was chosen by "
                f"{next(iter(way.needs.values()))}. Fill in the one, or clear the other."
            )
    return values


def secrets_of(credential: Credential) -> Iterator[str]:
    """Yield every text that must not be seen in a log, for the caller to pass to ``mask_secret``.

    Airflow masks a connection's password and extras with telling names by itself, but neither ``account_key`` nor what
    is inside a connection string or a SAS token.
    """
    match credential:
        case AccountKey(key=key):
            yield key
        case SasToken(token=token):
            yield token
            for signature in re.findall("(?:^|[?&])sig=([^&]+)", token):
                yield from {signature, unquote(signature), quote(unquote(signature), safe="")}
        case ServicePrincipal(client_secret=secret) | DatabricksOAuth(client_secret=secret):
            yield secret
        case Login(password=password):
            yield password
        case AccessToken(token=token):
            yield token
        case Certificate(content=content, password=password):
            if content is not None:
                yield content.decode(errors="replace")
            if password is not None:
                yield password
        case RenewedSas() | Identity() | Anonymous():
            pass  # whoever renews masks what it gets
