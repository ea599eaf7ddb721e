"""Which of the modules that may be compiled are; `evometrics --version` and each worker's log say it."""

from __future__ import annotations

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

#: The folder that holds the package's folders.
ROOT = Path(__file__).parents[2]
#: Modules that are compiled where there is a C compiler; their Python sources stand beside them.
COMPILABLE = (
    "evometrics.schemas.ids",
    "evometrics.schemas.kpis.formula",
    "evometrics.schemas.rules.screening",
    "evometrics.schemas.wire.binary",
    "evometrics.producers.events.values",
    "evometrics.producers.events.convert",
    "evometrics.producers.outbox.row",
    "evometrics.streams.formulas.steps",
    "evometrics.streams.states.window_counts",
    "evometrics.streams.states.id_rings",
    "evometrics.streams.rows.rows",
    "evometrics.sinks.clickhouse.columns",
    "evometrics.sinks.raw.event",
)
REMEDY = (
    "for the speed of compiled modules install a C compiler and Python's headers (Debian: gcc python3-dev), "
    "then evometrics again"
)


def is_compiled(name: str) -> bool:
    """Return whether an import would find a module compiled, without importing its package, which is slow."""
    folder = ROOT.joinpath(*name.split(".")[1:-1])
    for finder in sys.meta_path:
        spec = finder.find_spec(name, [str(folder)])
        if spec is not None:
            return str(spec.origin).endswith(tuple(EXTENSION_SUFFIXES))
    return False


def build() -> str:
    """Return whether this is the compiled build, else how to get it."""
    return "compiled" if all(map(is_compiled, COMPILABLE)) else f"plain Python; {REMEDY}"
