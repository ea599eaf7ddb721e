"""A replay's queries to ClickHouse: which rows differ, and which of them the replay may judge. Pure.

Two steps, each a table of the run. `found`: the rows by sorting key that the live table and the shadow table
do not both have with the same values, bit by bit (a 128-bit hash over the analysts' columns). `differences`:
what each of them is, one of

- `added`, `gone`, `changed`: repaired by applying;
- `newer`: the live row was written or corrected while the replay ran, and knows more: left alone;
- `kept`: the replay can't know better, because not everything that the row was computed from was read: left
  alone.

A table of the run holds the ids of all events read. A row is `gone`, or taken back to an older version, only
if it was there (`settled`) before the replay began to read, and all that it was computed from was read:

- evolution_metrics: its event is among those read. An abandoned evolution that has completed after all stays
  as reported, unless it had certainly completed in time (`abandoned`), and is not reported again: whether it
  was in time depends on what the stream held in one batch. Nor is an evolution that began before
  `complete_from` reported again, or taken back: its completion may be lost. Reports made by the clock after
  the last message read (`reached`) are left alone. A row that was joined with its start is not taken back to
  one that was not, if the start may not have been read.
- kpi_deltas: its snapshot is among those read; for an older version also the live row's previous snapshot. A
  missing row without a previous snapshot is only added if no snapshot can have been lost.
- kpi_snapshots, if KPI deltas are selected: only the snapshots that the replay has made are compared with the
  table, and every difference is `added`.
- success_rates: its window lies within the time for which all completions were read (`complete_from`).
"""

from __future__ import annotations

from dataclasses import dataclass

from evometrics.schemas.topics import (
    EVOLUTION_COMPLETED,
    EVOLUTION_METRICS,
    EVOLUTION_STARTED,
    KPI_DELTAS,
    KPI_SNAPSHOTS,
    SUCCESS_RATES,
    Topic,
)
from evometrics.schemas.wire.catalog import newest
from evometrics.sinks.replay.abandoned import completed_in_time

KINDS = ("added", "gone", "changed", "newer", "kept")
APPLIED = ("added", "gone", "changed")
#: Condition for rows, and differing rows, that were certainly stored before the replay began to read;
#: milliseconds.
STORED = "_inserted_at < fromUnixTimestamp64Milli({settled:Int64})"
SETTLED = "stored < fromUnixTimestamp64Milli({settled:Int64})"
UNEXPIRED = "row_time > fromUnixTimestamp64Micro({expired:Int64})"
REACHED = "occurred_at <= fromUnixTimestamp64Micro({reached:Int64})"
COMPLETE = "begins >= fromUnixTimestamp64Micro({complete_from:Int64})"


@dataclass(frozen=True, slots=True)
class Judged:
    """What the comparison knows of a derived table.

    Attributes:
        key: its sorting key.
        sources: the raw tables its rows are derived from.
        version, source, previous, begins, evolution, abandoned: expressions over a row `r`: its version, the
            event it was computed from, the previous one, when window or evolution began, agent and evolution,
            whether it reports one as abandoned.
        gone, lowered, added, changed: conditions over `found` under which the replay knows better.
        made_alone: the live table holds more than what is replayed, which is compared only with its own rows.
    """

    key: tuple[str, ...]
    sources: tuple[Topic, ...]
    gone: str
    lowered: str
    added: str
    changed: str
    version: str = "toInt64(0)"
    source: str = "r.event_id"
    previous: str = "CAST(NULL AS Nullable(UUID))"
    begins: str = "r.occurred_at"
    evolution: str = "('', '')"
    abandoned: str = "false"
    made_alone: bool = False


def among(read: str, wanted: str) -> str:
    """Return the query for those of the wanted ids whose events were read."""
    return f"SELECT event_id FROM {read} WHERE event_id IN ({wanted})"


def judged(topic: Topic, found: str, read: str) -> Judged:
    """Return a table's columns and conditions for the comparison.

    `found` and `read` are the names of its `found` table and of the table of the events read.
    """
    wanted = f"SELECT source FROM {found} WHERE in_live"
    if topic is EVOLUTION_METRICS:
        completed = " UNION ALL ".join(
            f"SELECT agent_id, evolution_id FROM {table}_rows "
            f"WHERE agent_id IN (SELECT evolution.1 FROM {found} WHERE abandoned) AND {only}"
            for table, only in (
                (EVOLUTION_COMPLETED.table, "1"),
                (EVOLUTION_METRICS.table, "status != 'abandoned'"),
            )
        )
        open_still = f"NOT (abandoned AND evolution IN ({completed}))"
        return Judged(
            key=("agent_id", "occurred_at", "event_id"),
            sources=(EVOLUTION_STARTED, EVOLUTION_COMPLETED),
            gone=f"source IN ({among(read, wanted)}) AND (NOT abandoned OR ({COMPLETE} AND {REACHED} "
            f"AND {open_still}) OR evolution IN ({completed_in_time(found)}))",
            lowered=COMPLETE,
            added=f"NOT abandoned OR ({COMPLETE} AND {open_still})",
            changed="true",
            version="r.version",
            source="r.source_event_id",
            begins="r.started_at",
            evolution="(r.agent_id, r.evolution_id)",
            abandoned="r.status = 'abandoned'",
        )
    if topic is KPI_DELTAS:
        before = f"SELECT assumeNotNull(live_previous) FROM {found} WHERE live_previous IS NOT NULL"
        return Judged(
            key=("agent_id", "occurred_at", "event_id"),
            sources=(KPI_SNAPSHOTS,),
            gone=f"source IN ({among(read, wanted)})",
            lowered=f"assumeNotNull(live_previous) IN ({among(read, before)})",
            added="shadow_previous IS NOT NULL OR {all_snapshots:Bool}",
            changed="true",
            version="r.version",
            source="r.snapshot_event_id",
            previous="r.previous_event_id",
        )
    if topic is KPI_SNAPSHOTS:
        never = "false"
        return Judged(
            key=("agent_id", "occurred_at", "event_id"),
            sources=(EVOLUTION_STARTED, EVOLUTION_COMPLETED),
            gone=never,
            lowered=never,
            added="true",
            changed=never,
            source="r.source_event_id",
            made_alone=True,
        )
    assert topic is SUCCESS_RATES, "one of the derived topics"
    return Judged(
        key=("scope", "scope_value", "window_seconds", "window_end", "event_id"),
        sources=(EVOLUTION_COMPLETED,),
        gone=COMPLETE,
        lowered=COMPLETE,
        added=COMPLETE,
        changed=f"shadow_version > live_version OR {COMPLETE}",
        version="r.version",
        begins="r.window_start",
    )


def columns(topic: Topic) -> list[str]:
    """Return the columns that analysts see."""
    return [str(field["name"]) for field in newest(topic.record).source["fields"]]


def select_found(topic: Topic, found: str, shadow: str, where: str) -> str:
    """Return the query for the rows that differ; `where` is about a row `r`."""
    known = judged(topic, found, "")
    key = ", ".join(known.key)
    only = f" AND r.event_id IN (SELECT event_id FROM {shadow})" if known.made_alone else ""

    def side(table: str, live: bool) -> str:
        return (
            f"SELECT {', '.join(f'r.{name} AS {name}' for name in known.key)}, {str(live).lower()} AS live, "
            f"sipHash128(tuple({', '.join(f'r.{name}' for name in columns(topic))})) AS hash, "
            f"{known.version} AS version_, r._inserted_at AS stored_, {known.source} AS source_, "
            f"{known.previous} AS previous_, {known.begins} AS begins_, {known.evolution} AS evolution_, "
            f"{known.abandoned} AS abandoned_, greatest(r.occurred_at, r._timestamp) AS row_time_ "
            f"FROM {table} AS r FINAL WHERE {where}{only}"
        )

    return f"""SELECT {key},
    countIf(live) > 0 AS in_live,
    countIf(NOT live) > 0 AS in_shadow,
    anyIf(version_, live) AS live_version,
    anyIf(version_, NOT live) AS shadow_version,
    maxIf(stored_, live) AS stored,
    anyIf(previous_, live) AS live_previous,
    anyIf(previous_, NOT live) AS shadow_previous,
    any(source_) AS source,
    any(begins_) AS begins,
    any(evolution_) AS evolution,
    any(abandoned_) AS abandoned,
    max(row_time_) AS row_time
FROM ({side(f"{topic.table}_rows", True)} UNION ALL {side(shadow, False)})
GROUP BY {key}
HAVING NOT in_live OR NOT in_shadow OR anyIf(hash, live) != anyIf(hash, NOT live)"""


def select_differences(topic: Topic, found: str, read: str) -> str:
    """Return the query that classifies each differing row; rows before `expired` are no longer kept."""
    known = judged(topic, found, read)
    return f"""SELECT {", ".join(known.key)},
    in_live AND in_shadow AND live_version > shadow_version AS lowered,
    multiIf(
        NOT in_live, if(({known.added}) AND {UNEXPIRED}, 'added', 'kept'),
        in_live AND NOT ({SETTLED}) AND (NOT in_shadow OR lowered), 'newer',
        NOT in_shadow, if({known.gone}, 'gone', 'kept'),
        lowered, if({known.lowered}, 'changed', 'kept'),
        if({known.changed}, 'changed', 'kept')
    ) AS kind
FROM {found}"""


def insert_differences(topic: Topic, shadow: str, differences: str) -> str:
    """Return the statement that inserts the added and changed rows into the live table."""
    key = ", ".join(judged(topic, "", "").key)
    names = ", ".join([*columns(topic), "_partition", "_offset", "_timestamp"])
    return (
        f"INSERT INTO {topic.table}_rows ({names}) SELECT {names} FROM {shadow} FINAL "
        f"WHERE ({key}) IN (SELECT {key} FROM {differences} WHERE kind IN ('added', 'changed')) "
        "SETTINGS insert_deduplicate = 0, max_partitions_per_insert_block = 0"
    )


def delete_differences(topic: Topic, differences: str) -> str:
    """Return the statement that deletes rows that are gone or of too high a version.

    Only rows stored before `settled` are deleted.
    """
    key = ", ".join(judged(topic, "", "").key)
    return (
        f"DELETE FROM {topic.table}_rows WHERE ({key}) IN (SELECT {key} FROM {differences} "
        "WHERE kind = 'gone' OR (kind = 'changed' AND lowered)) "
        "AND _inserted_at < fromUnixTimestamp64Milli({settled:Int64})"
    )


def sample(topic: Topic, differences: str, kind: str, table: str, number: int) -> str:
    """Return the query for some rows of a kind as they are in a table, in the order of their keys."""
    key = ", ".join(judged(topic, "", "").key)
    some = f"SELECT {key} FROM {differences} WHERE kind = '{kind}' ORDER BY {key} LIMIT {number:d}"
    return f"SELECT {', '.join(columns(topic))} FROM {table} FINAL WHERE ({key}) IN ({some}) ORDER BY {key}"
