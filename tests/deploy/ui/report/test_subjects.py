"""Which rows a report is about."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from evometrics.deploy.ui.page import Section
from evometrics.deploy.ui.pages import PAGES
from evometrics.deploy.ui.report.subject import night, night_of, run

BERLIN, PACIFIC = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Los_Angeles")


def test_a_night_is_from_noon_to_noon_where_its_people_are() -> None:
    assert night(date(2026, 11, 28)).since == datetime(2026, 11, 28, 12, tzinfo=UTC)
    assert night(date(2026, 11, 28), PACIFIC).since == datetime(2026, 11, 28, 20, tzinfo=UTC)
    assert night(date(2026, 11, 28), PACIFIC).title == "Night of 28 November 2026"


def test_the_night_in_which_clocks_change_is_longer() -> None:
    found = night(date(2026, 10, 24), BERLIN)
    assert found.until is not None
    assert found.since is not None
    assert found.until - found.since == timedelta(hours=25)


@pytest.mark.parametrize(
    ("moment", "zone", "day"),
    [
        (datetime(2026, 11, 29, 3, tzinfo=UTC), UTC, date(2026, 11, 28)),
        (datetime(2026, 11, 29, 12, tzinfo=UTC), UTC, date(2026, 11, 29)),
        (datetime(2026, 11, 29, 12, tzinfo=UTC), PACIFIC, date(2026, 11, 28)),
    ],
)
def test_a_moment_belongs_to_the_night_that_began_at_the_noon_before(
    moment: datetime, zone: ZoneInfo, day: date
) -> None:
    assert night_of(moment, zone) == day
    found = night(day, zone)
    assert found.since is not None
    assert found.until is not None
    assert found.since <= moment < found.until


def test_a_pages_section_is_about_the_subject_and_has_no_other_parameters() -> None:
    (tonight,) = (page for page in PAGES if page.name == "tonight")
    for section in tonight.sections(tonight.state({})):
        own = run("night-7").of(section)
        assert "now()" not in own.sql
        assert own.values["run"] == "night-7"
        assert "hours" not in own.values


def test_a_section_about_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="section other is about neither a time nor a run"):
        run("night-7").of(Section("other", "Other", "SELECT 1"))
