"""A port that was drawn for a server is not given to somebody else before the server listens."""

from __future__ import annotations

import json
import socket
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from evometrics.deploy.process.ports import HOST, free_ports, steady_ports

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody listens beside a bound socket")


@linux
def test_a_drawn_port_is_closed_to_others_and_open_to_its_server() -> None:
    (port,) = free_ports(1)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((HOST, port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port))
    for _ in range(2):
        # a server that ended is followed by another at the same port
        with HTTPServer((HOST, port), SimpleHTTPRequestHandler):
            socket.create_connection((HOST, port)).close()


@linux
def test_no_connection_is_given_a_drawn_port() -> None:
    kept = set(free_ports(64))
    with socket.create_server((HOST, 0), backlog=4096) as server:
        connections = []
        try:
            for _ in range(400):
                connections.append(socket.create_connection(server.getsockname()))
            assert kept.isdisjoint(each.getsockname()[1] for each in connections)
        finally:
            for each in connections:
                each.close()


def test_ports_are_steady_where_they_are_free_and_drawn_anew_where_not(tmp_path: Path) -> None:
    remembered = tmp_path / "ports.json"
    first = steady_ports(remembered, ["a", "b"])
    assert steady_ports(remembered, ["a", "b", "c"]) | first == json.loads(remembered.read_text())
    with socket.create_server((HOST, first["b"])):
        again = steady_ports(remembered, ["a", "b"])
    assert again["a"] == first["a"]
    assert again["b"] != first["b"]


@pytest.mark.parametrize("damaged", ["", "[1]", '{"a": "x", "b": -1}', '{"a": 70000, "b": true}'])
def test_a_damaged_memory_is_drawn_anew(tmp_path: Path, damaged: str) -> None:
    remembered = tmp_path / "ports.json"
    remembered.write_text(damaged)
    ports = steady_ports(remembered, ["a", "b"])
    assert len(set(ports.values())) == 2
    assert all(1024 <= port < 65536 for port in ports.values())
