"""Whose extensions DuckDB loads."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from airflow_azureml_datastores.stores import _duckdb


def test_an_extension_that_somebody_has_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Path(_duckdb._extension("postgres"))
    assert _duckdb._verified(str(found))
    changed = tmp_path / found.name
    content = bytearray(found.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    monkeypatch.setattr(_duckdb, "_extension", lambda kind: str(changed))
    for _ in range(2):
        with pytest.raises(duckdb.Error, match="signature"), _duckdb.attached("postgres", {}):
            raise AssertionError
