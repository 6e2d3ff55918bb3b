"""The rules of the house, held by tests."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_azureml_datastores"


def modules_of(room: str) -> list[str]:
    """Dotted names of a room's modules: of a folder of the package, or the one module of that name."""
    file = PACKAGE / f"{room}.py"
    files = [file] if file.exists() else sorted((PACKAGE / room).rglob("*.py"))
    return [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files if file.stem != "__init__"]
