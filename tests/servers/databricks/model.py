"""What is in a workspace: catalogs, schemas and volumes, and trees of files and directories."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate

_numbers = itertools.count(1)


@dataclass
class File:
    """:ivar modified: seconds since the epoch: the cloud stores behind volumes and DBFS keep no finer time."""

    data: bytes
    modified: int = field(default_factory=lambda: int(time.time()))
    etag: str = field(default_factory=lambda: f'"0x8DD{next(_numbers):012X}"')

    @property
    def last_modified(self) -> str:
        return formatdate(self.modified, usegmt=True)


@dataclass
class Directory:
    children: dict[str, File | Directory] = field(default_factory=dict)
    modified: int = field(default_factory=lambda: int(time.time()))


class NotADirectory(Exception):
    """A file stands where a directory is needed."""


@dataclass
class Tree:
    """Files and directories below a root, which cannot be removed."""

    root: Directory = field(default_factory=Directory)

    def find(self, parts: list[str]) -> File | Directory | None:
        node: File | Directory | None = self.root
        for part in parts:
            node = node.children.get(part) if isinstance(node, Directory) else None
        return node

    def make_directory(self, parts: list[str]) -> Directory:
        """Make a directory and those above it. :raises NotADirectory: one of them is a file."""
        node = self.root
        for part in parts:
            found = node.children.setdefault(part, Directory())
            if isinstance(found, File):
                raise NotADirectory
            node = found
        return node

    def put(self, parts: list[str], node: File | Directory) -> None:
        """Put a file or directory in its place; directories above it are made. :raises NotADirectory:"""
        self.make_directory(parts[:-1]).children[parts[-1]] = node

    def remove(self, parts: list[str]) -> None:
        parent = self.find(parts[:-1])
        assert isinstance(parent, Directory)
        del parent.children[parts[-1]]


@dataclass
class Catalogs:
    """What Unity Catalog knows of. Its names are compared without regard to case."""

    volumes: dict[str, Tree] = field(default_factory=dict)

    def add(self, volume: str) -> Tree:
        """A new volume, ``catalog.schema.volume``."""
        return self.volumes.setdefault(volume.lower(), Tree())

    def missing(self, volume: str) -> tuple[str, str] | None:
        """Which of catalog, schema and volume is not there, and its whole name; None if all are."""
        parts = volume.lower().split(".")
        for kind, count in (("Catalog", 1), ("Schema", 2), ("Volume", 3)):
            if not any(name.split(".")[:count] == parts[:count] for name in self.volumes):
                return kind, ".".join(volume.split(".")[:count])
        return None

    def tree(self, volume: str) -> Tree:
        return self.volumes[volume.lower()]


def entries(directory: Directory) -> Iterator[tuple[str, File | Directory]]:
    """Names and what has them, in an order that promises nothing: clients have to sort."""
    return iter(sorted(directory.children.items(), key=lambda child: child[0][::-1]))
