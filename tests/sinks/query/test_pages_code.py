"""The Python of the analysts' pages, run as it stands but for the server's address."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest

from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.sinks import evolution, sent

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("page", ["how-to/analyse.md", "tutorials/ask-your-first-question.md"])
def test_the_python_of_a_page_runs(
    database: ClickHouseSettings,
    page: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    programs = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S)
    assert programs
    made = evolution("agent-7", strategy_used="extended_training", occurred_at=round(time.time() * 1e6))
    asyncio.run(fill(database, [sent(made)]))
    named: list[dict[str, str]] = []

    def settings(**fields: str) -> ClickHouseSettings:
        named.append(fields)
        return database

    monkeypatch.setattr("evometrics.sinks.settings.ClickHouseSettings", settings)
    for program in programs:
        exec(compile(program, page, "exec"), {"__name__": "__main__"})
        assert "agent-7" in capsys.readouterr().out
    assert named == [{"url": "http://127.0.0.1:8123", "user": "analyst"}] * len(programs)
