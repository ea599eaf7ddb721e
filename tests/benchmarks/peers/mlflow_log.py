"""Recording the same values with MLflow: one `log_metrics` call for an event, into its SQLite store."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import mlflow

from tests.benchmarks.events import Events
from tests.benchmarks.peers.mlflow_values import BEGIN, STORE, values


def main() -> None:
    """Log events; print one JSON line."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--folder", type=Path, required=True)
    parse.add_argument("--seed", type=int, required=True)
    parse.add_argument("--agents", type=int, required=True)
    parse.add_argument("--events", type=int, required=True)
    args = parse.parse_args()
    args.folder.mkdir(parents=True)
    metrics = [values(done) for done in Events(args.seed, args.agents, BEGIN).completed(0, args.events)]
    mlflow.set_tracking_uri(f"sqlite:///{args.folder / STORE}")
    mlflow.set_experiment("evolutions")
    with mlflow.start_run():
        mlflow.log_metrics(metrics[0], step=0)
        began, used = time.perf_counter(), time.process_time()
        for number, each in enumerate(metrics[1:], start=1):
            mlflow.log_metrics(each, step=number)
        seconds, used = time.perf_counter() - began, time.process_time() - used
    print(json.dumps({"recorded": len(metrics) - 1, "seconds": seconds, "cpu_seconds": used}))


if __name__ == "__main__":
    main()
