"""Where a data asset's data is, in terms of the registered datastores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote, urlsplit

from airflow_azureml_datastores.core.data_asset import DataAsset
from airflow_azureml_datastores.core.datastore import Datastore
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.errors import InvalidUri


def place_of(asset: DataAsset, datastores: Callable[[], Iterable[Datastore]]) -> str:
    """The ``azureml://`` URI of a data asset's data; a folder's ends with a slash.

    Data assets that others have registered may have a storage URL instead: then the data is read through the datastore
    whose location contains it.

    :param datastores: lists those that are registered.
    :raises InvalidUri: none of them contains it.
    """
    path = asset.path
    if not path.startswith("azureml:"):
        path = _in_datastore(asset, datastores())
    return path if asset.type == "uri_file" or path.endswith("/") else f"{path}/"


def _in_datastore(asset: DataAsset, datastores: Iterable[Datastore]) -> str:
    url = https_url(asset.path)
    roots = {f"{https_url(datastore.location.url).rstrip('/')}/": datastore.name for datastore in datastores}
    within = [root for root in roots if root.startswith("https://") and f"{url}/".startswith(root)]
    if not within:
        raise InvalidUri(
            f"the data of {asset.uri} is at {url}, which is in none of the registered datastores: register one for the "
            f"container that it is in."
        )
    root = max(within, key=len)
    return str(DatastoreUri(roots[root], unquote(url[len(root) :])))


def https_url(url: str) -> str:
    """The one URL that stands for all those of a file in Azure Storage, without query: that of its Blob service.

    https://learn.microsoft.com/azure/storage/blobs/data-lake-storage-introduction-abfs-uri
    """
    parts = urlsplit(url)
    host, path = parts.netloc, parts.path
    if parts.scheme in ("wasb", "wasbs", "abfs", "abfss") and "@" in host:
        container, _, host = host.partition("@")
        path = f"/{container}{path}"
    elif parts.scheme not in ("http", "https"):
        return url
    host = re.sub(r"^([a-z0-9-]+)\.dfs\.", r"\1.blob.", host.casefold())
    return f"https://{host}{path}"
