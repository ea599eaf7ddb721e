"""A night begins once for each local date, whatever the clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evometrics.producers.orchestrator.schedule import NightlySchedule
from evometrics.schemas.service.settings import SettingsError


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("run_at", "zone", "now", "expected"),
    [
        ("02:00", "UTC", "2026-05-04T01:59:59", "2026-05-04T02:00"),
        ("02:00", "UTC", "2026-05-04T02:00:00", "2026-05-05T02:00"),
        ("23:30", "America/New_York", "2026-07-01T12:00", "2026-07-02T03:30"),
        (
            "01:00",
            "Pacific/Kiritimati",
            "2026-07-01T12:00",
            "2026-07-02T11:00",
        ),  # UTC+14: the day before there
        ("02:30", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:30"),  # skipped: 03:30 summer time
        ("02:30", "Europe/Berlin", "2026-03-29T01:30", "2026-03-30T00:30"),
        ("02:30", "Europe/Berlin", "2026-10-24T12:00", "2026-10-25T00:30"),  # twice: the first
        ("02:30", "Europe/Berlin", "2026-10-25T00:30", "2026-10-26T01:30"),  # and not the second
        ("02:30", "Europe/Berlin", "2026-10-25T01:15", "2026-10-26T01:30"),
    ],
)
def test_the_next_night_begins_at_the_local_time(run_at: str, zone: str, now: str, expected: str) -> None:
    assert NightlySchedule.parse(run_at, zone).next_run(utc(now)) == utc(expected)


@given(
    start=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),
    minute=st.integers(0, 24 * 60 - 1),
    zone=st.sampled_from(
        ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
    ),
)
def test_each_local_date_has_exactly_one_night(start: datetime, minute: int, zone: str) -> None:
    schedule = NightlySchedule.parse(f"{minute // 60:02d}:{minute % 60:02d}", zone)
    now = start.replace(tzinfo=UTC)
    nights = []
    for _ in range(4):
        night = schedule.next_run(now)
        assert night > now
        nights.append(night)
        now = night
    dates = [night.astimezone(schedule.zone).date() for night in nights]
    assert dates == [dates[0] + timedelta(days=n) for n in range(4)]


@pytest.mark.parametrize("run_at", ["24:00", "2:00", "02:60", "", "two", "02:00:00"])
def test_a_bad_time_is_named(run_at: str) -> None:
    with pytest.raises(SettingsError, match=r"run_at=.*HH:MM"):
        NightlySchedule.parse(run_at, "UTC")


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../../etc/passwd", "Europe"])
def test_a_bad_time_zone_is_named(zone: str) -> None:
    with pytest.raises(SettingsError, match=r"time_zone=.*IANA"):
        NightlySchedule.parse("02:00", zone)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"datetime\.now\(UTC\)"):
        NightlySchedule.parse("02:00", "UTC").next_run(datetime(2026, 1, 1))
