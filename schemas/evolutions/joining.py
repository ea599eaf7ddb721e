"""Fields that a completion lacks and its start has: pure functions over the two events.

A completion may be recorded by another process or host than its start, or by a later run, which knows neither
baseline, nor strategy, nor when the evolution began. Whoever has both events, the stream or a node's history,
joins them by agent and evolution id.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntFlag, auto

from evometrics.schemas.events import EvolutionCompleted, EvolutionMetrics, EvolutionStarted
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.kpis.performance import judged

#: Types that carry no information.
NO_TYPES = ("", "unknown")
SECOND = 1_000_000
#: Version of a joined row (the start may arrive after the row was first made).
JOINED_VERSION = 1


class Lack(IntFlag):
    """What a completion may lack and its start have.

    TIME is when it began and how long it took, OBJECTIVE what is optimized and which way.
    """

    PRE_KPIS = auto()
    TYPE = auto()
    STRATEGY = auto()
    RISK = auto()
    TARGET = auto()
    REASON = auto()
    GENERATION = auto()
    METADATA = auto()
    TIME = auto()
    RUN = auto()
    MODEL = auto()
    OBJECTIVE = auto()


def lacking(done: EvolutionCompleted) -> int:
    """Return the fields that a completion lacks, as bits of `Lack`; 0 for none.

    Run, model and objective are filled in where anything else is lacking, but not waited for alone: earlier
    versions had none of them.
    """
    lacks = 0
    for bit, lacked in (
        (Lack.PRE_KPIS, not done.pre_kpis),
        (Lack.TYPE, done.evolution_type in NO_TYPES),
        (Lack.STRATEGY, not done.strategy_used),
        (Lack.RISK, not done.risk_level),
        (Lack.TARGET, done.target_gain is None),
        (Lack.REASON, not done.trigger_reason),
        (Lack.GENERATION, done.generation == 0),
        (Lack.METADATA, not done.metadata),
        (Lack.TIME, "duration_seconds" in done.unmeasured or done.started_at == done.occurred_at),
    ):
        if lacked:
            lacks |= bit
    if lacks:
        for bit, lacked in (
            (Lack.RUN, done.run_id is None),
            (Lack.MODEL, done.model is None),
            (Lack.OBJECTIVE, judged(done.objective, done.direction)),
        ):
            if lacked:
                lacks |= bit
    return lacks


def lent_by(start: EvolutionStarted) -> int:
    """Return the fields that a start can provide, as bits of `Lack`."""
    lends = int(Lack.TIME)
    for bit, has in (
        (Lack.PRE_KPIS, start.pre_kpis),
        (Lack.TYPE, start.evolution_type not in NO_TYPES),
        (Lack.STRATEGY, start.strategy),
        (Lack.RISK, start.risk_level),
        (Lack.TARGET, start.target_gain is not None),
        (Lack.REASON, start.trigger_reason),
        (Lack.GENERATION, start.generation != 0),
        (Lack.METADATA, start.metadata),
        (Lack.RUN, start.run_id is not None),
        (Lack.MODEL, start.model is not None),
        (Lack.OBJECTIVE, not judged(start.objective, start.direction)),
    ):
        if has:
            lends |= bit
    return lends


def joined(done: EvolutionCompleted, start: EvolutionStarted) -> EvolutionCompleted:
    """Return a completion with what it lacks filled in from its start; in metadata, missing names.

    An unknown duration becomes the time between the two events. Where the start's clock is ahead of the
    completion's it stays unknown.
    """
    lent = lacking(done) & lent_by(start)
    more: dict[str, object] = {"metadata": {**start.metadata, **done.metadata}}
    for bit, name, value in (
        (Lack.PRE_KPIS, "pre_kpis", start.pre_kpis),
        (Lack.TYPE, "evolution_type", start.evolution_type),
        (Lack.STRATEGY, "strategy_used", start.strategy),
        (Lack.RISK, "risk_level", start.risk_level),
        (Lack.TARGET, "target_gain", start.target_gain),
        (Lack.REASON, "trigger_reason", start.trigger_reason),
        (Lack.GENERATION, "generation", start.generation),
        (Lack.RUN, "run_id", start.run_id),
        (Lack.MODEL, "model", start.model),
        (Lack.OBJECTIVE, "objective", start.objective),
        (Lack.OBJECTIVE, "direction", start.direction),
    ):
        if lent & bit:
            more[name] = value
    if lent & Lack.TIME and start.occurred_at <= done.occurred_at:
        more["started_at"] = start.occurred_at
        if "duration_seconds" in done.unmeasured or not done.duration_seconds:
            more["duration_seconds"] = (done.occurred_at - start.occurred_at) / SECOND
            more["unmeasured"] = [name for name in done.unmeasured if name != "duration_seconds"]
    return replace(done, **more)  # type: ignore[arg-type]


def joined_metrics(whole: EvolutionCompleted) -> EvolutionMetrics:
    """Return the row of a joined completion: it replaces the row of the completion alone."""
    return replace(evolution_metrics(whole), version=JOINED_VERSION)


def metrics_of(done: EvolutionCompleted, start: EvolutionStarted | None) -> EvolutionMetrics:
    """Return the row of a completion, joined with its start if that has something it lacks."""
    if start is None or not lacking(done) & lent_by(start):
        return evolution_metrics(done)
    return joined_metrics(joined(done, start))
