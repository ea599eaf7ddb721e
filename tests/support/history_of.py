"""What a recorder without a broker has recorded: the node's history, in which each event is once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted, SystemEvent
from evometrics.schemas.history.file import check_file, open_to_read
from evometrics.schemas.wire.framing import WireFormat

#: The collector's default, in the working folder.
FILE = "evolution_metrics.db"
#: A machine that is busy takes its time.
SECONDS = 300.0


def recorded(path: Path) -> list[Event]:
    """Return a history's events, in the order in which they arrived; none where there is no history yet."""
    if not path.exists() or not check_file(path):
        return []
    wire = WireFormat()
    with closing(open_to_read(path)) as db:
        return [wire.decode(value) for (value,) in db.execute("SELECT value FROM events ORDER BY rowid")]


def completed(path: Path) -> list[EvolutionCompleted]:
    """Return a history's completions, in the order in which they arrived."""
    return [event for event in recorded(path) if isinstance(event, EvolutionCompleted)]


def started(path: Path) -> list[EvolutionStarted]:
    """Return a history's starts, in the order in which they arrived."""
    return [event for event in recorded(path) if isinstance(event, EvolutionStarted)]


def agents(path: Path) -> list[str]:
    """Return the agents of a history's completions, in the order in which they arrived."""
    return [event.agent_id for event in completed(path)]


def system_events(path: Path, event_type: str) -> list[SystemEvent]:
    """Return a history's system events of a type."""
    found = [event for event in recorded(path) if isinstance(event, SystemEvent)]
    return [event for event in found if event.event_type == event_type]


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without settings of evometrics, and with `more`."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("EVOMETRICS_")}
    return {**plain, **more}


def python(
    folder: Path, script: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder, as a user would, from a file."""
    file = folder / "script.py"
    file.write_text(textwrap.dedent(script))
    return subprocess.run(
        [sys.executable, file.name],
        cwd=folder,
        env=environment(**(env or {})),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
