"""The pure modules that are changed, each with the tests nearest to it.

Pure: values in, values out, or SQLite on this machine; neither Kafka nor ClickHouse, and not compiled.
"""

from __future__ import annotations

#: By room, its modules; and the tests, below `tests/`, that are run over a change of each.
ROOMS: dict[str, dict[str, tuple[str, ...]]] = {
    "schemas/kpis": {
        "performance": ("schemas/test_kpis.py", "producers/test_kpi.py"),
    },
    "schemas/evolutions": {
        "joining": ("streams/test_metrics_rows.py", "streams/test_calculations.py"),
        "outcome": ("streams/test_calculations.py", "streams/test_metrics_rows.py"),
        "snapshots": ("schemas/test_snapshots.py", "streams/test_metrics_rows.py"),
    },
    "schemas/letters": {
        "limit": ("schemas/test_letter_limit.py",),
    },
    "schemas/rules": {
        "validation": ("schemas/test_validation.py", "schemas/test_snapshots.py"),
    },
    "schemas/service": {
        "backoff": ("schemas/test_backoff.py",),
        "settings": ("schemas/test_settings.py", "schemas/test_bootstrap.py"),
    },
    "schemas/wire": {
        "catalog": ("schemas/test_codec.py", "schemas/test_wire.py", "schemas/test_compatibility.py"),
        "compatibility": ("schemas/test_compatibility.py",),
        "datum": ("schemas/test_datum.py", "schemas/test_codec.py"),
    },
    "producers/events": {
        "cells": ("producers/test_right_evolution.py", "deploy/history/test_conversion.py"),
        "custom_metrics": ("producers/test_right_evolution.py", "producers/test_node_metrics.py"),
        "fitting": ("producers/test_left_out.py",),
        "given": ("producers/test_left_out.py", "producers/test_arbitrary_objects.py"),
        "jsontext": ("producers/test_left_out.py", "producers/test_arbitrary_objects.py"),
        "kpi": ("producers/test_kpi.py",),
        "left_out": ("producers/test_left_out.py",),
        "metric_row": ("deploy/history/test_conversion.py", "producers/test_right_evolution.py"),
        "open_evolutions": ("producers/test_right_evolution.py", "producers/test_collector.py"),
        "progress": ("producers/test_right_evolution.py", "producers/test_collector.py"),
        "trajectory": ("producers/test_right_evolution.py", "producers/test_left_out.py"),
    },
    "producers/orchestrator": {
        "schedule": ("producers/test_schedule.py",),
        "strategies": ("producers/test_strategies.py", "producers/test_orchestrator_agents.py"),
    },
    "producers/outbox": {
        "budget": ("producers/test_outbox.py", "producers/test_handover.py", "producers/test_backlog.py"),
        "names": ("producers/test_outbox.py", "producers/test_foreign_files.py"),
    },
    "producers/publisher": {
        "clock_repair": ("producers/test_clock_repair.py",),
    },
    "producers/resources": {
        "processes": ("producers/test_resources.py",),
    },
    "sinks/migrations": {
        "column_types": ("sinks/test_migrate.py", "sinks/test_new_columns.py"),
        "plan": ("sinks/test_migrate.py", "sinks/test_migration_lock.py"),
    },
    "sinks/raw": {
        "steps": ("sinks/test_republish_steps.py",),
    },
    "sinks/replay": {
        "merge": ("sinks/test_replay_merge.py",),
    },
    "sinks/worker": {
        "plan": ("sinks/test_blocks.py", "sinks/test_raw_events.py", "sinks/test_letter_limit.py"),
        "tally": ("sinks/test_metrics.py",),
    },
    "streams/formulas": {
        "calculations": ("streams/test_calculations.py",),
        "windows": (
            "streams/test_calculations.py",
            "streams/test_states.py",
            "streams/test_foreign_counts.py",
        ),
    },
    "streams/processors": {
        "computations": ("streams/test_processors.py", "streams/test_offline.py"),
        "deadlines": ("streams/test_processors.py",),
        "evolutions": ("streams/test_processors.py", "streams/test_offline.py"),
        "scope_counts": ("streams/test_foreign_counts.py", "streams/test_processors.py"),
        "scope_tally": ("streams/test_counting.py", "streams/test_foreign_counts.py"),
        "scopes": ("streams/test_processors.py", "streams/test_offline.py"),
        "snapshots": ("streams/test_processors.py", "streams/test_offline.py"),
    },
    "streams/rows": {
        "joining": ("streams/test_metrics_rows.py",),
        "rates": ("streams/test_counting.py",),
    },
    "streams/sources": {
        "clock": ("streams/test_clock.py",),
        "grown": ("streams/test_grown.py",),
    },
    "streams/states": {
        "agent_states": ("streams/test_states.py", "streams/test_processors.py"),
        "incarnations": ("streams/test_incarnations.py",),
        "live": ("streams/test_states.py", "streams/test_processors.py"),
        "waiting": ("streams/test_states.py", "streams/test_processors.py"),
    },
}

#: The tests of each module, by its path in the checkout.
TESTS = {f"{room}/{module}.py": tests for room, modules in ROOMS.items() for module, tests in modules.items()}
