"""docker-compose.yaml: valid, whole, pinned, and open to this machine only."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml
from airflow.sdk import Connection

from airflow_azureml_datastores.core.credentials import AccountKey
from airflow_azureml_datastores.hooks.connections import access_of
from tests.architecture import ROOT

Compose = dict[str, Any]

TEXT = (ROOT / "docker-compose.yaml").read_text()


@pytest.fixture(scope="module")
def compose() -> Compose:
    """The file as Compose sees it when the environment sets none of its variables."""
    return yaml.safe_load(interpolate(TEXT))


def interpolate(text: str) -> str:
    return re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")


def airflow_version() -> str:
    (version,) = re.findall(r"^apache-airflow==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    return version


def test_every_variable_has_a_default() -> None:
    assert re.search(r"(?<!\$)\$(?!\$|\{\w+:-[^}]+\})", TEXT.replace("$$", "")) is None


@pytest.mark.parametrize(
    ("schema", "file"),
    [("compose-spec", "docker-compose.yaml"), ("github-workflows", ".github/workflows/ci.yml")],
)
def test_valid_by_its_schema(schema: str, file: str) -> None:
    rules = json.loads((files("check_jsonschema") / f"builtin_schemas/vendor/{schema}.json").read_text())
    # YAML 1.1 takes the key `on` for a boolean.
    document = {
        ("on" if key is True else key): value for key, value in yaml.safe_load((ROOT / file).read_text()).items()
    }
    jsonschema.validate(document, rules)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document | {"no-such-section": {}}, rules)


def test_has_all_of_airflow_and_the_services(compose: Compose) -> None:
    assert set(compose["services"]) == {
        *("airflow-init", "api-server", "scheduler", "dag-processor", "triggerer"),
        *("postgres", "azurite", "sqlserver"),
    }


def test_every_image_is_pinned(compose: Compose) -> None:
    for name, service in compose["services"].items():
        _, _, tag = service["image"].rpartition(":")
        assert re.search(r"\d+\.\d+|-CU\d+-", tag), name


def test_airflow_is_the_version_of_the_constraints(compose: Compose) -> None:
    dockerfile = (ROOT / "docker/Dockerfile").read_text()
    assert re.findall(r"^FROM apache/airflow:([\d.]+)-python3\.\d+$", dockerfile, re.MULTILINE) == [airflow_version()]
    images = {service["image"] for service in compose["services"].values() if "build" in service}
    assert images == {f"airflow-azureml-datastores:{airflow_version()}"}


def test_every_published_port_is_bound_to_loopback(compose: Compose) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    assert not any("network_mode" in service for service in compose["services"].values())


def test_every_path_of_the_host_is_there(compose: Compose) -> None:
    services = compose["services"].values()
    sources = {mount.partition(":")[0] for service in services for mount in service.get("volumes", [])}
    folders = {source for source in sources if source.startswith((".", "/"))}
    assert folders
    assert all((ROOT / folder).exists() for folder in folders)
    assert sources - folders == set(compose["volumes"])
    for build in (service["build"] for service in services if "build" in service):
        assert (ROOT / build["context"] / build["dockerfile"]).is_file()


def test_image_is_built_from_files_that_are_let_through() -> None:
    let_through = [
        line.removeprefix("!")
        for line in (ROOT / "docker/Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    assert {"airflow_azureml_datastores", "pyproject.toml", "README.md", "LICENSE"} == set(let_through)
    assert all((ROOT / name).exists() for name in let_through)


def test_everything_that_runs_on_is_checked(compose: Compose) -> None:
    unchecked = {name for name, service in compose["services"].items() if "healthcheck" not in service}
    assert unchecked == {"airflow-init"}
    for service in compose["services"].values():
        for name, needs in service.get("depends_on", {}).items():
            once = name in unchecked
            assert needs["condition"] == ("service_completed_successfully" if once else "service_healthy")


def connections(compose: Compose) -> dict[str, Connection]:
    environment = compose["services"]["scheduler"]["environment"]
    prefix = "AIRFLOW_CONN_"
    return {
        name.removeprefix(prefix).lower(): Connection.from_json(value, conn_id=name.removeprefix(prefix).lower())
        for name, value in environment.items()
        if name.startswith(prefix)
    }


def test_all_of_airflow_has_the_same_environment(compose: Compose) -> None:
    airflow = [service for service in compose["services"].values() if "build" in service]
    assert len(airflow) == 5
    assert all(service["environment"] == airflow[0]["environment"] for service in airflow)
    assert all(service["volumes"] == airflow[0]["volumes"] for service in airflow)


def test_workspace_connection_leads_to_its_database_and_its_volume(compose: Compose) -> None:
    connection = connections(compose)["ml_workspace"]
    server = compose["services"][connection.host]
    assert connection.conn_type == "azureml_local_workspace"
    assert connection.login == server["environment"]["POSTGRES_USER"]
    assert connection.password == server["environment"]["POSTGRES_PASSWORD"]
    script = next(mount.split(":")[0] for mount in server["volumes"] if ":/docker-entrypoint-initdb.d/" in mount)
    assert f"CREATE DATABASE {connection.schema};" in (ROOT / script).read_text()
    home = connection.extra_dejson["home"]
    assert f"workspace:{home}" in compose["services"]["scheduler"]["volumes"]
    assert f"RUN mkdir -p {home}\n" in (ROOT / "docker/Dockerfile").read_text()


def test_storage_connection_leads_to_azurite(compose: Compose) -> None:
    access = access_of(connections(compose)["contoso_storage"])
    assert isinstance(access.credential, AccountKey)
    assert access.endpoint == "http://azurite:10000/devstoreaccount1"
    assert " --blobHost 0.0.0.0 " in compose["services"]["azurite"]["command"]
