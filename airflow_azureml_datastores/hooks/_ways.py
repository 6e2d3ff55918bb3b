"""The ways into a service: what a connection's values become, once it is known where they stand.

Every function here takes the wanted service and then values by parameter name, all of them non-empty text.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Literal, NoReturn, cast
from urllib.parse import SplitResult, parse_qs, urlsplit

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Anonymous,
    Certificate,
    Credential,
    DatabricksOAuth,
    Identity,
    Login,
    SasToken,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.datastore import Service

# Names and hosts: azure-identity's AzureAuthorityHosts, under the names that the official `azure` connection uses.
CLOUDS = {
    "AzurePublicCloud": None,
    "AzureUSGovernment": "login.microsoftonline.us",
    "AzureChinaCloud": "login.chinacloudapi.cn",
}

# Azurite's published account, the same on every machine: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
_DEVELOPMENT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True, slots=True)
class Access:
    """How to get in, and where to, as a connection says it.

    :param credential: with what.
    :param endpoint: URL of the account's service, without query and trailing slash; None where the connection names no
        URL, so that the datastore's own account name counts.
    """

    credential: Credential
    endpoint: str | None = None


class InvalidField(Exception):
    """A value cannot be used. Never shown as it is: the caller knows which field of which connection it came from.

    :param parameter: the parameter that got the value.
    :param problem: what is wrong, without the value; reads on after the field's name.
    """

    def __init__(self, parameter: str, problem: str) -> None:
        super().__init__(parameter)
        self.parameter = parameter
        self.problem = problem


def key_or_sas(service: Service, *, key: str) -> Access:
    """Account key, or a SAS token in its place: the storage SDK tells them apart as well."""
    if _is_sas(key):
        return sas(service, sas_token=key)
    return Access(_account_key("key", key))


def sas(service: Service, *, sas_token: str) -> Access:
    """SAS token, or a whole URL that carries one."""
    if not re.match("https?://", sas_token, re.IGNORECASE):
        return Access(_sas_token("sas_token", sas_token))
    address, _, query = sas_token.partition("?")
    return Access(_sas_token("sas_token", query), endpoint_from("sas_token", address, service))


def service_principal(
    service: Service,
    *,
    tenant_id: str,
    client_id: str,
    client_secret: str,
    cloud_environment: str | None = None,
    client_secret_auth_config: str | None = None,
) -> Access:
    """Application with a client secret; its login service is named by either of the last two."""
    host = _authority(cloud_environment)
    if client_secret_auth_config is not None:
        host = _configured_authority(client_secret_auth_config) or host
    return Access(ServicePrincipal(tenant_id, client_id, client_secret, host))


def application(
    service: Service,
    *,
    tenant_id: str,
    client_id: str,
    client_secret: str,
    cloud_environment: str | None = None,
    authority: str | None = None,
) -> Access:
    """Application with a client secret, or with the text of a PEM certificate in its place."""
    host = _login_service(cloud_environment, authority)
    if client_secret.startswith("-----BEGIN "):
        content = client_secret.encode()
        return Access(Certificate(tenant_id, client_id, content=content, authority=host))
    return Access(ServicePrincipal(tenant_id, client_id, client_secret, host))


def certificate(
    service: Service,
    *,
    certificate_path: str,
    tenant_id: str,
    client_id: str,
    password: str | None = None,
    cloud_environment: str | None = None,
    authority: str | None = None,
) -> Access:
    """Application with a certificate in a file of the worker."""
    host = _login_service(cloud_environment, authority)
    return Access(Certificate(tenant_id, client_id, path=certificate_path, password=password, authority=host))


def identity(
    service: Service,
    *,
    identity: str | None = None,
    managed_identity_client_id: str | None = None,
    workload_identity_tenant_id: str | None = None,
    cloud_environment: str | None = None,
    authority: str | None = None,
) -> Access:
    """Whatever the worker runs as.

    A client id alone means exactly that managed identity; a tenant alone, workload identity; both or none, the chain of
    DefaultAzureCredential, as in the official hooks.
    """
    if identity is None:
        client, tenant = managed_identity_client_id is not None, workload_identity_tenant_id is not None
        identity = "default" if client == tenant else "managed" if client else "workload"
    if identity not in ("default", "managed", "workload"):
        raise InvalidField("identity", "is none of 'default', 'managed', 'workload'")
    kind = cast('Literal["default", "managed", "workload"]', identity)
    host = _login_service(cloud_environment, authority)
    return Access(Identity(kind, managed_identity_client_id, workload_identity_tenant_id, host))


def login(service: Service, *, username: str, password: str) -> Access:
    """User name and password of a database."""
    return Access(Login(username, password))


def access_token(service: Service, *, access_token: str) -> Access:
    """Bearer token."""
    return Access(AccessToken(access_token))


def databricks_oauth(service: Service, *, service_principal_oauth: str, client_id: str, client_secret: str) -> Access:
    """Service principal of Databricks' own."""
    return Access(DatabricksOAuth(client_id, client_secret))


def managed_identity(service: Service, *, use_azure_managed_identity: str, client_id: str | None = None) -> Access:
    """A managed identity, asked for as the Databricks provider has it."""
    return Access(Identity("managed", client_id))


def default_identity(
    service: Service,
    *,
    use_default_azure_credential: str,
    managed_identity_client_id: str | None = None,
    workload_identity_tenant_id: str | None = None,
) -> Access:
    """The chain of DefaultAzureCredential, asked for as the Databricks provider has it."""
    return Access(Identity("default", managed_identity_client_id, workload_identity_tenant_id))


def federation(service: Service, **values: str) -> NoReturn:
    """Tokens of another identity provider, for which Databricks gives one of its own: refused."""
    raise InvalidField(
        next(iter(values)), "cannot be used for datastores: use a service principal, an identity or an access token"
    )


def databricks_login(service: Service, **values: str) -> NoReturn:
    """User name and password, which Databricks took until July 2024: refused."""
    raise InvalidField(
        "login",
        "is a user name, and Databricks takes no passwords any more: leave it empty and give an access token as "
        "password, or say in the extra which kind of client it is ('azure_tenant_id' or 'service_principal_oauth')",
    )


def anonymous(service: Service, *, public_read: str) -> Access:
    """No credential at all."""
    return Access(Anonymous())


def authentication_file(service: Service, **values: str) -> NoReturn:
    """The official base hook's JSON file for SDKs of before azure-identity: refused."""
    raise InvalidField(
        next(iter(values)), "cannot be used for datastores: move client id, secret and tenant to their fields"
    )


def connection_string(service: Service, *, connection_string: str) -> Access:
    """The portal's connection string of a storage account.

    Source: https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string
    """
    pairs = [pair.partition("=") for pair in connection_string.split(";") if pair.strip()]
    if not pairs or not all(equals for _, equals, _ in pairs):
        raise InvalidField("connection_string", "is not a connection string: Name=Value pairs, separated by ';'")
    settings = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if settings.get("usedevelopmentstorage", "").lower() == "true":
        return _development_storage(service, settings)
    endpoint = _settings_endpoint(settings, service)
    if settings.get("accountkey"):
        return Access(_account_key("connection_string", settings["accountkey"]), endpoint)
    if settings.get("sharedaccesssignature"):
        return Access(_sas_token("connection_string", settings["sharedaccesssignature"]), endpoint)
    raise InvalidField("connection_string", "has neither AccountKey nor SharedAccessSignature")


def endpoint_from(parameter: str, text: str, service: Service) -> str | None:
    """The URL of a service from what people put into an account field; None for a bare account name.

    A host of Azure's naming (``<account>.<service>.…``) is turned to the wanted service. Of a Databricks workspace only
    scheme and host count, so that an address can be copied from a browser.

    Databases have no URL, but a host, perhaps with a port.

    :raises InvalidField: no http or https URL, or one with a user, query or fragment.
    """
    if service in ("postgresql", "mysql", "mssql"):
        if re.search(r"://|[\s@;?#{}\\]" if service == "mssql" else r"://|[\s@,;?#]", text):
            raise InvalidField(parameter, "is no host, or host:port, of a database server")
        return text
    if "://" not in text:
        if not re.search(r"[.:]|^localhost(/|$)", text):
            return None
        text = f"https://{text}"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise InvalidField(parameter, "is not a URL") from None
    if url.scheme not in ("http", "https") or not url.hostname:
        raise InvalidField(parameter, "is not an http or https URL")
    workspace = service == "databricks"
    if url.username is not None or ((url.query or url.fragment) and not workspace):
        raise InvalidField(parameter, "carries more than scheme, host and path: a SAS token has its own field")
    host = url.hostname if workspace and ":" not in url.hostname else _host_of_service(url, service)
    return f"{url.scheme}://{host}{'' if port is None else f':{port}'}{'' if workspace else url.path.rstrip('/')}"


def _host_of_service(url: SplitResult, service: Service) -> str:
    host = url.hostname or ""
    if ":" in host:
        return f"[{host}]"
    # The service stands second, or third behind a DNS zone or "privatelink".
    return re.sub(r"^([^.]+\.(?:z\d+\.|privatelink\.)?)(?:blob|dfs|file)(?=\.[^.]+\.)", rf"\g<1>{service}", host)


def _is_sas(text: str) -> bool:
    return "sig" in parse_qs(text.removeprefix("?"))


def _sas_token(parameter: str, text: str) -> SasToken:
    if not _is_sas(text):
        raise InvalidField(parameter, "holds no SAS token: its signature, 'sig=', is not there")
    return SasToken(text.removeprefix("?"))


def _account_key(parameter: str, text: str) -> AccountKey:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidField(
            parameter, "holds no account key: that would be base64 (a client secret needs a tenant id beside it)"
        ) from None
    return AccountKey(text)


def _authority(cloud_environment: str | None) -> str | None:
    if cloud_environment is None:
        return None
    if cloud_environment not in CLOUDS:
        raise InvalidField("cloud_environment", f"is none of {', '.join(map(repr, CLOUDS))}")
    return CLOUDS[cloud_environment]


def _configured_authority(config: str) -> str | None:
    parameter = "client_secret_auth_config"
    try:
        options = json.loads(config)
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise InvalidField(parameter, "is not a JSON object")
    authority = options.pop("authority", None)
    if options:
        names = ", ".join(map(repr, sorted(options)))
        raise InvalidField(
            parameter, f"may hold 'authority' only, not {names} (a proxy: set HTTPS_PROXY for the worker)"
        )
    if authority is None:
        return None
    host = _host(authority) if isinstance(authority, str) else None
    if host is None:
        raise InvalidField(parameter, "has an 'authority' that is no host name or https URL of one")
    return host


def _login_service(cloud_environment: str | None, authority: str | None) -> str | None:
    """Host of the login service: the one that is given, or else the cloud's."""
    cloud = _authority(cloud_environment)
    if authority is None:
        return cloud
    host = _host(authority)
    if host is None:
        raise InvalidField("authority", "is no host name or https URL of one")
    return host


def _host(authority: str) -> str | None:
    host = re.sub("^https://", "", authority).rstrip("/")
    return host if re.fullmatch(r"[\w.-]+(:\d+)?", host) else None


def _development_storage(service: Service, settings: dict[str, str]) -> Access:
    if service != "blob":
        raise InvalidField("connection_string", f"means development storage, which has no {service} service")
    proxy = settings.get("developmentstorageproxyuri", "http://127.0.0.1").rstrip("/")
    return Access(
        AccountKey(_DEVELOPMENT_KEY), endpoint_from("connection_string", f"{proxy}:10000/devstoreaccount1", service)
    )


def _settings_endpoint(settings: dict[str, str], service: Service) -> str:
    given = settings.get(f"{service}endpoint") or (settings.get("blobendpoint") if service == "dfs" else None)
    if not given:
        account = settings.get("accountname")
        if not account:
            raise InvalidField("connection_string", f"has neither AccountName nor {service.capitalize()}Endpoint")
        protocol = settings.get("defaultendpointsprotocol") or "https"
        given = f"{protocol}://{account}.{service}.{settings.get('endpointsuffix') or 'core.windows.net'}"
    endpoint = endpoint_from("connection_string", given, service)
    if endpoint is None:
        raise InvalidField("connection_string", f"has a {service.capitalize()}Endpoint that is not a URL")
    return endpoint
