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
#: When a run's evolutions ended; ClickHouse asks once for what a statement has twice.
SPAN = "(SELECT (first_at, last_at) FROM evolution_runs WHERE run_id = {run:String})"
#: The evolutions of a run; its times say which months they are in.
OF_RUN = f"""run_id = {{run:String}}
    AND occurred_at >= tupleElement({SPAN}, 1)
    AND occurred_at <= tupleElement({SPAN}, 2)"""
#: What has ended; an abandoned evolution was not heard of again.
ENDED = "countIf(status != 'abandoned')"


#: Gains of different objectives have no mean.
GAIN = "if(uniqExact(ifNull(objective, '')) = 1, avgOrNull(improvement_delta), NULL)"


def wilson(sign: str) -> str:
    """Return an end of the 95 % Wilson interval of a share, as an expression: of `attempts`, `succeeded`.

    `sign` is + or -. The expression is short, because ClickHouse takes longer to plan it than to compute it.
    """
    spread = f"sqrt(succeeded * (attempts - succeeded) / nullIf(attempts, 0) + {Z**2 / 4!r})"
    return f"(succeeded + {Z**2 / 2!r} {sign} {Z!r} * {spread}) / (attempts + {Z**2!r})"


#: Columns of a success rate and its interval, of the columns attempts and succeeded.
RATES = f"succeeded / nullIf(attempts, 0) AS success_rate, {wilson('-')} AS low, {wilson('+')} AS high"
