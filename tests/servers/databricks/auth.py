"""Who asks, and what they may: personal access tokens, Databricks' own OAuth, and Microsoft Entra ID.

https://learn.microsoft.com/azure/databricks/dev-tools/auth/
"""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import jwt

from tests.servers.azureml.web import Request, Response
from tests.servers.databricks.errors import invalid_token, permission_denied, unauthenticated

if TYPE_CHECKING:
    from tests.servers.azureml.entra import Entra

RESOURCE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"
"""The application of Azure Databricks, the audience of its tokens, the same in every tenant and cloud."""

READ, WRITE = "READ VOLUME", "WRITE VOLUME"


@dataclass(frozen=True)
class User:
    """A user or service principal of the workspace.

    :param privileges: on volumes; DBFS asks for none.
    """

    name: str
    how: str
    privileges: frozenset[str] = frozenset((READ, WRITE))

    def check(self, privilege: str, volume: str) -> None:
        if privilege not in self.privileges:
            raise permission_denied(privilege, "Volume", volume)


@dataclass
class Guard:
    """:ivar clients: of Databricks' OAuth: client id -> secret.
    :ivar denied: object ids of Entra's principals that are no members of the workspace.
    :ivar lifetime: seconds for which tokens of Databricks' OAuth are good.
    """

    issuers: list[Entra] = field(default_factory=list)
    tokens: dict[str, User] = field(default_factory=dict, repr=False)
    clients: dict[str, str] = field(default_factory=dict, repr=False)
    denied: set[str] = field(default_factory=set)
    lifetime: int = 3600

    def __post_init__(self) -> None:
        self._expiry: dict[str, float] = {}
        self._lock = threading.Lock()

    def new_token(self, *privileges: str) -> str:
        """A personal access token of a user who has these privileges on all volumes; none named is all."""
        token = f"dapi{secrets.token_hex(16)}"
        self.tokens[token] = User("user", "pat", frozenset(privileges or (READ, WRITE)))
        return token

    def check(self, request: Request) -> User:
        """:raises Refusal:"""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise unauthenticated()
        with self._lock:
            user = self.tokens.get(token)
            if user is not None and time.time() >= self._expiry.get(token, float("inf")):
                raise invalid_token()
        return user or self._entra_user(token)

    def grant(self, request: Request) -> Response:
        """The token endpoint: https://docs.databricks.com/dev-tools/auth/oauth-m2m (client credentials)."""
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        if form.get("grant_type") != "client_credentials" or form.get("scope") != "all-apis":
            return Response(400, {"error": "invalid_request", "error_description": "Unsupported grant or scope."})
        client, secret = _basic(request.headers.get("Authorization", ""))
        expected = self.clients.get(client, "")
        if not expected or not secrets.compare_digest(secret.encode(), expected.encode()):
            told = {"error": "invalid_client", "error_description": "Client authentication failed"}
            return Response(401, told)
        token = f"eyJ{secrets.token_urlsafe(32)}"
        with self._lock:
            self.tokens[token] = User(client, "oauth")
            self._expiry[token] = time.time() + self.lifetime
        return Response(
            200, {"access_token": token, "scope": "all-apis", "token_type": "Bearer", "expires_in": self.lifetime}
        )

    def _entra_user(self, token: str) -> User:
        for entra in self.issuers:
            try:
                principal, audience = entra.verify(token)
            except (jwt.PyJWTError, KeyError):
                continue
            if audience == RESOURCE and principal.object_id not in self.denied:
                return User(principal.client_id, "entra")
        raise invalid_token()


def _basic(header: str) -> tuple[str, str]:
    """User and password of Basic authentication; empty if there is none."""
    try:
        user, _, password = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
