"""Versions of data in an Azure ML workspace.

https://learn.microsoft.com/rest/api/azureml/data-versions and …/data-containers
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, get_args

from airflow_azureml_datastores.core.data_asset import DataAsset, DataType
from airflow_azureml_datastores.core.uri import DatastoreUri, WorkspaceId, parse_uri
from airflow_azureml_datastores.errors import (
    Conflict,
    DataAssetNotFound,
    InvalidInput,
    InvalidName,
    InvalidUri,
    NotFound,
    Unavailable,
    Unsupported,
    WorkspaceNotFound,
)
from airflow_azureml_datastores.workspaces._arm import DATA, ArmClient, segment
from airflow_azureml_datastores.workspaces._data_rules import (
    check_is_there,
    check_same,
    check_type,
    checked,
    next_version,
    no_such_asset,
    no_such_version,
    same_content,
)

_DIGEST = "airflow_digest"
_ATTEMPTS = 50


@dataclass(frozen=True)
class _Versions:
    """What is there of a data asset, in the order in which it was registered.

    :param names: of all versions.
    :param assets: those of a type that this version knows.
    :param archived: those of ``assets`` that are archived.
    """

    names: list[str] = field(default_factory=list)
    assets: list[DataAsset] = field(default_factory=list)
    archived: list[DataAsset] = field(default_factory=list)


class AzureMLData:
    """The data assets of one workspace.

    :param default_datastore: gives the name of the workspace's default datastore.
    """

    def __init__(self, arm: ArmClient, default_datastore: Callable[[], str]) -> None:
        self._arm = arm
        self._default_datastore = default_datastore

    def get(self, name: str, version: str | None = None) -> DataAsset:
        """A version, an archived one too; None is what the service calls the latest.

        :raises DataAssetNotFound: there is none; near ones are suggested.
        :raises Changed: its path has been registered with other content since.
        :raises Unsupported: its type is one that this version of the package does not know.
        """
        container = self._arm.find(_path(name), DATA) if _is_fit(name) else None
        if container is None:
            raise self._no_such_asset(name)
        newest = container["properties"].get("latestVersion") or self._latest(name)
        found = self._find(name, newest if version is None else version)
        if version is None and found is not None:
            return found
        versions = self._versions(name)
        if not versions.names:
            raise self._no_such_asset(name)
        if found is None:
            raise no_such_version(name, version or newest, self._arm.name, versions.names)
        check_is_there(found, versions.assets, self._arm.name)
        return found

    def register(self, asset: DataAsset) -> DataAsset:
        """Register a version, unless it is there. Returns it with its number.

        The service has no condition for "only if it is new", but never changes a version's path. So each number is
        looked at before and after it is written, and one that another writer was faster with is left to it.
        """
        asset = checked(asset, self._default_datastore)
        asset = replace(asset, path=self._short(asset.path))
        for _ in range(_ATTEMPTS):
            container = self._arm.find(_path(asset.name), DATA)
            versions = self._versions(asset.name) if container is not None else _Versions()
            check_type(asset, versions.assets, self._arm.name)
            if asset.version is not None:
                return self._register_given(asset)
            there = same_content(asset, versions.assets, versions.archived)
            if there is not None:
                return there
            announced = (container or {}).get("properties", {}).get("nextVersion")
            number = next_version([*versions.names, *_before(announced)])
            written = self._write(replace(asset, version=number))
            if written is not None:
                return written
        raise Unavailable(
            f"{self._arm.name}: others have taken {_ATTEMPTS} numbers of data asset {asset.name!r} while this one was "
            f"being registered; try again."
        )

    def _register_given(self, asset: DataAsset) -> DataAsset:
        written = self._write(asset)
        if written is not None:
            return written
        there = self._find(asset.name, str(asset.version))
        if there is None:
            raise Unavailable(f"{self._arm.name}: {asset.uri} was registered and is gone; try again.")
        check_same(asset, there, self._arm.name)
        return there

    def _write(self, asset: DataAsset) -> DataAsset | None:
        """Write a version that is not there yet. Returns it as it is then; None if it is another one."""
        asset.check()
        version = str(asset.version)
        there = self._find(asset.name, version)
        if there is None:
            try:
                self._arm.put(_path(asset.name, version), self._body(asset), DATA)
            except (Conflict, InvalidInput):
                there = self._find(asset.name, version)
                if there is None:
                    raise
            else:
                there = self._find(asset.name, version)
        same = there is not None and (there.path, there.type, there.digest) == (asset.path, asset.type, asset.digest)
        return there if same else None

    def _find(self, name: str, version: str) -> DataAsset | None:
        item = self._arm.find(_path(name, version), DATA) if _is_fit(name, version) else None
        return None if item is None else self._asset(name, item)

    def _latest(self, name: str) -> str:
        versions = self._versions(name)
        usable = [asset for asset in versions.assets if asset not in versions.archived]
        if not usable:
            raise DataAssetNotFound(f"data asset {name!r} in workspace {self._arm.name} has no version that is in use.")
        return str(usable[-1].version)

    def _versions(self, name: str) -> _Versions:
        found = _Versions()
        try:
            listed = list(self._arm.pages(f"{_path(name)}/versions", DATA, listViewType="All"))
        except WorkspaceNotFound:
            raise
        except NotFound:
            return found
        for item in sorted(listed, key=_age):
            found.names.append(item["name"])
            if item["properties"].get("dataType") not in get_args(DataType):
                continue
            asset = self._asset(name, item)
            found.assets.append(asset)
            if item["properties"].get("isArchived"):
                found.archived.append(asset)
        return found

    def _no_such_asset(self, name: str) -> DataAssetNotFound:
        return no_such_asset(name, self._arm.name, [item["name"] for item in self._arm.pages("data", DATA)])

    def _asset(self, name: str, item: Mapping[str, Any]) -> DataAsset:
        properties, version = item["properties"], item["name"]
        kind = properties.get("dataType")
        if kind not in get_args(DataType):
            raise Unsupported(f"{self._arm.name}: azureml:{name}:{version} is of type {kind!r}, which is not known.")
        return DataAsset(
            name,
            self._short(properties.get("dataUri") or ""),
            kind,
            version,
            (properties.get("properties") or {}).get(_DIGEST, ""),
            properties.get("description") or "",
            dict(properties.get("tags") or {}),
        )

    def _body(self, asset: DataAsset) -> dict[str, Any]:
        return {
            "properties": {
                "dataType": asset.type,
                "dataUri": self._long(asset.path),
                "description": asset.description,
                "tags": dict(asset.tags),
                "properties": {_DIGEST: asset.digest} if asset.digest else {},
                "isAnonymous": False,
                "isArchived": False,
            }
        }

    def _long(self, path: str) -> str:
        """The form that names the workspace, as Azure ML itself writes it."""
        uri = _parsed(path)
        return path if uri is None else str(replace(uri, workspace=uri.workspace or self._arm.id))

    def _short(self, path: str) -> str:
        """A path in this workspace without the workspace's name; others stay."""
        uri = _parsed(path)
        if uri is None or uri.workspace is None or not _same_workspace(uri.workspace, self._arm.id):
            return path
        return str(replace(uri, workspace=None))


def _path(name: str, version: str | None = None) -> str:
    return f"data/{segment(name)}" + (f"/versions/{segment(version)}" if version is not None else "")


def _is_fit(name: str, version: str | None = None) -> bool:
    """Whether there can be such a name, and version, at all."""
    try:
        DataAsset(name, version=version).check()
    except InvalidName:
        return False
    return True


def _parsed(path: str) -> DatastoreUri | None:
    """A path as a place in a datastore; None if it is another one, or none that this package understands."""
    if not path.startswith("azureml:"):
        return None
    try:
        uri = parse_uri(path)
    except InvalidUri:
        return None
    return uri if isinstance(uri, DatastoreUri) else None


def _same_workspace(one: WorkspaceId, other: WorkspaceId) -> bool:
    return str(one).casefold() == str(other).casefold()


def _before(announced: Any) -> list[str]:
    """The number before the next one that the service names, if it names any."""
    return [str(int(announced) - 1)] if isinstance(announced, str) and announced.isdecimal() else []


def _age(item: Mapping[str, Any]) -> tuple[datetime, int]:
    """Sorts versions by when they were registered, those of one moment by number."""
    number = int(item["name"]) if item["name"].isdecimal() else 0
    try:
        created = datetime.fromisoformat((item.get("systemData") or {})["createdAt"])
    except (KeyError, TypeError, ValueError):
        created = datetime.min.replace(tzinfo=UTC)
    return created.replace(tzinfo=created.tzinfo or UTC), number
