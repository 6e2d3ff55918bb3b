"""What an account with a hierarchical namespace holds, apart from requests."""

from __future__ import annotations

import base64
import itertools
import re
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import formatdate

from tests.servers.adls.errors import StorageError

_VERSIONS = itertools.count(0x8DD000000000000)

DIRECTORY_ACL = "user::rwx,group::r-x,other::---"
FILE_ACL = "user::rw-,group::r--,other::---"


def new_etag() -> str:
    return f'"0x{next(_VERSIONS):X}"'


@dataclass
class Lease:
    """:param until: seconds of a monotonic clock; infinity for a lease without an end."""

    id: str
    duration: int
    until: float


@dataclass
class Node:
    """A file or directory.

    :param uncommitted: what was appended and not flushed, by position.
    :param blocks: those that it was committed from, by id.
    :param headers: content type and the like, as the responses name them.
    :param acl: the POSIX access control list; the permissions follow from it.
    """

    is_directory: bool = False
    content: bytes = b""
    uncommitted: dict[int, bytes] = field(default_factory=dict)
    blocks: dict[str, bytes] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    owner: str = "$superuser"
    group: str = "$superuser"
    acl: str = ""
    lease: Lease | None = None
    etag: str = field(default_factory=new_etag)
    modified: float = field(default_factory=time.time)
    created: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.acl = self.acl or (DIRECTORY_ACL if self.is_directory else FILE_ACL)

    def touch(self) -> None:
        self.etag = new_etag()
        self.modified = time.time()

    @property
    def last_modified(self) -> str:
        return formatdate(self.modified, usegmt=True)

    @property
    def active_lease(self) -> Lease | None:
        return self.lease if self.lease and self.lease.until > time.monotonic() else None

    @property
    def permissions(self) -> str:
        """As ``ls`` shows them; a ``+`` says that there are named entries."""
        access = [entry for entry in self.acl.split(",") if not entry.startswith("default:")]
        entries = dict(entry.rsplit(":", 1) for entry in access)
        shown = "".join(entries.get(who, "---") for who in ("user:", "group:", "other:"))
        return shown + ("+" if len(entries) > 3 else "")

    def flush(self, position: int, *, retain: bool) -> None:
        """Make what was appended the file's content, up to a position.

        :raises StorageError: there is a gap, or the content would not end there.
        """
        parts = [self.content]
        length = len(self.content)
        while length < position and length in self.uncommitted:
            parts.append(self.uncommitted.pop(length))
            length += len(parts[-1])
        if length != position:
            at = len(self.content)  # as it was: a flush that fails can be made good
            for part in parts[1:]:
                self.uncommitted[at] = part
                at += len(part)
            raise StorageError("InvalidFlushPosition")
        self.content = b"".join(parts)
        if not retain:
            self.uncommitted.clear()
        self.touch()


def parent(path: str) -> str:
    return path.rpartition("/")[0]


class Filesystem:
    """A container; in OneLake a workspace.

    :ivar blocks: those put and not committed yet, by path and id.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.metadata: dict[str, str] = {}
        self.etag = new_etag()
        self.modified = time.time()
        self.paths: dict[str, Node] = {"": Node(is_directory=True)}
        self.blocks: dict[str, dict[str, bytes]] = {}

    @property
    def last_modified(self) -> str:
        return formatdate(self.modified, usegmt=True)

    def below(self, directory: str) -> list[str]:
        """Everything below a directory, in the order of lists: a directory is followed by what is in it."""
        prefix = f"{directory}/" if directory else ""
        return sorted(
            (path for path in self.paths if path and path.startswith(prefix)), key=lambda path: path.split("/")
        )

    def acl_for(self, path: str, *, directory: bool) -> str:
        """What a new path gets from the default ACL of the directory above; "" if that has none.

        https://learn.microsoft.com/azure/storage/blobs/data-lake-storage-access-control#default-permissions-on-new-files-and-directories
        """
        above = self.paths[parent(path)].acl.split(",")
        default = [entry for entry in above if entry.startswith("default:")]
        return ",".join([*(entry.removeprefix("default:") for entry in default), *(default if directory else [])])

    def make_parents(self, path: str) -> None:
        """:raises StorageError: one of them is a file."""
        steps = path.split("/")[:-1]
        folders = ["/".join(steps[: depth + 1]) for depth in range(len(steps))]
        if any(folder in self.paths and not self.paths[folder].is_directory for folder in folders):
            raise StorageError("PathConflict")
        for folder in folders:
            if folder not in self.paths:
                self.paths[folder] = Node(is_directory=True, acl=self.acl_for(folder, directory=True))

    def remove(self, path: str) -> None:
        """Take away a path and everything below."""
        if self.paths[path].is_directory:
            for below in self.below(path):
                del self.paths[below]
        del self.paths[path]

    def move(self, source: str, to: Filesystem, path: str) -> None:
        """Rename, with everything below; the etags stay."""
        moved = [source, *(self.below(source) if self.paths[source].is_directory else [])]
        to.paths.update({path + name[len(source) :]: self.paths.pop(name) for name in moved})


class Account:
    """A storage account, or OneLake.

    Tests may look and tamper: ``filesystems["data"].paths["a/b"].content``; take ``lock`` if requests are under way.

    :ivar hierarchical: what the account says of its namespace; it has one in any case.
    :ivar page: how many entries a page of a list has at most, and how many access checks one call makes.
    :ivar denied: the client ids of those whose tokens open nothing here.
    """

    onelake = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()
        self.delegation_secret = secrets.token_bytes(32)
        self.hierarchical = True
        self.page = 5000
        self.denied: set[str] = set()
        self.lock = threading.RLock()
        self.filesystems: dict[str, Filesystem] = {}

    def create(self, name: str) -> Filesystem:
        """:raises StorageError: the name is taken, or no container can be called so."""
        if not re.fullmatch(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]|\$root|\$web|\$logs", name):
            raise StorageError("InvalidResourceName")
        if name in self.filesystems:
            raise StorageError("ContainerAlreadyExists")
        self.filesystems[name] = Filesystem(name)
        return self.filesystems[name]

    def find(self, name: str) -> Filesystem:
        if name not in self.filesystems:
            raise StorageError("ContainerNotFound")
        return self.filesystems[name]

    def check_changeable(self, files: Filesystem, path: str) -> None:
        """:raises StorageError: the path is not for clients to make or take away."""


class OneLake(Account):
    """One address for all Fabric workspaces: the same calls, and what Fabric manages is not theirs to change.

    https://learn.microsoft.com/fabric/onelake/onelake-api-parity; the error code is the one that its users report.
    """

    onelake = True

    def __init__(self) -> None:
        super().__init__("onelake")

    def new_workspace(self, name: str, items: Iterable[str] = ("Lake.Lakehouse",)) -> Filesystem:
        """A workspace with items, as Fabric makes them; each has the folders ``Files`` and ``Tables``."""
        workspace = Filesystem(name)
        for item in items:
            for path in (item, f"{item}/Files", f"{item}/Tables"):
                workspace.paths[path] = Node(is_directory=True)
        with self.lock:
            self.filesystems[name] = workspace
        return workspace

    def create(self, name: str) -> Filesystem:
        raise managed()

    def check_changeable(self, files: Filesystem, path: str) -> None:
        steps = path.split("/")
        if len(steps) < 3 or "/".join(steps[:2]) not in files.paths:
            raise managed()


def managed() -> StorageError:
    """What changing a workspace, an item or a folder of Fabric's is answered with."""
    return StorageError(
        "OperationNotAllowedOnThePath",
        status=400,
        message="The operation is not allowed on a path that Fabric manages.",
    )
