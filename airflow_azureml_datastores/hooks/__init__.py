"""Hooks: the only place that reads Airflow connections."""

from airflow_azureml_datastores.hooks.database import (
    AzureMySqlHook,
    AzurePostgreSqlHook,
    AzureSqlDatabaseHook,
    DatabaseHook,
)
from airflow_azureml_datastores.hooks.datastore import (
    AzureBlobHook,
    AzureDataLakeGen2Hook,
    AzureFileHook,
    DatastoreHook,
    DbfsHook,
    LocalDirectoryHook,
    OneLakeHook,
)
from airflow_azureml_datastores.hooks.workspace import LocalWorkspaceHook, WorkspaceHook

__all__ = [
    "AzureBlobHook",
    "AzureDataLakeGen2Hook",
    "AzureFileHook",
    "AzureMySqlHook",
    "AzurePostgreSqlHook",
    "AzureSqlDatabaseHook",
    "DatabaseHook",
    "DatastoreHook",
    "DbfsHook",
    "LocalDirectoryHook",
    "LocalWorkspaceHook",
    "OneLakeHook",
    "WorkspaceHook",
]
