"""Figures on a page in a browser, beside what the statements behind its SQL buttons give."""

from __future__ import annotations

from collections import Counter

from playwright.async_api import Page

from evometrics.deploy.ui.cells import csv_text, is_number, whole
from evometrics.deploy.ui.columns import OF_ALL
from evometrics.deploy.ui.rendering import MOST_ROWS
from evometrics.sinks.query import MetricsQuery

#: Figures that differ from one moment to the next.
OF_THE_MOMENT = {"seconds_ago"}
#: Those, and how many rows a chart draws a share of, which its note says.
NOT_COMPARED = OF_THE_MOMENT | {OF_ALL}
#: Statements as a page shows them, and what is below: the numbers with all their digits, and the rows.
SECTIONS = """sections => sections.map(section => ({
    name: section.id,
    text: section.matches('.kind-text, .kind-difference'),
    sql: section.querySelector('.sql pre').textContent,
    values: Object.fromEntries([...section.querySelectorAll('.sql .values > div')].map(
        each => [each.querySelector('dt').textContent, each.querySelector('dd').textContent])),
    numbers: [...section.querySelectorAll('data')].map(each => [each.dataset.column, each.value]),
    rows: section.querySelector('thead') && !section.matches('.kind-sides')
        ? section.querySelectorAll('tbody tr').length : null,
}))"""


async def compared(page: Page, query: MetricsQuery, root: str, *, csv: bool = True) -> int:
    """Run the statements behind a page's buttons, and assert that figures and files equal their rows.

    Returns the number of figures. `root`: the server's address; without `csv` files are left out, which have
    all rows where a page draws a share.
    """
    shown = await page.locator("section").evaluate_all(SECTIONS)
    assert shown
    figures = 0
    for section in shown:
        found = await query.sql(section["sql"], section["values"])
        rows = [dict(zip(found.columns, row, strict=True)) for row in found]
        wanted = [
            (column, whole(value))
            for row in rows[:MOST_ROWS]
            for column, value in row.items()
            if is_number(value)
        ]
        for numbers in (section["numbers"], wanted):
            numbers[:] = [(each[0], each[1]) for each in numbers if each[0] not in NOT_COMPARED]
        assert section["text"] or Counter(section["numbers"]) == Counter(wanted), section["name"]
        assert section["rows"] in (None, min(len(rows), MOST_ROWS)), section["name"]
        figures += len(wanted)
        if csv and not OF_THE_MOMENT & set(found.columns):
            address = await page.locator(f"#{section['name']} a[href*='.csv?']").get_attribute("href")
            answer = await page.request.get(root + str(address))
            assert await answer.text() == csv_text(rows)
    return figures
