"""The example pipeline, from the clinic's file to the published model: on folders, and on Blob storage."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from airflow.configuration import AIRFLOW_HOME
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.xcom import XComModel
from airflow.sdk import DAG
from airflow.utils.session import create_session
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import ContainerClient
from rich.console import Console
from sklearn.datasets import load_breast_cancer
from sqlalchemy import select

from airflow_azureml_datastores.core.uri import parse_datastore_uri
from airflow_azureml_datastores.hooks import WorkspaceHook
from dags_examples.demo.report import Report
from dags_examples.demo.runs import Run
from tests.dags.examples import example
from tests.dags.runs import Finished, run_dag
from tests.servers.azurite import BlobService
from tests.servers.fixtures import Servers

CLINIC = Path(AIRFLOW_HOME, "clinic")


@pytest.fixture
def clinic() -> Iterator[Path]:
    """The folder that stands in for the clinic's container; gone afterwards."""
    yield CLINIC
    shutil.rmtree(CLINIC, ignore_errors=True)


@pytest.fixture
def container(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[ContainerClient]:
    """The clinic's container, and what lets the pipeline in: production in small."""
    service = servers.azurite
    connection = {"conn_type": "wasb", "host": service.url, "login": service.account, "password": service.key}
    monkeypatch.setenv("AIRFLOW_CONN_CLINIC_STORAGE", json.dumps(connection))
    monkeypatch.setenv("CLINIC_ACCOUNT", service.account)
    with client(service, service.key) as made:
        made.create_container()
        try:
            yield made
        finally:
            made.delete_container()


def client(service: BlobService, key: str) -> ContainerClient:
    return ContainerClient(service.url, "clinic", credential=AzureNamedKeyCredential(service.account, key))


def cells(first: int, last: int) -> bytes:
    return load_breast_cancer(as_frame=True).frame[first:last].to_csv(index=False).encode()


def read(workspace: WorkspaceHook, uri: str) -> dict[str, bytes]:
    """Every file below a folder, by relative path."""
    parsed = parse_datastore_uri(uri)
    folder = workspace.open(parsed.datastore).at(parsed.path)
    return {path: folder.at(path).read() for path, _ in folder.list()}


def rows(content: bytes) -> int:
    return len(list(csv.DictReader(io.StringIO(content.decode()))))


def impatient() -> DAG:
    """The pipeline, which waits in vain no longer than it has to."""
    dag = example("experiment_pipeline")
    arrived = dag.get_task("arrived")
    arrived.poke_interval, arrived.timeout = 0.2, 0.5
    return dag


def as_run(done: Finished) -> Run:
    """What the demo's report takes; that no file has changed is measured here by the tests themselves."""
    results = {task: ran.result for task, ran in done.tasks.items()}
    return Run({task: str(ran.state) for task, ran in done.tasks.items()}, results, frozenset())


def test_three_days(workspace: WorkspaceHook, workspace_home: Path, clinic: Path) -> None:
    runs = []
    for day in (1, 2):
        done = run_dag(example("experiment_pipeline"))
        runs.append(done)
        assert done.succeeded
        name = f"2026-11-0{day}.csv"
        drop = (clinic / "drops" / name).read_bytes()
        inputs = done["ingest"]["inputs"]
        ingested = {p: c for p, c in read(workspace, inputs["drops"]["uri"]).items() if p != "_manifest.json"}
        assert ingested == {name: drop}
        assert (inputs["drops"]["files"], inputs["drops"]["bytes"]) == (1, len(drop))
        assert inputs["holdout"]["uri"] == "azureml://datastores/clinic/paths/reference/holdout.csv"
        assert inputs["latest"]["files"] == day - 1
        metrics = done["train"]["metrics"]
        assert metrics["rows_new"] == rows(drop)
        assert metrics["rows_holdout"] == rows((clinic / "reference" / "holdout.csv").read_bytes())
        assert 0.9 < metrics["accuracy"] < 1
        model = read(workspace, done["publish"]["model"]["uri"])
        assert sorted(model) == ["_SUCCESS", "_manifest.json", "model.joblib"]
        assert model["model.joblib"] == read(workspace, done["train"]["outputs"]["model"]["uri"])["model.joblib"]
        assert read(workspace, done["publish_latest"]["model"]["uri"])["model.joblib"] == model["model.joblib"]
        predictions = read(workspace, done["publish"]["predictions"]["uri"])["predictions.csv"]
        assert rows(predictions) == metrics["rows_holdout"]
        assert f"learnt {metrics['rows_new']} rows of {name}" in done.log
    first, second = (done["train"]["metrics"]["rows_seen"] for done in runs)
    assert second == first + runs[1]["train"]["metrics"]["rows_new"]

    before = _files(workspace_home, clinic)
    idle = run_dag(impatient(), {"deliver": False})
    assert {task for task, state in idle.states.items() if state == "success"} == {"clinic_delivers", "clinic"}
    assert set(idle.states.values()) == {"success", "skipped"}
    assert "0 new of 2 files at azureml://datastores/clinic/paths/drops/*.csv; waiting for 1." in idle.log
    assert _files(workspace_home, clinic) == before

    runs.append(idle)
    report, text = reported(runs)
    assert report.problems == []
    for number in (first, second, runs[0]["ingest"]["inputs"]["drops"]["files"]):
        assert str(number) in text
    (workspace_home / "workspaceblobstore" / "diagnosis" / "models" / "latest" / "model.joblib").unlink()
    assert any("model.joblib" in problem for problem in reported(runs)[0].problems)
    assert any("again" in problem for problem in reported([runs[0], runs[0], idle])[0].problems)
    assert any("new data, more data" in problem for problem in reported(runs[:2])[0].problems)


def _files(*folders: Path) -> dict[Path, tuple[int, int]]:
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def reported(runs: list[Finished]) -> tuple[Report, str]:
    text = io.StringIO()
    with Report(Console(file=text, soft_wrap=True)) as report:
        report.show([as_run(done) for done in runs])
    return report, text.getvalue()


def test_a_failed_run_is_reported(workspace: WorkspaceHook) -> None:
    failed = Run({"arrived": "success", "train": "failed", "publish": "upstream_failed"}, {}, frozenset())
    with Report(Console(file=io.StringIO())) as report:
        report.show([failed])
    assert "run 1: publish upstream_failed, train failed" in report.problems


def test_on_blob_storage(workspace: WorkspaceHook, workspace_home: Path, container: ContainerClient) -> None:
    """The same DAG file; only the environment and the connection differ."""
    container.upload_blob("reference/holdout.csv", cells(400, 569))
    container.upload_blob("drops/a b %.csv", cells(0, 200))
    first = run_dag(example("experiment_pipeline"))
    assert first.succeeded
    assert "clinic_delivers" not in first.states
    assert first["clinic"]["type"] == "AzureBlob"
    assert read(workspace, first["ingest"]["inputs"]["drops"]["uri"])["a b %.csv"] == cells(0, 200)
    assert first["train"]["metrics"]["rows_seen"] == 200

    container.upload_blob("drops/b.csv", cells(200, 300))
    second = run_dag(example("experiment_pipeline"))
    assert second.succeeded
    assert second["ingest"]["inputs"]["drops"]["files"] == 1
    assert second["train"]["metrics"]["rows_seen"] == 300

    assert run_dag(impatient()).states["arrived"] == "skipped"


@pytest.fixture
def secret(servers: Servers) -> list[str]:
    """The ways in which the account key may be written."""
    key = servers.azurite.key
    return [key, quote(key, safe=""), quote(key), json.dumps(key)[1:-1], key[:40]]


def test_the_key_is_nowhere(
    workspace: WorkspaceHook, workspace_home: Path, container: ContainerClient, secret: list[str]
) -> None:
    container.upload_blob("reference/holdout.csv", cells(400, 569))
    container.upload_blob("drops/a.csv", cells(0, 200))
    good = run_dag(example("experiment_pipeline"))
    assert good.succeeded
    container.delete_blob("reference/holdout.csv")
    container.upload_blob("drops/b.csv", cells(0, 10))
    bad = run_dag(example("experiment_pipeline"))
    assert bad.states["ingest"] == "failed"
    assert "reference/holdout.csv" in bad.log
    seen = [good.log, bad.log, *kept_by_airflow()]
    seen += [path.read_bytes().decode(errors="replace") for path in workspace_home.rglob("*") if path.is_file()]
    assert len(seen) > 20
    for text in seen:
        assert not [form for form in secret if form in text]


def kept_by_airflow() -> list[str]:
    """Every XCom, and every rendered template field."""
    with create_session() as session:
        kept = [row.value for row in session.scalars(select(XComModel))]
        kept += [row.rendered_fields for row in session.scalars(select(RenderedTaskInstanceFields))]
    assert kept
    return [str(value) for value in kept]


def test_a_wrong_key_is_named_by_its_connection_alone(
    workspace: WorkspaceHook,
    container: ContainerClient,
    servers: Servers,
    secret: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = "d3Jvbmcga2V5IHRoYXQgaXMgYXMgbG9uZyBhcyBhIHJlYWwgb25lIHdvdWxkIGJlLCBvciBuZWFybHkgc28uLi4="
    service = servers.azurite
    connection = {"conn_type": "wasb", "host": service.url, "login": service.account, "password": wrong}
    monkeypatch.setenv("AIRFLOW_CONN_CLINIC_STORAGE", json.dumps(connection))
    done = run_dag(example("experiment_pipeline"))
    assert done.states["clinic"] == "failed"
    assert "AccessDenied" in done.log
    assert "account key" in done.log
    assert wrong not in done.log
    assert [d.name for d in workspace.list()] == ["workspaceblobstore", "workspacefilestore"]
