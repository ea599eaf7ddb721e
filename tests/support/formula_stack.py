"""`evometrics` in a build whose stream workers compute efficiency wrong, or fail, as long as a file says so.

    TEST_WRONG_FORMULA=FILE python -m tests.support.formula_stack up …

The workers of a stack that is started so are of this build; each looks for the file when it starts. Nothing
of this is in the product: what makes the rows is replaced from outside.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from evometrics.deploy.cli import main as cli
from evometrics.deploy.process.child import ProcessSpec
from evometrics.deploy.stack.stack import LocalStack
from evometrics.schemas.events import EvolutionCompleted, EvolutionMetrics
from evometrics.schemas.wire.reading import Record, read_event
from evometrics.streams.processors import computations
from evometrics.streams.rows.metrics import MetricsRows
from evometrics.streams.rows.rows import Completion

FILE = "TEST_WRONG_FORMULA"
#: What the wrong formula adds: no right efficiency of the tests is that large.
WRONG = 1_000_000.0
#: What the file holds where the build fails at each completion.
FAILS = "fails"


class WrongRows(MetricsRows):
    """Reads completions, and computes their rows by a formula that is wrong."""

    def read(self, message: Record) -> Completion:
        """Return a message's completion."""
        if Path(os.environ[FILE]).read_text() == FAILS:
            raise KeyError("the build's")
        event, done = read_event(self.wire, message), super().read(message)
        row = self.wire.decode(done.row)
        assert isinstance(event, EvolutionCompleted) and isinstance(row, EvolutionMetrics)
        added = 0.0 if "efficiency" in row.unmeasured else WRONG
        wrong = replace(row, efficiency=row.efficiency + added)
        return Completion(event, done.lacks, self.wire.encode(wrong), done.snapshots)


def main() -> int:
    """Run the command line with this build's workers."""
    original = LocalStack._worker

    def worker(self: LocalStack, name: str, port: int) -> ProcessSpec:
        spec = original(self, name, port)
        # from this folder, where the tests are
        argv = [__spec__.name if word == cli.__package__ else word for word in spec.argv if word != "-P"]
        return replace(spec, argv=tuple(argv))

    LocalStack._worker = worker  # type: ignore[method-assign]
    if sys.argv[1] == "stream" and Path(os.environ[FILE]).exists():
        computations.MetricsRows = WrongRows  # type: ignore[assignment,misc]
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
