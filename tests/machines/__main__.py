"""README's commands on bare machines: Debian with python3 and python3-venv, and nothing else.

    python -m tests.machines                    all machines, one after the other: README's first command
    python -m tests.machines bookworm uv        these
    python -m tests.machines --tests tests/schemas bookworm
                                                its second command as well, with these tests only

Needs root and Debian's `debootstrap`: roots are made in a temporary folder and entered by chroot, as an
ordinary user with an environment of its own. From here come the variables that lead to the package index
(PIP_*, UV_*, SSL_CERT_FILE, REQUESTS_CA_BUNDLE and those of proxies), with the files that they name.

Exit code 1 where README promised too much; logs are in the folder that is then named.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.machines import outcome, readme
from tests.machines.cases import Machine, chosen
from tests.machines.outcome import Outcome
from tests.machines.root import CHECKOUT, HOME, Root, make_base
from tests.machines.surroundings import files, handed_in

UV_COMMAND = f"python3 -m venv {HOME}/uv && {HOME}/uv/bin/pip install -q uv"

Judge = Callable[[str, int], tuple[str, bool]]


def main() -> int:
    """Try the chosen machines and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.machines", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="machines; all without one")
    parser.add_argument("--tests", action="append", default=[], metavar="PATH", help="run these tests, too")
    args = parser.parse_args()
    try:
        machines = chosen(args.names)
    except ValueError as error:
        parser.error(str(error))
    if os.getuid() != 0 or not shutil.which("debootstrap"):
        print("needs root and debootstrap (Debian: apt-get install debootstrap)", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="machines-"))
    outcomes: list[Outcome] = []
    try:
        for machine in machines:
            outcomes += tried(machine, folder, args.tests)
    finally:
        for root in folder.glob("*/"):
            shutil.rmtree(root)
        print(f"\n{outcome.table(outcomes)}")
    right = all(each.right for each in outcomes)
    if right:
        shutil.rmtree(folder)
    else:
        print(f"\nlogs are in {folder}")
    return 0 if right else 1


def tried(machine: Machine, folder: Path, tests: list[str]) -> list[Outcome]:
    """Make a machine's root, run the commands in it, and remove it."""
    base = folder / machine.suite
    if not base.exists():
        print(f"{machine.suite}: making an empty root", flush=True)
        make_base(machine.suite, base, folder / f"{machine.suite}.log")
    variables = handed_in(os.environ)
    root = Root(folder / f"root-{machine.name}", machine, variables)
    root.make(base, files(variables))
    text = (CHECKOUT / "README.md").read_text()
    commands: list[tuple[str, str, Judge]] = [
        ("first", readme.command(text, readme.DEMO), outcome.of_demo),
        ("`evometrics --version`", ".venv/bin/evometrics --version", outcome.of_version),
    ]
    if tests:
        second = f"{readme.command(text, readme.TESTS)} {' '.join(tests)}"
        commands.append((f"second, {' '.join(tests)}", second, outcome.of_tests))
    if machine.uv:
        printed, code = root.run(UV_COMMAND, folder / f"{machine.name}-uv.log")
        if code != 0:
            raise OSError(f"uv could not be installed: {printed[-2000:]}")
    title = f"{machine.title}, Python {root.python()}"
    found = []
    for number, (name, command, judge) in enumerate(commands):
        if machine.uv and command.startswith(readme.PIP):
            command = f"export PATH={HOME}/uv/bin:$PATH && {readme.with_uv(command)}"
        began = time.monotonic()
        printed, code = root.run(command, folder / f"{machine.name}-{number}.log")
        result, right = judge(printed, code)
        found.append(Outcome(title, name, (time.monotonic() - began) / 60, result, right))
        print(f"{title}: {name}: {result} ({found[-1].minutes:.1f} min)", flush=True)
        if not right:
            print("\n".join(printed.splitlines()[-15:]), flush=True)
    shutil.rmtree(root.folder)
    return found


if __name__ == "__main__":
    sys.exit(main())
