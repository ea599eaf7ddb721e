"""Evolutions that were reported as abandoned although their completions had come in time. Pure.

A stream that reads everything reports none of these; one that has lost records to retention does, if the
start was read and the completion was not. The raw tables show which completions came in time; the answer is
independent of batch boundaries if both hold:

- By events: no completion of the deadline's time or later had come to the partition before. The stream counts
  an evolution as abandoned when both topics have reached its deadline, and a batch's completions come first.
- By the clock: it came before the broker's clock could reach the deadline, which is that of the start's
  arrival if the start came late.
"""

from __future__ import annotations

from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_STARTED
from evometrics.streams.processors.evolutions import LATE_START

#: Reports that the live table has and the replay did not make.
DOUBTED = "abandoned AND in_live AND NOT in_shadow"


def completed_in_time(found: str) -> str:
    """Return the query for these evolutions, agent and name, among a table `found` (`sql`)."""

    def of(table: str, what: str) -> str:
        return (
            f"SELECT (agent_id, evolution_id) AS evolution, {what} FROM {table}_rows "
            f"WHERE agent_id IN (SELECT evolution.1 FROM {found} WHERE {DOUBTED}) GROUP BY evolution"
        )

    completed = of(
        EVOLUTION_COMPLETED.table, "min(_timestamp) AS came, argMin(_partition, _timestamp) AS place"
    )
    started = of(EVOLUTION_STARTED.table, "min(_timestamp) AS began")
    late = f"toIntervalMicrosecond({LATE_START})"
    time_out = "toIntervalMicrosecond(dateDiff('microsecond', begins, deadline))"
    candidates = f"""SELECT evolution, deadline, came, place
        FROM (SELECT evolution, begins, occurred_at AS deadline FROM {found} WHERE {DOUBTED}) AS reported
        INNER JOIN ({completed}) AS ended USING (evolution)
        INNER JOIN ({started}) AS began_ USING (evolution)
        WHERE came < greatest(deadline, began + {time_out} - {late})"""
    return f"""SELECT evolution
    FROM ({candidates}) AS candidates
    ASOF LEFT JOIN (
        SELECT _partition AS place, occurred_at,
            min(_timestamp) OVER (PARTITION BY _partition ORDER BY occurred_at DESC) AS reached
        FROM {EVOLUTION_COMPLETED.table}_rows
        WHERE occurred_at >= (SELECT min(occurred_at) FROM {found} WHERE {DOUBTED})
            AND _timestamp <= (SELECT max(came) FROM ({candidates}))
    ) AS later ON candidates.place = later.place AND later.occurred_at >= candidates.deadline
    WHERE reached = toDateTime64(0, 3) OR came < reached"""
