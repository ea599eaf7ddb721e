"""`evometrics` whose `up` runs each worker as a Kafka user of its own: `stream` or `sink`.

    python -m tests.support.principals up …

Nothing of this is in the product, where the workers of a stack have the settings of the stack.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from evometrics.deploy.cli import main as cli
from evometrics.deploy.process.child import ProcessSpec
from evometrics.deploy.stack.stack import LocalStack
from evometrics.schemas.service.settings import variable_of


def main() -> int:
    """Run the command line."""
    original = LocalStack._worker

    def worker(self: LocalStack, name: str, port: int) -> ProcessSpec:
        spec = original(self, name, port)
        user = {variable_of("kafka", "sasl_plain_username"): name.partition("-")[0]}
        return replace(spec, env={**spec.env, **user})

    LocalStack._worker = worker  # type: ignore[method-assign]
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
