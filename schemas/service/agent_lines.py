"""One agent's metrics as text, byte for byte as prometheus_client would write it, and as samples."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping
from typing import TypeAlias

from evometrics.schemas.service.distribution import Distribution

#: Which series, by number in the order in which they began, are shown at 0.
Zeros: TypeAlias = Container[int]
#: A sample: name, labels, value.
Row: TypeAlias = tuple[str, dict[str, str], float]
#: From here on Go writes exponents, and prometheus_client as well.
LARGE = 1_000_000


def attempt_lines(agent: str, attempts: Mapping[tuple[str, str], int], zeros: Zeros) -> str:
    """Return the lines of `evolution_attempts_total`, from attempts by type and status."""
    return "".join(
        f'evolution_attempts_total{{agent_id="{agent}",evolution_type="{escaped(kind)}",'
        f'status="{escaped(status)}"}} {"0.0" if place in zeros else whole(count)}\n'
        for place, ((kind, status), count) in enumerate(list(attempts.items()))
    )


def attempt_rows(agent: str, attempts: Mapping[tuple[str, str], int]) -> Iterator[Row]:
    for (kind, status), count in list(attempts.items()):
        labels = {"agent_id": agent, "evolution_type": kind, "status": status}
        yield "evolution_attempts_total", labels, float(count)


def duration_lines(agent: str, durations: Mapping[str, Distribution], zeros: Zeros) -> str:
    """Return the lines of the histogram `evolution_duration_seconds`, from seconds by type."""
    found = []
    for place, (kind, known) in enumerate(list(durations.items())):
        labels = f'{{agent_id="{agent}",evolution_type="{escaped(kind)}"'
        shown = Distribution(known.bounds) if place in zeros else known
        buckets = shown.cumulated()
        few = buckets[-1][1] < LARGE
        for bound, count in buckets:
            value = f"{count}.0" if few else whole(count)
            found.append(f'evolution_duration_seconds_bucket{labels},le="{bound}"}} {value}\n')
        found.append(f"evolution_duration_seconds_count{labels}}} {whole(buckets[-1][1])}\n")
        found.append(f"evolution_duration_seconds_sum{labels}}} {number(shown.total)}\n")
    return "".join(found)


def duration_rows(agent: str, durations: Mapping[str, Distribution]) -> Iterator[Row]:
    for kind, known in list(durations.items()):
        labels = {"agent_id": agent, "evolution_type": kind}
        buckets = known.cumulated()
        for bound, count in buckets:
            yield "evolution_duration_seconds_bucket", labels | {"le": bound}, float(count)
        yield "evolution_duration_seconds_count", labels, float(buckets[-1][1])
        yield "evolution_duration_seconds_sum", labels, known.total


def gauge_lines(name: str, agent: str, value: float) -> str:
    """Return the line of a gauge with an agent alone."""
    return f'{name}{{agent_id="{agent}"}} {number(value)}\n'


def gauge_rows(name: str, agent: str, value: float) -> Iterator[Row]:
    yield name, {"agent_id": agent}, value


def kpi_lines(agent: str, kpis: Mapping[str, float]) -> str:
    """Return the lines of `agent_kpi_current`, from KPIs by name."""
    labels = f'agent_kpi_current{{agent_id="{agent}",kpi_name="'
    return "".join(f'{labels}{escaped(name)}"}} {number(value)}\n' for name, value in kpis.items())


def kpi_rows(agent: str, kpis: Mapping[str, float]) -> Iterator[Row]:
    for name, value in kpis.items():
        yield "agent_kpi_current", {"agent_id": agent, "kpi_name": name}, value


def escaped(value: str) -> str:
    """Return a label's value as both formats write it."""
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value


def whole(count: int) -> str:
    """Return a count as both formats write it."""
    return f"{count}.0" if count < LARGE else number(count)


def number(value: float) -> str:
    """Return a value as both formats write it."""
    if -math.inf < value < LARGE:
        return repr(float(value))
    from prometheus_client.utils import floatToGoString

    return str(floatToGoString(value))  # type: ignore[no-untyped-call]
