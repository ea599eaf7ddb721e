"""`evometrics` in a build whose stream workers compute the efficiency wrong, as long as a file says so.

    EVOMETRICS_TEST_WRONG_FORMULA=FILE python -m tests.deploy.formula_stack up …

The workers of a stack that is started so are of this build; each looks for the file when it starts. Nothing
of this is in the product: what makes the rows is replaced from outside.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from evometrics.deploy import cli
from evometrics.deploy.process import ProcessSpec
from evometrics.deploy.stack import LocalStack
from evometrics.schemas.events import EvolutionCompleted, EvolutionMetrics
from evometrics.schemas.wire import WireFormat
from evometrics.streams import computations
from evometrics.streams.metrics_rows import MetricsWriter
from evometrics.streams.outputs import Message

FILE = "EVOMETRICS_TEST_WRONG_FORMULA"
#: What the wrong formula adds: no right efficiency of the tests is that large.
WRONG = 1_000_000.0


class WrongWriter:
    """Makes the messages of evolution metrics, by a formula that is wrong."""

    def __init__(self, wire: WireFormat) -> None:
        self.wire = wire
        self.right = MetricsWriter(wire)

    def message(self, done: EvolutionCompleted, value: bytes, bounds: tuple[int, ...]) -> Message:
        """Return a completion's row."""
        message = self.right.message(done, value, bounds)
        row = self.wire.decode(message.value)
        assert isinstance(row, EvolutionMetrics)
        return message._replace(value=self.wire.encode(replace(row, efficiency=row.efficiency + WRONG)))


def main() -> int:
    """Run the command line with this build's workers."""
    original = LocalStack._worker

    def worker(self: LocalStack, name: str, port: int) -> ProcessSpec:
        spec = original(self, name, port)
        argv = [__spec__.name if word == cli.__name__ else word for word in spec.argv]
        return replace(spec, argv=tuple(argv))

    LocalStack._worker = worker  # type: ignore[method-assign]
    if sys.argv[1] == "stream" and Path(os.environ[FILE]).exists():
        computations.MetricsWriter = WrongWriter  # type: ignore[assignment,misc]
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
