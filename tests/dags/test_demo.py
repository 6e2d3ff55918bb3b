"""``make demo``: what a person sees, and that it is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("demo")]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the demo was run in, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    # A user's own settings, which are none of the demo's business.
    foreign = {"AIRFLOW_HOME": "/nowhere", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nowhere/airflow.db"}
    done = subprocess.run(
        [sys.executable, "-m", "dags_examples.demo"],
        cwd=folder,
        env={**os.environ, **foreign, "PYTHONPATH": str(ROOT), "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return folder, done.stdout


def test_progress(demo: tuple[Path, str]) -> None:
    _, text = demo
    assert "\x1b" not in text
    assert re.findall(r"Run \d of \d: .*", text) == [
        "Run 1 of 3: the clinic delivers measurements",
        "Run 2 of 3: the clinic delivers more",
        "Run 3 of 3: the clinic delivers nothing",
    ]
    tasks = ["clinic_delivers", "clinic", "arrived", "ingest", "train", "publish", "publish_latest"]
    begun = re.findall(r"^  · (\w+)$", text, re.MULTILINE)
    assert begun == [*tasks, *tasks, *tasks[:3]]
    assert len(re.findall(r"^  ✓ \w+  [\d.]+ s$", text, re.MULTILINE)) == len(begun) - 1
    assert re.search(r"0 new of 2 files .*\n  – arrived skipped", text)


def test_summary(demo: tuple[Path, str]) -> None:
    folder, text = demo
    assert re.search(r"workspaceblobstore +LocalDirectory +\S+/  \(default\)", text)
    drops = sorted((folder / ".demo/airflow/clinic/drops").iterdir())
    assert len(drops) == 2
    lines = [len(drop.read_text().splitlines()) - 1 for drop in drops]
    assert re.findall(r"ingested +drops +1 file .* (\d+) rows", text) == [str(rows) for rows in lines]
    assert re.findall(r"rows_seen (\d+)", text.partition("Datastores of")[2]) == [str(lines[0]), str(sum(lines))]
    published = re.findall(r"^ +(\.demo/\S+/diagnosis/\S+/)", text, re.MULTILINE)
    assert len(published) == 6
    for path in published:
        assert (folder / path / "_SUCCESS").exists()
    assert "no new file: 5 tasks skipped, 0 files changed" in text
    assert "FAILED" not in text


def test_it_leaves_nothing_elsewhere(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    assert [path.name for path in folder.iterdir()] == [".demo"]
