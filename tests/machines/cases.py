"""The machines that README's commands are tried on."""

from __future__ import annotations

from dataclasses import dataclass

#: What README asks of a Debian, and the certificates without which none reaches a package index.
PACKAGES = ("python3", "python3-venv", "ca-certificates")


@dataclass(frozen=True, slots=True)
class Machine:
    """One bare machine.

    Attributes:
        name: what to call it on the command line.
        title: what it is, for the table.
        suite: the Debian that `debootstrap` makes.
        read_only_home: the user's home is root's, and nothing can be written in it.
        uv: packages are installed by uv instead of pip.
    """

    name: str
    title: str
    suite: str
    read_only_home: bool = False
    uv: bool = False


MACHINES = (
    Machine("bookworm", "Debian 12", "bookworm"),
    Machine("read-only-home", "Debian 12, read-only home", "bookworm", read_only_home=True),
    # what python:3.13-slim is: this Debian without a compiler, with a Python of the same minor version
    Machine("trixie", "Debian 13", "trixie"),
    Machine("uv", "Debian 13, uv", "trixie", uv=True),
    # whose Python is newer than the stable one's: 3.14 in November 2026
    Machine("testing", "Debian testing, uv", "testing", uv=True),
)


def chosen(names: list[str]) -> tuple[Machine, ...]:
    """Return the machines of these names, all without any; raises `ValueError` for one that is not known."""
    known = {machine.name: machine for machine in MACHINES}
    for name in names:
        if name not in known:
            raise ValueError(f"no machine is called {name}: there are {', '.join(known)}")
    return tuple(known[name] for name in names) or MACHINES
