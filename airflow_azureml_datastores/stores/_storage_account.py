"""Locations in a storage account: what its types share, whichever of the account's services they are of."""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit, urlunsplit

from airflow_azureml_datastores.core.arm import ArmDatastore, ArmForm
from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Anonymous,
    Certificate,
    CredentialTypes,
    Identity,
    RenewedSas,
    SasToken,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.errors import InvalidConnection, InvalidInput, InvalidName, Unsupported

PUBLIC = "core.windows.net"
"""Domain of Azure's public cloud."""

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*", re.IGNORECASE)
_SERVICE = re.compile(r"([^.]+\.(?:[^.]+\.)?)(blob|dfs|file)\.(.+)")

# Fields that may be left to the workspace -> what ARM calls them.
_OF_WORKSPACE = {
    "subscription_id": "subscriptionId",
    "resource_group": "resourceGroup",
    "service_data_access_auth_identity": "serviceDataAccessAuthIdentity",
}
_NOT_OF_ACCOUNT = ("service_data_access_auth_identity",)


class StorageAccountLocation(Location):
    """Base of the locations that are a container (share, filesystem) of a storage account.

    A subclass is a frozen dataclass with the fields that are annotated here and one for the container.
    """

    container_field: ClassVar[str]
    """The name of the field that says which container."""
    takes: ClassVar[CredentialTypes] = (
        AccountKey,
        SasToken,
        RenewedSas,
        ServicePrincipal,
        Certificate,
        Identity,
        AccessToken,
        Anonymous,
    )

    account_name: str
    endpoint: str
    protocol: str
    subscription_id: str | None
    resource_group: str | None
    service_data_access_auth_identity: str | None

    @abstractmethod
    def check_container(self) -> None:
        """:raises InvalidName: no container can be called so."""

    @property
    def container(self) -> str:
        """The container, whatever its type calls it."""
        name: str = getattr(self, self.container_field)
        return name

    def check(self) -> None:
        self.check_container()
        for field in _OF_WORKSPACE:
            if getattr(self, field) is not None and not isinstance(getattr(self, field), str):
                raise InvalidInput(f"the {field} of a datastore is a text, not {getattr(self, field)!r}.")
        if self._has_url:
            parts = urlsplit(self.endpoint)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
                raise InvalidName(
                    f"the endpoint of an {self.type} is a domain, or an http(s) URL without query and user."
                )
            if not self.account_name:
                raise InvalidName(f"an {self.type} needs the name of its storage account.")
            return
        check_account_name(self.account_name)
        if not _HOST.fullmatch(self.endpoint):
            raise InvalidName(f"{self.endpoint!r} is neither a domain such as {PUBLIC!r} nor a URL.")
        if self.protocol not in ("https", "http"):
            raise InvalidName(f"the protocol of an {self.type} is 'https' or 'http', not {self.protocol!r}.")

    @classmethod
    def default_endpoint(cls) -> str:
        return f"`https://<account>.{cls.service}.{PUBLIC}`"

    def redirected(self, endpoint: str) -> Self:
        """:raises InvalidConnection: the endpoint is another account's, so that its credential would not fit."""
        account = account_of(endpoint)
        if account not in (None, self.account_name):
            raise InvalidConnection(
                f"the connection is for the storage account {account!r}, but the datastore is in "
                f"{self.account_name!r}: name another connection, or register the datastore with the other account."
            )
        return replace(self, **{"endpoint": endpoint})

    def completed(self, registered: Location) -> Self:
        if not isinstance(registered, type(self)):
            return self
        names = _OF_WORKSPACE if registered.account_name == self.account_name else _NOT_OF_ACCOUNT
        return replace(self, **{name: getattr(registered, name) for name in names if getattr(self, name) is None})

    def to_arm(self) -> ArmDatastore:
        """ARM's ``endpoint`` is a domain; a URL stands beside it, and is what counts here."""
        properties = {
            "accountName": self.account_name,
            _camel(self.container_field): self.container,
            "protocol": self.protocol,
            "endpoint": domain_of(self.endpoint) if self._has_url else self.endpoint,
        }
        properties |= {
            arm: value for field, arm in _OF_WORKSPACE.items() if (value := getattr(self, field)) is not None
        }
        return ArmDatastore(properties, {"endpoint": self.endpoint} if self._has_url else {})

    @classmethod
    def from_arm(cls, form: ArmForm) -> Self:
        if not isinstance(form, ArmDatastore):
            raise Unsupported(f"an {cls.type} is a datastore of an Azure ML workspace, and no connection.")
        given = dict(form.properties)
        given["endpoint"] = form.ours.get("endpoint") or given.get("endpoint") or PUBLIC
        given["protocol"] = given.get("protocol") or "https"
        values: dict[str, Any] = {}
        for field in ("account_name", cls.container_field, "endpoint", "protocol"):
            values[field] = given.get(_camel(field))
            if not isinstance(values[field], str):
                raise InvalidInput(f"the {_camel(field)} of an {cls.type} is a text, not {values[field]!r}.")
        return cls(**values, **{field: given.get(arm) for field, arm in _OF_WORKSPACE.items()})

    @property
    def account_url(self) -> str:
        """URL of the account's service, without a trailing slash."""
        if self._has_url:
            return self.endpoint.rstrip("/")
        return f"{self.protocol}://{self.account_name}.{self.service}.{self.endpoint}"

    @property
    def url(self) -> str:
        return f"{self.account_url}/{self.container}"

    @property
    def _has_url(self) -> bool:
        return "://" in self.endpoint


def check_account_name(name: str) -> None:
    """:raises InvalidName: no storage account can have this name."""
    if not isinstance(name, str) or not _ACCOUNT.fullmatch(name):
        raise InvalidName(f"{name!r} is no storage account name: 3 to 24 lowercase letters and digits.")


def account_of(url: str) -> str | None:
    """The storage account that a service's URL is of; None where it doesn't say, as with a custom domain.

    It is the host's first label (``contoso.blob.core.windows.net``), or the path's first segment where the host is an
    address, as emulators have it (``http://127.0.0.1:10000/devstoreaccount1``).
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _SERVICE.fullmatch(host):
        return host.partition(".")[0].removesuffix("-secondary")
    if host == "localhost" or re.fullmatch(r"[\d.]+|[\da-f:]*:[\da-f:]*", host):
        return parts.path.strip("/").partition("/")[0] or None
    return None


def domain_of(url: str) -> str:
    """The cloud's domain in a service's URL; that of the public cloud where the URL doesn't say."""
    found = _SERVICE.fullmatch(urlsplit(url).hostname or "")
    return found[3] if found else PUBLIC


def url_of_service(url: str, service: str) -> str:
    """The URL of another service of the same account; the same one where the host does not say which it is of."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=_SERVICE.sub(rf"\g<1>{service}.\g<3>", parts.netloc)))


def _camel(field: str) -> str:
    first, *others = field.split("_")
    return first + "".join(word.capitalize() for word in others)
