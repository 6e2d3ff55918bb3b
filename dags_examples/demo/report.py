"""What a few runs of the example pipeline have left behind, read from where it is, and whether that is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape

from airflow_azureml_datastores import LocalDirectory
from airflow_azureml_datastores.core.manifest import Manifest
from airflow_azureml_datastores.core.uri import parse_datastore_uri
from airflow_azureml_datastores.hooks import WorkspaceHook
from airflow_azureml_datastores.transfer.progress import human_count, human_size
from airflow_azureml_datastores.transfer.source import read_manifest
from dags_examples.demo.runs import Run


class Report:
    """Tells, and collects what is not as it should be."""

    def __init__(self, console: Console) -> None:
        self.problems: list[str] = []
        self._console = console
        self._hook = WorkspaceHook("ml_workspace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hook.close()

    def show(self, runs: Sequence[Run]) -> None:
        self._show_datastores()
        ingested: set[str] = set()
        for number, run in enumerate(runs, start=1):
            self._say(f"\n[bold]Run {number}[/]")
            if run.states["arrived"] == "skipped":
                self._show_idle(number, run)
                continue
            failed = sorted(task for task, state in run.states.items() if state != "success")
            if failed:
                self._say("  did not end well")
                self.problems.append(f"run {number}: {', '.join(f'{task} {run.states[task]}' for task in failed)}")
                continue
            taken = self._show_inputs(run.results["ingest"]["inputs"])
            self._check(f"run {number} ingested again: {', '.join(sorted(taken & ingested))}", not taken & ingested)
            ingested |= taken
            self._show_metrics(run.results["train"]["metrics"])
            for task in ("publish", "publish_latest"):
                for name, published in run.results[task].items():
                    self._show_published(name, published, run.results["train"]["run"])
        idle = [run.states["arrived"] == "skipped" for run in runs]
        self._check("the runs were not: new data, more data, no new data", idle == [False, False, True])

    def _show_datastores(self) -> None:
        default = self._hook.get().name
        self._say(f"\n[bold]Datastores of workspace {escape(self._hook.workspace.name)}[/]")
        for datastore in self._hook.list():
            mark = "  [green](default)[/]" if datastore.name == default else ""
            self._say(f"  {datastore.name:<20} {datastore.type:<15} {shown(self._folder(datastore.name))}{mark}")

    def _show_idle(self, number: int, run: Run) -> None:
        skipped = sum(state == "skipped" for state in run.states.values())
        self._say(f"  no new file: {skipped} tasks skipped, {human_count(len(run.changed))} changed")
        self._check(f"run {number} changed files", not run.changed)
        self._check(f"run {number} failed", set(run.states.values()) == {"success", "skipped"})

    def _show_inputs(self, inputs: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """Returns the versions of the clinic's new files that were ingested."""
        for name, given in inputs.items():
            manifest = read_manifest(self._hook.open, given["manifest"])
            tables = [entry.path for entry in manifest.entries if entry.path.endswith(".csv")]
            rows = human_count(sum(self._rows(manifest, path) for path in tables), "row") if tables else ""
            self._say(
                f"  ingested   {name:<12} {human_count(manifest.files):>8} {human_size(manifest.size):>9} {rows:>9}"
            )
            self._say(f"             [dim]from {escape(manifest.source)}[/]")
            target = escape(manifest.target) if given["mode"] == "copy" else "(read where it is)"
            self._say(f"             [dim]to   {target}[/]")
        drops = read_manifest(self._hook.open, inputs["drops"]["manifest"])
        return {f"{entry.source} ({entry.source_etag})" for entry in drops.entries}

    def _rows(self, manifest: Manifest, path: str) -> int:
        """Rows of a CSV file, without its header."""
        folder = parse_datastore_uri(manifest.target)
        return self._hook.open(folder.datastore).at(folder.path + path).read().count(b"\n") - 1

    def _show_metrics(self, metrics: Mapping[str, Any]) -> None:
        self._check("the experiment reported no metrics", bool(metrics))
        self._say("  metrics    " + ", ".join(f"{name} [bold]{value}[/]" for name, value in metrics.items()))

    def _show_published(self, name: str, published: Mapping[str, Any], run: str) -> None:
        manifest = read_manifest(self._hook.open, published["manifest"])
        uri = parse_datastore_uri(published["uri"])
        folder = self._folder(uri.datastore) / uri.path
        self._say(f"  published  {name:<12} {human_count(published['files']):>8} {human_size(published['bytes']):>9}")
        self._say(f"             [dim]{escape(published['uri'])}[/]")
        since = "" if manifest.origin.get("run") == run else "  (replaced by a later run)"
        self._say(f"             [dim]{shown(folder)}{since}[/]")
        missing = [entry.path for entry in manifest.entries if not (folder / entry.path).is_file()]
        self._check(f"not in {folder}: {', '.join(missing)}", not missing)
        self._check(f"there is no _SUCCESS in {folder}", (folder / "_SUCCESS").is_file())

    def _folder(self, datastore: str | None) -> Path:
        location = self._hook.get(datastore).location
        assert isinstance(location, LocalDirectory)
        return Path(location.path)

    def _say(self, text: str) -> None:
        self._console.print(text.rstrip())

    def _check(self, problem: str, holds: bool) -> None:
        if not holds:
            self.problems.append(problem)


def shown(folder: Path) -> str:
    """A folder's path as short as it can be said from here."""
    path = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    return escape(f"{path}/")
