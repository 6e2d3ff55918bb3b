"""How to get into a location. No ``repr`` here ever shows a secret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class AccountKey:
    """The shared key of a storage account, base64 text as the portal shows it."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SasToken:
    """A shared access signature: the query string, with or without the leading ``?``."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RenewedSas:
    """A shared access signature that whoever issued it renews.

    :param renew: gives a token that is valid from now on. It is called again when the last one is about to expire, from
        any thread.
    """

    renew: Callable[[], str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServicePrincipal:
    """An application in Microsoft Entra ID with a client secret.

    :param authority: host of the login service in a sovereign cloud, for example ``login.microsoftonline.us``.
    """

    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)
    authority: str | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """An application in Microsoft Entra ID with a certificate; exactly one of ``path`` and ``content`` is given.

    :param path: file on the worker, PEM or PKCS#12, with the private key.
    :param content: the same as bytes.
    :param password: of the private key.
    :param authority: host of the login service in a sovereign cloud.
    """

    tenant_id: str
    client_id: str
    path: str | None = None
    content: bytes | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    authority: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of the machine or pod that runs the task: no secret at all.

    :param kind: ``managed`` (a managed identity), ``workload`` (federated token of a Kubernetes pod), or ``default``
        (azure-identity's DefaultAzureCredential: environment, workload, managed, developer tools, in its order).
    :param client_id: which user-assigned identity; None is the system-assigned one.
    """

    kind: Literal["default", "managed", "workload"] = "default"
    client_id: str | None = None
    tenant_id: str | None = None
    authority: str | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """A user name with a password, as databases take it."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token that somebody else obtained."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DatabricksOAuth:
    """A service principal of Databricks' own, with an OAuth secret that its account console gave out."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Anonymous:
    """No credential: a public container, or a location that needs none."""


Credential = (
    AccountKey
    | SasToken
    | RenewedSas
    | ServicePrincipal
    | Certificate
    | Identity
    | Login
    | AccessToken
    | DatabricksOAuth
    | Anonymous
)
CredentialTypes = tuple[type[Credential], ...]
