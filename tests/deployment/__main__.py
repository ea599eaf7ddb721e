"""Holds what deploys the parts against every tool that reads it.

    python -m tests.deployment          build Helm, kube-score and Compose's loader, then run the tests
    python -m tests.deployment --write  write what is made from the code, and the chart's renderings

The tools come from Go modules, once on a machine: minutes for Helm. Others are Debian's (systemd, prometheus)
or PyPI's, in the extra `dev`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from tests.deployment import chart, made
from tests.deployment.tools import COMPOSE, HELM, KUBE_SCORE, Missing

TESTS = "tests/deployment"


def main() -> int:
    """Build the tools, and write or test."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.deployment", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write what is made from the code")
    args = parser.parse_args()
    try:
        for tool in (HELM,) if args.write else (COMPOSE, KUBE_SCORE, HELM):
            began = time.monotonic()
            print(f"{tool.built()}: {time.monotonic() - began:.0f} s", flush=True)
    except Missing as lacking:
        print(lacking, file=sys.stderr)
        return 1
    if args.write:
        made.write()
        chart.write(HELM.path)
        return 0
    return subprocess.run([sys.executable, "-m", "pytest", "-n", "0", "-v", TESTS], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
