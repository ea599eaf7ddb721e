"""Runs a part of evometrics as a build would that knows the first version of each schema alone.

    python -m tests.faults.older evometrics.deploy.cli.main sink --brokers ...

The catalog is cut before anything else is imported. Event classes stay what they are, so this is for what
writes events and for sinks, which decode none; not for the stream.
"""

from __future__ import annotations

import runpy
import sys

from evometrics.schemas.wire import catalog


def forget_newer_versions() -> None:
    """Leave the first version of each record in the catalog."""
    first = {record: versions[:1] for record, versions in catalog.released().items()}
    catalog.released = lambda: first  # type: ignore[assignment]


if __name__ == "__main__":
    forget_newer_versions()
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
