"""Who may do what: account keys, shared access signatures and tokens.

https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key,
https://learn.microsoft.com/rest/api/storageservices/create-account-sas, …/create-service-sas and
https://learn.microsoft.com/azure/storage/files/authorize-oauth-rest
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import jwt

from tests.servers.azurefiles.web import Refusal, missing

if TYPE_CHECKING:
    from tests.servers.azureml.entra import Entra
    from tests.servers.azureml.web import Request

AUDIENCE = "https://storage.azure.com"

_SIGNED = [
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
]
_ACCOUNT_SAS = ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv")
_MAX_SKEW = 15 * 60


@dataclass(frozen=True)
class Need:
    """What a call asks for.

    :param level: ``s``, ``c`` or ``o`` as in an account SAS: the service, a share, a file or directory.
    :param permissions: letters of which a SAS must have one.
    :param share: "" for the account.
    """

    level: str
    permissions: str
    share: str = ""
    path: str = ""


@dataclass
class Guard:
    """Knows the keys and who signs tokens.

    :param keys: of the account, base64; either one will do.
    :param denied: object ids of principals that have no role here.
    """

    account: str
    keys: list[str] = field(repr=False)
    issuers: list[Entra] = field(default_factory=list)
    denied: set[str] = field(default_factory=set)

    def check(self, request: Request, need: Need) -> str:
        """How the request was authorized: ``key``, ``sas`` or ``token``. :raises Refusal:"""
        given = request.headers.get("Authorization", "")
        scheme, _, value = given.partition(" ")
        if not given and "sig" in request.query:
            self.check_sas(request.query, request.base.startswith("https:"), need)
            return "sas"
        if scheme == "SharedKey":
            self._check_key(request, value)
            return "key"
        if scheme == "Bearer":
            if not request.base.startswith("https:"):
                raise Refusal(403, "AuthenticationFailed", detail("Authentication scheme Bearer needs https."))
            self.check_token(value)
            if request.headers.get("x-ms-file-request-intent", "").lower() != "backup":
                raise missing("x-ms-file-request-intent")
            return "token"
        raise Refusal(401, "NoAuthenticationInformation", headers=challenge())

    def check_token(self, token: str) -> None:
        for entra in self.issuers:
            try:
                principal, audience = entra.verify(token)
            except (jwt.PyJWTError, KeyError) as error:
                reason = "Lifetime" if isinstance(error, jwt.ExpiredSignatureError) else "Signature"
                continue
            if audience.rstrip("/") not in (AUDIENCE, f"https://{self.account}.file.core.windows.net"):
                reason = "Audience"
                continue
            if principal.object_id in self.denied:
                raise Refusal(403, "AuthorizationPermissionMismatch")
            return
        raise Refusal(
            401,
            "InvalidAuthenticationInfo",
            detail(f"{reason} validation failed."),
            headers=challenge(),
            AuthenticationErrorDetail=f"{reason} validation failed.",
        )

    def check_sas(self, query: Mapping[str, str], https: bool, need: Need) -> None:
        """Signature, times, protocol, then what it is for. :raises Refusal:"""
        resource = self._check_signature(query, need)
        now = datetime.now(UTC)
        if "se" not in query or now >= _moment(query["se"]) or ("st" in query and now < _moment(query["st"])):
            raise failed("Signed expiry time has to be after current time, signed start time before it.")
        if query.get("spr", "https,http") == "https" and not https:
            raise Refusal(403, "AuthorizationProtocolMismatch")
        if resource == "account":
            if "f" not in query["ss"]:
                raise Refusal(403, "AuthorizationServiceMismatch")
            if need.level not in query["srt"]:
                raise Refusal(403, "AuthorizationResourceTypeMismatch")
        elif need.level != "o":
            raise Refusal(403, "AuthorizationPermissionMismatch")  # shares themselves ask for an account's SAS
        if not set(query.get("sp", "")) & set(need.permissions):
            raise Refusal(403, "AuthorizationPermissionMismatch")

    def _check_signature(self, query: Mapping[str, str], need: Need) -> str:
        if "ss" in query:
            text = "\n".join([self.account, *(query.get(name, "") for name in _ACCOUNT_SAS), "", ""])
            resource = "account"
        else:
            resource = query.get("sr", "")
            paths = {"s": f"/file/{self.account}/{need.share}", "f": f"/file/{self.account}/{need.share}/{need.path}"}
            if resource not in paths:
                raise failed("sr is mandatory. Cannot be empty")
            before = [query.get(name, "") for name in ("sp", "st", "se")]
            after = [query.get(name, "") for name in ("si", "sip", "spr", "sv", "rscc", "rscd", "rsce", "rscl", "rsct")]
            text = "\n".join([*before, paths[resource], *after])
        if not self._signed_by_a_key(text, query["sig"]):
            raise failed("Signature did not match.")
        return resource

    def _check_key(self, request: Request, value: str) -> None:
        account, _, signature = value.partition(":")
        headers = {name.lower(): text for name, text in request.headers.items()}
        at = headers.get("x-ms-date") or headers.get("date")
        if not at:
            raise failed("Either the x-ms-date or the Date header is needed.")
        if abs((datetime.now(UTC) - parsedate_to_datetime(at)).total_seconds()) > _MAX_SKEW:
            raise failed(f"Request date header too old: '{at}'")
        if account != self.account or not any(
            self._signed_by_a_key(string_to_sign(request, self.account, headers, order), signature)
            for order in (_plain, _hyphenless)
        ):
            raise failed("The MAC signature found in the HTTP request is not the same as any computed signature.")

    def _signed_by_a_key(self, text: str, signature: str) -> bool:
        return any(hmac.compare_digest(sign(key, text).encode(), signature.encode()) for key in self.keys)


def sign(key: str, text: str) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), hashlib.sha256)).decode()


def string_to_sign(
    request: Request, account: str, headers: Mapping[str, str], order: Callable[[str], tuple[str, str]]
) -> str:
    slots = {name: headers.get(name, "") for name in _SIGNED}
    if slots["content-length"] == "0":
        slots["content-length"] = ""
    if "x-ms-date" in headers:
        slots["date"] = ""
    own = "".join(
        f"{name}:{headers[name].strip()}\n" for name in sorted(headers, key=order) if name.startswith("x-ms-")
    )
    path = request.target.partition("?")[0]
    query = "".join(f"\n{name.lower()}:{value}" for name, value in sorted(request.query.items()))
    return "\n".join([request.method, *slots.values(), own]) + f"/{account}{path}{query}"


def _plain(name: str) -> tuple[str, str]:
    return name, ""


def _hyphenless(name: str) -> tuple[str, str]:
    """Nearly as the service and Microsoft's Python clients collate: a hyphen only counts where all else is equal."""
    return name.replace("-", ""), name


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise failed(f"'{text}' is no time.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def detail(text: str) -> str:
    return f"Server failed to authenticate the request. {text}"


def failed(text: str) -> Refusal:
    return Refusal(403, "AuthenticationFailed", AuthenticationErrorDetail=text)


def challenge() -> dict[str, str]:
    login = "https://login.microsoftonline.com/common/oauth2/authorize"
    return {"WWW-Authenticate": f"Bearer authorization_uri={login} resource_id={AUDIENCE}"}
