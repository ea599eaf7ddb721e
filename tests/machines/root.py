"""An empty root with an ordinary user and a checkout in it, and commands run inside.

Mounts are made in a namespace of the command's own, with its processes: the kernel removes both when it ends,
however it ends.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.machines.cases import PACKAGES, Machine
from tests.machines.surroundings import PATH

CHECKOUT = Path(__file__).parents[2]
USER = 1000
HOME, SOURCE = "/home/someone", "/srv/evometrics"
NAMESPACE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
#: `$0` is the root. The shell stays, and waits for what has lost its parent, as a machine's first process.
MOUNTS = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --rbind /sys "$0/sys"'
ENTER = f'{MOUNTS} && "$@"; exit $?'
COMMAND_SECONDS = 3600


def make_base(suite: str, folder: Path, log: Path) -> None:
    """Make the root of a Debian with the packages that README asks for; raises `CalledProcessError`."""
    command = [
        *NAMESPACE,
        "--mount-proc",
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        suite,
        str(folder),
    ]
    with log.open("wb") as out:
        subprocess.run(command, check=True, stdout=out, stderr=subprocess.STDOUT)


class Root:
    """A machine's root: a copy of its Debian's, with the checkout at HEAD, owned by an ordinary user."""

    def __init__(self, folder: Path, machine: Machine, variables: Mapping[str, str]) -> None:
        self.folder, self._machine = folder, machine
        self._environ = {"PATH": PATH, "HOME": HOME, "USER": "someone", **variables}

    def make(self, base: Path, files: set[Path]) -> None:
        """Copy the base, with files of this machine in the same places, and unpack the checkout into it."""
        subprocess.run(["cp", "-a", str(base), str(self.folder)], check=True)
        for file in {*files, Path("/etc/resolv.conf"), Path("/etc/hosts")}:
            target = self._inside(str(file))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copyfile(file, target)
        with self._inside("/etc/passwd").open("a") as users, self._inside("/etc/group").open("a") as groups:
            users.write(f"someone:x:{USER}:{USER}::{HOME}:/bin/bash\n")
            groups.write(f"someone:x:{USER}:\n")
        for name in (HOME, SOURCE):
            self._inside(name).mkdir(parents=True)
        archive = subprocess.Popen(["git", "archive", "HEAD"], cwd=CHECKOUT, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", str(self._inside(SOURCE))], stdin=archive.stdout, check=True)
        if archive.wait() != 0:
            raise OSError(f"git archive HEAD failed in {CHECKOUT}")
        owned = [SOURCE] if self._machine.read_only_home else [SOURCE, HOME]
        subprocess.run(["chown", "-R", f"{USER}:{USER}", *map(str, map(self._inside, owned))], check=True)

    def run(self, command: str, log: Path) -> tuple[str, int]:
        """Run a command in the checkout as the user; return what it printed, as in `log`, and its code."""
        environ = [f"{name}={value}" for name, value in self._environ.items()]
        inside = ["env", "-i", *environ, "/bin/bash", "-c", f"cd {SOURCE} && {command}"]
        enter = ["chroot", f"--userspec={USER}:{USER}", str(self.folder), *inside]
        argv = [*NAMESPACE, "sh", "-c", ENTER, str(self.folder), *enter]
        with log.open("w") as out:
            ran = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        return log.read_text(errors="replace"), ran.returncode

    def python(self) -> str:
        """Return the version of the root's Python, `3.11`."""
        return self._inside("/usr/bin/python3").readlink().name.removeprefix("python")

    def _inside(self, path: str) -> Path:
        return self.folder / path.lstrip("/")
