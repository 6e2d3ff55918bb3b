"""How a datastore's location stands in Azure Resource Manager, where an Azure ML workspace keeps it.

Types that Azure ML has as datastores are datastores there. The others (databases, Databricks, a worker's directory) are
kept as workspace connections, the other kind of thing in an Azure ML workspace that has a place and a credential.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ArmDatastore:
    """The part of an ARM datastore's ``properties`` that says where the data is.

    https://learn.microsoft.com/rest/api/azureml/datastores/create-or-update

    :param properties: for example ``{"accountName": …, "containerName": …}``; ``datastoreType`` is the location's type.
    :param ours: what ARM has no property for, as texts: they go into the free ``properties`` of the datastore.
    """

    properties: Mapping[str, Any]
    ours: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ArmConnection:
    """The part of an ARM workspace connection's ``properties`` that says where the data is.

    https://learn.microsoft.com/rest/api/azureml/workspace-connections/create

    :param category: one of ARM's ConnectionCategory, for example ``AzureSqlDb``.
    :param target: what the connection leads to, in the category's own form.
    :param metadata: what else there is to say, as texts.
    """

    category: str
    target: str
    metadata: Mapping[str, str] = field(default_factory=dict)


ArmForm = ArmDatastore | ArmConnection
