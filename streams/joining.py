"""What a completion came without and its start has: pure functions over the two events.

A completion may be recorded by another process or host than its start, or by a later run, which knows neither
baseline, nor strategy, nor when the evolution began. The stream has both events and joins them by agent and
evolution id. Whether a completion is joined depends on the two alone, not on which comes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from evometrics.schemas import codec
from evometrics.schemas.binary import UNUSUAL
from evometrics.schemas.catalog import newest
from evometrics.schemas.events import EvolutionCompleted, EvolutionMetrics, EvolutionStarted
from evometrics.schemas.wire import WireFormat
from evometrics.streams.calculations import evolution_metrics
from evometrics.streams.rows import Lack, StartReader
from evometrics.streams.windows import SECOND, Scope

#: Types that say nothing.
NO_TYPES = ("", "unknown")
#: Of a row that was joined (its start may come after it was first emitted).
JOINED_VERSION = 1


class Joined(NamedTuple):
    """A completion with what its start has, and the row that it leads to."""

    done: EvolutionCompleted
    row: EvolutionMetrics


def lacking(done: EvolutionCompleted) -> int:
    """Return what a completion came without, as bits of `rows.Lack`; 0 for nothing."""
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
    return lacks


def lent_by(start: EvolutionStarted) -> int:
    """Return what a start has to lend, as bits of `rows.Lack`."""
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
    ):
        if has:
            lends |= bit
    return lends


def joined(done: EvolutionCompleted, start: EvolutionStarted) -> EvolutionCompleted:
    """Return a completion with what it came without from its start; of metadata, each name it does not have.

    A duration that is unknown is that between the two events. Where the start's clock is ahead of the
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
    ):
        if lent & bit:
            more[name] = value
    if lent & Lack.TIME and start.occurred_at <= done.occurred_at:
        more["started_at"] = start.occurred_at
        if "duration_seconds" in done.unmeasured or not done.duration_seconds:
            more["duration_seconds"] = (done.occurred_at - start.occurred_at) / SECOND
            more["unmeasured"] = [name for name in done.unmeasured if name != "duration_seconds"]
    return replace(done, **more)  # type: ignore[arg-type]


class Joiner:
    """Joins message values of starts and completions."""

    def __init__(self, wire: WireFormat) -> None:
        self.wire = wire
        self.prefix = wire.prefixes[EvolutionStarted.record]
        self.reader = StartReader(codec.fields_of(newest(EvolutionStarted.record)))

    def lends(self, value: bytes) -> int:
        """Return what the start of a message value has to lend."""
        if value.startswith(self.prefix):
            try:
                return self.reader.lends(value, len(self.prefix))
            except UNUSUAL:
                pass
        return lent_by(self.start(value))

    def lacks(self, value: bytes) -> int:
        """Return what the completion of a message value came without."""
        return lacking(self.completion(value))

    def completion(self, value: bytes) -> EvolutionCompleted:
        """Return the completion of a message value."""
        done = self.wire.decode(value)
        assert isinstance(done, EvolutionCompleted)
        return done

    def start(self, value: bytes) -> EvolutionStarted:
        """Return the start of a message value."""
        start = self.wire.decode(value)
        assert isinstance(start, EvolutionStarted)
        return start

    def join(self, done: bytes, start: bytes) -> Joined:
        """Return a completion joined with its start, both message values."""
        whole = joined(self.completion(done), self.start(start))
        return Joined(whole, replace(evolution_metrics(whole), version=JOINED_VERSION))


def scopes_lent(lacks: int, done: EvolutionCompleted) -> Iterator[Scope]:
    """Yield the scopes that a completion counts in by what its start has lent: those it came without."""
    if lacks & Lack.TYPE and done.evolution_type not in NO_TYPES:
        yield Scope("evolution_type", done.evolution_type)
    if lacks & Lack.STRATEGY and done.strategy_used:
        yield Scope("strategy", done.strategy_used)
