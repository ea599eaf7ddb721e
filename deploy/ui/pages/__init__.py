"""The pages, a module each; the navigation has them in this order."""

from evometrics.deploy.ui.page import Page
from evometrics.deploy.ui.pages import agent, candidate, compare, pareto, run, strategies, tonight

PAGES: tuple[Page, ...] = (
    tonight.PAGE,
    run.PAGE,
    agent.PAGE,
    strategies.PAGE,
    compare.PAGE,
    pareto.PAGE,
    candidate.PAGE,
)
