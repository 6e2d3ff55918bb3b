"""Workspace connections (learn.microsoft.com/rest/api/azureml/workspace-connections)."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.servers.azureml.web import (
    JSON,
    Area,
    Request,
    Response,
    not_found,
    page,
    route,
    system_data,
    user_error,
)

if TYPE_CHECKING:
    from tests.servers.azureml.workspace import Workspace


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}")
CATEGORIES = _words(
    """
    PythonFeed ContainerRegistry Git S3 Snowflake AzureSqlDb AzureSynapseAnalytics AzureMySqlDb
    AzurePostgresDb ADLSGen2 Redis ApiKey AzureOpenAI AIServices CognitiveSearch CognitiveService
    CustomKeys AzureBlob AzureOneLake CosmosDb CosmosDbMongoDbApi AzureDataExplorer AzureMariaDb
    AzureDatabricksDeltaLake AzureSqlMi AzureTableStorage AmazonRdsForOracle AmazonRdsForSqlServer
    AmazonRedshift Db2 Drill GoogleBigQuery Greenplum Hbase Hive Impala Informix MariaDb
    MicrosoftAccess MySql Netezza Oracle Phoenix PostgreSql Presto SapOpenHub SapBw SapHana SapTable
    Spark SqlServer Sybase Teradata Vertica Cassandra Couchbase MongoDbV2 MongoDbAtlas
    AmazonS3Compatible FileServer FtpServer GoogleCloudStorage Hdfs OracleCloudStorage Sftp
    GenericHttp ODataRest Odbc GenericRest AmazonMws Concur Dynamics DynamicsAx DynamicsCrm
    GoogleAdWords Hubspot Jira Magento Marketo Office365 Eloqua Responsys OracleServiceCloud PayPal
    QuickBooks Salesforce SalesforceServiceCloud SalesforceMarketingCloud SapCloudForCustomer SapEcc
    ServiceNow SharePointOnlineList Shopify Square WebTable Xero Zoho GenericContainerRegistry
    Databricks OpenAI Serp BingLLMSearch Serverless ManagedOnlineEndpoint
    """
)
AUTH_TYPES = _words(
    "PAT ManagedIdentity UsernamePassword None SAS AccountKey ServicePrincipal AccessKey ApiKey CustomKeys OAuth2 AAD"
)


class Connections(Area):
    """The connections of a workspace.

    :ivar records: name in lower case -> the record with its credentials.
    :ivar page_size: the most that one answer lists.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.records: dict[str, JSON] = {}
        self.page_size = 30

    def plant(self, name: str, properties: Mapping[str, Any]) -> None:
        """Put a connection there, unchecked."""
        self.records[name.lower()] = self._record(name, copy.deepcopy(dict(properties)), system_data(None))

    @route("GET", "connections", "connections/read")
    def list(self, request: Request) -> Response:
        records = [record for _, record in sorted(self.records.items())]
        for name in ("category", "target"):
            if name in request.query:
                records = [record for record in records if record["properties"].get(name) == request.query[name]]
        return page(request, [_shown(record) for record in records], self.page_size, skip="$skipToken")

    @route("GET", "connections/{name}", "connections/read")
    def get(self, request: Request, name: str) -> Response:
        return Response(200, _shown(self._find(name)))

    @route("PUT", "connections/{name}", "connections/write")
    def put(self, request: Request, name: str) -> Response:
        if not NAME.fullmatch(name):
            raise user_error(
                f"Connection name '{name}' is invalid: it must match the pattern ^[a-zA-Z0-9][a-zA-Z0-9_-]{{2,32}}$."
            )
        properties = request.json().get("properties")
        if not isinstance(properties, dict):
            raise user_error("The request is invalid: the field 'properties' is required.")
        if properties.get("category") not in CATEGORIES:
            raise user_error(f"The request is invalid: unknown category '{properties.get('category')}'.")
        if properties.get("authType") not in AUTH_TYPES:
            raise user_error(f"The request is invalid: unknown authType '{properties.get('authType')}'.")
        for name_, value in (properties.get("metadata") or {}).items():
            if not isinstance(value, str):
                raise user_error(f"The request is invalid: the metadata '{name_}' is not a string.")
        known = self.records.get(name.lower())
        if known and not properties.get("credentials") and properties["authType"] == known["properties"]["authType"]:
            properties["credentials"] = known["properties"].get("credentials")
        made = system_data(request.principal, known and known["systemData"])
        self.records[name.lower()] = self._record(known["name"] if known else name, properties, made)
        return Response(200, _shown(self.records[name.lower()]))

    @route("DELETE", "connections/{name}", "connections/delete")
    def delete(self, request: Request, name: str) -> Response:
        return Response(200 if self.records.pop(name.lower(), None) else 204)

    @route("POST", "connections/{name}/listsecrets", "connections/listsecrets/action")
    def list_secrets(self, request: Request, name: str) -> Response:
        return Response(200, copy.deepcopy(self._find(name)))

    def _find(self, name: str) -> JSON:
        if name.lower() not in self.records:
            raise not_found(f"Connection {name} can't be found in this workspace")
        return self.records[name.lower()]

    def _record(self, name: str, properties: JSON, made: JSON) -> JSON:
        return {
            "id": f"{self._workspace.path}/connections/{name}",
            "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces/connections",
            "properties": {"group": "Azure", "isSharedToAll": False, **properties},
            "systemData": made,
        }


def _shown(record: JSON) -> JSON:
    shown = copy.deepcopy(record)
    shown["properties"]["credentials"] = None
    return shown
