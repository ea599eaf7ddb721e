"""Free ports on loopback; a restart gets the same ones if they are still free."""

from __future__ import annotations

import json
import socket
from pathlib import Path

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Return that many different ports on which nobody listens."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def steady_ports(remembered: Path, names: list[str]) -> dict[str, int]:
    """Return a port for each name: the one in the `remembered` file if free, else a new one, noted there."""
    try:
        known = json.loads(remembered.read_text())
    except (OSError, ValueError):
        known = {}
    fresh = free_ports(len(names))
    ports = {}
    for name, new in zip(names, fresh, strict=True):
        port = known.get(name) if isinstance(known, dict) else None
        ports[name] = port if isinstance(port, int) and is_free(port) else new
    remembered.parent.mkdir(parents=True, exist_ok=True)
    remembered.write_text(json.dumps(ports))
    return ports
