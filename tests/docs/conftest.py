"""A session per page: an embedded workspace, files to work on, and Airflow to run the DAGs."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_azureml_datastores.hooks.connections import access_of
from tests.dags.conftest import airflow_db  # noqa: F401
from tests.docs.session import Session
from tests.servers.azurite import ACCOUNT, BlobService
from tests.servers.fixtures import Servers

FILES = Path(__file__).with_name("files")
"""What a page finds on the machine: data in ``srv/``, and in ``dags/`` what lies beside its DAG files."""
CONTAINER = "raw"
"""The container that the pages register."""
HOUR = 3600


@pytest.fixture
def session(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    (tmp_path / "srv/gold").mkdir()
    for file in tmp_path.rglob("*.csv"):
        os.utime(file, (time.time() - HOUR, time.time() - HOUR))

    def connect(conn_id: str, fields: dict[str, Any]) -> None:
        if "$STORAGE_KEY" in fields.values():
            storage: BlobService = request.getfixturevalue("storage")
            fields = fields | {"password": storage.key, "host": storage.url}
        if not fields["conn_type"].startswith("azureml_"):
            access_of(Connection(conn_id=conn_id, **fields))
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    home = {"conn_type": "azureml_local_workspace", "extra": json.dumps({"home": str(tmp_path / "srv/workspace")})}
    connect("ml_workspace", home)
    connect("azureml_workspace_default", home)
    stands_for = {"/srv/": f"{tmp_path}/srv/", '"contoso"': f'"{ACCOUNT}"'}
    return Session(tmp_path / "dags", stands_for, connect)


@pytest.fixture
def storage(servers: Servers) -> BlobService:
    """The account that stands in for ``contoso``, with an empty container."""
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.storage.blob import BlobServiceClient

    found = servers.azurite
    with BlobServiceClient(found.url, credential=AzureNamedKeyCredential(found.account, found.key)) as client:
        container = client.get_container_client(CONTAINER)
        if not container.exists():
            container.create_container()
        for blob in container.list_blob_names():
            container.delete_blob(blob)
    return found
