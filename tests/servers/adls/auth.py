"""Who may do what: account keys, shared access signatures, and Entra ID's tokens.

The strings that are signed are those of
https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key, and of create-account-sas,
create-service-sas and create-user-delegation-sas beside it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, unquote, urlsplit

import jwt
from azure.storage.blob._shared.authentication import _storage_header_sort

from tests.servers.adls.errors import StorageError
from tests.servers.adls.model import Account
from tests.servers.azureml.entra import Entra, Principal
from tests.servers.azureml.web import Request

AUDIENCE = "https://storage.azure.com"
_SIGNED_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


def _hmac(key: str | bytes, text: str) -> str:
    secret = base64.b64decode(key) if isinstance(key, str) else key
    return base64.b64encode(hmac.new(secret, text.encode(), hashlib.sha256).digest()).decode()


def _matches(key: str | bytes, text: str, signature: str) -> bool:
    return hmac.compare_digest(_hmac(key, text), signature)


def _failed(detail: str) -> StorageError:
    return StorageError("AuthenticationFailed", detail=detail)


def delegation_key(account: Account, signed: Mapping[str, str]) -> str:
    """The key of a user delegation SAS, which nothing has to be kept for.

    :param signed: the fields ``skoid``, ``sktid``, ``skt``, ``ske``, ``sks`` and ``skv``.
    """
    fields = "\n".join(signed.get(name, "") for name in ("skoid", "sktid", "skt", "ske", "sks", "skv"))
    return _hmac(account.delegation_secret, fields)


class Gate:
    """Checks requests against an account.

    :param entras: those whose tokens are taken.
    """

    def __init__(self, entras: Iterable[Entra]) -> None:
        self.entras = list(entras)

    def check(self, request: Request, account: Account, container: str, path: str, needs: str) -> Principal | str:
        """By what the request is authorized: ``key``, ``sas``, or whose token it has.

        :param needs: the permissions of which a SAS must have one.
        :raises StorageError: it is not.
        """
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if "sig" in request.query and not account.onelake:
            check_sas(request.query, account, container, path, needs, secure=request.base.startswith("https"))
            return "sas"
        if kind == "SharedKey" and not account.onelake:
            _check_shared_key(request, account, value)
            return "key"
        if kind == "Bearer":
            return self._check_token(request, account, value)
        raise self._challenge("NoAuthenticationInformation" if not kind else "InvalidAuthenticationInfo")

    def _check_token(self, request: Request, account: Account, token: str) -> Principal:
        if not request.base.startswith("https"):
            raise StorageError(
                "AuthenticationFailed", detail="Authentication scheme Bearer is not supported over http."
            )
        for entra in self.entras:
            try:
                principal, audience = entra.verify(token)
            except jwt.ExpiredSignatureError:
                raise self._challenge(
                    "InvalidAuthenticationInfo", "Lifetime validation failed. The token is expired."
                ) from None
            except (jwt.PyJWTError, KeyError):
                continue
            own = f"https://{account.name}.{{}}.core.windows.net"
            if audience.rstrip("/") not in (AUDIENCE, own.format("blob"), own.format("dfs")):
                raise self._challenge(
                    "InvalidAuthenticationInfo", "Audience validation failed. Audience did not match."
                )
            if principal.client_id in account.denied:
                raise StorageError("AuthorizationPermissionMismatch")
            return principal
        raise self._challenge("InvalidAuthenticationInfo", "Signature validation failed.")

    def _challenge(self, code: str, detail: str = "") -> StorageError:
        tenant = self.entras[0].tenant
        login = f"https://login.microsoftonline.com/{tenant}/oauth2/authorize"
        return StorageError(
            code,
            detail=detail,
            headers={"WWW-Authenticate": f"Bearer authorization_uri={login} resource_id={AUDIENCE}"},
        )


def _check_shared_key(request: Request, account: Account, value: str) -> None:
    headers = {name.lower(): text for name, text in request.headers.items()}
    named, _, signature = value.partition(":")
    if named != account.name:
        raise _failed(f"The account {named} is not that of the address.")
    if headers.get("content-length") == "0":
        del headers["content-length"]
    if "x-ms-date" in headers:
        headers.pop("date", None)
    lines = [request.method, *(headers.get(name, "") for name in _SIGNED_HEADERS)]
    own = _storage_header_sort([(name, text) for name, text in headers.items() if name.startswith("x-ms-")])
    lines += [f"{name}:{text}" for name, text in own]
    lines.append(f"/{account.name}{request.path}")
    lines += [f"{name}:{text}" for name, text in sorted((name.lower(), text) for name, text in request.query.items())]
    if not _matches(account.key, "\n".join(lines), signature):
        raise _failed(f"The MAC signature found in the HTTP request is not the same as any computed signature. {lines}")
    date = headers.get("x-ms-date") or request.headers.get("Date")
    if not date or abs(time.time() - parsedate_to_datetime(date).timestamp()) > 900:
        raise _failed("Request date header not specified, or too old.")


def check_sas(
    query: Mapping[str, str], account: Account, container: str, path: str, needs: str, *, secure: bool
) -> None:
    """Check a shared access signature of any kind. :raises StorageError: it does not allow this."""
    if "ss" in query:
        _check_account_sas(query, account, container, path)
    else:
        _check_service_sas(query, account, container, path)
    now = datetime.now(UTC)
    start, end = query.get("st"), query.get("se")
    if not end or _time(end) < now or (start and _time(start) > now):
        raise _failed(
            f"Signature not valid in the specified time frame: Start [{start}] - Expiry [{end}] - Current [{now}]"
        )
    if query.get("spr") == "https" and not secure:
        raise StorageError("AuthorizationProtocolMismatch")
    if not set(needs) & set(query.get("sp", "")):
        raise StorageError("AuthorizationPermissionMismatch")


def source_query(request: Request) -> tuple[str, Mapping[str, str]]:
    """The source of a rename, decoded, and the SAS that opens it: its own, or that of the request."""
    parts = urlsplit(request.headers["x-ms-rename-source"])
    return unquote(parts.path).strip("/"), dict(parse_qsl(parts.query)) or request.query


def _check_account_sas(query: Mapping[str, str], account: Account, container: str, path: str) -> None:
    names = ["sp", "ss", "srt", "st", "se", "sip", "spr", "sv"]
    if query.get("sv", "") >= "2020-12-06":
        names.append("ses")
    text = "\n".join([account.name, *(query.get(name, "") for name in names), ""])
    if not _matches(account.key, text, query["sig"]):
        raise _failed("Signature did not match.")
    if "b" not in query["ss"]:
        raise StorageError("AuthorizationServiceMismatch")
    if ("o" if path else "c" if container else "s") not in query.get("srt", ""):
        raise StorageError("AuthorizationResourceTypeMismatch")


def _check_service_sas(query: Mapping[str, str], account: Account, container: str, path: str) -> None:
    kind = query.get("sr", "")
    if kind == "d":
        depth = int(query.get("sdd", "0"))
        path = "/".join(path.split("/")[:depth]) if depth else ""
    signed = f"/blob/{account.name}/{container}" + (f"/{path}" if kind in ("b", "d") else "")
    delegated = "skoid" in query
    names = ["si"]
    if delegated:
        names = ["skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid"]
        if query.get("sv", "") >= "2025-07-05":
            names += ["skdutid", "sduoid"]
    names += ["sip", "spr", "sv", "sr", "snapshot"]
    if query.get("sv", "") >= "2020-12-06":
        names.append("ses")
    overrides = ["rscc", "rscd", "rsce", "rscl", "rsct"]
    fields = [query.get("sp", ""), query.get("st", ""), query.get("se", ""), signed]
    fields += [query.get(name, "") for name in names]
    if delegated and query.get("sv", "") >= "2026-04-06":
        fields += ["", ""]  # headers and queries that the request would have to have
    fields += [query.get(name, "") for name in overrides]
    key = delegation_key(account, query) if delegated else account.key
    if kind not in ("b", "c", "d") or not container or not _matches(key, "\n".join(fields), query["sig"]):
        raise _failed("Signature did not match.")
    if delegated and _time(query["ske"]) < datetime.now(UTC):
        raise _failed("The user delegation key has expired.")


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
