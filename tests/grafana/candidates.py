"""A run of candidates as a framework makes them, with costs, a model and parents; the demo has none of it."""

from __future__ import annotations

from collections.abc import Iterator

from evometrics.schemas.events import EvolutionCompleted, now_micros
from evometrics.schemas.ids import new_event_id

RUN, MODEL = "night-7", "small-model"
#: Score, cost and status of each candidate, in their order.
TRIED = (
    (0.5, 0.02, "succeeded"),
    (0.45, 0.03, "rejected"),
    (0.62, 0.02, "succeeded"),
    (0.6, 0.04, "rolled_back"),
    (0.71, None, "succeeded"),
    (None, 0.01, "failed"),
)


def candidates(node: str = "node-1") -> Iterator[EvolutionCompleted]:
    """Yield them; each but the first has the best before it as its parent, the fifth two."""
    now = now_micros() - 60_000_000
    parents = {1: [0], 2: [0], 3: [2], 4: [0, 2], 5: [4]}
    for number, (score, cost, status) in enumerate(TRIED):
        of = [f"{RUN}/{each}" for each in parents.get(number, [])]
        yield EvolutionCompleted(
            event_id=new_event_id(),
            agent_id=f"{RUN}/{number}",
            node_id=node,
            occurred_at=now + number * 5_000_000,
            started_at=now + number * 5_000_000 - 2_000_000,
            evolution_id=f"{RUN}/{number}",
            evolution_type="gepa",
            strategy_used="merge" if len(of) > 1 else "reflection",
            generation=number,
            status=status,
            success=status == "succeeded",
            duration_seconds=2.0,
            memory_used_mb=300.0,
            pre_kpis={"accuracy": 0.4},
            post_kpis={} if score is None else {"accuracy": score},
            insights=["the candidate did not run"] if status == "failed" else [],
            cost_usd=cost,
            model=MODEL,
            run_id=RUN,
            objective="accuracy",
            direction="maximize",
            parent_agent_ids=of,
            parent_agent_id=of[0] if of else None,
        )
