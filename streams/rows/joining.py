"""Joins message values of completions with those of their starts, as defined by `schemas.evolutions.joining`.

Whether a completion is joined depends only on the two, not on which comes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from evometrics.schemas.events import EvolutionCompleted, EvolutionMetrics, EvolutionStarted
from evometrics.schemas.evolutions.joining import NO_TYPES, Lack, joined, joined_metrics, lacking, lent_by
from evometrics.schemas.wire.binary import UNUSUAL
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.formulas.windows import Scope
from evometrics.streams.rows.rows import StartReader


class Joined(NamedTuple):
    """A completion with what its start supplies, and the resulting row."""

    done: EvolutionCompleted
    row: EvolutionMetrics


class Joiner:
    """Joins message values of starts and completions."""

    def __init__(self, wire: WireFormat) -> None:
        self.wire = wire
        self.prefix = wire.prefixes[EvolutionStarted.record]
        self.reader = StartReader()

    def lends(self, value: bytes) -> int:
        """Return the fields that the start in a message value can lend, as bits of `Lack`."""
        if value.startswith(self.prefix):
            try:
                return self.reader.lends(value, len(self.prefix))
            except UNUSUAL:
                pass
        return lent_by(self.start(value))

    def lacks(self, value: bytes) -> int:
        """Return the fields that the completion in a message value lacks, as bits of `Lack`."""
        return lacking(self.completion(value))

    def completion(self, value: bytes) -> EvolutionCompleted:
        """Return the completion in a message value."""
        done = self.wire.decode(value)
        assert isinstance(done, EvolutionCompleted)
        return done

    def start(self, value: bytes) -> EvolutionStarted:
        """Return the start in a message value."""
        start = self.wire.decode(value)
        assert isinstance(start, EvolutionStarted)
        return start

    def join(self, done: bytes, start: bytes) -> Joined:
        """Return a completion joined with its start; both are message values."""
        whole = joined(self.completion(done), self.start(start))
        return Joined(whole, joined_metrics(whole))


def scopes_lent(lacks: int, done: EvolutionCompleted) -> Iterator[Scope]:
    """Yield the scopes that its start has lent to a completion: those it lacked."""
    if lacks & Lack.TYPE and done.evolution_type not in NO_TYPES:
        yield Scope("evolution_type", done.evolution_type)
    if lacks & Lack.STRATEGY and done.strategy_used:
        yield Scope("strategy", done.strategy_used)
