"""A datastore's life: registered, made the default, listed, re-pointed, forgotten. No data moves, none is deleted.

It needs nothing but a connection ``ml_workspace``. Given the parameter ``account_name``, it also registers a container
of that storage account, with the credential of the connection ``contoso_storage`` (type *Azure Blob Storage*).
"""

from __future__ import annotations

import os

from airflow.configuration import AIRFLOW_HOME
from airflow.sdk import DAG, Param, task

from airflow_azureml_datastores import AzureBlob, LocalDirectory
from airflow_azureml_datastores.operators import (
    ListDatastoresOperator,
    RegisterDatastoreOperator,
    SetDefaultDatastoreOperator,
    UnregisterDatastoreOperator,
)

OLD, NEW = (
    LocalDirectory(os.path.join(AIRFLOW_HOME, "archive")),
    LocalDirectory(os.path.join(AIRFLOW_HOME, "archive-2")),
)


@task
def make_folders() -> None:
    """A datastore is a door to a place that is there: neither a folder nor a container is made by registering it."""
    for location in (OLD, NEW):
        location.create()


@task.short_circuit
def with_azure(*, params: dict[str, str]) -> bool:
    return bool(params["account_name"])


with DAG(
    "register_datastores",
    schedule=None,
    default_args={"workspace_conn_id": "ml_workspace"},
    params={
        "account_name": Param("", type="string", description="A storage account, to register a container of, too."),
        "container_name": Param("raw", type="string", description="The container."),
    },
    tags=["azureml"],
    doc_md=__doc__,
):
    # Saying the same again changes nothing, so a DAG may well begin by registering what it uses.
    register = RegisterDatastoreOperator(
        task_id="register",
        datastore="archive",
        location=OLD,
        description="What is no longer needed every day.",
        tags={"owner": "platform"},
    )
    # What is meant from now on where no datastore is named; a built-in, as other DAGs may write to it meanwhile.
    make_default = SetDefaultDatastoreOperator(task_id="make_default", datastore="workspacefilestore")
    list_all = ListDatastoresOperator(task_id="list_all")
    restore_default = SetDefaultDatastoreOperator(
        task_id="restore_default", datastore="{{ ti.xcom_pull(task_ids='make_default')['previous'] }}"
    )
    # The name is taken by another definition: without `overwrite` this is an error.
    repoint = RegisterDatastoreOperator(task_id="repoint", datastore="archive", location=NEW, overwrite=True)
    forget = UnregisterDatastoreOperator(task_id="forget", datastore="archive")

    make_folders() >> register >> make_default >> list_all >> restore_default >> repoint >> forget

    # The workspace remembers the connection's id, never the key that is in it.
    container = RegisterDatastoreOperator(
        task_id="register_container",
        datastore="{{ params.container_name }}",
        location=AzureBlob(account_name="{{ params.account_name }}", container_name="{{ params.container_name }}"),
        credential_conn_id="contoso_storage",
    )
    with_azure() >> container >> ListDatastoresOperator(task_id="list_containers", datastore_type="AzureBlob")
