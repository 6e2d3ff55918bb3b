"""What is in a share: files and directories, their names and their headers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from tests.servers.azurefiles.rights import ROOT, key_of
from tests.servers.azurefiles.web import Refusal, bad_header

_ILLEGAL = re.compile(r'["\\:|<>*?\x00-\x1f]')
_RESERVED = re.compile(r"(?:(?:LPT|COM)[1-9]|PRN|AUX|NUL|CON|CLOCK\$|\.\.?)", re.IGNORECASE)
_numbers = itertools.count(1)

CONTENT = ("type", "encoding", "language", "disposition", "md5")
TIMES = {"creation": "created", "last-write": "written", "change": "changed"}


def moment() -> str:
    """Now, in the hundreds of nanoseconds that the service gives."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


@dataclass
class Waits:
    """A copy that goes on.

    :param content: of the source.
    :param looks: how often it is still looked at in vain.
    :param fails: how it ends, if not well.
    """

    content: bytearray
    looks: int
    fails: str = ""


@dataclass
class Node:
    """A file or a directory.

    :param data: None for a directory.
    :param ranges: the bytes that were written, [first, end) in order; the others are zero and take no room.
    """

    name: str
    data: bytearray | None = None
    children: dict[str, Node] = field(default_factory=dict)
    ranges: list[tuple[int, int]] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    content: dict[str, str] = field(default_factory=dict)
    copied: dict[str, str] = field(default_factory=dict)
    lease: str = ""
    broken: bool = False
    rights: str = ROOT
    waits: Waits | None = None
    attributes: str = ""
    created: str = field(default_factory=moment)
    number: int = field(default_factory=lambda: next(_numbers))

    def __post_init__(self) -> None:
        self.written = self.changed = self.created
        self.attributes = self.attributes or ("Directory" if self.data is None else "Archive")
        self.touch()

    @property
    def id(self) -> str:
        return str(13835128424026341376 + 4096 * self.number)

    @property
    def bytes(self) -> bytearray:
        """:raises Refusal: it is a directory."""
        if self.data is None:
            raise Refusal(409, "ResourceTypeMismatch")
        return self.data

    def touch(self, *, written: bool = False) -> None:
        """Changed: a new ETag, and new times."""
        self.etag = f'"0x8DD{next(_numbers):012X}"'
        self.modified = format_datetime(datetime.now(UTC).replace(microsecond=0), usegmt=True)
        self.changed = moment()
        if written:
            self.written = self.changed

    def headers(self) -> dict[str, str]:
        """What the answer to every change tells."""
        return {
            "ETag": self.etag,
            "Last-Modified": self.modified,
            "x-ms-file-attributes": self.attributes,
            "x-ms-file-creation-time": self.created,
            "x-ms-file-last-write-time": self.written,
            "x-ms-file-change-time": self.changed,
            "x-ms-file-id": self.id,
            "x-ms-file-parent-id": "0",
            "x-ms-file-permission-key": key_of(self.rights),
            "x-ms-request-server-encrypted": "true",
        }

    def properties(self) -> dict[str, str]:
        """All that is known of it."""
        said = self.headers() | {f"x-ms-meta-{name}": value for name, value in self.metadata.items()}
        said["x-ms-server-encrypted"] = said.pop("x-ms-request-server-encrypted")
        if self.data is None:
            return said
        said |= {f"Content-{name.capitalize()}": value for name, value in self.content.items() if name != "cache"}
        if "cache" in self.content:
            said["Cache-Control"] = self.content["cache"]
        said.setdefault("Content-Type", "application/octet-stream")
        said |= {"x-ms-type": "File", **self.copied}
        state = "leased" if self.lease else "broken" if self.broken else "available"
        said |= {"x-ms-lease-state": state, "x-ms-lease-status": "locked" if self.lease else "unlocked"}
        if self.lease:
            said["x-ms-lease-duration"] = "infinite"
        return said

    def set_headers(
        self, headers: Mapping[str, str], *, replace_content: bool = False, source: Node | None = None
    ) -> None:
        """What a request says of it.

        :param replace_content: whether content headers that are not given are cleared, as Set File Properties does.
        :param source: whose times and attributes ``source`` means, in a copy.
        """
        told = {name: headers[f"x-ms-content-{name}"] for name in CONTENT if headers.get(f"x-ms-content-{name}")}
        if headers.get("x-ms-cache-control"):
            told["cache"] = headers["x-ms-cache-control"]
        self.content = told if replace_content else self.content | told
        for part, name in TIMES.items():
            value = headers.get(f"x-ms-file-{part}-time", "preserve")
            if value.lower() == "source" and source is not None:
                setattr(self, name, getattr(source, name))
            elif value.lower() != "preserve":
                setattr(self, name, moment() if value.lower() == "now" else _checked(value, f"x-ms-file-{part}-time"))
        attributes = headers.get("x-ms-file-attributes", "preserve")
        if attributes.lower() == "source" and source is not None:
            self.attributes = source.attributes
        elif attributes.lower() not in ("none", "preserve"):
            self.attributes = attributes

    def set_metadata(self, headers: Mapping[str, str]) -> None:
        self.metadata = metadata(headers)

    def mark(self, first: int, end: int, *, written: bool) -> None:
        """Note that bytes [first, end) were written, or cleared."""
        kept = [(a, min(b, first)) for a, b in self.ranges if a < first]
        kept += [(max(a, end), b) for a, b in self.ranges if b > end]
        kept = sorted(kept + ([(first, end)] if written and end > first else []))
        self.ranges = []
        for a, b in kept:
            if self.ranges and a <= self.ranges[-1][1]:
                self.ranges[-1] = (self.ranges[-1][0], max(b, self.ranges[-1][1]))
            else:
                self.ranges.append((a, b))

    def check_writable(self) -> None:
        if "readonly" in self.attributes.lower():
            raise Refusal(409, "ReadOnlyAttribute")
        if self.waits is not None:
            raise Refusal(409, "PendingCopyOperation")

    def look(self) -> None:
        """Somebody asks how it is: a copy that goes on comes a step further."""
        if self.waits is None:
            return
        self.waits.looks -= 1
        if self.waits.looks >= 0:
            self.copied["x-ms-copy-progress"] = f"{self.waits.looks}/{len(self.bytes)}"
        elif self.waits.fails:
            self.end_copy("failed", self.waits.fails)
        else:
            self.data, size = self.waits.content, len(self.waits.content)
            self.mark(0, size, written=True)
            self.copied["x-ms-copy-progress"] = f"{size}/{size}"
            self.end_copy("success")
        self.touch()

    def end_copy(self, status: str, description: str = "") -> None:
        self.waits = None
        self.copied["x-ms-copy-status"] = status
        if status != "success":
            self.data, self.ranges = bytearray(), []
            self.copied["x-ms-copy-status-description"] = description


def _checked(time: str, header: str) -> str:
    try:
        datetime.fromisoformat(time)
    except ValueError:
        raise bad_header(header, time) from None
    return time


def metadata(headers: Mapping[str, str]) -> dict[str, str]:
    return {name[10:]: value for name, value in headers.items() if name.lower().startswith("x-ms-meta-")}


@dataclass
class Share:
    """A share: a tree that compares names without case, and keeps it."""

    name: str
    quota: int = 5120
    metadata: dict[str, str] = field(default_factory=dict)
    root: Node = field(default_factory=lambda: Node(""))

    def walk(self, parts: list[str]) -> Iterator[Node | None]:
        """The nodes down a path; None from where there is nothing."""
        node: Node | None = self.root
        for part in parts:
            node = node.children.get(folded(part)) if node is not None else None
            yield node

    def parent(self, parts: list[str]) -> Node:
        """The directory that a path is in. :raises Refusal: there is none."""
        node = [self.root, *self.walk(parts[:-1])][-1]
        if node is None or node.data is not None:
            raise Refusal(404, "ParentNotFound")
        return node

    def find(self, parts: list[str]) -> Node | None:
        """What is at a path. :raises Refusal: there is not even its parent."""
        return self.parent(parts).children.get(folded(parts[-1])) if parts else self.root

    def need(self, parts: list[str], *, directory: bool, reads: bool = False) -> Node:
        """The file or directory at a path. :raises Refusal: there is none, or it is the other kind (which somebody
        who only reads is told of as if there were nothing: a guess)."""
        node = self.find(parts)
        if node is None or (reads and (node.data is None) != directory):
            raise Refusal(404, "ResourceNotFound")
        if (node.data is None) != directory:
            raise Refusal(409, "ResourceTypeMismatch")
        return node

    def put(self, parts: list[str], node: Node) -> None:
        parent = self.parent(parts)
        node.name = parts[-1]
        parent.children.pop(folded(node.name), None)
        parent.children[folded(node.name)] = node

    def remove(self, parts: list[str]) -> None:
        del self.parent(parts).children[folded(parts[-1])]


def folded(name: str) -> str:
    """What names have in common that are the same without regard to case: as NTFS, character by character."""
    return "".join(upper if len(upper := character.upper()) == 1 else character for character in name)


def split_path(path: str, *, trailing_dots: bool) -> list[str]:
    """The names of a path, checked.

    https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-shares--directories--files--and-metadata

    :param trailing_dots: whether dots at the end of a name are kept (``x-ms-allow-trailing-dot``); else they go.
    """
    parts = path.strip("/").split("/") if path.strip("/") else []
    if len(path) > 2048 or len(parts) > 250:
        raise Refusal(400, "InvalidFileOrDirectoryPathName")
    for part in parts:
        if not part or len(part) > 255 or _ILLEGAL.search(part) or _RESERVED.fullmatch(part):
            raise Refusal(400, "InvalidResourceName")
    return parts if trailing_dots else [_undotted(part) for part in parts]


def _undotted(part: str) -> str:
    kept = part.rstrip(".")
    if not kept:
        raise Refusal(400, "InvalidResourceName")
    return kept


def split_url(url: str) -> tuple[str, str, str]:
    """Account, share and path in a URL that names its account in the path."""
    account, _, rest = unquote(urlsplit(url).path).lstrip("/").partition("/")
    share, _, path = rest.partition("/")
    return account, share, path
