"""What Airflow discovers of this provider: valid by Airflow's own schema, complete, and true."""

from __future__ import annotations

import ast
import importlib
import json
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_azureml_datastores.provider_info import get_provider_info
from tests.architecture import ROOT, modules_of


@pytest.fixture(scope="module")
def info() -> dict[str, Any]:
    return get_provider_info()


def test_valid_by_airflows_schema(info: dict[str, Any]) -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(info, schema)


def test_discovered_under_the_distributions_name(info: dict[str, Any]) -> None:
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    assert info["package-name"] == name
    (found,) = [
        entry for entry in entry_points(group="apache_airflow_provider") if entry.dist and entry.dist.name == name
    ]
    assert found.load()() == info


@pytest.mark.parametrize("kind", ["Operator", "Sensor", "Trigger", "Hook"])
def test_lists_every_module_that_has_one(kind: str, info: dict[str, Any]) -> None:
    room = f"{kind.lower()}s"
    listed = [module for integration in info[room] for module in integration["python-modules"]]
    public = [module for module in modules_of(room) if not module.rpartition(".")[2].startswith("_")]
    assert sorted(listed) == [module for module in public if any(c.endswith(kind) for c in classes(module))]


def classes(module: str) -> list[str]:
    """Names of the classes that a module defines, without importing it."""
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def test_what_it_names_can_be_imported(info: dict[str, Any]) -> None:
    names = list(dotted_names(info))
    assert names
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def dotted_names(value: Any) -> Iterator[str]:
    """Every text in nested data that names something of this package, down to a class or function."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key != "python-modules":
                yield from dotted_names(item)
    elif isinstance(value, list):
        for item in value:
            yield from dotted_names(item)
    elif isinstance(value, str) and value.startswith("airflow_azureml_datastores."):
        yield value
