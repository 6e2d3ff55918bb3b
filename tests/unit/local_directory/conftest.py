"""A store in a folder of its own; the contract suite covers what is not particular to folders on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_azureml_datastores.core.credentials import Anonymous
from airflow_azureml_datastores.stores.local_directory import LocalDirectory, LocalDirectoryStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> LocalDirectoryStore:
    return LocalDirectory(str(root)).create().open(Anonymous())


def drafts(root: Path) -> list[str]:
    """What the store keeps for itself and has not put in its place."""
    return os.listdir(root / ".datastore" / "tmp")
