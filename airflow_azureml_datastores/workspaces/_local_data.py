"""Versions of data in the database of an embedded workspace."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.errors import InvalidName
from airflow_azureml_datastores.workspaces._data_rules import (
    check_is_there,
    check_same,
    check_type,
    next_version,
    no_such_asset,
    no_such_version,
    same_content,
)
from airflow_azureml_datastores.workspaces._database import Transaction


def find(transaction: Transaction, name: str, version: str | None, workspace: str) -> DataAsset:
    """A version of a data asset; None is the latest.

    :param workspace: what messages call it.
    :raises DataAssetNotFound: there is none.
    :raises Changed: its path has been registered with other content since.
    """
    versions = [asset for asset in _versions(transaction, name) if asset.name == name]
    if not versions:
        rows = transaction.rows("SELECT DISTINCT name FROM azureml_data_versions")
        raise no_such_asset(name, workspace, [row["name"] for row in rows])
    if version is None:
        return versions[-1]
    for asset in versions:
        if asset.version == version:
            check_is_there(asset, versions, workspace)
            return asset
    raise no_such_version(name, version, workspace, [str(asset.version) for asset in versions])


def register(transaction: Transaction, asset: DataAsset, workspace: str) -> DataAsset:
    """Register a checked asset, unless it is there. Returns it with its version.

    Whether Azure ML tells names apart that differ only in case is written nowhere, so there are never two such here,
    and each is found by its exact name only.

    :param transaction: one that no other writer's can overlap.
    :param workspace: what messages call it.
    :raises InvalidName: the name differs from that of another asset only in case.
    :raises InvalidInput: the other versions are of another type, or the given one is there and another one.
    """
    versions = _versions(transaction, asset.name)
    if versions and versions[0].name != asset.name:
        raise InvalidName(
            f"the data asset {versions[0].name!r} in workspace {workspace} differs from {asset.name!r} only in case; "
            f"use that name, or another one."
        )
    check_type(asset, versions, workspace)
    if asset.version is None:
        there = same_content(asset, versions)
        asset = replace(asset, version=next_version(str(version.version) for version in versions))
        asset.check()
    else:
        there = next((version for version in versions if version.version == asset.version), None)
        if there is not None:
            check_same(asset, there, workspace)
    if there is not None:
        return there
    transaction.run(
        "INSERT INTO azureml_data_versions (name_key, position, name, version, definition) "
        "VALUES (:key, :position, :name, :version, :definition)",
        key=_key(asset.name),
        position=len(versions) + 1,
        name=asset.name,
        version=asset.version,
        definition=json.dumps(_definition(asset)),
    )
    return asset


def _versions(transaction: Transaction, name: str) -> Sequence[DataAsset]:
    """All versions of an asset, whatever the case of its name, in the order in which they were registered."""
    rows = transaction.rows(
        "SELECT name, version, definition FROM azureml_data_versions WHERE name_key = :key ORDER BY position",
        key=_key(name),
    )
    return [_asset(row) for row in rows]


def _key(name: str) -> str:
    # No asset has a name beyond ASCII, where casefold would find likenesses and NUL no text.
    return name.casefold() if name.isascii() and name.isprintable() else ""


def _definition(asset: DataAsset) -> dict[str, Any]:
    fields = ("path", "type", "digest", "description")
    return {**{field: getattr(asset, field) for field in fields}, "tags": dict(asset.tags)}


def _asset(row: Mapping[str, Any]) -> DataAsset:
    return DataAsset(row["name"], version=row["version"], **json.loads(row["definition"]))
