"""Whatever is odd in a file: good rows are taken and others named, or the file is named for what it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evometrics.deploy.history.columns import KNOWN
from evometrics.deploy.history.reading import Reader
from evometrics.deploy.history.report import Report
from evometrics.deploy.history.run import READERS, opened, report_path
from evometrics.deploy.history.sources import CONVERSIONS, STRATEGIES, STRATEGY, SourceRow
from evometrics.deploy.history.staging import Staging
from evometrics.schemas.service.settings import SettingsError
from tests.support.history_imports import rejected
from tests.support.odd_history_files import AT, ODD, Odd


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_one_row_never_costs_the_file(odd: Odd, tmp_path: Path) -> None:
    path = odd.make(tmp_path)
    if odd.refused:
        with pytest.raises(SettingsError) as caught:
            opened(path, None)
        assert odd.refused in str(caught.value) and str(path) in str(caught.value)
        return
    with Staging() as staging:
        with Report(report_path(path, None), path) as report:
            reader = Reader(opened(path, None), "import", staging, report)
            list(reader.read())
        staging.prepare()
        taken = tuple(item.key for chunk in staging.ordered(1000, 1_000_000) for item in chunk)
    reasons = [entry["reason"] for entry in rejected(path)] if odd.rejected else []
    assert (taken, len(reasons)) == (odd.taken, len(odd.rejected)), reasons
    for reason, wanted in zip(reasons, odd.rejected, strict=True):
        assert wanted in reason
    counts = reader.counts.values()
    assert sum(each.read for each in counts) == len(taken) + len(reasons)


class Rows:
    """A source of one row."""

    total = None

    def __init__(self, row: SourceRow) -> None:
        self.row, self.tables = row, (row.table, STRATEGIES)

    def rows(self) -> Iterator[SourceRow]:
        yield self.row


COLUMNS = sorted({*KNOWN.values(), "value", "column 9", "post_f1"})
TEXTS = st.text(st.characters(), max_size=30) | st.sampled_from(
    [
        "9" * 5000,
        "1e999",
        "-0",
        "{'a': 1}",
        "{'a",
        '{"a": NaN}',
        "[[",
        "0x10",
        "1_0",
        "20250615",
        "nan",
        "\udcff",
    ]
)
NUMBERS = st.integers() | st.floats() | st.decimals() | st.sampled_from([10**4000, -(2**63), 1e308, AT])
ATOMS = st.none() | st.booleans() | NUMBERS | TEXTS | st.binary(max_size=9) | st.datetimes() | st.dates()
NAMES = st.text(max_size=5) | st.integers() | st.binary(max_size=3) | st.none()
VALUES = st.recursive(
    ATOMS | st.times() | st.timedeltas() | st.uuids(),
    lambda of: st.lists(of, max_size=4) | st.dictionaries(NAMES, of, max_size=3) | st.tuples(NAMES, of),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([*CONVERSIONS, STRATEGY]),
    odd=st.dictionaries(st.sampled_from(COLUMNS), VALUES, max_size=6),
    whole=st.booleans(),
)
def test_whatever_a_row_holds_it_is_taken_or_rejected(
    kind: str, odd: dict[str, Any], whole: bool, tmp_path: Path
) -> None:
    usual = {"agent_id": "a", "occurred_at": AT, "timestamp": AT, "success": True, "event_type": "tick"}
    named = {"evolution_id": "e", "strategy_name": "s", "value": b"\xc3\x01"}
    row = SourceRow(kind, "table", {"number": 1}, (usual | named if whole else {}) | odd)
    with Staging() as staging, Report(tmp_path / "report.jsonl", tmp_path / "rows") as report:
        reader = Reader(Rows(row), "import", staging, report)
        list(reader.read())
        assert staging.prepare() + report.rejected == 1


@pytest.mark.parametrize("kind", [None, *READERS])
def test_a_pipe_is_named_as_whatever_it_is_given(kind: str | None, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(SettingsError, match="is a pipe"):
        opened(path, kind)


def test_the_table_is_of_over_sixty_files() -> None:
    assert len({odd.name for odd in ODD}) == len(ODD) > 60
