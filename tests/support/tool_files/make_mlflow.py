"""Makes `mlflow.sqlite`: MLflow's tracking store, with runs of two experiments and of every kind of end.

pip install mlflow-skinny==3.17.2 sqlalchemy==2.1.9 alembic==1.20.1
python make_mlflow.py mlflow.sqlite && gzip -9n mlflow.sqlite
"""

from __future__ import annotations

import sys

import mlflow
from mlflow.tracking import MlflowClient

if __name__ == "__main__":
    mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}")
    client = MlflowClient()
    #: The user and the program of a run are tags; a test's file names neither.
    tags = {"mlflow.user": "someone", "mlflow.source.name": "search.py"}
    search = client.create_experiment("search", artifact_location="artifacts")
    parent = client.create_run(search, run_name="night", tags=tags)
    for number, (lr, loss) in enumerate([(0.1, 0.30000000000000004), (0.01, 0.1), (0.001, float("nan"))]):
        child = client.create_run(
            search, run_name=f"trial-{number}", tags={**tags, "mlflow.parentRunId": parent.info.run_id}
        )
        client.log_param(child.info.run_id, "lr", lr)
        for step in range(3):
            client.log_metric(child.info.run_id, "loss", loss + (2 - step) / 8, step=step)
        client.log_metric(child.info.run_id, "accuracy", 1 - loss if loss == loss else float("-inf"))
        client.set_terminated(child.info.run_id, "FAILED" if number == 2 else "FINISHED")
    client.log_metric(parent.info.run_id, "loss", 0.1)
    client.set_terminated(parent.info.run_id)
    other = client.create_experiment("other", artifact_location="artifacts")
    for status in ("KILLED", None, "FINISHED"):
        run = client.create_run(other, run_name=f"ends-{status}", tags=tags)
        client.log_param(run.info.run_id, "text", "x" * 300)
        if status:
            client.set_terminated(run.info.run_id, status)
    client.delete_run(run.info.run_id)
