"""Each connection type with each kind of credential, and what is wrong with those that give none."""

from __future__ import annotations

import base64
import json
import re
import traceback
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest
from airflow.providers.microsoft.azure.get_provider_info import get_provider_info
from airflow.providers.microsoft.azure.hooks.data_lake import AzureDataLakeStorageV2Hook
from airflow.providers.microsoft.azure.hooks.wasb import WasbHook
from airflow.sdk import Connection
from azure.core.credentials import AzureSasCredential
from azure.identity import AzureAuthorityHosts, ClientSecretCredential, DefaultAzureCredential

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
from airflow_azureml_datastores.errors import InvalidConnection
from airflow_azureml_datastores.hooks import _connection_docs, _ways
from airflow_azureml_datastores.hooks.connections import (
    CONNECTION_TYPES,
    SUGGESTED,
    Access,
    Service,
    access_of,
    secrets_of,
)
from airflow_azureml_datastores.provider_info import get_provider_info as our_provider_info

KEY = base64.b64encode(b"the account's key, 64 bytes of it as the portal shows it........").decode()
OTHER_KEY = base64.b64encode(b"another key").decode()
SECRET = "~client.secret~that-is-not-base64"
SIGNATURE = "c2lnbmF0dXJl%2Bof%2Fit%3D"
SAS = f"sv=2024-11-04&ss=b&srt=co&sp=rl&se=2030-01-01T00%3A00%3A00Z&sig={SIGNATURE}"
URL = "https://contoso.blob.core.windows.net"
CONNECTION_STRING = (
    f"DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey={KEY};EndpointSuffix=core.windows.net"
)
DEVELOPMENT = AccountKey("Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==")


def conn(conn_type: str | None, extra: dict[str, Any] | None = None, **fields: Any) -> Connection:
    return Connection(conn_id="contoso", conn_type=conn_type, extra=json.dumps(extra) if extra else None, **fields)


PRINCIPAL = {"login": "app", "password": SECRET}
PAT = "dapi0123456789abcdef0123456789abcdef"
WORKSPACE = "https://adb-1234567890123456.7.azuredatabricks.net"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n…"

WAYS: dict[str, tuple[Connection, Access]] = {
    # wasb, in the order of WasbHook.get_conn
    "wasb: connection string": (
        conn("wasb", {"connection_string": CONNECTION_STRING, "tenant_id": "t", "sas_token": SAS}, password=OTHER_KEY),
        Access(AccountKey(KEY), URL),
    ),
    "wasb: service principal": (
        conn("wasb", {"tenant_id": "t", "shared_access_key": KEY, "sas_token": SAS}, host=URL, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET), URL),
    ),
    "wasb: service principal, other login service": (
        conn("wasb", {"tenant_id": "t", "client_secret_auth_config": {"authority": "login.x.example"}}, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET, "login.x.example")),
    ),
    "wasb: service principal, authority as URL in a text": (
        conn(
            "wasb", {"tenant_id": "t", "client_secret_auth_config": '{"authority": "https://l.example/"}'}, **PRINCIPAL
        ),
        Access(ServicePrincipal("t", "app", SECRET, "l.example")),
    ),
    "wasb: service principal, sovereign cloud": (
        conn(
            "wasb",
            {"tenant_id": "t", "cloud_environment": "AzureUSGovernment"},
            host="https://contoso.blob.core.usgovcloudapi.net",
            **PRINCIPAL,
        ),
        Access(
            ServicePrincipal("t", "app", SECRET, "login.microsoftonline.us"),
            "https://contoso.blob.core.usgovcloudapi.net",
        ),
    ),
    "wasb: anonymous": (
        conn("wasb", {"public_read": True, "shared_access_key": KEY, "sas_token": SAS}, password=OTHER_KEY),
        Access(Anonymous()),
    ),
    "wasb: anonymous, said in a text": (conn("wasb", {"public_read": "true"}), Access(Anonymous())),
    "wasb: not anonymous": (conn("wasb", {"public_read": "False"}, password=KEY), Access(AccountKey(KEY))),
    "wasb: shared access key": (
        conn("wasb", {"shared_access_key": KEY, "sas_token": SAS}, login="contoso", password=OTHER_KEY),
        Access(AccountKey(KEY)),
    ),
    "wasb: SAS": (conn("wasb", {"sas_token": SAS}, login="contoso", password=KEY), Access(SasToken(SAS))),
    "wasb: SAS with ?": (conn("wasb", {"sas_token": f"?{SAS}"}, host=URL), Access(SasToken(SAS), URL)),
    "wasb: SAS as URL": (
        conn("wasb", {"sas_token": f"{URL}/?{SAS}"}, host="https://elsewhere.example"),
        Access(SasToken(SAS), URL),
    ),
    "wasb: key as password": (conn("wasb", login="contoso", password=KEY), Access(AccountKey(KEY))),
    "wasb: key with spaces around": (conn("wasb", password=f" {KEY}\n"), Access(AccountKey(KEY))),
    "wasb: password before account_key": (
        conn("wasb", {"account_key": OTHER_KEY}, password=KEY),
        Access(AccountKey(KEY)),
    ),
    "wasb: SAS as password": (conn("wasb", login="contoso", password=SAS), Access(SasToken(SAS))),
    "wasb: SAS as shared access key": (conn("wasb", {"shared_access_key": SAS}), Access(SasToken(SAS))),
    "wasb: account_key": (conn("wasb", {"account_key": KEY}, login="contoso"), Access(AccountKey(KEY))),
    "wasb: prefixed extras": (conn("wasb", {"extra__wasb__shared_access_key": KEY}), Access(AccountKey(KEY))),
    "wasb: prefixed and plain": (
        conn("wasb", {"extra__wasb__sas_token": "sig=old", "sas_token": SAS}),
        Access(SasToken(SAS)),
    ),
    "wasb: prefixed and empty": (conn("wasb", {"extra__wasb__sas_token": SAS, "sas_token": ""}), Access(Identity())),
    "wasb: nothing but an account": (conn("wasb", login="contoso"), Access(Identity())),
    "wasb: managed identity": (
        conn("wasb", {"managed_identity_client_id": "mi"}, login="contoso"),
        Access(Identity("managed", "mi")),
    ),
    "wasb: workload identity": (
        conn("wasb", {"workload_identity_tenant_id": "t"}),
        Access(Identity("workload", None, "t")),
    ),
    "wasb: both": (
        conn("wasb", {"managed_identity_client_id": "mi", "workload_identity_tenant_id": "t"}),
        Access(Identity("default", "mi", "t")),
    ),
    "wasb: system-assigned identity, asked for": (
        conn("wasb", {"identity": "managed"}, login="contoso", password=KEY),
        Access(Identity("managed")),
    ),
    "wasb: workload identity with client id": (
        conn("wasb", {"identity": "workload", "managed_identity_client_id": "mi", "workload_identity_tenant_id": "t"}),
        Access(Identity("workload", "mi", "t")),
    ),
    "wasb: identity in a sovereign cloud": (
        conn("wasb", {"cloud_environment": "AzureChinaCloud"}),
        Access(Identity("default", None, None, "login.chinacloudapi.cn")),
    ),
    # adls
    "adls: connection string": (
        conn("adls", {"connection_string": CONNECTION_STRING, "tenant_id": "t"}, **PRINCIPAL),
        Access(AccountKey(KEY), URL),
    ),
    "adls: service principal": (
        conn("adls", {"tenant_id": "t"}, host="contoso", **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET)),
    ),
    "adls: prefixed": (
        conn("adls", {"extra__adls__tenant_id": "t"}, host="contoso", **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET)),
    ),
    "adls: key": (conn("adls", host="contoso", password=KEY), Access(AccountKey(KEY))),
    "adls: SAS": (conn("adls", host="contoso", password=SAS), Access(SasToken(SAS))),
    "adls: anonymous": (conn("adls", {"public_read": True}, host="contoso"), Access(Anonymous())),
    "adls: account_url": (
        conn("adls", {"account_url": "https://contoso.dfs.core.windows.net"}, host="other", password=KEY),
        Access(AccountKey(KEY), URL),
    ),
    "adls: managed identity": (
        conn("adls", {"managed_identity_client_id": "mi"}, host="contoso"),
        Access(Identity("managed", "mi")),
    ),
    "adls: identity": (conn("adls", host="contoso"), Access(Identity())),
    # azure_data_lake
    "azure_data_lake: service principal": (
        conn("azure_data_lake", {"tenant": "t", "account_name": "old"}, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET)),
    ),
    "azure_data_lake: prefixed": (
        conn("azure_data_lake", {"extra__azure_data_lake__tenant": "t"}, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET)),
    ),
    "azure_data_lake: managed identity": (
        conn("azure_data_lake", {"managed_identity_client_id": "mi", "account_name": "old"}),
        Access(Identity("managed", "mi")),
    ),
    "azure_data_lake: identity": (conn("azure_data_lake", {"account_name": "old"}), Access(Identity())),
    # azure_fileshare
    "azure_fileshare: connection string": (
        conn("azure_fileshare", {"connection_string": CONNECTION_STRING, "sas_token": SAS}, password=OTHER_KEY),
        Access(AccountKey(KEY), URL),
    ),
    "azure_fileshare: SAS before key": (
        conn("azure_fileshare", {"sas_token": SAS}, login="contoso", password=KEY),
        Access(SasToken(SAS)),
    ),
    "azure_fileshare: key": (conn("azure_fileshare", login="contoso", password=KEY), Access(AccountKey(KEY))),
    "azure_fileshare: URL as login": (
        conn("azure_fileshare", login="https://contoso.file.core.windows.net", password=KEY),
        Access(AccountKey(KEY), URL),
    ),
    "azure_fileshare: managed identity": (
        conn("azure_fileshare", {"managed_identity_client_id": "mi"}, login="contoso"),
        Access(Identity("managed", "mi")),
    ),
    "azure_fileshare: identity": (conn("azure_fileshare", login="contoso"), Access(Identity())),
    # azure
    "azure: service principal": (
        conn("azure", {"tenantId": "t", "subscriptionId": "s"}, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET)),
    ),
    "azure: service principal, sovereign cloud": (
        conn("azure", {"tenantId": "t", "cloud_environment": "AzureChinaCloud"}, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET, "login.chinacloudapi.cn")),
    ),
    "azure: public cloud": (
        conn("azure", {"tenantId": "t", "cloud_environment": "AzurePublicCloud"}, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET)),
    ),
    "azure: managed identity": (conn("azure", {"managed_identity_client_id": "mi"}), Access(Identity("managed", "mi"))),
    "azure: tenant of no principal": (conn("azure", {"tenantId": "t"}), Access(Identity())),
    "azure: nothing": (conn("azure"), Access(Identity())),
    # generic
    "generic: connection string": (
        conn("generic", {"connection_string": CONNECTION_STRING}),
        Access(AccountKey(KEY), URL),
    ),
    "generic: service principal in extras": (
        conn("generic", {"tenant_id": "t", "client_id": "app", "client_secret": SECRET}, login="not", password="me"),
        Access(ServicePrincipal("t", "app", SECRET)),
    ),
    "generic: service principal as login": (
        conn("generic", {"tenant_id": "t"}, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET)),
    ),
    "generic: account_key": (conn("generic", {"account_key": KEY}, password=OTHER_KEY), Access(AccountKey(KEY))),
    "generic: SAS": (conn("generic", {"sas_token": SAS}, host=URL), Access(SasToken(SAS), URL)),
    "generic: access token": (conn("generic", {"access_token": "ey.J.x"}), Access(AccessToken("ey.J.x"))),
    "generic: password": (conn("generic", login="contoso", password=KEY), Access(AccountKey(KEY))),
    "generic: anonymous": (conn("generic", {"public_read": True}, host=URL), Access(Anonymous(), URL)),
    "generic: workload identity": (conn("generic", {"identity": "workload"}), Access(Identity("workload"))),
    "generic: nothing": (conn("generic"), Access(Identity())),
    # azureml_workspace
    "workspace: service principal": (
        conn("azureml_workspace", {"tenant_id": "t", "managed_identity_client_id": "mi"}, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET)),
    ),
    "workspace: as the official azure type has it": (
        conn("azureml_workspace", {"tenant_id": "", "tenantId": "t"}, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET)),
    ),
    "workspace: own name before the official one": (
        conn("azureml_workspace", {"tenant_id": "t", "tenantId": "other"}, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET)),
    ),
    "workspace: sovereign cloud": (
        conn("azureml_workspace", {"tenant_id": "t", "cloud_environment": "AzureUSGovernment"}, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET, "login.microsoftonline.us")),
    ),
    "workspace: other login service": (
        conn(
            "azureml_workspace",
            {"tenant_id": "t", "cloud_environment": "AzureUSGovernment", "authority": "https://login.x.example:8443/"},
            **PRINCIPAL,
        ),
        Access(ServicePrincipal("t", "app", SECRET, "login.x.example:8443")),
    ),
    "workspace: certificate as text": (
        conn("azureml_workspace", {"tenant_id": "t"}, login="app", password=f"\n{PEM}\n"),
        Access(Certificate("t", "app", content=PEM.encode())),
    ),
    "workspace: certificate in a file": (
        conn("azureml_workspace", {"tenant_id": "t", "certificate_path": "/run/app.pem"}, login="app"),
        Access(Certificate("t", "app", path="/run/app.pem")),
    ),
    "workspace: certificate in a file with a password": (
        conn(
            "azureml_workspace",
            {"tenant_id": "t", "certificate_path": "/run/app.pfx", "cloud_environment": "AzureChinaCloud"},
            **PRINCIPAL,
        ),
        Access(
            Certificate("t", "app", path="/run/app.pfx", password=SECRET, authority="login.chinacloudapi.cn"),
        ),
    ),
    "workspace: managed identity": (
        conn("azureml_workspace", {"managed_identity_client_id": "mi"}),
        Access(Identity("managed", "mi")),
    ),
    "workspace: identity, asked for": (
        conn("azureml_workspace", {"identity": "managed", "tenant_id": "t"}, **PRINCIPAL),
        Access(Identity("managed")),
    ),
    "workspace: workload identity": (
        conn("azureml_workspace", {"workload_identity_tenant_id": "t", "authority": "login.x.example"}),
        Access(Identity("workload", None, "t", "login.x.example")),
    ),
    "workspace: nothing": (conn("azureml_workspace", host="https://management.azure.com"), Access(Identity())),
    # databricks, in the order of BaseDatabricksHook._get_token
    "postgres: login": (
        conn("postgres", {"sslmode": "require"}, host="db.example.com", port=6432, login="ann", password=SECRET),
        Access(Login("ann", SECRET), "db.example.com:6432"),
    ),
    "postgres: socket": (
        conn("postgres", host="/run/postgresql", login="ann", password=SECRET),
        Access(Login("ann", SECRET), "/run/postgresql"),
    ),
    "postgres: token": (
        conn("postgres", {"access_token": PAT}, host="contoso.postgres.database.azure.com", login="ann"),
        Access(AccessToken(PAT), "contoso.postgres.database.azure.com"),
    ),
    "postgres: identity": (
        conn("postgres", {"identity": "managed"}, host="pg", login="ann", password=SECRET),
        Access(Identity("managed"), "pg"),
    ),
    "postgres: identity of the worker": (conn("postgres", host="pg"), Access(Identity(), "pg")),
    "mysql: login": (
        conn("mysql", {"ssl_mode": "REQUIRED"}, host="db.example.com", port=3307, login="ann", password=SECRET),
        Access(Login("ann", SECRET), "db.example.com:3307"),
    ),
    "mysql: token": (
        conn("mysql", {"access_token": PAT}, host="contoso.mysql.database.azure.com", login="ann"),
        Access(AccessToken(PAT), "contoso.mysql.database.azure.com"),
    ),
    "mysql: identity of the worker": (conn("mysql", host="db"), Access(Identity(), "db")),
    "mssql: login": (
        conn("mssql", host="db.example.com", port=1434, login="ann", password=SECRET),
        Access(Login("ann", SECRET), "db.example.com:1434"),
    ),
    "mssql: port after a comma": (
        conn("mssql", host="db.example.com,1434", login="ann", password=SECRET),
        Access(Login("ann", SECRET), "db.example.com,1434"),
    ),
    "mssql: token": (
        conn("mssql", {"access_token": PAT}, host="contoso.database.windows.net"),
        Access(AccessToken(PAT), "contoso.database.windows.net"),
    ),
    "mssql: identity of the worker": (conn("mssql", host="db"), Access(Identity(), "db")),
    "odbc: login": (
        conn("odbc", {"driver": "ODBC Driver 18 for SQL Server"}, host="db", login="ann", password=SECRET),
        Access(Login("ann", SECRET), "db"),
    ),
    "odbc: token": (conn("odbc", {"access_token": PAT}, host="db"), Access(AccessToken(PAT), "db")),
    "odbc: identity of the worker": (conn("odbc", host="db"), Access(Identity(), "db")),
    "databricks: token": (
        conn("databricks", {"token": PAT, "azure_tenant_id": "t"}, host=WORKSPACE, **PRINCIPAL),
        Access(AccessToken(PAT), WORKSPACE),
    ),
    "databricks: token as password": (
        conn("databricks", {"azure_tenant_id": "t", "use_azure_managed_identity": True}, host=WORKSPACE, password=PAT),
        Access(AccessToken(PAT), WORKSPACE),
    ),
    "databricks: service principal of Entra ID": (
        conn("databricks", {"azure_tenant_id": "t", "service_principal_oauth": True}, host=WORKSPACE, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET), WORKSPACE),
    ),
    "databricks: the same in a sovereign cloud": (
        conn("databricks", {"azure_tenant_id": "t", "cloud_environment": "AzureChinaCloud"}, **PRINCIPAL),
        Access(ServicePrincipal("t", "app", SECRET, "login.chinacloudapi.cn")),
    ),
    "databricks: managed identity": (
        conn("databricks", {"use_azure_managed_identity": True, "use_default_azure_credential": True}, host=WORKSPACE),
        Access(Identity("managed"), WORKSPACE),
    ),
    "databricks: managed identity of a user": (
        conn("databricks", {"use_azure_managed_identity": True, "azure_managed_identity_client_id": "mi"}),
        Access(Identity("managed", "mi")),
    ),
    "databricks: default identity": (
        conn("databricks", {"use_default_azure_credential": True, "service_principal_oauth": True}, **PRINCIPAL),
        Access(Identity("default")),
    ),
    "databricks: default identity of a pod": (
        conn(
            "databricks",
            {
                "use_default_azure_credential": "true",
                "managed_identity_client_id": "mi",
                "workload_identity_tenant_id": "t",
            },
        ),
        Access(Identity("default", "mi", "t")),
    ),
    "databricks: own OAuth": (
        conn("databricks", {"service_principal_oauth": True}, host=WORKSPACE, **PRINCIPAL),
        Access(DatabricksOAuth("app", SECRET), WORKSPACE),
    ),
    "databricks: workload identity": (
        conn("databricks", {"identity": "workload"}, host=WORKSPACE, password=PAT),
        Access(Identity("workload"), WORKSPACE),
    ),
    "databricks: not asked for": (
        conn("databricks", {"service_principal_oauth": False, "use_azure_managed_identity": "no"}, host=WORKSPACE),
        Access(Identity(), WORKSPACE),
    ),
    "databricks: nothing": (conn("databricks"), Access(Identity())),
}


OWN_SERVICES: dict[str, Service] = {
    "databricks": "databricks",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mssql": "mssql",
    "odbc": "mssql",
}
"""Types whose connections are for nothing else."""


def service_of(connection: Connection) -> Service:
    return OWN_SERVICES.get(connection.conn_type or "", "blob")


@pytest.mark.parametrize("case", WAYS)
def test_way_in(case: str) -> None:
    connection, expected = WAYS[case]
    assert access_of(connection, service_of(connection)) == expected


# Where the official hooks do otherwise, and why.
DEVIATIONS = {
    "wasb: service principal, authority as URL in a text": "the hook takes an object only",
    "wasb: anonymous": "in the hook it is an argument",
    "wasb: anonymous, said in a text": "in the hook it is an argument",
    "wasb: key with spaces around": "the hook signs with the line break",
    "wasb: system-assigned identity, asked for": "the hook cannot be asked for it",
    "wasb: managed identity": "the hook ignores the client id",
    "wasb: workload identity": "the hook ignores the tenant",
    "wasb: workload identity with client id": "the hook leaves out no other identity of the chain",
    "adls: anonymous": "the hook ignores its argument",
    "adls: managed identity": "the hook ignores the client id",
}


@pytest.mark.parametrize(
    "case", [case for case in WAYS if case.startswith(("wasb", "adls")) and case not in DEVIATIONS]
)
def test_official_hook_lets_the_same_identity_in(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, access = WAYS[case]
    monkeypatch.setenv("AIRFLOW_CONN_CONTOSO", connection.as_json())
    hook = WasbHook("contoso") if connection.conn_type == "wasb" else AzureDataLakeStorageV2Hook("contoso")
    client = hook.get_conn()
    match client.credential:
        case None:
            assert access.credential == SasToken(urlsplit(client.url).query)
        case AzureSasCredential(signature=signature):
            assert access.credential == SasToken(signature.removeprefix("?"))
        case ClientSecretCredential():
            assert isinstance(access.credential, ServicePrincipal)
        case DefaultAzureCredential():
            assert isinstance(access.credential, Identity)
            assert access.credential.kind == "default"
        case shared_key:
            assert access.credential == AccountKey(shared_key.account_key)
    if access.endpoint is not None:
        assert urlsplit(client.url).hostname in {
            urlsplit(access.endpoint).hostname,
            urlsplit(access.endpoint.replace(".blob.", ".dfs.")).hostname,
        }


def test_every_way_of_every_type_has_a_case() -> None:
    seen = {(connection.conn_type, type(access.credential)) for cases in (WAYS, DATABASES)
            for connection, access in cases.values()}  # fmt: skip
    credentials = {
        _ways.connection_string: AccountKey,
        _ways.service_principal: ServicePrincipal,
        _ways.anonymous: Anonymous,
        _ways.key_or_sas: AccountKey,
        _ways.sas: SasToken,
        _ways.identity: Identity,
        _ways.access_token: AccessToken,
        _ways.application: ServicePrincipal,
        _ways.certificate: Certificate,
        _ways.databricks_oauth: DatabricksOAuth,
        _ways.managed_identity: Identity,
        _ways.default_identity: Identity,
        _ways.login: Login,
    }
    declared = {
        (name, credentials[way.build])
        for name, found in CONNECTION_TYPES.items()
        for way in found.ways
        if way.build in credentials
    }
    assert declared <= seen


ENDPOINTS: dict[str, tuple[str, str | None]] = {
    "URL": ("https://contoso.blob.core.windows.net/", "https://contoso.blob.core.windows.net"),
    "host": ("contoso.blob.core.windows.net", "https://contoso.blob.core.windows.net"),
    "emulator": ("http://127.0.0.1:10000/devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1"),
    "emulator in a network of containers": ("http://azurite:10000/acct/", "http://azurite:10000/acct"),
    "emulator without scheme": ("azurite:10000/acct", "https://azurite:10000/acct"),
    "localhost": ("localhost/acct", "https://localhost/acct"),
    "IPv6": ("http://[::1]:10000/acct", "http://[::1]:10000/acct"),
    "bare account name": ("contoso", None),
    "private link": (
        "https://contoso.privatelink.blob.core.windows.net",
        "https://contoso.privatelink.blob.core.windows.net",
    ),
    "zone": ("https://contoso.z01.blob.storage.azure.net", "https://contoso.z01.blob.storage.azure.net"),
    "file service": ("https://contoso.file.core.windows.net", "https://contoso.blob.core.windows.net"),
    "capitals": ("HTTPS://Contoso.Blob.Core.Windows.Net", "https://contoso.blob.core.windows.net"),
    "own domain": ("https://data.contoso.example/store", "https://data.contoso.example/store"),
}


@pytest.mark.parametrize("case", ENDPOINTS)
def test_endpoint(case: str) -> None:
    host, expected = ENDPOINTS[case]
    assert access_of(conn("wasb", host=host, password=KEY)).endpoint == expected


def test_endpoint_takes_the_connections_port() -> None:
    by_uri = Connection(conn_id="contoso", uri="wasb://contoso@azurite:10000/?public_read=true")
    assert access_of(by_uri) == Access(Anonymous(), "https://azurite:10000")
    assert access_of(conn("wasb", host="http://127.0.0.1", port=10000)).endpoint == "http://127.0.0.1:10000"
    assert access_of(conn("wasb", host="http://127.0.0.1:1/a", port=10000)).endpoint == "http://127.0.0.1:1/a"


@pytest.mark.parametrize(
    ("service", "host", "expected"),
    [
        ("dfs", "https://contoso.blob.core.windows.net", "https://contoso.dfs.core.windows.net"),
        ("file", "https://contoso.blob.core.usgovcloudapi.net", "https://contoso.file.core.usgovcloudapi.net"),
        ("blob", "https://onelake.dfs.fabric.microsoft.com", "https://onelake.blob.fabric.microsoft.com"),
        ("dfs", "https://c.privatelink.blob.core.windows.net", "https://c.privatelink.dfs.core.windows.net"),
        ("dfs", "http://127.0.0.1:10000/acct", "http://127.0.0.1:10000/acct"),
        ("dfs", "https://my.blob.shop", "https://my.blob.shop"),
    ],
)
def test_endpoint_of_another_service(service: Service, host: str, expected: str) -> None:
    assert access_of(conn("wasb", host=host, password=KEY), service).endpoint == expected


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("contoso", None),
        ("https://contoso.file.core.windows.net/", "https://contoso.file.core.windows.net"),
        ("https://contoso.blob.core.windows.net", "https://contoso.file.core.windows.net"),
        ("contoso.file.core.usgovcloudapi.net", "https://contoso.file.core.usgovcloudapi.net"),
        ("https://contoso.privatelink.file.core.windows.net", "https://contoso.privatelink.file.core.windows.net"),
        ("https://files.contoso.example", "https://files.contoso.example"),
        ("http://127.0.0.1:10004/contoso", "http://127.0.0.1:10004/contoso"),
    ],
)
def test_endpoint_of_a_file_share(login: str, expected: str | None) -> None:
    access = access_of(conn("azure_fileshare", login=login, password=KEY), "file")
    assert access == Access(AccountKey(KEY), expected)


def test_sas_url_of_a_file_share() -> None:
    access = access_of(conn("azure_fileshare", {"sas_token": f"https://contoso.file.core.windows.net/?{SAS}"}), "file")
    assert access == Access(SasToken(SAS), "https://contoso.file.core.windows.net")


WORKSPACES: dict[str, tuple[Connection, str | None]] = {
    "URL": (conn("databricks", host=f"{WORKSPACE}/", password=PAT), WORKSPACE),
    "host": (conn("databricks", host="adb-1234567890123456.7.azuredatabricks.net", password=PAT), WORKSPACE),
    "from a browser": (conn("databricks", host=f"{WORKSPACE}/browse?o=1234567890123456#x", password=PAT), WORKSPACE),
    "extra before field": (conn("databricks", {"host": WORKSPACE}, host="other.example", password=PAT), WORKSPACE),
    "port": (conn("databricks", host="127.0.0.1", port=8443, password=PAT), "https://127.0.0.1:8443"),
    "emulator": (conn("databricks", host="http://127.0.0.1:8080", password=PAT), "http://127.0.0.1:8080"),
    "IPv6": (conn("databricks", host="http://[::1]:8080", password=PAT), "http://[::1]:8080"),
    "generic": (conn("generic", {"access_token": PAT}, host=WORKSPACE), WORKSPACE),
    "generic without": (conn("generic", {"access_token": PAT}), None),
    "of a storage account": (conn("wasb", {"tenant_id": "t"}, host=URL, **PRINCIPAL), None),
    "of Resource Manager": (
        conn("azureml_workspace", {"tenant_id": "t"}, host="https://arm.example", **PRINCIPAL),
        None,
    ),
}


@pytest.mark.parametrize("case", WORKSPACES)
def test_endpoint_of_databricks(case: str) -> None:
    connection, expected = WORKSPACES[case]
    assert access_of(connection, "databricks").endpoint == expected


DATABASES: dict[str, tuple[Connection, Access]] = {
    "login": (conn("generic", login="ann", password=SECRET, host="pg"), Access(Login("ann", SECRET), "pg")),
    "login whose password looks like a key": (conn("generic", login="ann", password=KEY), Access(Login("ann", KEY))),
    "token": (conn("generic", {"access_token": PAT}, password=KEY), Access(AccessToken(PAT))),
    "service principal": (
        conn("azure", {"tenantId": "t"}, login="app", password=SECRET),
        Access(ServicePrincipal("t", "app", SECRET)),
    ),
    "identity": (conn("azure"), Access(Identity())),
}


@pytest.mark.parametrize("service", ["postgresql", "mysql", "mssql"])
@pytest.mark.parametrize("case", DATABASES)
def test_way_into_a_database(case: str, service: Service) -> None:
    connection, expected = DATABASES[case]
    assert access_of(connection, service) == expected


@pytest.mark.parametrize("host", ["postgresql://pg/db", "a b", "a,b", "u@pg"])
def test_no_host_of_a_database(host: str) -> None:
    with pytest.raises(InvalidConnection, match="is no host, or host:port, of a database server"):
        access_of(conn("postgres", host=host, login="ann", password=SECRET), "postgresql")


@pytest.mark.parametrize("service", get_args(Service))
def test_what_is_for_one_service_goes_nowhere_else(service: Service) -> None:
    for connection, _ in WAYS.values():
        if OWN_SERVICES.get(connection.conn_type or "", service) != service:
            with pytest.raises(InvalidConnection, match="gives no credential for this datastore's service"):
                access_of(connection, service)


def test_every_service_has_a_type_to_suggest() -> None:
    assert set(SUGGESTED) == set(get_args(Service))
    assert set(SUGGESTED.values()) <= set(CONNECTION_TYPES)


STRINGS: dict[str, tuple[Service, str, Access]] = {
    "portal": ("blob", CONNECTION_STRING, Access(AccountKey(KEY), URL)),
    "any order, case and spaces": (
        "blob",
        f" accountkey={KEY} ;\nACCOUNTNAME=contoso;",
        Access(AccountKey(KEY), URL),
    ),
    "sovereign": (
        "blob",
        f"AccountName=contoso;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn",
        Access(AccountKey(KEY), "https://contoso.blob.core.chinacloudapi.cn"),
    ),
    "http": (
        "blob",
        f"DefaultEndpointsProtocol=http;AccountName=contoso;AccountKey={KEY}",
        Access(AccountKey(KEY), "http://contoso.blob.core.windows.net"),
    ),
    "endpoint and SAS": (
        "blob",
        f"BlobEndpoint={URL}/;FileEndpoint=https://f.example;SharedAccessSignature={SAS}",
        Access(SasToken(SAS), URL),
    ),
    "emulator": (
        "blob",
        f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:1/a;",
        Access(AccountKey(KEY), "http://127.0.0.1:1/a"),
    ),
    "development storage": (
        "blob",
        "UseDevelopmentStorage=true",
        Access(DEVELOPMENT, "http://127.0.0.1:10000/devstoreaccount1"),
    ),
    "development storage elsewhere": (
        "blob",
        "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite",
        Access(DEVELOPMENT, "http://azurite:10000/devstoreaccount1"),
    ),
    "file": ("file", CONNECTION_STRING, Access(AccountKey(KEY), "https://contoso.file.core.windows.net")),
    "file endpoint and SAS": (
        "file",
        f"BlobEndpoint={URL}/;FileEndpoint=https://f.example/;SharedAccessSignature={SAS}",
        Access(SasToken(SAS), "https://f.example"),
    ),
    "dfs out of blob": (
        "dfs",
        f"BlobEndpoint={URL};AccountKey={KEY}",
        Access(AccountKey(KEY), "https://contoso.dfs.core.windows.net"),
    ),
    "dfs": (
        "dfs",
        f"BlobEndpoint={URL};DfsEndpoint=http://127.0.0.1:2/a;AccountKey={KEY}",
        Access(AccountKey(KEY), "http://127.0.0.1:2/a"),
    ),
}


@pytest.mark.parametrize("case", STRINGS)
def test_connection_string(case: str) -> None:
    service, text, expected = STRINGS[case]
    assert access_of(conn("generic", {"connection_string": text}), service) == expected


def generic(text: str) -> Connection:
    return conn("generic", {"connection_string": text})


ERRORS: dict[str, tuple[Connection, str]] = {
    "type": (
        conn("aws"),
        "has type 'aws'.*: wasb, adls, azure_data_lake, azure_fileshare, azure, generic, azureml_workspace, databricks",
    ),
    "no type": (conn(None), "has type ''"),
    "Gen1, no secret": (
        conn("azure_data_lake", {"tenant": "t"}, login="app"),
        r"lacks 'Azure Client Secret' \(password\)",
    ),
    "extra is no JSON": (Connection(conn_id="contoso", conn_type="wasb", extra=SAS), "its extra is not JSON"),
    "extra is no object": (Connection(conn_id="contoso", conn_type="wasb", extra='["a"]'), "not a JSON object"),
    "no login": (
        conn("wasb", {"tenant_id": "t"}, password=SECRET),
        r"lacks 'Blob Storage Login' \(login\), which a service principal needs; this way in was chosen by "
        r"'Tenant Id \(Active Directory Auth\)' \(extra 'tenant_id'\)\. Fill in the one, or clear the other",
    ),
    "no password": (conn("wasb", {"tenant_id": "t"}, login="app"), r"lacks 'Blob Storage Key' \(password\)"),
    "no secret (adls)": (
        conn("adls", {"tenant_id": "t"}, login="app"),
        r"lacks 'ADLS Gen2 Key / Client Secret \(Active Directory\)' \(password\)",
    ),
    "no tenant": (conn("azure", **PRINCIPAL), r"lacks 'Azure Tenant ID' \(extra 'tenantId'\)"),
    "no client id": (
        conn("generic", {"tenant_id": "t", "client_secret": SECRET}),
        r"lacks extra 'client_id' \(under 'Extra Fields JSON'\)",
    ),
    "secret as key": (conn("adls", host="contoso", **PRINCIPAL), "holds no account key.*needs a tenant id"),
    "key not base64": (
        conn("wasb", {"shared_access_key": SECRET}),
        r"'Blob Storage Shared Access Key' \(extra 'shared_access_key'\) holds no account key",
    ),
    "SAS without signature": (conn("wasb", {"sas_token": f"sv=2024&se={KEY}"}), "'SAS Token'.*'sig='"),
    "SAS URL without signature": (conn("wasb", {"sas_token": f"{URL}?{KEY}"}), "'SAS Token'.*'sig='"),
    "SAS in the URL field": (
        conn("wasb", host=f"{URL}?{SAS}"),
        r"'Account URL \(Active Directory Auth\)' \(host\) carries more than.*SAS token has its own field",
    ),
    "key in the URL field": (conn("wasb", host=f"https://contoso:{SECRET}@x.example"), "carries more than"),
    "URL of another scheme": (conn("wasb", host="abfss://fs@contoso.dfs.core.windows.net"), "not an http or https URL"),
    "URL with a bad port": (conn("wasb", host=f"https://x.example:{SECRET}"), "is not a URL"),
    "cloud": (
        conn("azure", {"tenantId": "t", "cloud_environment": "AzureGermanCloud"}, **PRINCIPAL),
        "'Azure Cloud Environment'.*is none of 'AzurePublicCloud', 'AzureUSGovernment', 'AzureChinaCloud'",
    ),
    "workspace: no secret": (
        conn("azureml_workspace", {"tenant_id": "t"}, login="app"),
        r"lacks 'Client secret' \(password\), which a service principal needs; .* chosen by 'Client ID' \(login\)",
    ),
    "workspace: no tenant": (conn("azureml_workspace", **PRINCIPAL), r"lacks 'Tenant ID' \(extra 'tenant_id'\)"),
    "workspace: no client": (
        conn("azureml_workspace", {"tenant_id": "t", "certificate_path": "/run/app.pem"}, password=SECRET),
        r"lacks 'Client ID' \(login\), which a certificate needs",
    ),
    "workspace: cloud": (
        conn("azureml_workspace", {"cloud_environment": "AzureGermanCloud"}),
        "'Azure cloud environment'.*is none of 'AzurePublicCloud'",
    ),
    "workspace: login service": (
        conn("azureml_workspace", {"tenant_id": "t", "authority": "http://login.example"}, **PRINCIPAL),
        "'Login service'.*is no host name or https URL of one",
    ),
    "databricks: no address": (
        conn("databricks", password=SECRET),
        r"lacks 'Host' \(host\): the address that its secret is for",
    ),
    "databricks: an address that is none": (conn("databricks", host="workspace", password=SECRET), "lacks 'Host'"),
    "databricks: no address for OAuth": (
        conn("databricks", {"service_principal_oauth": True}, **PRINCIPAL),
        "lacks 'Host'",
    ),
    "databricks: user name and password": (
        conn("databricks", host=WORKSPACE, login="me@contoso.example", password=SECRET),
        r"'Login' \(login\) is a user name, and Databricks takes no passwords any more.*'service_principal_oauth'",
    ),
    "databricks: no tenant's secret": (
        conn("databricks", {"azure_tenant_id": "t"}, host=WORKSPACE, login="app"),
        r"lacks 'Password' \(password\), which a service principal needs",
    ),
    "databricks: federation": (
        conn("databricks", {"federated_k8s": True, "client_id": "c"}, host=WORKSPACE),
        "'federated_k8s'.*cannot be used for datastores: use a service principal",
    ),
    "databricks: secret in the address": (
        conn("databricks", host=f"https://token:{SECRET}@x.azuredatabricks.net", password=SECRET),
        "carries more than",
    ),
    "identity": (conn("wasb", {"identity": "system"}), "is none of 'default', 'managed', 'workload'"),
    "auth config": (
        conn("wasb", {"tenant_id": "t", "client_secret_auth_config": {"proxies": {"https": "p"}}}, **PRINCIPAL),
        "'client_secret_auth_config'.*may hold 'authority' only, not 'proxies'.*HTTPS_PROXY",
    ),
    "auth config is no object": (
        conn("wasb", {"tenant_id": "t", "client_secret_auth_config": "login.example"}, **PRINCIPAL),
        "'client_secret_auth_config'.*is not a JSON object",
    ),
    "authority": (
        conn("wasb", {"tenant_id": "t", "client_secret_auth_config": {"authority": "http://x/y z"}}, **PRINCIPAL),
        "no host name",
    ),
    "authentication file": (conn("azure", {"key_path": "/k.json"}), "'key_path'.*cannot be used"),
    "authentication json": (conn("azure", {"key_json": {"clientSecret": SECRET}}), "'key_json'.*cannot be used"),
    "string: malformed": (generic(f"AccountName=contoso;{KEY[:-2]}"), "is not a connection string: Name=Value"),
    "string: no pairs": (generic(";"), "is not a connection string"),
    "string: no secret": (generic("AccountName=contoso"), "neither AccountKey nor SharedAccessSignature"),
    "string: no account": (generic(f"AccountKey={KEY}"), "neither AccountName nor BlobEndpoint"),
    "string: bad key": (generic(f"AccountName=c;AccountKey={SECRET}"), "'connection_string'.*holds no account key"),
    "string: bad SAS": (generic(f"AccountName=c;SharedAccessSignature={KEY}"), "'connection_string'.*no SAS token"),
    "string: endpoint": (generic(f"BlobEndpoint=c;AccountKey={KEY}"), "a BlobEndpoint that is not a URL"),
    "string: SAS in endpoint": (generic(f"BlobEndpoint={URL}?{SAS};AccountKey={KEY}"), "carries more than"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_connection_and_field_but_no_value(case: str) -> None:
    connection, expected = ERRORS[case]
    with pytest.raises(InvalidConnection, match=expected) as caught:
        access_of(connection, service_of(connection))
    assert "'contoso'" in str(caught.value)
    assert not _secrets_in("".join(traceback.format_exception(caught.value)))


def _secrets_in(text: str) -> list[str]:
    return [secret for secret in (KEY, KEY[:-2], SECRET, SIGNATURE, SAS, PAT) if secret in text]


def test_development_storage_has_no_data_lake() -> None:
    with pytest.raises(InvalidConnection, match="development storage, which has no dfs service"):
        access_of(generic("UseDevelopmentStorage=true"), "dfs")


def test_no_access_shows_its_secret() -> None:
    for connection, access in WAYS.values():
        assert not _secrets_in(repr(access)), connection.conn_type


@pytest.mark.parametrize(
    ("credential", "secrets"),
    [
        (AccountKey(KEY), {KEY}),
        (SasToken(SAS), {SAS, SIGNATURE, "c2lnbmF0dXJl+of/it="}),
        (SasToken("?sig=a+b/c=&sv=1"), {"?sig=a+b/c=&sv=1", "a+b/c=", "a%2Bb%2Fc%3D"}),
        (ServicePrincipal("t", "app", SECRET), {SECRET}),
        (Login("me", SECRET), {SECRET}),
        (AccessToken("ey.J.x"), {"ey.J.x"}),
        (DatabricksOAuth("app", SECRET), {SECRET}),
        (Identity("managed", "mi"), set()),
        (Anonymous(), set()),
        (Certificate("t", "app", content=PEM.encode()), {PEM}),
        (Certificate("t", "app", path="/run/app.pem", password=SECRET), {SECRET}),
        (RenewedSas(lambda: SAS), set()),
    ],
)
def test_secrets_of(credential: Credential, secrets: set[str]) -> None:
    assert set(secrets_of(credential)) == secrets


def test_clouds_are_azure_identitys() -> None:
    hosts = {name: host or AzureAuthorityHosts.AZURE_PUBLIC_CLOUD for name, host in _ways.CLOUDS.items()}
    assert hosts == {
        "AzurePublicCloud": AzureAuthorityHosts.AZURE_PUBLIC_CLOUD,
        "AzureUSGovernment": AzureAuthorityHosts.AZURE_GOVERNMENT,
        "AzureChinaCloud": AzureAuthorityHosts.AZURE_CHINA,
    }


PLAIN_FORMS = ("generic", "databricks", "postgres", "mysql", "mssql", "odbc")
"""Types whose form is Airflow's own, unlabelled."""


@pytest.mark.parametrize("name", [name for name in CONNECTION_TYPES if name not in PLAIN_FORMS])
def test_labels_are_those_of_the_official_form(name: str) -> None:
    infos = (get_provider_info(), our_provider_info())
    forms = {form["connection-type"]: form for info in infos for form in info["connection-types"]}
    form, declared = forms[name], CONNECTION_TYPES[name]
    labels = dict(form["ui-field-behaviour"]["relabeling"])
    labels |= {key: field["label"] for key, field in form["conn-fields"].items()}
    in_ways = [field for way in declared.ways for field in {**way.needs, **way.takes}.values()]
    assert declared.title == form["hook-name"]
    for field in [*in_ways, *declared.endpoint]:
        shown = labels.get(field.key)
        assert field.label == (shown and re.sub(r" \(optional\)$", "", shown)), field.key


def test_docs_are_fresh() -> None:
    page = Path(__file__).parents[2] / "docs" / "connections.md"
    command = f"python -m {_connection_docs.__name__} > docs/connections.md"
    assert page.read_text(encoding="utf-8") == _connection_docs.render(), f"run: {command}"
