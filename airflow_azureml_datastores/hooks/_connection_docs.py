"""docs/connections.md, rendered from the mapping: ``python -m airflow_azureml_datastores.hooks._connection_docs``."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from airflow_azureml_datastores.hooks._connection_fields import Field
from airflow_azureml_datastores.hooks._connection_types import (
    CONNECTION_TYPES,
    RESOURCE_GROUP,
    RESOURCE_MANAGER,
    SUBSCRIPTION,
    WORKSPACE_NAME,
    ConnectionType,
    Way,
)

_HEAD = """\
# Connections

<!-- Rendered from airflow_azureml_datastores/hooks/_connection_types.py by
     `python -m airflow_azureml_datastores.hooks._connection_docs > docs/connections.md`; a test keeps it fresh. -->

A datastore does not hold its credential: it names an Airflow connection (`credential_conn_id`) that does. The
connection types that storage already has in Airflow serve as they are. A datastore that names no connection is reached
with the identity of the worker.

Each table lists a type's ways in **in order of precedence**: the first way whose first field is filled in is taken, as
in the official provider's hook of that type. If one of its other needed fields is empty, that is an error that names
the connection and the field; no other way is tried in its place.

Common to all types:

- A password or key field may hold an account key or a SAS token. A SAS token may be a query string, with or without the
  leading `?`, or a whole `https://…?…` URL, whose address is then the endpoint. It is used until it expires, even
  in the middle of a transfer; one that an Azure ML workspace keeps for a datastore without a connection is renewed.
- `identity` is `default` (the chain of `DefaultAzureCredential`), `managed` or `workload`. Without it,
  `managed_identity_client_id` alone means exactly that managed identity, `workload_identity_tenant_id` alone means
  workload identity, and both or neither mean the chain.
- `cloud_environment` is `AzurePublicCloud` (the default), `AzureUSGovernment` or `AzureChinaCloud` and selects where to
  log in. `client_secret_auth_config` may hold another login service: `{"authority": "login.example.com"}`.
- An account URL in the endpoint field (or in a connection string) redirects the datastore to it: a sovereign cloud, a
  private link, an emulator. A bare account name there changes nothing: the datastore has its own.
- An extra may also stand under its old name, `extra__<type>__<name>`. Extras that are not listed are ignored, client
  options such as `proxies` among them: set `HTTPS_PROXY` for the worker.
- A login and password is a way into databases only; for storage the table goes on without it.
- A plain "extra" has no field of its own in Airflow's form: it goes into *Extra Fields JSON*. Airflow itself does not
  hide the extra `account_key` from those who may read connections; the password field is the better place for a key.

Connections of type `azure_data_lake` were made for Data Lake Storage Gen1, which is retired; their clients open Gen2 as
well. The store that they name is not looked at.
"""


_DATABRICKS = """\
- A connection of this type is for datastores of type `DBFS` only. Its address is where its token or secret goes: a
  datastore that is registered with another workspace is refused ([more](databricks.md#where-a-token-goes)).
- Of an address only scheme and host count; it may be copied from a browser. The extra `host` comes before the field.
- An application of Microsoft Entra ID has to be a member of the workspace: `azure_resource_id` is ignored.
"""

_WORKSPACE = """\
A connection of this type says where a workspace of Azure ML is, and as whom to ask Azure Resource Manager for what the
workspace knows. The same connection may be the `credential_conn_id` of a datastore: its data is then reached as the
same client.

| field | holds |
|---|---|
| {place[0]} | the subscription's GUID |
| {place[1]} | the resource group's name |
| {place[2]} | the workspace's name, or in place of all three its resource id: `/subscriptions/…/workspaces/…` |
| {place[3]} | an https URL where Azure Resource Manager is reached, in private clouds; empty, it is the cloud's own |

- The client secret may be a certificate with its private key instead, as PEM text. With a certificate path it is the
  password of that file. An unencrypted file needs none.
- `cloud_environment` selects the Resource Manager, too. `authority` is the host of another login service; Microsoft is
  not asked to vouch for it.
- A connection of type `azure` becomes one of this type by its type and the workspace's fields: `tenantId` and
  `subscriptionId` are understood.
- The form's *Test* button logs in, lists the datastores and opens the default one. What is wrong it says in words: the
  tenant, the client or its secret, the action that a role is missing for, or which of subscription, resource group and
  workspace was not found. Airflow's setting `core.test_connection` has to allow the button.
"""


def render() -> str:
    """The whole page, as Markdown."""
    return "\n".join([_HEAD, *(_section(declared) for declared in CONNECTION_TYPES.values())])


def _section(declared: ConnectionType) -> str:
    rows = [
        f"| {n} | {way.title} | {_needs(way)} | {_cells(way.takes.values())} |"
        for n, way in enumerate(declared.ways, 1)
    ]
    endpoint = f"\nEndpoint: {_cells(declared.endpoint)}.\n" if declared.endpoint else ""
    if declared.conn_type == "databricks":
        endpoint += "\n" + _DATABRICKS
    if declared.conn_type == "azureml_workspace":
        places = (SUBSCRIPTION, RESOURCE_GROUP, WORKSPACE_NAME, RESOURCE_MANAGER)
        endpoint = "\n" + _WORKSPACE.format(place=[_cells([place]) for place in places])
    return "\n".join(
        [
            f"## {declared.title} (`{declared.conn_type}`)",
            "",
            "|   | way in | needs | takes |",
            "|---|---|---|---|",
            *rows,
            endpoint,
        ]
    )


def _needs(way: Way) -> str:
    needs = _cells(way.needs.values()) if way.needs else "nothing: taken when no other way is"
    return f"{needs}, unless {_cells([way.unless])} is filled in" if way.unless else needs


def _cells(fields: Iterable[Field]) -> str:
    return ", ".join(f"{field.label} (`{field.key}`)" if field.label else f"extra `{field.key}`" for field in fields)


if __name__ == "__main__":
    sys.stdout.write(render())
