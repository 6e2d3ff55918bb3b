"""What a source names: a file, a folder, a pattern, or exactly the files of a manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from urllib.parse import unquote

from airflow_azureml_datastores.core.glob import compile_glob, folder_prefix, literal_prefix
from airflow_azureml_datastores.core.manifest import Manifest, is_data, is_visible
from airflow_azureml_datastores.core.place import OpenDatastore, Place
from airflow_azureml_datastores.core.store import FileStore, ObjectInfo, Version
from airflow_azureml_datastores.core.uri import DatastoreUri, parse_datastore_uri
from airflow_azureml_datastores.errors import InvalidInput, PathNotFound, PublishInProgress
from airflow_azureml_datastores.transfer import publish_marks

_LISTINGS = 10


@dataclass(frozen=True)
class Source:
    """Files to take, all in one store.

    :param uri: what was asked for.
    :param folder: the folder that the files' relative paths start from.
    :param files: relative path -> the version to take, in the order of the listing.
    :param covers: tells whether a path in the store is one that the source takes, or would take once it is there.
    :param single: whether the source is one file named exactly, not a folder or pattern.
    :param again: lists the source anew, when a file has changed since; None if only these very versions will do.
    """

    uri: str
    folder: Place
    files: dict[str, Version]
    covers: Callable[[str], bool]
    single: bool = False
    again: Callable[[], Source] | None = None

    @property
    def size(self) -> int:
        return sum(version.size for version in self.files.values())


@dataclass(frozen=True)
class Extent:
    """What a URI reaches in its store.

    :param folder: the folder that relative paths start from, with its trailing slash; "" is the root.
    :param prefix: what every path within starts with.
    :param covers: tells whether a path is within.
    :param single: whether it is one file named exactly.
    """

    folder: str
    prefix: str
    covers: Callable[[str], bool]
    single: bool = False


def _any_path(path: str) -> bool:
    return True


def extent(root: Place, uri: DatastoreUri, *, records: bool = False) -> Extent:
    """What a URI reaches now: a pattern its matches; a path that ends with a slash a folder; another path the file of
    that name or, if there is none, the folder.

    :param records: whether ``_SUCCESS`` and manifests are within too; a datastore's staged files never are.
    """
    counts = is_data
    if records:
        counts = is_visible if root.datastore else _any_path
    if uri.pattern:
        matches = compile_glob(uri.path).fullmatch
        return Extent(
            folder_prefix(uri.path),
            literal_prefix(uri.path),
            lambda path: counts(path) and matches(path) is not None,
        )
    if uri.path and not uri.path.endswith("/"):
        try:
            root.store.stat(uri.path)
        except PathNotFound:
            pass
        else:
            return Extent(uri.path[: uri.path.rfind("/") + 1], uri.path, uri.path.__eq__, single=True)
    folder = root.at(uri.path).folder().path
    return Extent(folder, folder, lambda path: counts(path) and path.startswith(folder) and path != folder)


def find_source(open_datastore: OpenDatastore, uri: DatastoreUri, *, records: bool = False) -> Source:
    """List what a URI names; nothing found is an empty source, not an error.

    :param records: whether ``_SUCCESS`` and manifests are taken along like data.
    :raises PublishInProgress: a folder in it is being published right now, or a publish broke off there.
    """
    root = open_datastore(uri.datastore)
    reach = extent(root, uri, records=records)
    files = {info.path[len(reach.folder) :]: info.version for info in list_published(root, reach)}
    return Source(
        str(replace(uri, datastore=root.datastore or uri.datastore)),
        root.at(reach.folder),
        files,
        reach.covers,
        single=reach.single,
        again=lambda: find_source(open_datastore, uri, records=records),
    )


def list_published(root: Place, reach: Extent, *, also: str | None = None) -> list[ObjectInfo]:
    """All objects within an extent, at a moment when none of their folders was being published to.

    :param also: give every object of this name too, anywhere below the extent's folder.
    :raises PublishInProgress: a publish to a folder of theirs is under way, or broke off.
    """
    prefix = reach.prefix if also is None else reach.folder
    for _ in range(_LISTINGS):
        marks = publish_marks.state(root)
        found = [
            info
            for info in root.store.list(prefix)
            if reach.covers(info.path) or (also is not None and info.path.rpartition("/")[2] == also)
        ]
        if publish_marks.state(root) == marks and publish_marks.is_quiet(root, marks, reach.prefix):
            return found
    raise PublishInProgress(
        f"folders of datastore {root.datastore!r} were published to all the while {root.at(prefix).uri} was listed; "
        f"try again."
    )


def check_apart(source: Source, target: Place, *, exclusive: bool) -> None:
    """Refuse a target that a source would read from, or, with ``exclusive``, that would replace the source's files.

    :param target: the folder.
    :raises InvalidInput: they overlap.
    """
    folder = target.folder().path
    within = _path_in(source.folder.store, target)
    reads = within is not None and any(source.covers(f"{within}{path}") for path in source.files)
    around = _path_in(target.store, source.folder)
    skip = len(source.folder.folder().path)
    replaces = around is not None and any(f"{around}{v.path[skip:]}".startswith(folder) for v in source.files.values())
    if reads or (exclusive and replaces):
        raise InvalidInput(
            f"the target {target.uri} lies in the source {source.uri}, or the other way round; choose another target."
        )


def _path_in(store: FileStore, folder: Place) -> str | None:
    """What a store calls a folder, which may be in another store; None if it is not within."""
    outer, inner = store.url.rstrip("/") + "/", folder.store.url.rstrip("/") + "/"
    return unquote(inner[len(outer) :]) + folder.folder().path if inner.startswith(outer) else None


def from_manifest(open_datastore: OpenDatastore, manifest: Manifest) -> Source:
    """Exactly the delivered files of a manifest, each in the very version that was delivered."""
    target = parse_datastore_uri(manifest.target)
    folder = open_datastore(target.datastore).at(target.path).folder()
    files = {entry.path: entry.delivered(folder.path) for entry in manifest.entries}
    return _exactly(folder, files, manifest.target)


def read_manifest(open_datastore: OpenDatastore, uri: str) -> Manifest:
    """Read a manifest. :raises PathNotFound: it is not there. :raises InvalidInput: it is none."""
    parsed = parse_datastore_uri(uri)
    return Manifest.from_json(open_datastore(parsed.datastore).at(parsed.path).read(), uri)


def newest(folder: Place, files: Iterable[str], uri: str) -> Source:
    """These files of a folder, as they are now. :raises PathNotFound: one of them is gone."""
    names = list(files)
    paths = {folder.at(relative).path for relative in names}
    reach = Extent(folder.folder().path, _common_prefix(paths), paths.__contains__)
    there = {info.path: info.version for info in list_published(replace(folder, path=""), reach)}
    if gone := sorted(paths - there.keys()):
        raise PathNotFound(
            f"{replace(folder, path=gone[0]).uri} is gone"
            + (f", and {len(gone) - 1} more" if len(gone) > 1 else "")
            + f", since it was found at {uri}; look again, for example by clearing the sensor."
        )
    versions = {relative: there[folder.at(relative).path] for relative in names}
    return _exactly(folder, versions, uri, again=lambda: newest(folder, names, uri))


def _common_prefix(texts: Iterable[str]) -> str:
    low, high = min(texts), max(texts)
    return low[: next((at for at, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), len(low))]


def _exactly(folder: Place, files: dict[str, Version], uri: str, again: Callable[[], Source] | None = None) -> Source:
    paths = {version.path for version in files.values()}
    return Source(uri, folder, files, paths.__contains__, again=again)
