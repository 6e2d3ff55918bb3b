"""Who leans on whom, where import-linter's contracts (pyproject.toml) cannot say it."""

from __future__ import annotations

import ast

import pytest

from tests.architecture import PACKAGE, ROOT, modules_of

STORES = "airflow_azureml_datastores.stores."


def imported_by(module: str) -> set[str]:
    """Every dotted name that a module imports, at any depth, ``from a import b`` counting as ``a`` and ``a.b``."""
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("module", modules_of("stores"))
def test_stores_share_only_helpers(module: str) -> None:
    """A store never imports another; what several need is in a helper, a module whose name starts with ``_``."""
    others = {name.removeprefix(STORES).partition(".")[0] for name in imported_by(module) if name.startswith(STORES)}
    assert others & {name.removeprefix(STORES) for name in modules_of("stores")} <= {n for n in others if n[0] == "_"}


def test_stores_are_looked_at() -> None:
    assert {module.removeprefix(STORES) for module in modules_of("stores")} >= {"azure_blob", "local_directory"}
    assert "airflow_azureml_datastores.core.store" in imported_by(f"{STORES}local_directory")


def test_every_module_is_in_a_room() -> None:
    """A module outside of every room would escape the contracts."""
    rooms = {"core", "stores", "transfer", "workspaces", "compute", "hooks"}
    rooms |= {"operators", "sensors", "triggers", "decorators"}
    single = {"__init__", "errors", "provider_info", "filesystem", "assets", "links", "lineage"}
    assert {path.stem for path in PACKAGE.glob("*.py")} <= single
    assert {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/**/*.py")} <= rooms
