"""Reads the tables as analysts do, and gives the rows in the event classes' own units."""

from __future__ import annotations

from typing import Any

import clickhouse_connect

from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.wire.catalog import newest

#: The specification's tables and their columns, to the letter.
SPECIFICATION = {
    "evolution_metrics": "id timestamp agent_id evolution_type evolution_id performance_score "
    "improvement_delta quality_score memory_used_mb cpu_percent_avg duration_minutes success error_count "
    "warning_count metadata",
    "kpi_snapshots": "id timestamp agent_id accuracy response_time_ms throughput_tps success_rate "
    "memory_usage_mb cpu_utilization energy_efficiency adaptation_rate knowledge_retention "
    "generalization_ability output_quality consistency reliability overall_performance evaluation_count "
    "confidence_interval",
    "evolution_strategies": "id evolution_id strategy_name risk_level target_gain actual_gain success "
    "applied_at",
    "system_events": "id timestamp event_type data",
}

#: Passwords of the writers of ClickHouse fronts that have one, by the front's URL.
PASSWORDS: dict[str, str] = {}


def client(url: str, database: str = "evometrics") -> Any:
    """Return a blocking clickhouse-connect client."""
    host, _, port = url.removeprefix("http://").partition(":")
    password = PASSWORDS.get(url, "")
    return clickhouse_connect.get_client(host=host, port=int(port), database=database, password=password)


def logical_type(kind: Any) -> str | None:
    """Return a field's logical type, also where the field may be null."""
    for branch in kind if isinstance(kind, list) else [kind]:
        if isinstance(branch, dict) and "logicalType" in branch:
            return str(branch["logicalType"])
    return None


def rows(
    url: str, record: str, *, strict: bool = True, database: str = "evometrics"
) -> dict[str, dict[str, Any]]:
    """Return every row of a record's table by event_id: times in microseconds, ids as text.

    Strict: fail where an event appears twice.
    """
    columns = []
    for field in newest(record).source["fields"]:
        name, kind = field["name"], logical_type(field["type"])
        shown = {"uuid": f"toString({name})", "timestamp-micros": f"toUnixTimestamp64Micro({name})"}
        columns.append(f"{shown.get(kind or '', name)} AS {name}_")
    names = [field["name"] for field in newest(record).source["fields"]]
    with client(url, database) as connected:
        result = connected.query(f"SELECT {', '.join(columns)} FROM {BY_RECORD[record].table}")
    # what was not measured is NULL here, and 0 in the event
    empty = [0 if isinstance(f["type"], str) else None for f in newest(record).source["fields"]]
    found = [
        {n: e if v is None else v for n, v, e in zip(names, row, empty, strict=True)}
        for row in result.result_rows
    ]
    by_id = {row["event_id"]: row for row in found}
    assert not strict or len(by_id) == len(found), f"{record}: an event appears twice"
    return by_id
