"""databricks-sdk's client for calls, isolated: it takes nothing from its surroundings, and leaves patience to us."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn, cast

from airflow_azureml_datastores.errors import MissingExtra
from airflow_azureml_datastores.stores._azure import CONNECTIONS

if TYPE_CHECKING:
    from databricks.sdk.core import ApiClient


class _Impatience(Exception):
    """Raised where databricks-sdk would pause: its error is the context."""


def check_installed() -> None:
    """:raises MissingExtra: databricks-sdk is not there."""
    try:
        found = find_spec("databricks.sdk")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise MissingExtra("datastores of type DBFS", "databricks")


def isolated_client(url: str, token: Callable[[], str], timeout: float, product: tuple[str, str]) -> ApiClient:
    """A client of one workspace, for any number of threads.

    Left to itself it would send the token to where ``DATABRICKS_…`` variables say, ask the host for metadata before the
    first call, and retry for five minutes whatever it is told, but no answer with the status 500.

    :param token: gives a token that is valid now.
    :param timeout: seconds without a connection, or without a byte, after which a call has failed.
    :param product: name and version, for the service's statistics.
    """
    from databricks.sdk.clock import Clock
    from databricks.sdk.core import ApiClient, Config, CredentialsStrategy

    class Impatient(Clock):
        def time(self) -> float:
            return time.time()

        def sleep(self, seconds: float) -> NoReturn:
            raise _Impatience

    class Given(CredentialsStrategy):
        def auth_type(self) -> str:
            return "airflow-connection"

        def __call__(self, cfg: Config) -> Callable[[], dict[str, str]]:
            return lambda: {"Authorization": f"Bearer {token()}"}

    class Isolated(Config):
        def _load_from_env(self) -> None:
            pass

        def _resolve_host_metadata(self) -> None:
            pass

        def wrap_debug_info(self, message: str) -> str:
            return message

    Config.attributes()  # looks for them in the class that is asked first, and finds none in a subclass
    return ApiClient(
        Isolated(
            host=url,
            credentials_strategy=Given(),
            auth_type="airflow-connection",
            profile="",
            product=product[0],
            product_version=product[1],
            clock=Impatient(),
            http_timeout_seconds=timeout,
            debug_headers=False,
            debug_truncate_bytes=96,
            max_connection_pools=CONNECTIONS,
            max_connections_per_pool=CONNECTIONS,
        )
    )


def call(
    client: ApiClient,
    method: str,
    path: str,
    query: Mapping[str, Any] | None,
    body: Mapping[str, Any] | None,
    headers: Iterable[str],
) -> dict[str, Any]:
    """Make a call, once. Raises what databricks-sdk raises, and requests below it."""
    try:
        answer = client.do(
            method,
            path,
            query=dict(query) if query else None,
            body=dict(body) if body is not None else None,
            response_headers=list(headers),
        )
    except _Impatience as paused:
        raise cast("Exception", paused.__context__) from None
    return cast("dict[str, Any]", answer)
