"""A completion and its start, joined as the bytes that they are."""

from __future__ import annotations

import dataclasses

import pytest

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted
from evometrics.schemas.evolutions.joining import Lack, joined, joined_metrics, lacking
from evometrics.streams.formulas.windows import Scope
from evometrics.streams.rows.joining import Joiner, scopes_lent
from tests.support.examples import EXAMPLES
from tests.support.pure_stream import WIRE

JOINER = Joiner(WIRE)
DONE = dataclasses.replace(
    next(e for e in EXAMPLES if isinstance(e, EvolutionCompleted)), strategy_used="", pre_kpis={}
)
START = dataclasses.replace(
    next(e for e in EXAMPLES if isinstance(e, EvolutionStarted)), strategy="tune", pre_kpis={"accuracy": 0.5}
)


def test_messages_are_joined_as_their_events_are() -> None:
    done, row = JOINER.join(WIRE.encode(DONE), WIRE.encode(START))
    assert done == joined(DONE, START)
    assert done.strategy_used == "tune" and done.pre_kpis == {"accuracy": 0.5}
    assert row == joined_metrics(done)


def test_what_a_message_lacks_is_what_its_event_lacks() -> None:
    assert JOINER.lacks(WIRE.encode(DONE)) == lacking(DONE)
    assert lacking(DONE) & Lack.STRATEGY and lacking(DONE) & Lack.PRE_KPIS


@pytest.mark.parametrize(
    ("lacks", "kind", "strategy", "scopes"),
    [
        (Lack.TYPE, "nightly", "tune", [Scope("evolution_type", "nightly")]),
        (Lack.STRATEGY, "nightly", "tune", [Scope("strategy", "tune")]),
        (
            Lack.TYPE | Lack.STRATEGY,
            "nightly",
            "tune",
            [Scope("evolution_type", "nightly"), Scope("strategy", "tune")],
        ),
        (Lack.TYPE | Lack.STRATEGY, "unknown", "", []),
        (Lack.TYPE | Lack.STRATEGY, "", "", []),
        (Lack.RISK, "nightly", "tune", []),
        (0, "nightly", "tune", []),
    ],
)
def test_a_start_lends_the_scopes_that_the_completion_lacked(
    lacks: int, kind: str, strategy: str, scopes: list[Scope]
) -> None:
    done = dataclasses.replace(DONE, evolution_type=kind, strategy_used=strategy)
    assert list(scopes_lent(lacks, done)) == scopes
