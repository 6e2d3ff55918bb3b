"""Python functions as experiments: parameters are paths, what was written is published, what is returned goes on.

Wines are measured, their features made comparable, and several classifiers compete on them. Each function writes to
local folders; what it wrote appears in the datastore when it returns, as a whole, and not at all if it raises. It needs
nothing but a connection ``ml_workspace``.
"""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import DAG, task

from airflow_azureml_datastores import Output
from airflow_azureml_datastores.operators import PublishOutputsOperator

WINE = "azureml://datastores/workspaceblobstore/paths/wine"

with DAG(
    "featurize",
    schedule=None,
    max_active_runs=1,
    default_args={"workspace_conn_id": "ml_workspace"},
    tags=["azureml"],
    doc_md=__doc__,
):

    @task.experiment(outputs={"samples": f"{WINE}/samples/"})
    def measure(samples: Path) -> None:
        """One CSV per cultivar, as a laboratory would deliver them."""
        from sklearn.datasets import load_wine

        for cultivar, rows in load_wine(as_frame=True).frame.groupby("target"):
            rows.to_csv(samples / f"cultivar-{cultivar}.csv", index=False)

    @task.experiment(
        inputs={"samples": f"{WINE}/samples/*.csv"},
        outputs={"features": f"{WINE}/features/", "card": Output(type="uri_file")},
        metrics="card",
    )
    def featurize(samples: Path, features: Path, card: Path, drop: list[str]) -> list[str]:
        """Bring all columns to the same scale. Returns their names."""
        import json

        import pandas as pd

        wine = pd.concat(map(pd.read_csv, sorted(samples.glob("*.csv"))), ignore_index=True).drop(columns=drop)
        values = wine.drop(columns="target")
        scaled = (values - values.mean()) / values.std()
        scaled.assign(target=wine["target"]).to_csv(features / "wine.csv", index=False)
        card.write_text(json.dumps({"rows": len(wine), "columns": len(values.columns)}))
        return list(values.columns)

    @task.experiment(inputs={"features": f"{WINE}/features/wine.csv"}, outputs={"model": None})
    def train(neighbors: int, columns: list[str], features: Path, model: Path) -> float:
        """Learn from two thirds of the wines. Returns how many of the others it knows by their neighbors."""
        import pickle

        import pandas as pd
        from sklearn.model_selection import train_test_split
        from sklearn.neighbors import KNeighborsClassifier

        wine = pd.read_csv(features)
        known, other = train_test_split(wine, test_size=1 / 3, random_state=1, stratify=wine["target"])
        classifier = KNeighborsClassifier(neighbors).fit(known[columns], known["target"])
        (model / "classifier.pkl").write_bytes(pickle.dumps(classifier))
        return float(classifier.score(other[columns], other["target"]))

    @task
    def best(scores: list[float]) -> float:
        return max(scores)

    columns = featurize(drop=["proline"])
    publish = PublishOutputsOperator(
        task_id="publish",
        run=columns["run"],
        outputs={"card": f"{WINE}/cards/{{{{ dag_run.run_after | ts_nodash }}}}.json"},
    )
    measure() >> columns >> publish
    best(train.partial(columns=columns).expand(neighbors=[1, 5, 15]))
