"""What Grafana and its ClickHouse plugin make of a panel's text before it is asked.

Macros as the plugin's documentation has them (Query editor, "Macros"; Template variables,
`$__conditionalAll`), variables as Grafana's has them (Variable syntax). What no dashboard uses is a KeyError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

ALL = "$__all"
VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(?!__)(\w+)")
MACRO = re.compile(r"\$__(\w+)(\()?")


@dataclass(frozen=True)
class Shown:
    """What a dashboard shows.

    Attributes:
        begin: of the dashboard's time, Unix seconds.
        end: its end.
        interval: seconds between the points of a series.
        scrape: Prometheus' scrape interval, seconds.
        chosen: values of each variable; `ALL` where all are.
    """

    begin: int
    end: int
    interval: int
    chosen: Mapping[str, list[str]] = field(default_factory=dict)
    scrape: int = 15

    def choosing(self, **chosen: list[str]) -> Shown:
        """Return it with other values of some variables."""
        return replace(self, chosen={**self.chosen, **chosen})

    def statement(self, text: str) -> str:
        """Return the SQL that a statement of the ClickHouse plugin is sent as."""
        return self.macros(self.variables(self.conditions(text)))

    def expression(self, text: str) -> str:
        """Return the PromQL that an expression is sent as (Prometheus' template variables)."""
        for name, seconds in (
            ("rate_interval", max(self.interval + self.scrape, 4 * self.scrape)),
            ("range", self.end - self.begin),
            ("interval", self.interval),
        ):
            text = text.replace(f"$__{name}", f"{seconds}s")
        return self.variables(text)

    def conditions(self, text: str) -> str:
        """Replace each `$__conditionalAll(condition, $variable)`."""
        name = "$__conditionalAll("
        while (at := text.rfind(name)) >= 0:
            end, (condition, variable) = arguments(text, at + len(name))
            (found,) = VARIABLE.findall(variable)
            values = self.chosen[found[0] or found[2]]
            text = text[:at] + ("1=1" if values == [ALL] else condition) + text[end:]
        return text

    def variables(self, text: str) -> str:
        """Replace each `${name}`, `$name` and `${name:singlequote}`."""

        def value(found: re.Match[str]) -> str:
            name, form, plain = found.groups()
            values = self.chosen[name or plain]
            if form == "singlequote":
                return ",".join("'" + each.replace("'", "\\'") + "'" for each in values)
            assert form is None, form
            return ",".join(values)

        return VARIABLE.sub(value, text)

    def macros(self, text: str) -> str:
        """Replace the plugin's macros."""
        while (found := MACRO.search(text)) is not None:
            end, given = arguments(text, found.end()) if found[2] else (found.end(), [])
            text = text[: found.start()] + self.macro(found[1], *given) + text[end:]
        return text

    def macro(self, name: str, column: str = "") -> str:
        return {
            "timeFilter": f"{column} >= toDateTime({self.begin}) AND {column} <= toDateTime({self.end})",
            "fromTime": f"toDateTime({self.begin})",
            "toTime": f"toDateTime({self.end})",
            "timeInterval": f"toStartOfInterval(toDateTime({column}), INTERVAL {self.interval} second)",
        }[name]


def arguments(text: str, at: int) -> tuple[int, list[str]]:
    """Return where the bracket that opened before `at` has closed, and the arguments in it."""
    found, depth, begin = [], 0, at
    for place in range(at, len(text)):
        if text[place] == "," and depth == 0:
            found.append(text[begin:place].strip())
            begin = place + 1
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth < 0:
            return place + 1, [*found, text[begin:place].strip()]
    raise ValueError(f"no closing bracket: {text[at:]}")


def used(text: str) -> Iterator[str]:
    """Yield the names of the variables in a text."""
    for name, _, plain in VARIABLE.findall(text):
        yield name or plain
