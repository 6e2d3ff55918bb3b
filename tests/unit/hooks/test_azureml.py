"""Which Azure ML workspace a connection is about."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_azureml_datastores.core.uri import WorkspaceId
from airflow_azureml_datastores.errors import InvalidConnection
from airflow_azureml_datastores.hooks._connection_fields import Filled
from airflow_azureml_datastores.hooks._connection_types import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE_NAME
from airflow_azureml_datastores.hooks.azureml import azureml_workspace, workspace_id_of
from airflow_azureml_datastores.provider_info import get_provider_info

SUBSCRIPTION_ID = "11111111-2222-3333-4444-55555555aaaa"
PLACE = {"subscription_id": SUBSCRIPTION_ID, "resource_group": "rg", "workspace_name": "ml-prod"}
WHOLE = (
    f"/subscriptions/{SUBSCRIPTION_ID}/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ml-prod"
)
ID = WorkspaceId(SUBSCRIPTION_ID, "rg", "ml-prod")


def conn(extra: dict[str, Any], **fields: Any) -> Connection:
    return Connection(conn_id="ml", conn_type="azureml_workspace", extra=json.dumps(extra), **fields)


def nobody(secret: str) -> None:
    raise AssertionError("an identity has no secret")


@pytest.mark.parametrize(
    "extra",
    [
        PLACE,
        {**PLACE, "subscription_id": "", "subscriptionId": SUBSCRIPTION_ID},
        {"workspace_name": WHOLE},
        {"subscription_id": WHOLE.lower().replace("ml-prod", "ml-prod/").removeprefix("/")},
        {"workspace_name": WHOLE, "resource_group": "RG"},
    ],
    ids=["three fields", "official name", "resource id", "resource id in another field, case and slashes", "both"],
)
def test_place(extra: dict[str, Any]) -> None:
    assert workspace_id_of(Filled(conn(extra))) == ID


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in PLACE.items() if key != name}


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (without("subscription_id"), r"lacks 'Subscription ID' \(extra 'subscription_id'\)"),
        (without("resource_group"), r"lacks 'Resource group' \(extra 'resource_group'\)"),
        (without("workspace_name"), r"lacks 'Workspace name' \(extra 'workspace_name'\)"),
        ({**PLACE, "subscription_id": "Pay-As-You-Go"}, r"'Subscription ID' .* has to be a GUID"),
        ({**PLACE, "resource_group": "rg."}, r"'Resource group' .* no period at the end"),
        ({**PLACE, "resource_group": "r" * 91}, r"'Resource group' .* up to 90"),
        ({**PLACE, "workspace_name": "ml"}, r"'Workspace name' .* 3 to 33"),
        ({**PLACE, "workspace_name": "-ml"}, r"'Workspace name' .* a letter or digit first"),
        ({**PLACE, "workspace_name": "m" * 34}, r"'Workspace name' .* 3 to 33"),
        ({**PLACE, "workspace_name": "ml/../other"}, r"'Workspace name'"),
        ({**PLACE, "workspace_name": WHOLE.replace("rg", "other")}, "'Resource group' .* something else than"),
        ({"workspace_name": WHOLE.replace("ml-prod", "m")}, r"'Workspace name' .* 3 to 33"),
    ],
)
def test_place_that_is_none(extra: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidConnection, match=f"^connection 'ml'.*{words}"):
        workspace_id_of(Filled(conn(extra)))


def test_longest_and_oddest_names() -> None:
    extra = {**PLACE, "resource_group": "(r.g)_" + "x" * 84, "workspace_name": "0" + "_-" * 16}
    assert workspace_id_of(Filled(conn(extra))).workspace == "0" + "_-" * 16


@pytest.mark.parametrize(
    ("fields", "base", "scope"),
    [
        ({}, "https://management.azure.com", "https://management.azure.com/.default"),
        (
            {"cloud_environment": "AzureUSGovernment"},
            "https://management.usgovcloudapi.net",
            "https://management.usgovcloudapi.net/.default",
        ),
        (
            {"cloud_environment": "AzureChinaCloud"},
            "https://management.chinacloudapi.cn",
            "https://management.chinacloudapi.cn/.default",
        ),
        (
            {"host": "https://127.0.0.1", "port": 8443},
            "https://127.0.0.1:8443",
            "https://management.azure.com/.default",
        ),
        ({"host": "arm.contoso.example/"}, "https://arm.contoso.example", "https://management.azure.com/.default"),
    ],
)
def test_resource_manager(fields: dict[str, Any], base: str, scope: str) -> None:
    server = {name: fields[name] for name in ("host", "port") if name in fields}
    extra = {**PLACE, **{name: value for name, value in fields.items() if name not in server}}
    workspace = azureml_workspace(conn(extra, **server), nobody)
    try:
        assert workspace.id == ID
        assert workspace.name == "'ml' (Azure ML workspace ml-prod)"
        assert (workspace._arm.base, workspace._arm.scope) == (base, scope)
    finally:
        workspace.close()


@pytest.mark.parametrize("host", ["http://arm.example", "https://u:HUSH@arm.example", "https://arm.example/?sig=HUSH"])
def test_resource_manager_that_is_none(host: str) -> None:
    with pytest.raises(InvalidConnection, match=r"'Resource Manager URL' \(host\) is an https URL") as caught:
        azureml_workspace(conn(PLACE, host=host), nobody)
    assert "HUSH" not in str(caught.value)


def test_form_has_every_field() -> None:
    (form,) = [f for f in get_provider_info()["connection-types"] if f["connection-type"] == "azureml_workspace"]
    for place in (SUBSCRIPTION, RESOURCE_GROUP, WORKSPACE_NAME):
        assert form["conn-fields"][place.key]["label"] == place.label
    assert form["ui-field-behaviour"]["relabeling"]["host"] == "Resource Manager URL"
    assert "host" not in form["ui-field-behaviour"]["hidden-fields"]
