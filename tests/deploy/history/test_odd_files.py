"""Whatever is odd in a file: good rows are taken and others named, or the file is named for what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from evometrics.deploy.history.reading import Reader
from evometrics.deploy.history.report import Report
from evometrics.deploy.history.run import opened, report_path
from evometrics.deploy.history.staging import Staging
from evometrics.schemas.settings import SettingsError
from tests.deploy.history.odd_files import ODD, Odd
from tests.deploy.history.support import rejected


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


def test_the_table_is_of_over_sixty_files() -> None:
    assert len({odd.name for odd in ODD}) == len(ODD) > 60
