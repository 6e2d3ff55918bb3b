"""The ways in that Airflow's connection types offer, as data; docs/connections.md is rendered from it.

The order is that of the official provider's hooks, so that a connection that works there lets the same identity in
here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from airflow_azureml_datastores.core.datastore import Service
from airflow_azureml_datastores.hooks import _ways
from airflow_azureml_datastores.hooks._connection_fields import Field
from airflow_azureml_datastores.hooks._ways import Access

STORAGE: tuple[Service, ...] = ("blob", "dfs", "file")
DATABRICKS: tuple[Service, ...] = ("databricks",)
DATABASES: tuple[Service, ...] = ("postgresql", "mssql", "mysql")
ALL = STORAGE + DATABRICKS + DATABASES


@dataclass(frozen=True, slots=True)
class Way:
    """One way in.

    :param title: what people call it.
    :param build: makes the access of the fields' values, which are passed by parameter name.
    :param needs: parameter -> field that must be filled. The first one, once filled, chooses this way; a way that needs
        nothing is for when no other was chosen.
    :param takes: parameter -> field that may be filled.
    :param unless: a field that, once filled, keeps this way from being chosen.
    :param services: those that it is a way into.
    """

    title: str
    build: Callable[..., Access]
    needs: Mapping[str, Field] = field(default_factory=dict)
    takes: Mapping[str, Field] = field(default_factory=dict)
    unless: Field | None = None
    services: tuple[Service, ...] = ALL


@dataclass(frozen=True, slots=True)
class ConnectionType:
    """How connections of one type are read.

    :param conn_type: Airflow's name of the type.
    :param title: as the form calls the type.
    :param ways: in order of precedence; the last one needs nothing.
    :param endpoint: fields that may hold the service's URL; the first one filled counts.
    :param endpoint_of: the services whose URL it may be; for others it does not count.
    :param services: those that its credentials may be used for.
    :param bound: tokens and secrets go to the service that the connection names, and nowhere else.
    """

    conn_type: str
    title: str
    ways: tuple[Way, ...]
    endpoint: tuple[Field, ...] = ()
    endpoint_of: tuple[Service, ...] = STORAGE
    services: tuple[Service, ...] = STORAGE + DATABRICKS
    bound: bool = False


def _identity_ways(cloud: Field, *, in_form: bool = True, **more: Field) -> tuple[Way, Way]:
    takes = {
        "managed_identity_client_id": Field(
            "managed_identity_client_id", "Managed Identity Client ID" if in_form else None
        ),
        "workload_identity_tenant_id": Field(
            "workload_identity_tenant_id", "Workload Identity Tenant ID" if in_form else None
        ),
        "cloud_environment": cloud,
        **more,
    }
    title = "identity of the worker"
    asked = Field("identity", "Identity" if more else None)
    return Way(title, _ways.identity, {"identity": asked}, takes), Way(title, _ways.identity, {}, takes)


_CLOUD = Field("cloud_environment")
_ASKED_IDENTITY, _IDENTITY = _identity_ways(_CLOUD)
_ANONYMOUS = Way("anonymous access", _ways.anonymous, {"public_read": Field("public_read", flag=True)})


def _connection_string(label: str | None) -> Way:
    fields = {"connection_string": Field("connection_string", label)}
    return Way("a connection string", _ways.connection_string, fields)


def _account_key(key: Field) -> Way:
    return Way("an account key", _ways.key_or_sas, {"key": key})


def _login(username: Field, password: Field) -> Way:
    return Way("a login and password", _ways.login, {"username": username, "password": password}, services=DATABASES)


def _sas_token(label: str | None) -> Way:
    return Way("a SAS token", _ways.sas, {"sas_token": Field("sas_token", label)})


def _service_principal(chosen_by: str, cloud: Field, config: Field | None = None, **fields: Field) -> Way:
    needs = {chosen_by: fields[chosen_by], **fields}
    takes = {"cloud_environment": cloud} | ({"client_secret_auth_config": config} if config else {})
    return Way("a service principal", _ways.service_principal, needs, takes)


_WASB_LOGIN = Field("login", "Blob Storage Login")
_WASB_PASSWORD = Field("password", "Blob Storage Key")
_WASB = ConnectionType(
    "wasb",
    "Azure Blob Storage",
    (
        _ASKED_IDENTITY,
        _connection_string("Blob Storage Connection String"),
        _service_principal(
            "tenant_id",
            _CLOUD,
            Field("client_secret_auth_config"),
            tenant_id=Field("tenant_id", "Tenant Id (Active Directory Auth)"),
            client_id=_WASB_LOGIN,
            client_secret=_WASB_PASSWORD,
        ),
        _ANONYMOUS,
        _account_key(Field("shared_access_key", "Blob Storage Shared Access Key")),
        _sas_token("SAS Token"),
        _account_key(_WASB_PASSWORD),
        _account_key(Field("account_key")),
        _IDENTITY,
    ),
    (Field("host", "Account URL (Active Directory Auth)"),),
)

_ADLS_PASSWORD = Field("password", "ADLS Gen2 Key / Client Secret (Active Directory)")
_ADLS = ConnectionType(
    "adls",
    "Azure Data Lake Storage V2",
    (
        _ASKED_IDENTITY,
        _connection_string("ADLS Gen2 Connection String"),
        _service_principal(
            "tenant_id",
            _CLOUD,
            tenant_id=Field("tenant_id", "Tenant ID (Active Directory)"),
            client_id=Field("login", "Client ID (Active Directory)"),
            client_secret=_ADLS_PASSWORD,
        ),
        _ANONYMOUS,
        _account_key(_ADLS_PASSWORD),
        _IDENTITY,
    ),
    (Field("account_url"), Field("host", "ADLS Gen2 Account Name")),
)

# Gen1 is gone, but its connections hold applications and identities that open Gen2 as well. Its account is another one.
_GEN1 = ConnectionType(
    "azure_data_lake",
    "Azure Data Lake",
    (
        _ASKED_IDENTITY,
        _service_principal(
            "tenant_id",
            _CLOUD,
            tenant_id=Field("tenant", "Azure Tenant ID"),
            client_id=Field("login", "Azure Client ID"),
            client_secret=Field("password", "Azure Client Secret"),
        ),
        _IDENTITY,
    ),
)

_FILE_SHARE = ConnectionType(
    "azure_fileshare",
    "Azure FileShare",
    (
        _ASKED_IDENTITY,
        _connection_string("Connection String"),
        _sas_token("SAS Token"),
        _account_key(Field("password", "Blob Storage Key")),
        _IDENTITY,
    ),
    (Field("login", "Blob Storage Login"),),
)

_AZURE_CLOUD = Field("cloud_environment", "Azure Cloud Environment")
_AZURE_ASKED_IDENTITY, _AZURE_IDENTITY = _identity_ways(_AZURE_CLOUD)
_AZURE = ConnectionType(
    "azure",
    "Azure",
    (
        _AZURE_ASKED_IDENTITY,
        Way("an authentication file: refused", _ways.authentication_file, {"key_path": Field("key_path")}),
        Way("an authentication file: refused", _ways.authentication_file, {"key_json": Field("key_json")}),
        _service_principal(
            "client_secret",
            _AZURE_CLOUD,
            tenant_id=Field("tenantId", "Azure Tenant ID"),
            client_id=Field("login", "Azure Client ID"),
            client_secret=Field("password", "Azure Secret"),
        ),
        _AZURE_IDENTITY,
    ),
    services=ALL,
)

_GENERIC_ASKED_IDENTITY, _GENERIC_IDENTITY = _identity_ways(_CLOUD, in_form=False)
_GENERIC_CONFIG = Field("client_secret_auth_config")
_GENERIC_PASSWORD = Field("password", "Password")
_GENERIC_TENANT = Field("tenant_id")
_GENERIC = ConnectionType(
    "generic",
    "Generic",
    (
        _GENERIC_ASKED_IDENTITY,
        _connection_string(None),
        _service_principal(
            "client_secret",
            _CLOUD,
            _GENERIC_CONFIG,
            tenant_id=_GENERIC_TENANT,
            client_id=Field("client_id"),
            client_secret=Field("client_secret"),
        ),
        _service_principal(
            "tenant_id",
            _CLOUD,
            _GENERIC_CONFIG,
            tenant_id=_GENERIC_TENANT,
            client_id=Field("login", "Login"),
            client_secret=_GENERIC_PASSWORD,
        ),
        _ANONYMOUS,
        _account_key(Field("account_key")),
        _sas_token(None),
        Way("an access token", _ways.access_token, {"access_token": Field("access_token")}),
        _login(Field("login", "Login"), _GENERIC_PASSWORD),
        _account_key(_GENERIC_PASSWORD),
        _GENERIC_IDENTITY,
    ),
    (Field("host", "Host"),),
    endpoint_of=ALL,
    services=ALL,
)

_APPLICATION = {
    "tenant_id": Field("tenant_id", "Tenant ID", also="tenantId"),
    "client_id": Field("login", "Client ID"),
}
_APPLICATION_SECRET = Field("password", "Client secret")
WORKSPACE_CLOUD = Field("cloud_environment", "Azure cloud environment")
_LOGIN_SERVICE = Field("authority", "Login service")


def _application(chosen_by: str) -> Way:
    fields = {**_APPLICATION, "client_secret": _APPLICATION_SECRET}
    takes = {"cloud_environment": WORKSPACE_CLOUD, "authority": _LOGIN_SERVICE}
    return Way("a service principal", _ways.application, {chosen_by: fields[chosen_by], **fields}, takes)


_WORKSPACE_ASKED_IDENTITY, _WORKSPACE_IDENTITY = _identity_ways(WORKSPACE_CLOUD, authority=_LOGIN_SERVICE)
_WORKSPACE = ConnectionType(
    "azureml_workspace",
    "Azure ML workspace",
    (
        _WORKSPACE_ASKED_IDENTITY,
        Way(
            "a certificate",
            _ways.certificate,
            {"certificate_path": Field("certificate_path", "Certificate path"), **_APPLICATION},
            {
                "password": _APPLICATION_SECRET,
                "cloud_environment": WORKSPACE_CLOUD,
                "authority": _LOGIN_SERVICE,
            },
        ),
        _application("client_secret"),
        _application("client_id"),
        _WORKSPACE_IDENTITY,
    ),
    services=ALL,
)

_LOGIN, _PASSWORD, _HOST = Field("login", "Login"), Field("password", "Password"), Field("host", "Host")
_DATABRICKS_IDENTITY = {
    "managed_identity_client_id": Field("managed_identity_client_id", also="azure_managed_identity_client_id"),
    "workload_identity_tenant_id": Field("workload_identity_tenant_id"),
    "cloud_environment": _CLOUD,
}
_TENANT = Field("azure_tenant_id")


def _databricks_flag(title: str, build: Callable[..., Access], name: str, **takes: Field) -> Way:
    return Way(title, build, {name: Field(name, flag=True)}, takes)


_DATABRICKS = ConnectionType(
    "databricks",
    "Databricks",
    (
        Way("identity of the worker", _ways.identity, {"identity": Field("identity")}, _DATABRICKS_IDENTITY),
        Way("an access token", _ways.access_token, {"access_token": Field("token")}),
        Way("an access token", _ways.access_token, {"access_token": _PASSWORD}, unless=_LOGIN),
        Way(
            "a service principal",
            _ways.service_principal,
            {"tenant_id": _TENANT, "client_id": _LOGIN, "client_secret": _PASSWORD},
            {"cloud_environment": _CLOUD},
        ),
        _databricks_flag(
            "a managed identity",
            _ways.managed_identity,
            "use_azure_managed_identity",
            client_id=Field("azure_managed_identity_client_id"),
        ),
        _databricks_flag(
            "identity of the worker",
            _ways.default_identity,
            "use_default_azure_credential",
            managed_identity_client_id=Field("managed_identity_client_id"),
            workload_identity_tenant_id=Field("workload_identity_tenant_id"),
        ),
        Way(
            "a service principal of Databricks",
            _ways.databricks_oauth,
            {
                "service_principal_oauth": Field("service_principal_oauth", flag=True),
                "client_id": _LOGIN,
                "client_secret": _PASSWORD,
            },
        ),
        *(
            _databricks_flag("federation: refused", _ways.federation, name)
            for name in ("federated_token_provider", "federated_aws", "federated_k8s")
        ),
        Way("a user name and password: refused", _ways.databricks_login, {"login": _LOGIN}),
        Way("identity of the worker", _ways.identity, {}, _DATABRICKS_IDENTITY),
    ),
    (Field("host", extra=True), _HOST),
    endpoint_of=DATABRICKS,
    services=DATABRICKS,
    bound=True,
)


def _database(conn_type: str, title: str, service: Service) -> ConnectionType:
    """The connections of a database's own provider: a login, or else an identity."""
    ways = (
        _GENERIC_ASKED_IDENTITY,
        Way("an access token", _ways.access_token, {"access_token": Field("access_token")}),
        _login(_LOGIN, _PASSWORD),
        _GENERIC_IDENTITY,
    )
    return ConnectionType(conn_type, title, ways, (_HOST,), endpoint_of=(service,), services=(service,))


_POSTGRES = _database("postgres", "Postgres", "postgresql")
_MYSQL = _database("mysql", "MySQL", "mysql")
_MSSQL = _database("mssql", "Microsoft SQL Server", "mssql")
_ODBC = _database("odbc", "ODBC", "mssql")

SUBSCRIPTION = Field("subscription_id", "Subscription ID", also="subscriptionId")
RESOURCE_GROUP = Field("resource_group", "Resource group")
WORKSPACE_NAME = Field("workspace_name", "Workspace name")
RESOURCE_MANAGER = Field("host", "Resource Manager URL")

CONNECTION_TYPES: Mapping[str, ConnectionType] = {
    found.conn_type: found
    for found in (
        *(_WASB, _ADLS, _GEN1, _FILE_SHARE, _AZURE, _GENERIC, _WORKSPACE, _DATABRICKS),
        *(_POSTGRES, _MYSQL, _MSSQL, _ODBC),
    )
}
