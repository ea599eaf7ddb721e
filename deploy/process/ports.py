"""Ports on loopback, kept for their servers; a restart gets the same ones if they are still free."""

from __future__ import annotations

import json
import socket
import sys
from collections import deque
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"

#: A server listens seconds after its port was drawn, and again after a crash; until then any connection that
#: somebody opens may be given that very port. A socket that is bound and does not listen keeps it: on Linux a
#: server with SO_REUSEADDR (each that we start sets it) may listen beside it, on other systems not. The limit
#: is for a process that draws ports without end: the oldest have their servers by then.
_kept: deque[socket.socket] = deque(maxlen=256)


def _bound(port: int) -> socket.socket | None:
    """Return a socket at the port, 0 = any, where a server could listen there now."""
    probe = socket.socket()
    # set before the bind, it lets in what an ended server's connections left; set after, only our own servers
    if port:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((HOST, port))
    except OSError:
        probe.close()
        return None
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return probe


def _keep(sockets: list[socket.socket]) -> None:
    if sys.platform == "linux":
        _kept.extend(sockets)
    else:
        for each in sockets:
            each.close()


def free_ports(count: int) -> list[int]:
    """Return that many different ports on which nobody listens; on Linux nobody else is given them."""
    drawn = [probe for probe in (_bound(0) for _ in range(count)) if probe is not None]
    if len(drawn) < count:
        raise OSError(f"{count} ports are wanted on {HOST}, {len(drawn)} are free")
    ports = [probe.getsockname()[1] for probe in drawn]
    _keep(drawn)
    return ports


def steady_ports(remembered: Path, names: list[str]) -> dict[str, int]:
    """Return a port for each name: the one in the `remembered` file if free, else a new one, noted there."""
    try:
        known = json.loads(remembered.read_text())
    except (OSError, ValueError):
        known = {}
    ports: dict[str, int] = {}
    for name in names:
        port: Any = known.get(name) if isinstance(known, dict) else None
        usable = isinstance(port, int) and 1024 <= port < 65536 and port not in ports.values()
        before = _bound(port) if usable else None
        if before is None:
            (ports[name],) = free_ports(1)
        else:
            ports[name] = port
            _keep([before])
    remembered.parent.mkdir(parents=True, exist_ok=True)
    remembered.write_text(json.dumps(ports))
    return ports
