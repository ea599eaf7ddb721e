"""What the adapters of frameworks have in common: nothing raised into a run, and runs that continue."""

from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Callable
from typing import ParamSpec

from evometrics.producers.recording import Run

logger = logging.getLogger(__name__)
P = ParamSpec("P")


def guarded(method: Callable[P, None]) -> Callable[P, None]:
    """Have a method log what it raises, for the framework that calls it has not asked to be recorded."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception:
            logger.exception("%s failed: something is not recorded", method.__qualname__)

    return call


def continued(run: Run, session: object) -> Run:
    """Return the next session of a run that has ended: an evolution of its own that knows the candidates."""
    again = copy.copy(run)
    again.evolution_id = f"{run.run_id}-{session}"
    again.begun = again.ended = False
    again.begin()
    return again
