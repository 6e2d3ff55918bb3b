"""Cross-validate a model of the iris data set, then fit it to all of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import joblib
import pandas as pd
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, required=True, help="number of folds")
    parser.add_argument("--run", required=True, help="name of the run: the file of scores is called so")
    parser.add_argument("--model", type=Path, required=True, help="folder for the model")
    parser.add_argument("--scores", type=Path, required=True, help="folder for the scores of each fold")
    parser.add_argument("--card", type=Path, required=True, help="JSON file that describes the model")
    given = parser.parse_args()

    measured, species = load_iris(return_X_y=True, as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    scores = cross_val_score(model, measured, species, cv=given.folds)
    for fold, score in enumerate(scores, start=1):
        print(f"fold {fold} of {given.folds}: accuracy {score:.4f}", flush=True)

    joblib.dump(model.fit(measured, species), given.model / "model.joblib")
    table = pd.DataFrame({"fold": range(1, given.folds + 1), "accuracy": scores.round(4)})
    table.to_csv(given.scores / f"{given.run}.csv", index=False)
    card = {"rows": len(measured), "folds": given.folds, "accuracy": round(scores.mean(), 4)}
    given.card.write_text(json.dumps(card))


if __name__ == "__main__":
    main()
