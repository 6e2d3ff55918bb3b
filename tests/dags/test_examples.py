"""The example DAGs load lightly, and each does what it says, on an embedded workspace that has nothing yet."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from airflow.configuration import AIRFLOW_HOME
from sklearn.datasets import load_iris, load_wine

from airflow_azureml_datastores.core.manifest import Manifest, is_data
from airflow_azureml_datastores.hooks import WorkspaceHook
from tests.dags.examples import FOLDER, example, examples
from tests.dags.runs import run_dag

DAGS = sorted(file.stem for file in FOLDER.glob("*.py") if file.stem != "__init__")


def data(folder: Path) -> dict[str, bytes]:
    """The data files below a folder, without what the provider keeps there."""
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return {path: content for path, content in sorted(files.items()) if is_data(path)}


def test_airflow_finds_them_all_and_nothing_else() -> None:
    found = examples()
    assert found.import_errors == {}
    assert sorted(found.dags) == DAGS


@pytest.mark.parametrize("dag_id", DAGS)
def test_says_what_it_shows(dag_id: str) -> None:
    assert example(dag_id).doc_md


def test_scheduled_ingestion(workspace: WorkspaceHook, workspace_home: Path) -> None:
    done = run_dag(example("scheduled_ingestion"), logical_date=None)
    assert done.succeeded
    assert [key for key in done.states if key.startswith("ingest")] == ["ingest[0]", "ingest[1]", "ingest[2]"]

    blob = workspace_home / "workspaceblobstore"
    results = {name: given for i in range(3) for name, given in done[f"ingest[{i}]"]["inputs"].items()}
    day = done.run.run_after.strftime("%Y-%m-%d")
    for name, given in results.items():
        delivered = data(blob / "raw" / name / day)
        assert given["files"] == len(delivered) == (2 if name == "cells" else 3)
        assert given["bytes"] == sum(map(len, delivered.values()))
    assert {name: given["mode"] for name, given in results.items()} == {
        "iris": "copy",
        "wine": "direct",
        "cells": "direct",
    }
    run = blob / "experiments" / "benchmark" / done["ingest[0]"]["run"]
    assert data(run / "inputs" / "iris") == data(blob / "raw" / "iris" / day)
    assert data(run / "inputs" / "wine") == {}
    total = [sum(given[key] for given in results.values()) for key in ("files", "bytes")]
    assert list(done["total"].values()) == total
    frames = [pd.read_csv(file) for file in (run / "inputs" / "iris").glob("*.csv")]
    assert len(pd.concat(frames)) == len(load_iris().data)


def test_scheduled_ingestion_takes_the_logical_day(workspace: WorkspaceHook) -> None:
    done = run_dag(example("scheduled_ingestion"), logical_date=pd.Timestamp("2026-11-03", tz="UTC").to_pydatetime())
    assert done.succeeded
    assert "/2026-11-03/" in done["ingest[0]"]["inputs"]["iris"]["source"]


def test_publish_outputs(workspace: WorkspaceHook, workspace_home: Path) -> None:
    first = run_dag(example("publish_outputs"), logical_date=None)
    assert first.succeeded
    files = workspace_home / "workspacefilestore" / "iris"
    run = first.run.run_after.strftime("%Y%m%dT%H%M%S")
    card = json.loads((files / "cards" / f"{run}.json").read_text())
    assert card == first["evaluate"]["metrics"]
    assert card["rows"] == len(load_iris().data)
    assert data(files / "latest") == data(files / "runs" / run)
    assert len(pd.read_csv(files / "scores" / f"{run}.csv")) == card["folds"]
    assert (files / "latest" / "_SUCCESS").exists()
    taken = first["take"]["inputs"]["model"]
    snapshot = workspace_home / "workspaceblobstore" / "experiments" / "serving" / first["take"]["run"]
    assert data(snapshot / "inputs" / "model") == data(files / "latest")
    assert taken["files"] == 1

    later = first.run.run_after + pd.Timedelta(hours=1).to_pytimedelta()
    second = run_dag(example("publish_outputs"), logical_date=None, run_after=later)
    assert second.succeeded
    assert len(data(files / "scores")) == len(data(files / "cards")) == len(data(files / "runs")) == 2
    assert list(data(files / "latest")) == ["model.joblib"]
    manifest = Manifest.from_json((files / "latest" / "_manifest.json").read_bytes(), "")
    assert manifest.origin["run"] == second["evaluate"]["run"] != first["evaluate"]["run"]


def test_featurize(workspace: WorkspaceHook, workspace_home: Path) -> None:
    done = run_dag(example("featurize"), logical_date=None)
    assert done.succeeded
    blob = workspace_home / "workspaceblobstore"
    assert list(data(blob / "wine" / "samples")) == [f"cultivar-{number}.csv" for number in range(3)]
    features = pd.read_csv(blob / "wine" / "features" / "wine.csv")
    wine = load_wine(as_frame=True).frame
    assert len(features) == len(wine)
    assert done["featurize"] == [column for column in wine.columns if column not in ("proline", "target")]
    assert features[done["featurize"]].std().round(6).eq(1).all()
    (card,) = data(blob / "wine" / "cards").values()
    assert json.loads(card) == {"rows": len(wine), "columns": len(wine.columns) - 2}
    scores = [done[f"train[{index}]"] for index in range(3)]
    assert done["best"] == max(scores) > 0.9
    assert len(list((blob / "experiments" / "train").glob("*/outputs/model/classifier.pkl"))) == 3


def test_watch_for_new_data(workspace: WorkspaceHook, workspace_home: Path) -> None:
    incoming = workspace_home / "workspaceblobstore" / "incoming"
    root = workspace.open("workspaceblobstore")
    for path in ("a/1.csv", "a/2.csv", "a/_SUCCESS", "b/3.csv"):
        root.at(f"incoming/{path}").write(path.encode())
    dag = example("watch_for_new_data")
    dag.get_task("arrived").poke_interval = 0.2
    done = run_dag(dag, logical_date=None)
    assert done.succeeded
    assert "waiting for 2 s without a change" in done.log
    assert "running trigger in line" in done.log
    snapshot = workspace_home / "workspaceblobstore/experiments/incoming" / done["ingest"]["run"] / "inputs/batch"
    assert data(snapshot) == {"a/1.csv": b"a/1.csv", "a/2.csv": b"a/2.csv"}

    for path in ("b/4.csv", "b/_SUCCESS"):
        root.at(f"incoming/{path}").write(path.encode())
    again = run_dag(dag, logical_date=None)
    snapshot = workspace_home / "workspaceblobstore/experiments/incoming" / again["ingest"]["run"] / "inputs/batch"
    assert data(snapshot) == {"b/3.csv": b"b/3.csv", "b/4.csv": b"b/4.csv"}
    assert len(data(incoming)) == 4


def test_register_datastores(workspace: WorkspaceHook) -> None:
    archives = [Path(AIRFLOW_HOME, name) for name in ("archive", "archive-2")]
    for _ in range(2):
        done = run_dag(example("register_datastores"), logical_date=None)
        azure = {task: state for task, state in done.states.items() if "container" in task}
        assert set(azure.values()) == {"skipped"}
        assert {state for task, state in done.states.items() if task not in azure} == {"success"}
        assert done["register"]["result"] == "created"
        assert done["register"]["url"] == archives[0].as_uri()
        assert [row["datastore"] for row in done["list_all"] if row["default"]] == ["workspacefilestore"]
        assert done["restore_default"] == {"datastore": "workspaceblobstore", "previous": "workspacefilestore"}
        assert done["repoint"]["result"] == "updated"
        assert done["repoint"]["url"] == archives[1].as_uri()
        assert [datastore.name for datastore in workspace.list()] == ["workspaceblobstore", "workspacefilestore"]
        assert workspace.get().name == "workspaceblobstore"
        assert all(folder.is_dir() for folder in archives)
