"""Folders of runs on this machine: gone with the run, or with the next one if the run's process was killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_azureml_datastores.compute._scratch import scratch_folder

_HOLD = """
import sys, time
from pathlib import Path
from airflow_azureml_datastores.compute._scratch import scratch_folder

with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "outputs").mkdir()
    (folder / "outputs" / "half").touch()
    print(folder, flush=True)
    time.sleep(600)
"""


def test_is_gone_after_use_with_all_that_is_in_it(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        assert list(folder.iterdir()) == []
        (folder / "closed").mkdir()
        (folder / "closed" / "file").touch()
        (folder / "closed").chmod(0o500)
    assert list(tmp_path.iterdir()) == []


def test_is_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), scratch_folder(tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_of_a_living_process_stays_and_of_a_killed_one_goes(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        theirs = Path(holder.stdout.readline().strip())
        with scratch_folder(tmp_path):
            assert (theirs / "outputs" / "half").exists()
    finally:
        holder.kill()
        holder.communicate()
    assert (theirs / "outputs" / "half").exists()
    with scratch_folder(tmp_path):
        assert not theirs.exists()
    assert list(tmp_path.iterdir()) == []


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "azureml-run-link").symlink_to(tmp_path / "precious")
    (tmp_path / "azureml-run-file").touch()
    with scratch_folder(tmp_path):
        pass
    assert sorted(os.listdir(tmp_path)) == ["azureml-run-file", "azureml-run-link", "precious"]
