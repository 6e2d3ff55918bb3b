"""Runs the example pipeline three times on an embedded workspace, and tells what came of it.

All that it makes is in ``.demo/`` of the current folder and stays there to be looked at; the next demo begins afresh.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

from rich.console import Console
from rich.markup import escape

FOLDER = Path(".demo")
HOME = FOLDER / "airflow"
LOG = FOLDER / "airflow.log"

RUNS = {
    "the clinic delivers measurements": {"deliver": True},
    "the clinic delivers more": {"deliver": True},
    "the clinic delivers nothing": {"deliver": False},
}


def main() -> int:
    began = time.monotonic()
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    console = Console(file=sys.stdout, soft_wrap=True, highlight=False, emoji=False)
    prepare()
    console.print(f"Making an Airflow in {HOME}/ …")
    with LOG.open("w") as log, redirect_stdout(log):
        problems = run_and_report(console)
    console.print(
        f"\nThat took {time.monotonic() - began:.0f} s. Everything is in {FOLDER}/; what Airflow logged, in {LOG}."
    )
    for problem in problems:
        console.print(f"[bold red]FAILED:[/] {escape(problem)}")
    return 1 if problems else 0


def prepare() -> None:
    """Begin afresh, with none of the user's own Airflow settings."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    HOME.mkdir(parents=True)
    for name in [name for name in os.environ if name.startswith("AIRFLOW_") or name == "CLINIC_ACCOUNT"]:
        del os.environ[name]
    os.environ |= {
        "AIRFLOW_HOME": str(HOME.resolve()),
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).resolve().parents[1]),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_ML_WORKSPACE": '{"conn_type": "azureml_local_workspace"}',
    }


def run_and_report(console: Console) -> list[str]:
    """Returns what went wrong. Airflow is imported here and not before, as it reads its settings then."""
    from airflow.utils import db

    from dags_examples.demo.progress import show_progress
    from dags_examples.demo.report import Report
    from dags_examples.demo.runs import run
    from dags_examples.experiment_pipeline import dag

    db.upgradedb()
    show_progress(dag, console)
    runs = []
    for number, (title, conf) in enumerate(RUNS.items(), start=1):
        console.print(f"\n[bold]Run {number} of {len(RUNS)}: {title}[/]")
        runs.append(run(dag, conf))
        if "failed" in runs[-1].states.values():
            break
    with Report(console) as report:
        report.show(runs)
        return report.problems


if __name__ == "__main__":
    sys.exit(main())
