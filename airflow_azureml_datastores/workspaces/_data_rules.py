"""What every workspace holds of versions of data: what may be registered, which version is the same, which is next."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.core.template import is_unrendered
from airflow_azureml_datastores.core.uri import DatastoreUri, parse_uri
from airflow_azureml_datastores.errors import Changed, DataAssetNotFound, InvalidInput, InvalidUri
from airflow_azureml_datastores.workspaces._definition import looks_secret

# What Azure ML takes beside azureml://: learn.microsoft.com/azure/machine-learning/how-to-create-data-assets
_URL = re.compile(r"(?:https?|wasbs?|abfss?|adl)://[^/\s]", re.IGNORECASE)
_SHOWN = 10


def checked(asset: DataAsset, default_datastore: Callable[[], str]) -> DataAsset:
    """An asset fit to be registered, its path naming a datastore.

    :param default_datastore: gives the name that the placeholder of the default one stands for.
    :raises InvalidInput: a field breaks a rule, or holds a template that was not rendered or what looks like a secret.
    """
    asset.check()
    texts = {"path": asset.path, "description": asset.description, "tags": dict(asset.tags), "digest": asset.digest}
    for field, value in texts.items():
        try:
            text = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"data asset {asset.name!r}: {field} is not text: {error}.") from error
        if is_unrendered(text):
            raise InvalidInput(f"data asset {asset.name!r}: {field} is a template that was not rendered: {text}.")
        if looks_secret(text):
            raise InvalidInput(f"data asset {asset.name!r}: {field} holds what looks like a secret; leave it out.")
    if not all(isinstance(text, str) for pair in asset.tags.items() for text in pair):
        raise InvalidInput(f"data asset {asset.name!r}: tags are texts; got {dict(asset.tags)!r}.")
    return replace(asset, path=_checked_path(asset, default_datastore))


def _checked_path(asset: DataAsset, default_datastore: Callable[[], str]) -> str:
    if isinstance(asset.path, str) and _URL.match(asset.path):
        return asset.path
    uri: Any = parse_uri(asset.path) if str(asset.path).startswith("azureml:") else None
    if not isinstance(uri, DatastoreUri):
        raise InvalidUri(
            f"data asset {asset.name!r}: the path is an azureml:// URI of a file or folder in a datastore, or the URL "
            f"of one in storage; got {asset.path!r}."
        )
    if uri.pattern:
        raise InvalidUri(f"data asset {asset.name!r}: the path {asset.path!r} is a pattern; name a file or folder.")
    if asset.type == "uri_file" and (not uri.path or uri.path.endswith("/")):
        raise InvalidUri(
            f"data asset {asset.name!r}: {asset.path!r} is a folder, not a file as the type uri_file says."
        )
    return str(replace(uri, datastore=uri.datastore or default_datastore()))


def check_type(asset: DataAsset, versions: Sequence[DataAsset], workspace: str) -> None:
    """:raises InvalidInput: those that are there are of another type; in Azure ML, too, all of a name are alike."""
    for version in versions[-1:]:
        if version.type != asset.type:
            raise InvalidInput(
                f"the versions of data asset {asset.name!r} in workspace {workspace} are of type {version.type}; give "
                f"what is of type {asset.type} another name."
            )


def same_content(
    asset: DataAsset, versions: Sequence[DataAsset], archived: Collection[DataAsset] = ()
) -> DataAsset | None:
    """The version that an asset without a version is already; None if it is a new one.

    :param versions: of that name, in the order in which they were registered.
    :param archived: those of them that are not for use any more.
    """
    if not asset.digest:
        return None
    registered_since: set[str] = set()
    for version in reversed(versions):
        if version.digest != asset.digest:
            registered_since.add(_place(version))
        elif _place(version) not in registered_since and version not in archived:
            return version
    return None


def check_is_there(asset: DataAsset, versions: Iterable[DataAsset], workspace: str) -> None:
    """:raises Changed: the path of a version has been registered with other content since, so its own is gone.

    :param versions: of that name, in the order in which they were registered.
    """
    there = [version for version in versions if version.digest and _place(version) == _place(asset)]
    if asset.digest and there and there[-1].digest != asset.digest:
        raise Changed(
            f"the data of {asset.uri} in workspace {workspace} is gone: {asset.path} holds {there[-1].uri} now. Use "
            f"that version; and register what is to stay readable from a path of its own."
        )


def check_same(asset: DataAsset, there: DataAsset, workspace: str) -> None:
    """:raises InvalidInput: a version that is there is not the one that is to be registered."""
    for field in ("path", "digest"):
        have, want = getattr(there, field), getattr(asset, field)
        if have != want and (field != "digest" or (have and want)):
            what = "content" if field == "digest" else field
            raise InvalidInput(
                f"{there.uri} is registered in workspace {workspace} with another {what}: {have!r}, not {want!r}. "
                f"A version is never changed: leave the version out to get the next one."
            )


def next_version(versions: Iterable[str]) -> str:
    """The highest number and one more, as Azure ML's ``nextVersion``; other versions don't count."""
    return str(max((int(version) for version in versions if _is_number(version)), default=0) + 1)


def _place(asset: DataAsset) -> str:
    return asset.path.rstrip("/")


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdecimal()


def no_such_asset(name: str, workspace: str, registered: Iterable[str]) -> DataAssetNotFound:
    """:param registered: the names of all data assets."""
    names = sorted(registered)
    by_fold = {known.casefold(): known for known in names}
    near = difflib.get_close_matches(str(name).casefold(), by_fold, n=1)
    hint = f" Did you mean {by_fold[near[0]]!r}?" if near else ""
    return DataAssetNotFound(
        f"no data asset {name!r} in workspace {workspace}.{hint} Registered: {_shown(names) or 'none'}."
    )


def no_such_version(name: str, version: str, workspace: str, registered: Sequence[str]) -> DataAssetNotFound:
    """:param registered: the versions, in the order in which they were registered."""
    return DataAssetNotFound(
        f"data asset {name!r} in workspace {workspace} has no version {version!r}; "
        f"its versions: {_shown(registered[::-1])}."
    )


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
