"""Plots in a terminal: what it can't show is left out."""

from __future__ import annotations

import builtins
import io
from collections.abc import Callable
from typing import Any

import pytest

from evometrics.deploy.ui.report.findings import Findings
from evometrics.deploy.ui.report.terminal import MISSING, Screen, plots
from tests.support.shown_night import SEARCH, STRATEGIES

PLAIN = Screen(columns=80, colours=False, ascii_only=False)


class Terminal(io.TextIOWrapper):
    """A terminal of an encoding."""

    def isatty(self) -> bool:
        return True


def terminal(encoding: str) -> Terminal:
    return Terminal(io.BytesIO(), encoding=encoding)


def test_scores_and_strategies_are_plotted_in_the_width_of_the_terminal(reports: dict[str, Findings]) -> None:
    shown = plots(reports["whole"], PLAIN)
    assert f"latency_ms, {SEARCH}: ● kept  × not kept  ─ best so far" in shown
    for name in STRATEGIES:
        assert f"{name}┤" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "\x1b" not in shown


def test_a_terminal_has_colours_and_signs_of_names_are_not_obeyed(reports: dict[str, Findings]) -> None:
    shown = plots(reports["named"], Screen(60, True, False))
    assert "\x1b[38;5;10m●" in shown
    assert max(len(line) for line in plots(reports["named"], PLAIN).splitlines()) < 160


def test_ascii_suffices(reports: dict[str, Findings]) -> None:
    shown = plots(reports["whole"], Screen(72, False, True))
    assert shown.isascii()
    assert "o kept  x not kept  - best so far" in shown


def test_an_empty_night_is_a_line(reports: dict[str, Findings]) -> None:
    assert plots(reports["none"], PLAIN).count("\n") == 1


def test_without_plotext_a_line_says_what_to_install(
    reports: dict[str, Findings], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: Callable[..., Any] = builtins.__import__

    def lacking(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "plotext":
            raise ModuleNotFoundError("No module named 'plotext'", name=name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", lacking)
    shown = plots(reports["whole"], PLAIN)
    assert shown.splitlines()[-1] == MISSING


def test_a_screen_is_what_its_output_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "91")
    assert Screen.of(terminal("utf-8")) == Screen(90, True, False)
    assert Screen.of(terminal("ascii")) == Screen(90, True, True)
    assert Screen.of(terminal("latin-1")) == Screen(90, True, True)
    assert Screen.of(io.StringIO()) == Screen(90, False, True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen.of(terminal("utf-8")) == Screen(90, False, False)
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not Screen.of(terminal("utf-8")).colours
