"""A document of a real night: its figures equal SQL, names are text, and it needs nothing but itself."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

from evometrics.deploy.ui.report import document, picture
from evometrics.deploy.ui.report.findings import Findings
from evometrics.deploy.ui.report.gathering import MOST_DOTS
from evometrics.sinks.query import MetricsQuery
from tests.deploy.ui.report.conftest import LARGE, MARKUP, SUBJECTS
from tests.support.shown_night import SEARCH

#: What may stand in a document that is to be mailed.
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "section",
    "div",
    "dl",
    "dt",
    "dd",
    "ul",
    "li",
    "h1",
    "h2",
    "h3",
    "p",
    "small",
    "span",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "figure",
    "svg",
    "g",
    "path",
    "line",
    "rect",
    "text",
    "tspan",
    "details",
    "summary",
    "pre",
    "code",
    "data",
    "time",
    "ins",
    "del",
    "b",
    "a",
}


class Tags(HTMLParser):
    """Collects tags and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def cards(html: str) -> dict[str, str]:
    found = re.findall(r"<div><dt>([\w ]+)</dt><dd>([^<]*)", html.partition("</dl>")[0])
    return {name: unescape(value) for name, value in found}


def wilson(kept: int, attempts: int) -> tuple[float, float]:
    """Return the interval of a share as Wilson (1927) has it: where the share differs by 1.96 deviations."""
    z, share = 1.959964, kept / attempts
    reach = z * (share * (1 - share) / attempts + z * z / 4 / attempts**2) ** 0.5
    middle, scale = share + z * z / 2 / attempts, 1 + z * z / attempts
    return (middle - reach) / scale, (middle + reach) / scale


async def test_the_figures_of_a_night_equal_sql(reports: dict[str, Findings], query: MetricsQuery) -> None:
    html = document.html(reports["whole"])
    ((attempts, kept, cost),) = await query.sql(
        "SELECT count(), countIf(status = 'succeeded'), sum(cost_usd) FROM evolution_metrics "
        "WHERE occurred_at >= {since:DateTime64(6)} AND occurred_at < {until:DateTime64(6)}",
        dict(SUBJECTS["whole"].values),
    )
    low, high = wilson(kept, attempts)
    said = f"{kept} of {attempts} attempts succeeded: {kept / attempts:.1%}, {low:.1%} to {high:.1%}"
    assert said.replace("%", " %") in html
    assert cards(html)["Attempts"] == str(attempts)
    assert cards(html)["Cost"] == f"${cost:.2f}"
    assert cards(html)["Mean gain"] == "–"
    assert "none: there are several objectives" in html
    best = "SELECT min(performance_score) FROM evolution_metrics WHERE run_id = {run:String} AND success"
    ((score,),) = await query.sql(best, {"run": SEARCH})
    assert f"Best candidate that was kept: {score:.6g}<" in html
    assert "Difference to" in html


def test_a_run_is_the_same_in_its_own_report(reports: dict[str, Findings]) -> None:
    whole, own = reports["whole"], reports["search"]
    (part,) = (each for each in whole.parts if each.run == SEARCH)
    assert own.parts[0].short == part.short
    assert own.parts[0].scores.rows == part.scores.rows
    assert own.whole.first["cost_per_success"] == own.whole.first["cost"] / own.whole.first["succeeded"]
    assert "Cost per success" in cards(document.html(own))


def test_names_with_markup_are_text_and_nothing_is_asked_for(reports: dict[str, Findings]) -> None:
    for found in (reports["whole"], reports["named run"], reports["named"]):
        html = document.html(found)
        tags = Tags(html)
        assert tags.tags <= TAGS, tags.tags - TAGS
        assert not [
            each for each in tags.attributes if each[0].startswith("on") or each[0] in ("src", "href")
        ]
        without = html.replace('="http://www.w3.org/2000/svg"', "").replace(
            '="http://www.w3.org/1999/xlink"', ""
        )
        assert "http" not in re.sub(r'<meta http-equiv="', "", without)
        assert "url(" not in html
        assert "@import" not in html
        assert picture.png(found).startswith(b"\x89PNG")
    assert "run &lt;script&gt;alert(&#39;out&#39;)" in html
    assert MARKUP not in html


def test_what_failed_is_grouped_by_reason(reports: dict[str, Findings]) -> None:
    found = reports["named"]
    assert [(row["reason"], row["failures"]) for row in found.reasons.rows] == [
        (MARKUP.replace("1", "…") + " …", 3)
    ]


def test_a_large_run_stays_small_enough_to_be_mailed_and_says_what_is_left_out(
    reports: dict[str, Findings],
) -> None:
    found = reports["many"]
    html = document.html(found)
    assert f"{MOST_DOTS} of {LARGE:,} candidates are drawn" in html
    assert len(html) < 2_000_000
    (part,) = found.parts
    assert part.scores.rows[-1]["candidate"] == LARGE
    assert part.best is not None
    assert part.best.row["score"] == 2.0 - (LARGE - 1) / LARGE


def test_the_row_of_a_run_as_a_whole_is_no_attempt_and_says_that_it_ended(
    reports: dict[str, Findings],
) -> None:
    found = reports["many"]
    assert found.whole.first["attempts"] == LARGE
    assert sum(row["evolutions"] for row in found.by_time.rows) == LARGE
    assert found.whole.first["cost"] is None
    assert found.ended["large"]["outcome"] == "succeeded"


def test_an_empty_night_is_said_plainly(reports: dict[str, Findings]) -> None:
    found = reports["none"]
    html = document.html(found)
    assert "Nothing was recorded in this night. The last evolution before now ended" in html
    assert "<section>" not in html
    assert picture.png(found).startswith(b"\x89PNG")


def test_what_is_going_on_is_said(reports: dict[str, Findings]) -> None:
    said = "This night is not over: 2 evolutions have begun and not ended."
    assert said in document.html(reports["tonight"])
    open_run = document.html(reports["open"])
    assert "Still going: 1 evolution has begun and not ended." in open_run
    assert "It has not ended" in open_run
    assert not reports["search"].going_on
