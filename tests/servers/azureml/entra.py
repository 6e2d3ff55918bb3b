"""Microsoft Entra ID, as far as applications and managed identities get tokens from it.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow and, for managed identities,
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

from __future__ import annotations

import base64
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes

GRANT = "client_credentials"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass
class Principal:
    """An application, or a managed identity, that may get tokens.

    :param secret: of the application; "" if it has none.
    :param expired: whether its secret is past its end.
    :param certificate: the PEM of a certificate that it may sign with.
    :param federated: a token that another identity provider gives it, for workload identity.
    :param managed: whether the managed identity endpoint gives its tokens.
    """

    name: str
    tenant: str
    client_id: str = field(default_factory=lambda: str(uuid4()))
    object_id: str = field(default_factory=lambda: str(uuid4()))
    secret: str = field(default="", repr=False)
    expired: bool = False
    certificate: bytes = field(default=b"", repr=False)
    federated: str = field(default="", repr=False)
    managed: bool = False


class TokenRefused(Exception):
    """An answer of the token endpoint that is an error."""

    def __init__(self, status: int, error: str, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.code = code
        self.message = message

    def body(self) -> dict[str, Any]:
        at = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
        trace, correlation = str(uuid4()), str(uuid4())
        return {
            "error": self.error,
            "error_description": (
                f"AADSTS{self.code}: {self.message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {at}"
            ),
            "error_codes": [self.code],
            "timestamp": at,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.code}",
        }


class Entra:
    """Tenants, who is in them, and tokens.

    :param header: the value of ``IDENTITY_HEADER`` that the managed identity endpoint asks for.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._principals: dict[str, Principal] = {}
        self.tenant = str(uuid4())
        self.tenants = {self.tenant}
        self.header = secrets.token_hex(16)
        self.tester = self.register("tester", secret=secrets.token_urlsafe(24))

    def register(self, name: str, *, tenant: str = "", **fields: Any) -> Principal:
        """A new application or managed identity; see :class:`Principal`."""
        principal = Principal(name, tenant or self.tenant, **fields)
        with self._lock:
            self.tenants.add(principal.tenant)
            self._principals[principal.client_id] = principal
        return principal

    def token(self, principal: Principal, audience: str, expires_in: float = 3600) -> str:
        """A token, signed so that only this server's own are taken."""
        at = int(time.time())
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{principal.tenant}/",
            "iat": at - 5,
            "nbf": at - 5,
            "exp": int(time.time() + expires_in),
            "appid": principal.client_id,
            "oid": principal.object_id,
            "tid": principal.tenant,
            "uti": secrets.token_hex(8),
        }
        return jwt.encode(claims, self._key, algorithm="HS256")

    def verify(self, token: str) -> tuple[Principal, str]:
        """Whose token it is, and for what. :raises jwt.PyJWTError: it is not one of ours, or has expired."""
        claims = jwt.decode(token, self._key, algorithms=["HS256"], options={"verify_aud": False})
        return self._principals[claims["appid"]], claims["aud"]

    def openid(self, base: str, tenant: str) -> dict[str, Any]:
        """What a tenant tells of itself. :raises TokenRefused: there is no such tenant."""
        self._check_tenant(tenant)
        return {
            "issuer": f"{base}/{tenant}/v2.0",
            "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/devicecode",
            "jwks_uri": f"{base}/{tenant}/discovery/v2.0/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "response_types_supported": ["code"],
            "tenant_region_scope": "EU",
        }

    def instances(self, base: str, endpoint: str) -> dict[str, Any]:
        """The answer to instance discovery, which clients ask of hosts they do not know."""
        host = urlsplit(base).netloc
        tenant = urlsplit(endpoint).path.strip("/").partition("/")[0]
        return {
            "tenant_discovery_endpoint": f"{base}/{tenant}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        }

    def grant(self, base: str, tenant: str, content: bytes) -> dict[str, Any]:
        """The token endpoint. :raises TokenRefused:"""
        self._check_tenant(tenant)
        form = {name: values[0] for name, values in parse_qs(content.decode()).items()}
        if form.get("grant_type") != GRANT:
            raise TokenRefused(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        client = form.get("client_id", "")
        principal = self._principals.get(client)
        if principal is None or principal.tenant != tenant:
            raise TokenRefused(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if "
                f"the application has not been installed by the administrator of the tenant or consented to by any "
                f"user in the tenant. You may have sent your authentication request to the wrong tenant.",
            )
        self._check_proof(principal, form, f"{base}/{tenant}/oauth2/v2.0/token")
        audience = form.get("scope", "").split()[0].removesuffix("/.default").rstrip("/")
        return {
            "token_type": "Bearer",
            "expires_in": 3599,
            "ext_expires_in": 3599,
            "access_token": self.token(principal, audience),
        }

    def managed(self, query: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """The managed identity endpoint of App Service: status and answer."""
        if headers.get("X-IDENTITY-HEADER") != self.header:
            return 401, {"statusCode": 401, "message": "The X-IDENTITY-HEADER is missing or wrong."}
        client = query.get("client_id") or query.get("clientid")
        for principal in list(self._principals.values()):
            if principal.managed and client in (None, principal.client_id):
                resource = query.get("resource", "").rstrip("/")
                return 200, {
                    "access_token": self.token(principal, resource),
                    "client_id": principal.client_id,
                    "expires_on": str(int(time.time() + 3600)),
                    "resource": resource,
                    "token_type": "Bearer",
                }
        told = "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."
        return 400, {"statusCode": 400, "message": told, "correlationId": str(uuid4())}

    def _check_tenant(self, tenant: str) -> None:
        if tenant not in self.tenants:
            raise TokenRefused(
                400,
                "invalid_tenant",
                90002,
                f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into "
                f"the correct cloud. Check with your subscription administrator, this may happen if there are no "
                f"active subscriptions for the tenant.",
            )

    def _check_proof(self, principal: Principal, form: Mapping[str, str], endpoint: str) -> None:
        if "client_assertion" in form:
            return self._check_assertion(principal, form, endpoint)
        given = form.get("client_secret", "")
        if not principal.secret or not secrets.compare_digest(given, principal.secret):
            raise TokenRefused(
                401,
                "invalid_client",
                7000215,
                f"Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                f"value, not the client secret ID, for a secret added to app '{principal.client_id}'.",
            )
        if principal.expired:
            raise TokenRefused(
                401,
                "invalid_client",
                7000222,
                f"The provided client secret keys for app '{principal.client_id}' are expired. Visit the Azure portal "
                f"to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate "
                f"credentials for added security: https://aka.ms/certCreds.",
            )
        return None

    def _check_assertion(self, principal: Principal, form: Mapping[str, str], endpoint: str) -> None:
        if form.get("client_assertion_type") != ASSERTION:
            raise TokenRefused(400, "invalid_request", 900144, "The client_assertion_type is missing or wrong.")
        assertion = form["client_assertion"]
        if principal.federated and secrets.compare_digest(assertion, principal.federated):
            return
        if not principal.certificate:
            raise TokenRefused(
                401,
                "invalid_client",
                700213 if principal.federated else 700027,
                f"No matching federated identity record, and no certificate, is there for app '{principal.client_id}'.",
            )
        certificate = x509.load_pem_x509_certificate(principal.certificate)
        try:
            header = jwt.get_unverified_header(assertion)
            claims = jwt.decode(
                assertion,
                certificate.public_key(),  # type: ignore[arg-type]
                algorithms=["RS256", "PS256"],
                audience=endpoint,
                options={"require": ["aud", "exp", "iss", "sub", "jti"]},
            )
        except jwt.PyJWTError as error:
            raise TokenRefused(
                401,
                "invalid_client",
                700027,
                f"The certificate with identifier used to sign the client assertion is "
                f"not registered on application, or the assertion is invalid: {error}.",
            ) from None
        thumbprints = {
            base64.urlsafe_b64encode(certificate.fingerprint(kind)).decode().rstrip("=")
            for kind in (hashes.SHA1(), hashes.SHA256())
        }
        told = {header.get("x5t", "").rstrip("="), header.get("x5t#S256", "").rstrip("=")} - {""}
        if claims["sub"] != principal.client_id or not told <= thumbprints:
            raise TokenRefused(401, "invalid_client", 700027, "The client assertion is for another application or key.")
