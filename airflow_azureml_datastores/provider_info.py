"""What Airflow discovers of this provider, as data."""

from __future__ import annotations

from typing import Any

_PACKAGE = "airflow_azureml_datastores"
_INTEGRATION = "Azure ML datastores"


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


def get_provider_info() -> dict[str, Any]:
    """The provider's description, in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-azureml-datastores",
        "name": _INTEGRATION,
        "description": "Azure ML datastores: register, ingest, run experiments, publish outputs, watch for new data.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://learn.microsoft.com/azure/machine-learning/concept-data",
                "tags": ["azure"],
            }
        ],
        "hooks": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    f"{_PACKAGE}.hooks.workspace",
                    f"{_PACKAGE}.hooks.datastore",
                    f"{_PACKAGE}.hooks.database",
                ],
            }
        ],
        "operators": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    f"{_PACKAGE}.operators.datastores",
                    f"{_PACKAGE}.operators.experiments",
                    f"{_PACKAGE}.operators.files",
                    f"{_PACKAGE}.operators.run_experiment",
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [f"{_PACKAGE}.sensors.new_data", f"{_PACKAGE}.sensors.new_rows"],
            }
        ],
        "triggers": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    f"{_PACKAGE}.triggers.new_data",
                    f"{_PACKAGE}.triggers.new_rows",
                    f"{_PACKAGE}.triggers.job",
                ],
            }
        ],
        "extra-links": [f"{_PACKAGE}.links.StudioLink"],
        "task-decorators": [{"name": "experiment", "class-name": f"{_PACKAGE}.decorators.experiment.experiment_task"}],
        "connection-types": [_LOCAL_WORKSPACE, _AZURE_WORKSPACE],
    }


_LOCAL_WORKSPACE = {
    "connection-type": "azureml_local_workspace",
    "hook-class-name": f"{_PACKAGE}.hooks.workspace.LocalWorkspaceHook",
    "hook-name": "Azure ML local workspace",
    "ui-field-behaviour": {
        "hidden-fields": [],
        "relabeling": {
            "host": "PostgreSQL host",
            "port": "PostgreSQL port",
            "schema": "PostgreSQL database",
            "login": "PostgreSQL user",
            "password": "PostgreSQL password",
        },
        "placeholders": {
            "host": "empty: SQLite in the workspace's folder",
            "schema": "needed with a host",
            "port": "5432",
        },
    },
    "conn-fields": {
        "home": _text(
            "Folder",
            "Absolute path of the folder for the built-in datastores' data. Empty: azureml_workspaces/<connection id> "
            "in AIRFLOW_HOME. With PostgreSQL it has to be reachable from every worker under the same path.",
        )
    },
}

_AZURE_WORKSPACE = {
    "connection-type": "azureml_workspace",
    "hook-class-name": f"{_PACKAGE}.hooks.workspace.WorkspaceHook",
    "hook-name": "Azure ML workspace",
    "ui-field-behaviour": {
        "hidden-fields": ["port", "schema"],
        "relabeling": {"login": "Client ID", "password": "Client secret", "host": "Resource Manager URL"},
        "placeholders": {
            "login": "empty: the worker's identity",
            "password": "or a PEM certificate with its key, or the password of the certificate's file",
            "host": "empty: the cloud's own",
        },
    },
    "conn-fields": {
        "subscription_id": _text("Subscription ID", "The Azure subscription that the workspace is in: a GUID."),
        "resource_group": _text("Resource group", "The resource group that the workspace is in."),
        "workspace_name": _text(
            "Workspace name",
            "The name of the Azure ML workspace. Its whole resource id, /subscriptions/…/workspaces/…, stands for all "
            "three fields.",
        ),
        "tenant_id": _text("Tenant ID", "The Microsoft Entra tenant of the client."),
        "certificate_path": _text(
            "Certificate path", "File on the worker, PEM or PKCS#12, with the client's certificate and private key."
        ),
        "identity": _text(
            "Identity",
            "default, managed or workload: this identity of the worker, whatever else is filled in. Empty: the client, "
            "if one is filled in.",
        ),
        "managed_identity_client_id": _text(
            "Managed Identity Client ID", "Which user-assigned identity to use; empty is the system-assigned one."
        ),
        "workload_identity_tenant_id": _text(
            "Workload Identity Tenant ID", "The tenant of the pod's workload identity, if it is not the pod's own."
        ),
        "cloud_environment": _text(
            "Azure cloud environment", "AzurePublicCloud (if empty), AzureUSGovernment or AzureChinaCloud."
        ),
        "authority": _text("Login service", "Host of another login service than the cloud's, as in private clouds."),
        "compute": _text(
            "Compute", "Where experiments run that name no compute: a compute of the workspace. Empty: on the worker."
        ),
        "environment": _text(
            "Environment", "What jobs run in that name none: azureml:<name>@latest, or a Docker image."
        ),
    },
}
