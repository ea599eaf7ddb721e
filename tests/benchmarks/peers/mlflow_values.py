"""What MLflow is given for an event, for the process that logs it and for the one that checks."""

from __future__ import annotations

from evometrics.schemas.events import EvolutionCompleted

STORE = "mlflow.db"
BEGIN = 1_700_000_000_000_000


def values(done: EvolutionCompleted) -> dict[str, float]:
    """Return an event's KPIs by a name of their own each."""
    before = {f"pre_{name}": value for name, value in done.pre_kpis.items()}
    return before | {f"post_{name}": value for name, value in done.post_kpis.items()}
