"""What a DAG run does, shown while it does it."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog
from airflow.sdk import DAG
from rich.console import Console
from rich.markup import escape

PROVIDER = "airflow.task.operators.airflow_azureml_datastores."


def show_progress(dag: DAG, console: Console) -> None:
    """Show when the DAG's tasks begin and end, what this provider logs meanwhile, and every error."""
    progress = Progress(console)
    for task in dag.tasks:
        task.on_execute_callback = [progress.begins]
        task.on_success_callback = [progress.ends("[green]✓[/]")]
        task.on_skipped_callback = [progress.ends("[yellow]–[/]", "skipped")]
        task.on_retry_callback = [progress.ends("[red]✗[/]", "failed, and will be tried again")]
        task.on_failure_callback = [progress.ends("[red]✗[/]", "failed")]
    structlog.get_config()["processors"].insert(0, progress.logged)


class Progress:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun: dict[str, float] = {}

    def begins(self, context: Any) -> None:
        task_id = context["ti"].task_id
        self._begun[task_id] = time.monotonic()
        self._console.print(f"  [dim]·[/] {task_id}")

    def ends(self, mark: str, how: str = "") -> Callable[[Any], None]:
        def show(context: Any) -> None:
            task_id = context["ti"].task_id
            seconds = time.monotonic() - self._begun.get(task_id, time.monotonic())
            self._console.print(f"  {mark} {' '.join(filter(None, [task_id, how]))}  [dim]{seconds:.1f} s[/]")
            if how and (error := context.get("exception")) is not None:
                self._console.print(f"    {escape(str(error))}")

        return show

    def logged(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """A step of Airflow's logging, through which all goes."""
        name = event.get("logger_name") or getattr(logger, "name", None) or ""
        text = escape(str(event.get("event")))
        if name.startswith(PROVIDER):
            self._console.print(f"    {text}", style="dim")
        elif method in ("error", "exception", "critical") and name != "task":  # a task's own error is shown at its end
            self._console.print(f"    {text}", style="red")
        return event
