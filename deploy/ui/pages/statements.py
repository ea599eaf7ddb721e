"""Expressions that several pages' statements share."""

from __future__ import annotations

from evometrics.deploy.ui.page import Choice

#: The 97.5 % quantile of the normal distribution.
Z = 1.959963984540054

HOURS = Choice(
    "hours",
    "Since",
    "24",
    {
        "1": "an hour ago",
        "12": "12 hours ago",
        "24": "24 hours ago",
        "72": "3 days ago",
        "168": "a week ago",
        "720": "30 days ago",
    },
)
SINCE = "occurred_at >= now() - toIntervalHour({hours:UInt32})"
#: The evolutions of a run; its times say which months they are in.
OF_RUN = """run_id = {run:String}
    AND occurred_at >= (SELECT first_at FROM evolution_runs WHERE run_id = {run:String})
    AND occurred_at <= (SELECT last_at FROM evolution_runs WHERE run_id = {run:String})"""
#: What has ended; an abandoned evolution was not heard of again.
ENDED = "countIf(status != 'abandoned')"


#: Gains of different objectives have no mean.
GAIN = "if(uniqExact(ifNull(objective, '')) = 1, avgOrNull(improvement_delta), NULL)"


def wilson(successes: str, attempts: str, sign: str) -> str:
    """Return an end of the 95 % Wilson interval of a share, as an expression; `sign` is + or -."""
    share = f"({successes}) / ({attempts})"
    spread = f"sqrt({share} * (1 - {share}) / ({attempts}) + {Z**2 / 4!r} / pow({attempts}, 2))"
    middle = f"{share} + {Z**2 / 2!r} / ({attempts})"
    bound = f"({middle} {sign} {Z!r} * {spread}) / (1 + {Z**2!r} / ({attempts}))"
    return f"if(({attempts}) = 0, NULL, {bound})"


#: Columns of a success rate and its interval, of the columns attempts and succeeded.
RATES = (
    "succeeded / nullIf(attempts, 0) AS success_rate, "
    f"{wilson('succeeded', 'attempts', '-')} AS low, {wilson('succeeded', 'attempts', '+')} AS high"
)
