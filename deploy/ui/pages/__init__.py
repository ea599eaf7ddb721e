"""The pages, a module each; the navigation has them in this order."""

from evometrics.deploy.ui.page import Page
from evometrics.deploy.ui.pages import (
    agent,
    candidate,
    compare,
    lineage,
    pareto,
    pipeline,
    run,
    strategies,
    tonight,
)

PAGES: tuple[Page, ...] = (
    tonight.PAGE,
    run.PAGE,
    agent.PAGE,
    lineage.PAGE,
    strategies.PAGE,
    compare.PAGE,
    pareto.PAGE,
    pipeline.PAGE,
    candidate.PAGE,
)
