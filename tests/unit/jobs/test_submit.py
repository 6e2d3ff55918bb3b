"""How azure-ai-ml is told what to do."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from azure.ai.ml import MLClient
from azure.core.credentials import AccessToken

from airflow_azureml_datastores.workspaces._arm import RESOURCE_MANAGERS
from airflow_azureml_datastores.workspaces._azureml_submit import _CLOUDS


class NoToken:
    def get_token(self, *scopes: str, **kwargs: object) -> AccessToken:
        raise AssertionError(scopes)


@pytest.mark.parametrize("url", RESOURCE_MANAGERS.values())
def test_it_knows_every_cloud_by_its_own_name(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "")
    client = MLClient(NoToken(), "s", "g", "w", cloud=_CLOUDS[urlsplit(url).netloc], enable_telemetry=False)
    assert client._base_url == url
