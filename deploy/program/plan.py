"""What is known of an evolution before its program starts, and what the program is told of it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evometrics.deploy.program.result import NoObject, object_or_file
from evometrics.deploy.terminal import tell
from evometrics.schemas.ids import new_event_id

AGENT, EVOLUTION, RUN = "EVOMETRICS_AGENT_ID", "EVOMETRICS_EVOLUTION_ID", "EVOMETRICS_RUN_ID"
#: Sections of the settings that a recorder reads, in the program as here.
SECTIONS = ("collector", "kafka")


@dataclass(frozen=True, slots=True)
class Plan:
    """One evolution.

    Attributes:
        start: fields of its start, without the time.
        parents: the agents that its agent was made from.
        environ: variables that the program and its recording get: settings from flags, file and the local
            stack, and the ids.
    """

    start: dict[str, Any]
    parents: list[str]
    environ: dict[str, str]


def plan_of(args: argparse.Namespace, environ: Mapping[str, str]) -> Plan:
    """Return the evolution that the flags describe; what is wrong with a setting or a file is told."""
    agent = args.agent_id or Path(args.program[0]).name or args.program[0]
    evolution = args.evolution_id or f"{agent}-{new_event_id()}"
    run = args.run_id or environ.get(RUN) or new_event_id()
    metadata = {"program": args.program[0], **dict(args.metadata or ())}
    start = {
        "agent_id": agent,
        "evolution_id": evolution,
        "evolution_type": args.evolution_type,
        "strategy": args.strategy or "",
        "generation": args.generation,
        "pre_evolution_kpis": before(args.pre_kpis),
        "metadata": metadata,
        "run_id": run,
        "model": args.model,
        "objective": args.objective,
        "direction": args.direction,
    }
    ids = {AGENT: agent, EVOLUTION: evolution, RUN: run}
    known = {name: value for name, value in start.items() if value is not None}
    return Plan(known, list(args.parent or ()), settings(args, environ) | ids)


def before(text: str | None) -> dict[str, Any] | None:
    """Return the KPIs before the evolution, None where there are none."""
    try:
        return None if text is None else object_or_file(text)
    except NoObject as error:
        tell(f"evometrics record: no KPIs before: --pre-kpis: {error}")
        return None


def settings(args: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    """Return settings of flags, of the file and of the running local stack, as variables.

    Only those that are not in the environment, except for flags.
    """
    from_flags = {
        "EVOMETRICS_KAFKA_BROKERS": args.brokers,
        "EVOMETRICS_KAFKA_REGISTRY_URL": args.registry_url,
        "EVOMETRICS_KAFKA_REGISTRY_READ_ONLY": "true" if args.registry_read_only else None,
    }
    given = {name: value for name, value in from_flags.items() if value}
    for name, value in in_file(args.config).items():
        if name not in environ and f"{name}_FILE" not in environ:
            given.setdefault(name, value)
    elsewhere = ("BROKERS", "BROKERS_FILE", "CLIENT_PROPERTIES", "CLIENT_PROPERTIES_FILE")
    named = any(f"EVOMETRICS_KAFKA_{name}" in {**environ, **given} for name in elsewhere)
    if not named and (Path(args.data) / "stack.json").exists():
        given |= of_stack(Path(args.data))
    return given


def of_stack(data: Path) -> dict[str, str]:
    """Return the broker of the stack that runs on a folder, as a variable."""
    from evometrics.deploy.stack.stackfile import read_stack

    try:
        stack = read_stack(data)
    except (OSError, KeyError, TypeError) as error:  # not a file of ours, or not one of this release
        tell(f"evometrics record: without the stack on {data}: {error!r}")
        return {}
    return {} if stack is None else {"EVOMETRICS_KAFKA_BROKERS": stack.brokers}


def in_file(path: Path | None) -> dict[str, str]:
    """Return a `--config` file's settings for recording, as variables; tell where it can't be read."""
    if path is None:
        return {}
    import tomllib

    try:
        file = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        tell(f"evometrics record: without --config {path}: {error}")
        return {}
    return {
        f"EVOMETRICS_{section}_{name}".upper(): str(value).lower() if isinstance(value, bool) else str(value)
        for section in SECTIONS
        for name, value in table_of(file, section).items()
    }


def table_of(file: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    """Return a section of a file; an empty one where it is something else."""
    found = file.get(section)
    return found if isinstance(found, dict) else {}
