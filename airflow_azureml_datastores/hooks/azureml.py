"""From a connection of type ``azureml_workspace`` to the workspace of Azure ML that it is about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_azureml_datastores.core.credentials import Credential, SasToken
from airflow_azureml_datastores.core.uri import WorkspaceId
from airflow_azureml_datastores.errors import InvalidConnection
from airflow_azureml_datastores.hooks._connection_fields import ConnectionLike, Field, Filled
from airflow_azureml_datastores.hooks._connection_types import (
    RESOURCE_GROUP,
    RESOURCE_MANAGER,
    SUBSCRIPTION,
    WORKSPACE_CLOUD,
    WORKSPACE_NAME,
)
from airflow_azureml_datastores.hooks._masking import Mask
from airflow_azureml_datastores.hooks.connections import access_of, secrets_of

if TYPE_CHECKING:
    from airflow_azureml_datastores.workspaces.azureml import AzureMLWorkspace

_WHOLE_ID = re.compile(
    r"/?subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.MachineLearningServices/workspaces/([^/]+)/?",
    re.IGNORECASE,
)

# https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules, and for workspaces
# https://learn.microsoft.com/azure/machine-learning/how-to-manage-workspace#limitations
_RULES: tuple[tuple[Field, str, str], ...] = (
    (SUBSCRIPTION, r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "a GUID"),
    (RESOURCE_GROUP, r"[\w.()-]{0,89}[\w()-]", "up to 90 letters, digits and ._-(), with no period at the end"),
    (WORKSPACE_NAME, r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}", "3 to 33 letters, digits, _ and -, a letter or digit first"),
)


def azureml_workspace(connection: ConnectionLike, mask: Mask) -> AzureMLWorkspace:
    """The workspace that a connection is about; no request is made, but a certificate's file is read.

    :param mask: is told every secret, those included that the workspace gives out later.
    :raises InvalidConnection: a field is missing, or holds what cannot be used.
    """
    from airflow_azureml_datastores.workspaces.azureml import AzureMLWorkspace

    filled = Filled(connection)
    place = workspace_id_of(filled)
    manager = _resource_manager(filled)
    credential = access_of(connection).credential
    _mask(credential, mask)
    return AzureMLWorkspace(
        str(connection.conn_id),
        place,
        credential,
        cloud=filled.get(WORKSPACE_CLOUD) or "AzurePublicCloud",
        resource_manager=manager,
        on_secret=lambda secret: _mask(SasToken(secret), mask),
    )


def _mask(credential: Credential, mask: Mask) -> None:
    """Let no log show its secrets; of what could be a SAS token, nor its signature, however that is quoted."""
    for secret in secrets_of(credential):
        mask(secret)


def workspace_id_of(filled: Filled) -> WorkspaceId:
    """Where the workspace is: from three fields, or from the whole resource id in one of them.

    :raises InvalidConnection: a field is missing, breaks the rules of what it names, or contradicts another.
    """
    given = {place: filled.get(place) for place, _, _ in _RULES}
    for holder, text in given.items():
        whole = _WHOLE_ID.fullmatch(text or "")
        if whole:
            _check_agreement(filled, given, holder, whole.groups())
            given = dict(zip(given, whole.groups(), strict=True))
            break
    for place, rule, words in _RULES:
        text = given[place]
        if not text:
            raise InvalidConnection(f"{filled.name} lacks {place}, which says where the Azure ML workspace is.")
        if not re.fullmatch(rule, text):
            raise InvalidConnection(f"{filled.name}: {place} has to be {words}.")
    return WorkspaceId(*(str(text) for text in given.values()))


def _check_agreement(
    filled: Filled, given: dict[Field, str | None], holder: Field, parts: tuple[str | None, ...]
) -> None:
    for (place, text), part in zip(given.items(), parts, strict=True):
        if place is not holder and text and text.casefold() != str(part).casefold():
            raise InvalidConnection(
                f"{filled.name}: {place} says something else than the resource id in {holder}. Clear one of them."
            )


def _resource_manager(filled: Filled) -> str | None:
    """https URL of Azure Resource Manager, if it is not the cloud's own."""
    text = filled.get_endpoint(RESOURCE_MANAGER)
    if not text:
        return None
    url = text if "://" in text else f"https://{text}"
    if not re.fullmatch(r"https://[\w.\[\]:-]+(/[\w./-]*)?", url):
        raise InvalidConnection(
            f"{filled.name}: {RESOURCE_MANAGER} is an https URL of host, port and path only; empty, it is the cloud's."
        )
    return url.rstrip("/")
