"""Teach a naive Bayes model the cells of the new drops, on top of what the latest model knows, and measure it.

Learning drop by drop ends in the same model as learning all at once.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import joblib
import pandas as pd
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score
from sklearn.naive_bayes import GaussianNB

MALIGNANT, BENIGN = 0, 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drops", type=Path, required=True, help="folder with the new CSV files")
    parser.add_argument("--holdout", type=Path, required=True, help="CSV file to measure with")
    parser.add_argument("--latest", type=Path, required=True, help="folder with the latest model; may be empty")
    parser.add_argument("--model", type=Path, required=True, help="folder for the model")
    parser.add_argument("--predictions", type=Path, required=True, help="folder for the predictions")
    parser.add_argument("--metrics", type=Path, required=True, help="JSON file for the metrics")
    given = parser.parse_args()

    latest = given.latest / "model.joblib"
    model = joblib.load(latest) if latest.exists() else GaussianNB()
    print("going on from the latest model" if latest.exists() else "there is no model yet: beginning a new one")

    rows = 0
    for drop in sorted(given.drops.rglob("*.csv")):
        cells = pd.read_csv(drop)
        model.partial_fit(cells.drop(columns="target"), cells["target"], classes=[MALIGNANT, BENIGN])
        rows += len(cells)
        print(f"learnt {len(cells)} rows of {drop.name}", flush=True)

    holdout = pd.read_csv(given.holdout)
    measured, truth = holdout.drop(columns="target"), holdout["target"]
    benign = model.predict_proba(measured)[:, BENIGN]
    found = model.predict(measured)
    metrics = {
        "rows_new": rows,
        "rows_seen": int(model.class_count_.sum()),
        "rows_holdout": len(holdout),
        "accuracy": round(accuracy_score(truth, found), 4),
        "roc_auc": round(roc_auc_score(truth, benign), 4),
        "malignant_found": round(recall_score(truth, found, pos_label=MALIGNANT), 4),
    }
    print(", ".join(f"{name} {value}" for name, value in metrics.items()))

    joblib.dump(model, given.model / "model.joblib")
    predictions = pd.DataFrame({"truth": truth, "predicted": found, "probability_benign": benign.round(4)})
    predictions.to_csv(given.predictions / "predictions.csv", index_label="row")
    given.metrics.write_text(json.dumps(metrics))


if __name__ == "__main__":
    main()
