"""Hooks: the only place that reads Airflow connections."""

from airflow_azureml_datastores.hooks.datastore import AzureBlobHook, DatastoreHook, LocalDirectoryHook
from airflow_azureml_datastores.hooks.workspace import LocalWorkspaceHook, WorkspaceHook

__all__ = ["AzureBlobHook", "DatastoreHook", "LocalDirectoryHook", "LocalWorkspaceHook", "WorkspaceHook"]
