"""What tests of imports have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evometrics.deploy.history.reading import Reader
from evometrics.deploy.history.report import Report
from evometrics.deploy.history.run import opened, report_path
from evometrics.deploy.history.sources import NOTHING_GIVEN, AboutFile
from evometrics.deploy.history.staging import Staged, Staging
from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.wire.framing import WireFormat


def staged(path: Path, kind: str | None = None, given: AboutFile = NOTHING_GIVEN) -> list[Staged]:
    """Return what an import of a file would publish, and write its report."""
    with Staging() as staging, Report(report_path(path, None), path) as report:
        list(Reader(opened(path, kind, given), "import", staging, report).read())
        staging.prepare()
        return [item for chunk in staging.ordered(100, 10_000) for item in chunk]


def evolutions(path: Path, given: AboutFile = NOTHING_GIVEN) -> list[EvolutionCompleted]:
    """Return the evolutions that an import of a file would publish, in the order of time."""
    found = [WireFormat().decode(item.value) for item in staged(path, given=given)]
    return [event for event in found if isinstance(event, EvolutionCompleted)]


def rejected(path: Path) -> list[dict[str, Any]]:
    """Return what the report of a file's import says."""
    return [json.loads(line) for line in report_path(path, None).read_text().splitlines()]
