"""A shared access signature that changes while it is used."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from airflow_azureml_datastores.core.credentials import RenewedSas
from airflow_azureml_datastores.errors import DatastoresError, InvalidConnection

if TYPE_CHECKING:
    from azure.core.pipeline.transport import RequestsTransport

_EARLY = 300.0
"""Seconds before its expiry at which a token is renewed; a tenth of its life if that is less."""
_DOUBT = 60.0
"""Seconds for which a new token that is refused is not renewed: the reason will be another one."""
_PAUSE = 10.0
"""Seconds for which a renewal that has failed is not tried again."""

_RENAMED = "x-ms-file-rename-source"
"""The header with the URL of a file that is to be renamed, which has to be signed as that of the request is."""

_REFUSED = ("AuthenticationFailed", "AuthorizationFailure")
"""The service's and Azurite's word for a token that has expired, or was signed with a key that is no longer there."""


def expiry_of(sas_token: str) -> datetime | None:
    """When a token expires; None if it does not say.

    https://learn.microsoft.com/rest/api/storageservices/create-service-sas#specify-the-signature-validity-interval
    """
    try:
        moment = datetime.fromisoformat(dict(parse_qsl(sas_token)).get("se", ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def tidy_sas(sas_token: str) -> str:
    """:raises InvalidConnection: it is not complete."""
    tidy = sas_token.strip().lstrip("?")
    if "sig" not in dict(parse_qsl(tidy)):
        raise InvalidConnection("the SAS token has no signature ('sig='), so it cannot be complete.")
    return tidy


class CurrentSas:
    """The token of a :class:`RenewedSas` that is valid now, for any number of threads; one of them renews.

    :param clock: seconds since the epoch.
    """

    def __init__(self, credential: RenewedSas, clock: Callable[[], float] = time.time) -> None:
        self._renew, self._clock = credential.renew, clock
        self._turn = threading.Lock()
        self._token: str | None = None
        self._renew_at = self._doubt_until = -math.inf
        self._failure: DatastoresError | None = None
        self._failed_at = -math.inf

    def token(self) -> str:
        """:raises DatastoresError: it could not be renewed."""
        with self._turn:
            if self._token is None or self._clock() >= self._renew_at:
                return self._get()
            return self._token

    def after_refusal(self, refused: str) -> str | None:
        """Another token than one that the service has refused; None if that would not help.

        So a clock that is wrong here, or a key that has been rotated, costs one request more.
        """
        with self._turn:
            if self._token == refused and self._clock() < self._doubt_until:
                return None
            found = self._get() if self._token == refused or self._token is None else self._token
            return None if found == refused else found

    def _get(self) -> str:
        if self._failure is not None and self._clock() < self._failed_at + _PAUSE:
            raise copy.copy(self._failure)
        try:
            token = tidy_sas(self._renew())
        except DatastoresError as error:
            self._failure, self._failed_at = error, self._clock()
            raise
        now, until = self._clock(), expiry_of(token)
        # A token that is over on arrival tells that the clocks differ: then only the service knows.
        life = until.timestamp() - now if until else 0
        self._renew_at = now + life - min(_EARLY, life / 10) if life > 0 else math.inf
        self._doubt_until = now + (min(_DOUBT, life / 10) if life > 0 else _DOUBT)
        self._token, self._failure = token, None
        return token


def sas_transport(sas: CurrentSas, **options: Any) -> RequestsTransport:
    """azure-core's transport, which signs each attempt with the token of that moment.

    No policy of the SDK's can do that: each adds the token to the URL once, and a retry goes with the old one.

    :param options: of azure-core's RequestsTransport.
    """
    from azure.core.pipeline.transport import RequestsTransport

    class SasTransport(RequestsTransport):  # type: ignore[misc]
        def send(self, request: Any, **kwargs: Any) -> Any:
            token = sas.token()
            with _signed(request, token):
                response = super().send(request, **kwargs)
            if response.headers.get("x-ms-error-code") not in _REFUSED:
                return response
            other = sas.after_refusal(token)
            if other is None or not _rewound(request):
                return response
            response.internal_response.close()
            with _signed(request, other):
                return super().send(request, **kwargs)

    return SasTransport(**options)


@contextmanager
def _signed(request: Any, token: str) -> Iterator[None]:
    """Let the request be one with the token, until it has been sent."""
    url, renamed = request.url, request.headers.get(_RENAMED)
    try:
        request.url = _with(url, token)
        if renamed:
            request.headers[_RENAMED] = _with(renamed, token)
        yield
    finally:
        request.url = url
        if renamed:
            request.headers[_RENAMED] = renamed


def _with(url: str, token: str) -> str:
    return f"{url.rstrip('?')}{'&' if urlsplit(url).query else '?'}{token}"


def _rewound(request: Any) -> bool:
    """Whether the body, which has been sent, can be sent again. All bodies of ours can: they are bytes."""
    return isinstance(request.data or b"", bytes | str) and not getattr(request, "files", None)
