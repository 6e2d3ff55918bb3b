"""A stand-in for a Databricks workspace on the wire: the Files API, the DBFS API, and what they need.

It knows what https://docs.databricks.com/api/azure/workspace, databricks-sdk and databricks/cli say of the service.
Nothing of it has been compared with Databricks itself; where a rule is a guess, its place says so. Mounts, the Files
API 3.0, endpoints on other hosts and all of Unity Catalog but whether a volume exists are not played.
"""

from __future__ import annotations

import os
import re
import secrets
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

import trustme

from tests.servers.azureml.entra import Entra, Principal
from tests.servers.azureml.server import serve
from tests.servers.databricks.auth import RESOURCE, Guard
from tests.servers.databricks.front import Front, Refused, Seen
from tests.servers.fault import Fault

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

__all__ = ["Databricks", "DatabricksService", "Refused", "Seen", "named_databricks", "run_databricks"]


@dataclass(frozen=True)
class DatabricksService:
    """A workspace to test against.

    :param url: of the workspace, without a trailing slash.
    :param token: a personal access token of a user who may do everything.
    :param volume: path of a volume, ``/Volumes/<catalog>/<schema>/<volume>``, that is there and free for tests.
    """

    url: str
    token: str = field(repr=False)
    volume: str

    def client(self) -> WorkspaceClient:
        """Databricks' own client, as an independent witness. It takes nothing from the environment."""
        from databricks.sdk import WorkspaceClient

        return WorkspaceClient(host=self.url, token=self.token, auth_type="pat", profile="")

    @contextmanager
    def folder(self, *, make: bool = True) -> Iterator[str]:
        """Path of a folder in the volume: new and empty, or only a name; deleted afterwards with all that is in it."""
        path, files = f"{self.volume}/test-{uuid4().hex}", self.client().files

        def delete(directory: str) -> None:
            entries = list(files.list_directory_contents(directory))
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(files.delete, [entry.path for entry in entries if not entry.is_directory]))
            for entry in entries:
                if entry.is_directory and entry.path:
                    delete(entry.path)
            files.delete_directory(directory)

        if make:
            files.create_directory(path)
        try:
            yield path
        finally:
            from databricks.sdk.errors import NotFound

            try:
                delete(path)
            except NotFound:
                assert not make

    @contextmanager
    def dbfs_folder(self, *, make: bool = True) -> Iterator[str]:
        """The same in the DBFS root: ``dbfs:/test-…``."""
        path, dbfs = f"/test-{uuid4().hex}", self.client().dbfs
        if make:
            dbfs.mkdirs(path)
        try:
            yield f"dbfs:{path}"
        finally:
            dbfs.delete(path, recursive=True)


@dataclass(frozen=True)
class Databricks(DatabricksService):
    """The stand-in as tests see it. One serves the whole session; each test makes folders or volumes of its own::

        with servers.databricks.folder() as path: …
        databricks.plan(Refused(rf"PUT .*{path}/a", 503, headers={"Retry-After": "0"}, times=2))
        [seen.status for seen in databricks.requests(rf"{path}/a")]

    Faults that it plays: ``Refused``, ``Meanwhile`` and ``LoseResponse``; the others are the proxy's, in front of
    ``url``. Presigned URLs lead back to the address that the client came by, so through a proxy again. Its one address
    is plain http, as that is what proxies take; ``tls_url`` is the same over https, with ``ca`` to be trusted.

    :ivar tester: the application of Entra ID that ``entra_token()`` speaks for, a member of the workspace.
    """

    tls_url: str
    ca: Path
    tester: Principal
    _front: Front = field(repr=False)
    _entra: Entra = field(repr=False)

    def new_volume(self, name: str = "") -> str:
        """Path of a new, empty volume in the schema ``main.default``."""
        name = name or f"v{uuid4().hex}"
        self._front.catalogs.add(f"main.default.{name}")
        return f"/Volumes/main/default/{name}"

    def new_token(self, *privileges: str) -> str:
        """A personal access token of a user with just these privileges on all volumes."""
        return self._front.guard.new_token(*privileges)

    def new_oauth_client(self) -> tuple[str, str]:
        """Client id and secret of a service principal of Databricks' own."""
        client, secret = str(uuid4()), f"dose{secrets.token_hex(16)}"
        self._front.guard.clients[client] = secret
        return client, secret

    def entra_token(
        self, principal: Principal | None = None, *, audience: str = RESOURCE, expires_in: float = 3600
    ) -> str:
        """A token of Entra ID's; seconds below 0 give an expired one."""
        return self._entra.token(principal or self.tester, audience, expires_in)

    def trust(self, entra: Entra) -> None:
        """Take the tokens of another Entra ID too, as that of the stand-in of Azure ML."""
        self._front.guard.issuers.append(entra)

    def deny(self, principal: Principal) -> None:
        """Let it be no member of the workspace."""
        self._front.guard.denied.add(principal.object_id)

    @property
    def open_uploads(self) -> list[str]:
        """Paths of the uploads in parts that were neither completed nor aborted."""
        return [session.path for session in self._front.uploads.sessions.values()]

    def expire_urls(self) -> None:
        """Let all presigned URLs expire that have been given so far."""
        self._front.uploads.expire()

    @contextmanager
    def oauth_lifetime(self, seconds: int) -> Iterator[None]:
        """Give tokens of Databricks' OAuth for so long only."""
        guard = self._front.guard
        before, guard.lifetime = guard.lifetime, seconds
        try:
            yield
        finally:
            guard.lifetime = before

    @contextmanager
    def without_cloud(self, *, offered: bool = True) -> Iterator[None]:
        """Let no client through to cloud storage, or offer presigned URLs not at all."""
        uploads = self._front.uploads
        uploads.reachable, uploads.offered = False, offered
        try:
            yield
        finally:
            uploads.reachable = uploads.offered = True

    @contextmanager
    def without_dbfs(self) -> Iterator[None]:
        """Have no DBFS root, as new accounts."""
        self._front.dbfs.disabled = True
        try:
            yield
        finally:
            self._front.dbfs.disabled = False

    def plan(self, *faults: Fault) -> None:
        """Let things go wrong; ``match`` is searched in ``METHOD /path?query``, decoded: name the folder in it, as
        other tests use the same server."""
        self._front.plan.add(*faults)

    def clear_plan(self) -> None:
        """Forget the faults that have not struck."""
        self._front.plan.clear()

    def requests(self, pattern: str) -> list[Seen]:
        """The requests so far in which this regular expression is found."""
        return [seen for seen in list(self._front.seen) if re.search(pattern, seen.request)]


def named_databricks(url: str) -> DatabricksService:
    """The workspace in ``TEST_DATABRICKS_URL``, by the token in ``TEST_DATABRICKS_TOKEN``; ``TEST_DATABRICKS_PATH`` is
    a volume that tests may write to."""
    return DatabricksService(
        url.rstrip("/"), os.environ["TEST_DATABRICKS_TOKEN"], os.environ["TEST_DATABRICKS_PATH"].rstrip("/")
    )


@contextmanager
def run_databricks() -> Iterator[Databricks]:
    """Run the stand-in on free loopback ports, in threads of this process."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(tls)
    entra = Entra()
    front = Front(Guard([entra]))
    front.catalogs.add("main.default.tests")
    with (
        TemporaryDirectory(prefix="databricks-") as folder,
        serve(front, None) as url,
        serve(front, tls) as tls_url,
    ):
        ca = Path(folder, "ca.pem")
        authority.cert_pem.write_to_path(ca)
        token, volume = front.guard.new_token(), "/Volumes/main/default/tests"
        yield Databricks(url, token, volume, tls_url, ca, entra.tester, front, entra)
