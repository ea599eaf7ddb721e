"""A report as plots in a terminal: scores in the order of the candidates, success by strategy."""

from __future__ import annotations

from evometrics.deploy.ui.report.gathering import Findings


def plots(report: Findings) -> str:
    return ""
