"""A stand-in for Azure Data Lake Storage Gen2 and OneLake on the wire: the dfs endpoint, and of the blob endpoint what
Data Lake and Blob clients use with a hierarchical namespace, both on one address.

It knows what https://learn.microsoft.com/rest/api/storageservices/data-lake-storage-gen2 says and what
azure-storage-file-datalake sends. Nothing of it has been compared with Azure itself; where a rule is a guess, its place
says so.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

import trustme

from tests.servers.adls.front import Front, Refused, Seen
from tests.servers.adls.model import Account, Filesystem, Node, OneLake
from tests.servers.azureml.entra import Entra, Principal
from tests.servers.azureml.server import serve
from tests.servers.fault import LoseResponse, Meanwhile

if TYPE_CHECKING:
    from tests.servers.fault import Fault

__all__ = [
    "Account",
    "DataLake",
    "FabricItem",
    "Filesystem",
    "LoseResponse",
    "Meanwhile",
    "Node",
    "OneLake",
    "Refused",
    "Seen",
    "StorageAccount",
    "run_adls",
]


@dataclass(frozen=True)
class StorageAccount:
    """An account to test against, the stand-in's or one in Azure.

    :param url: of the account's dfs endpoint, without a trailing slash; the stand-in's is https.
    :param key: "" if there is none.
    """

    url: str
    account: str
    key: str = field(repr=False)

    @property
    def blob_url(self) -> str:
        """Of its blob endpoint."""
        return self.url.replace(".dfs.", ".blob.")

    @contextmanager
    def filesystem(self, *, make: bool = True) -> Iterator[str]:
        """The name of a new, empty filesystem; deleted afterwards.

        :param make: whether to make it, or leave that to the test.
        """
        from azure.core.credentials import AzureNamedKeyCredential
        from azure.storage.filedatalake import FileSystemClient

        name = f"test-{uuid4().hex}"
        with FileSystemClient(self.url, name, credential=AzureNamedKeyCredential(self.account, self.key)) as client:
            if make:
                client.create_file_system()
            try:
                yield name
            finally:
                if make or client.exists():
                    client.delete_file_system()


@dataclass(frozen=True)
class FabricItem:
    """An item of a Fabric workspace to test against, the stand-in's or one of Microsoft's.

    :param url: of OneLake's dfs endpoint, without a trailing slash.
    :param artifact: the item and the folder in it that is the tests' to fill.
    :param token: "" where the identity of who runs the tests is to be taken.
    :param ca: path of the PEM of the authority to trust; None is the system's.
    """

    url: str
    workspace: str
    artifact: str
    token: str = field(default="", repr=False)
    ca: Path | None = None


class DataLake:
    """The stand-in as tests see it. One serves the whole session; tests make filesystems, accounts or workspaces of
    their own in it::

        with servers.adls.storage.filesystem() as name: ...   # in an account that all tests share
        account = servers.adls.new_account()                   # .key, .page, .denied, .filesystems[…].paths[…]
        servers.adls.url(account), servers.adls.plain_url(account)
        servers.adls.onelake.new_workspace("sales", ["Lake.Lakehouse"])
        servers.adls.plan(Refused(r"PATCH .*action=append", 503), LoseResponse(r"PUT .*mode=legacy"))
        servers.adls.requests(r"PATCH")

    Clients of the https address have to trust ``ca``: set ``REQUESTS_CA_BUNDLE`` to it, or pass
    ``connection_verify=ca``. Tokens, which only travel there, come from ``token()``, or from Entra ID as another
    stand-in plays it, if ``accept`` was called with it.

    :ivar ca: path of the PEM of the certificate authority.
    :ivar entra: those whose tokens open every account but those that ``denied`` them.
    """

    def __init__(self, front: Front, entra: Entra, base: str, plain_base: str, ca: Path) -> None:
        self._front = front
        self.entra = entra
        self._base = base
        self._plain_base = plain_base
        self.ca = ca
        self.onelake = OneLake()
        front.accounts[self.onelake.name] = self.onelake
        self._shared = self.new_account()

    @property
    def storage(self) -> StorageAccount:
        """The account that tests share, over http."""
        return StorageAccount(self.plain_url(self._shared), self._shared.name, self._shared.key)

    @property
    def item(self) -> FabricItem:
        """The item that tests share."""
        if "shared" not in self.onelake.filesystems:
            self.onelake.new_workspace("shared", ["Sales.Lakehouse"])
        return FabricItem(self.url(self.onelake), "shared", "Sales/Files", self.token(), self.ca)

    def new_account(self) -> Account:
        """A storage account with a hierarchical namespace and nothing in it."""
        account = Account(f"lake{uuid4().hex[:16]}")
        self._front.accounts[account.name] = account
        return account

    def url(self, account: Account) -> str:
        """Where an account is over https, without a trailing slash."""
        return f"{self._base}/{account.name}"

    def plain_url(self, account: Account) -> str:
        """The same over http: no tokens, but a proxy that makes trouble can be put in between."""
        return f"{self._plain_base}/{account.name}"

    def accept(self, entra: Entra) -> None:
        """Take the tokens of another Entra ID as well."""
        self._front.gate.entras.append(entra)

    def token(
        self,
        principal: Principal | None = None,
        *,
        audience: str = "https://storage.azure.com",
        expires_in: float = 3600,
    ) -> str:
        """A bearer token; seconds below 0 give an expired one."""
        return self.entra.token(principal or self.entra.tester, audience, expires_in)

    def plan(self, *faults: Fault) -> None:
        """Let things go wrong: :class:`Refused`, ``LoseResponse``, ``Meanwhile``. ``match`` is searched in
        ``METHOD /path?query``: name the filesystem in it, as other tests use the same server."""
        self._front.plan.add(*faults)

    def clear_plan(self) -> None:
        """Forget the faults that have not struck."""
        self._front.plan.clear()

    def requests(self, pattern: str) -> list[Seen]:
        """The requests so far in which this regular expression is found."""
        return [seen for seen in list(self._front.seen) if re.search(pattern, seen.request)]


@contextmanager
def run_adls() -> Iterator[DataLake]:
    """Run the stand-in on free loopback ports, in threads of this process."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(tls)
    entra = Entra()
    front = Front(entra)
    with TemporaryDirectory(prefix="adls-") as folder, serve(front, tls) as base, serve(front, None) as plain_base:  # type: ignore[arg-type]
        ca = Path(folder, "ca.pem")
        authority.cert_pem.write_to_path(ca)
        yield DataLake(front, entra, base, plain_base, ca)
