"""Parts whose clock is wrong, and is corrected under them (Linux, where there is a C compiler)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.parts import Parts

SOURCE = Path(__file__).with_name("wrong_clock.c")
#: Two hours ahead, three hours and sixteen days behind: beyond Kafka's hour, and the topics' retention.
WRONG = (2 * 3600, -3 * 3600, -16 * 86_400)
#: Not ClickHouse: the embedded engine asks the kernel itself, past libc.
PARTS = ("node", "stream", "sink", "kafka")
#: Shares of the load at which a clock is set wrong, a part is killed, the clock is corrected, and once more.
SET_WRONG, KILL, SET_RIGHT, KILL_AGAIN = 0.1, 0.25, 0.55, 0.75


def supported() -> str | None:
    """Return why the clocks of processes can't be set here, None where they can."""
    if sys.platform != "linux":
        return "the wall clock of a single process is set by LD_PRELOAD, on Linux"
    return None if shutil.which("cc") else "no C compiler (cc) to build the clock with"


class Clocks:
    """The wall clocks of a run's parts; all right initially."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = folder / "wrong_clock.so"
        folder.mkdir()
        build = ["cc", "-O2", "-shared", "-fPIC", "-o", str(self.library), str(SOURCE), "-ldl"]
        subprocess.run(build, check=True, timeout=60)

    def environment(self, part: str) -> dict[str, str]:
        """Return the variables by which a part's process has its clock here."""
        self.set(part, 0)
        return {"LD_PRELOAD": str(self.library), "FAULTS_CLOCK": str(self.folder / part)}

    def set(self, part: str, ahead: int) -> None:
        """Set a part's clock that number of seconds ahead of the right time."""
        # in place: running processes have the file mapped
        file = os.open(self.folder / part, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(file, struct.pack("q", ahead), 0)
        finally:
            os.close(file)


async def wrong_then_right(parts: Parts, clocks: Clocks, kind: str, ahead: int, seconds: float) -> None:
    """Set the clocks of all parts of a kind wrong, and right again in the middle of a load of some seconds.

    One of them is killed, and restarts, under each.
    """
    began = asyncio.get_running_loop().time()

    async def until(share: float) -> list[str]:
        await asyncio.sleep(max(0.0, began + share * seconds - asyncio.get_running_loop().time()))
        return [name for name in parts.children if name.partition("-")[0] == kind]

    for at, kill_at, value in ((SET_WRONG, KILL, ahead), (SET_RIGHT, KILL_AGAIN, 0)):
        for name in await until(at):
            clocks.set(name, value)
        name = (await until(kill_at))[0]
        child = parts.children[name]
        if child.running and child.pid is not None:
            os.kill(child.pid, signal.SIGKILL)
