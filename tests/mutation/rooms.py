"""The pure modules that are changed, each with the tests nearest to it.

Pure: values in, values out, or SQLite on this machine; neither Kafka nor ClickHouse, and not compiled.
"""

from __future__ import annotations

#: By room, its modules; and the tests, below `tests/`, that are run over a change of each.
ROOMS: dict[str, dict[str, tuple[str, ...]]] = {
    "schemas/kpis": {
        "performance": ("schemas/kpis/test_performance.py", "producers/events/test_kpi.py"),
    },
    "schemas/evolutions": {
        "joining": ("schemas/evolutions/test_joining.py", "streams/rows/test_metrics_rows.py"),
        "outcome": ("streams/formulas/test_calculations.py", "streams/rows/test_metrics_rows.py"),
        "snapshots": ("schemas/evolutions/test_snapshots.py", "streams/rows/test_metrics_rows.py"),
    },
    "schemas/letters": {
        "limit": ("schemas/letters/test_limit.py",),
    },
    "schemas/rules": {
        "validation": ("schemas/rules/test_validation.py", "schemas/evolutions/test_snapshots.py"),
    },
    "schemas/service": {
        "backoff": ("schemas/service/test_backoff.py",),
        "beginnings": ("schemas/service/test_beginnings.py",),
        "settings": ("schemas/service/test_settings.py",),
    },
    "schemas/wire": {
        "catalog": (
            "schemas/wire/test_datum.py",
            "schemas/wire/test_codec.py",
            "schemas/wire/test_framing.py",
            "schemas/wire/test_compatibility.py",
        ),
        "compatibility": ("schemas/wire/test_compatibility.py",),
        "datum": ("schemas/wire/test_datum.py", "schemas/wire/test_codec.py"),
    },
    "producers/events": {
        "candidate": ("producers/events/test_metric_row.py", "producers/collector/test_candidates.py"),
        "cells": ("producers/events/test_cells.py", "deploy/history/test_conversion.py"),
        "custom_metrics": ("producers/metrics/test_node_metrics.py",),
        "fitting": ("producers/events/test_fitting.py", "producers/events/test_left_out.py"),
        "given": ("producers/events/test_left_out.py",),
        "jsontext": ("producers/events/test_jsontext.py", "producers/events/test_left_out.py"),
        "kpi": ("producers/events/test_kpi.py",),
        "left_out": ("producers/events/test_left_out_said.py", "producers/events/test_left_out.py"),
        "metric_row": ("producers/events/test_metric_row.py", "deploy/history/test_conversion.py"),
        "open_evolutions": (
            "producers/collector/test_right_evolution.py",
            "producers/collector/test_collector.py",
        ),
        "progress": ("producers/events/test_progress.py", "producers/collector/test_right_evolution.py"),
        "trajectory": ("producers/events/test_trajectory.py", "producers/events/test_left_out.py"),
    },
    "producers/orchestrator": {
        "schedule": ("producers/orchestrator/test_schedule.py",),
        "strategies": (
            "producers/orchestrator/test_strategies.py",
            "producers/orchestrator/test_orchestrator_agents.py",
        ),
    },
    "producers/outbox": {
        "budget": (
            "producers/outbox/test_budget.py",
            "producers/outbox/test_outbox.py",
            "producers/outbox/test_handover.py",
            "producers/publisher/test_backlog.py",
        ),
        "names": ("producers/outbox/test_outbox.py", "producers/outbox/test_foreign_files.py"),
    },
    "producers/publisher": {
        "clock_repair": ("producers/publisher/test_clock_repair.py",),
    },
    "producers/resources": {
        "processes": ("producers/resources/test_resources.py",),
    },
    "sinks/migrations": {
        "column_types": ("sinks/migrations/test_column_types.py",),
        "plan": ("sinks/migrations/test_plan.py",),
    },
    "sinks/raw": {
        "steps": ("sinks/raw/test_steps.py",),
    },
    "sinks/replay": {
        "merge": ("sinks/replay/test_replay_merge.py",),
    },
    "sinks/worker": {
        "plan": (
            "sinks/clickhouse/test_blocks.py",
            "sinks/raw/test_raw_events.py",
            "sinks/worker/test_letter_limit.py",
        ),
        "tally": ("sinks/worker/test_metrics.py",),
        "agents": ("sinks/worker/test_agents.py",),
    },
    "streams/formulas": {
        "calculations": ("streams/formulas/test_calculations.py", "streams/processors/test_snapshots.py"),
        "windows": ("streams/formulas/test_windows.py", "streams/processors/test_foreign_counts.py"),
    },
    "streams/processors": {
        "computations": ("streams/processors/test_computations.py", "streams/processors/test_processors.py"),
        "deadlines": ("streams/processors/test_deadlines.py", "streams/processors/test_processors.py"),
        "evolutions": ("streams/processors/test_evolutions.py", "streams/processors/test_processors.py"),
        "scope_counts": ("streams/processors/test_scopes.py", "streams/processors/test_foreign_counts.py"),
        "scope_tally": ("streams/processors/test_counting.py", "streams/processors/test_foreign_counts.py"),
        "scopes": ("streams/processors/test_scopes.py", "streams/processors/test_processors.py"),
        "snapshots": ("streams/processors/test_snapshots.py", "streams/processors/test_processors.py"),
    },
    "streams/rows": {
        "joining": ("streams/rows/test_joining.py", "streams/rows/test_metrics_rows.py"),
        "rates": ("streams/processors/test_counting.py",),
    },
    "streams/sources": {
        "clock": ("streams/sources/test_clock.py",),
    },
    "streams/states": {
        "agent_states": ("streams/states/test_states.py", "streams/processors/test_processors.py"),
        "incarnations": ("streams/states/test_incarnations.py",),
        "live": ("streams/states/test_states.py", "streams/processors/test_processors.py"),
        "waiting": ("streams/states/test_waiting.py", "streams/processors/test_processors.py"),
    },
}

#: The tests of each module, by its path in the checkout.
TESTS = {f"{room}/{module}.py": tests for room, modules in ROOMS.items() for module, tests in modules.items()}
