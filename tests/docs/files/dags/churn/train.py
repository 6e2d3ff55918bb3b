"""Counts the orders of each customer: what an experiment's command may look like."""

import argparse
import csv
import json
from collections import Counter
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--sales", type=Path, help="folder with CSV files")
parser.add_argument("--model", type=Path, help="folder to write to")
parser.add_argument("--metrics", type=Path, help="file to write to")
given = parser.parse_args()

orders = [row for file in sorted(given.sales.rglob("*.csv")) for row in csv.DictReader(file.open())]
(given.model / "orders.json").write_text(json.dumps(Counter(row["customer"] for row in orders)))
given.metrics.write_text(json.dumps({"rows": len(orders)}))
