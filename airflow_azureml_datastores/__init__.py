"""Azure ML datastores in Apache Airflow.

The public names are loaded on first use, so that importing the package costs nothing at DAG parse.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from airflow_azureml_datastores.core.data_asset import DataAsset
    from airflow_azureml_datastores.core.datastore import Datastore
    from airflow_azureml_datastores.core.experiment import Input, Output
    from airflow_azureml_datastores.stores.adls_gen2 import AzureDataLakeGen2
    from airflow_azureml_datastores.stores.azure_blob import AzureBlob
    from airflow_azureml_datastores.stores.azure_file import AzureFile
    from airflow_azureml_datastores.stores.azure_sql import AzureSqlDatabase
    from airflow_azureml_datastores.stores.dbfs import Dbfs
    from airflow_azureml_datastores.stores.local_directory import LocalDirectory
    from airflow_azureml_datastores.stores.mysql import AzureMySql
    from airflow_azureml_datastores.stores.one_lake import OneLake
    from airflow_azureml_datastores.stores.postgresql import AzurePostgreSql

_PUBLIC = {
    "DataAsset": "core.data_asset",
    "Datastore": "core.datastore",
    "Input": "core.experiment",
    "Output": "core.experiment",
    "AzureBlob": "stores.azure_blob",
    "AzureDataLakeGen2": "stores.adls_gen2",
    "AzureFile": "stores.azure_file",
    "AzureMySql": "stores.mysql",
    "AzurePostgreSql": "stores.postgresql",
    "AzureSqlDatabase": "stores.azure_sql",
    "Dbfs": "stores.dbfs",
    "LocalDirectory": "stores.local_directory",
    "OneLake": "stores.one_lake",
}

__all__ = [
    "AzureBlob",
    "AzureDataLakeGen2",
    "AzureFile",
    "AzureMySql",
    "AzurePostgreSql",
    "AzureSqlDatabase",
    "DataAsset",
    "Datastore",
    "Dbfs",
    "Input",
    "LocalDirectory",
    "OneLake",
    "Output",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
