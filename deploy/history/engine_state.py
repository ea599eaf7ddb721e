"""The KPI engine's `evolution_state.json`: its contents, and the events made from them.

The engine writes one JSON object: `active_agents` and `retired_agents` by agent, `evolution_history` (its
last 100), `population_stats`, `last_evolution_time`, and `expert_knowledge` (not history; left out). Times
are Unix seconds.

| what | becomes |
|---|---|
| an agent's `created_at` | SystemEvent `agent_registered` |
| a retired agent's `retired_at` | SystemEvent `agent_retired`, with reason and what was distilled |
| a retired agent's `final_kpi` | KpiSnapshot |
| `population_stats` | SystemEvent `population_stats` at `last_evolution_time` |
| an entry of `evolution_history` | EvolutionCompleted |

The history's entries are objects, or Python's printed form of the engine's `EvolutionResult`, because the
engine serializes them with `str`. They hold no time. An agent's `last_evolution` is when its last success
ended, which dates that entry; other entries without a time of their own are reported. Their improvements are
gains by name, not KPIs, and go into the metadata.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evometrics.deploy.history.contents import BEGINNING, DAMAGE, encoding_of, open_bytes
from evometrics.deploy.history.sources import SourceRow
from evometrics.producers.events.cells import bounded_int
from evometrics.producers.events.metric_row import TIME_COLUMNS
from evometrics.schemas.service.settings import SettingsError

AGENTS = ("active_agents", "retired_agents")
#: Fields of an agent that never change while it lives, so that a later state gives the same event.
LASTING = ("agent_type", "generation", "parent_id", "template_path")
RETIREMENT = (
    "agent_type",
    "generation",
    "evolution_count",
    "created_at",
    "retirement_reason",
    "successor_id",
    "distilled_knowledge",
)
#: Python's printed form of an enumeration's member.
MEMBER = re.compile(r"<\w+\.\w+: ('[^'\\]*')>")
NO_TIME = (
    "has no time: the engine keeps none in its history, and only an agent's last success can be placed, "
    "by the agent's last_evolution"
)


class EngineState:
    """The KPI engine's state; it is small (at most 100 retired agents and evolutions) and read at once."""

    tables: tuple[str, ...] = (*AGENTS, "final_kpi", "evolution_history", "population_stats")
    total: int | None = None

    def __init__(self, path: Path) -> None:
        try:
            with open_bytes(path) as file:
                raw = file.read()
            # A number of thousands of digits, which Python refuses to read, costs only its row.
            text = raw.decode(encoding_of(raw[:BEGINNING]), "surrogateescape")
            state = json.loads(text, parse_int=bounded_int)
        except (*DAMAGE, ValueError, RecursionError) as error:
            raise SettingsError(f"{path}: can't be read as JSON: {error}") from None
        if not isinstance(state, dict) or not {*AGENTS, "evolution_history"} & state.keys():
            raise SettingsError(
                f"{path}: is not the KPI engine's state, which is an object with active_agents, "
                "retired_agents and evolution_history"
            )
        self.state = state

    def rows(self) -> Iterator[SourceRow]:
        """Yield the state's rows, section by section."""
        for section in AGENTS:
            found = self.state.get(section)
            if not isinstance(found, Mapping):
                if found is not None:
                    yield broken(section, section, found, "is not an object of agents")
                continue
            for name, agent in found.items():
                yield from agent_rows(section, name, agent)
        history = self.state.get("evolution_history")
        if isinstance(history, list):
            yield from history_rows(history, self.last_evolutions())
        elif history is not None:
            yield broken("evolution_history", "evolution_history", history, "is not a list")
        if "population_stats" in self.state:
            event = {
                "timestamp": self.state.get("last_evolution_time"),
                "event_type": "population_stats",
                "data": self.state["population_stats"],
            }
            yield SourceRow("system_event", "population_stats", {"path": "population_stats"}, event)

    def last_evolutions(self) -> dict[str, Any]:
        """Return when each agent's last success ended."""
        return {
            name: agent.get("last_evolution")
            for section in AGENTS
            if isinstance(found := self.state.get(section), Mapping)
            for name, agent in found.items()
            if isinstance(agent, Mapping)
        }


def broken(table: str, path: str, found: object, reason: str) -> SourceRow:
    """Return a row for something that can't be read."""
    return SourceRow("system_event", table, {"path": path}, {"value": found}, reason)


def agent_rows(section: str, name: str, agent: object) -> Iterator[SourceRow]:
    """Yield the rows of an agent's entry: one for the section it is in, and its last KPIs."""
    path = f"{section}.{name}"
    if not isinstance(agent, Mapping):
        yield broken(section, path, agent, "is not an object")
        return
    if section == "retired_agents":
        data = {key: agent[key] for key in RETIREMENT if key in agent}
        event = {"timestamp": agent.get("retired_at"), "event_type": "agent_retired"}
        yield SourceRow("system_event", section, {"path": path}, {**event, "agent_id": name, "data": data})
    data = {key: agent[key] for key in LASTING if key in agent}
    event = {"timestamp": agent.get("created_at"), "event_type": "agent_registered"}
    yield SourceRow("system_event", section, {"path": path}, {**event, "agent_id": name, "data": data})
    kpi = agent.get("final_kpi")
    if isinstance(kpi, Mapping):
        yield SourceRow("snapshot", "final_kpi", {"path": f"{path}.final_kpi"}, {"agent_id": name, **kpi})
    elif kpi is not None:
        yield broken("final_kpi", f"{path}.final_kpi", kpi, "is not an object")


def history_rows(history: list[Any], last_evolutions: Mapping[str, Any]) -> Iterator[SourceRow]:
    """Yield the history's entries; an agent's last success takes the time that its agent has for it."""
    entries = [entry_of(entry) for entry in history]
    newest = {
        str(entry.get("agent_id")): at for at, entry in enumerate(entries) if entry and entry.get("success")
    }
    for at, (entry, raw) in enumerate(zip(entries, history, strict=True)):
        table, path = "evolution_history", f"evolution_history[{at}]"
        if entry is None:
            yield broken(table, path, raw, "is not an evolution's result")
            continue
        row = evolution_row(entry)
        if not any(name in row for name in TIME_COLUMNS) and newest.get(str(entry.get("agent_id"))) == at:
            row["occurred_at"] = last_evolutions.get(str(entry.get("agent_id")))
        timed = any(row.get(name) is not None for name in TIME_COLUMNS)
        yield SourceRow("evolution", table, {"path": path}, row, "" if timed else NO_TIME)


def entry_of(entry: object) -> dict[str, Any] | None:
    """Return an entry's fields: of an object as they are, of a printed `EvolutionResult` parsed."""
    if isinstance(entry, Mapping):
        return dict(entry)
    if not isinstance(entry, str):
        return None
    try:
        call = ast.parse(MEMBER.sub(r"\1", entry), mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.keywords):
            return None
        return {str(field.arg): ast.literal_eval(field.value) for field in call.keywords}
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def evolution_row(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry under the names that evolutions have."""
    row = dict(entry)
    gains, error = row.pop("improvements", None), row.pop("error_message", None)
    metadata = (
        {f"improvement.{name}": gain for name, gain in gains.items()} if isinstance(gains, dict) else {}
    )
    if (successor := row.pop("new_agent_id", None)) is not None:
        metadata["new_agent_id"] = successor
    row["metadata"] = metadata
    if "evolution_time_seconds" in row:
        row["duration_seconds"] = row.pop("evolution_time_seconds")
    if error is not None:
        row["insights"] = [f"error: {error}"]
    return row
