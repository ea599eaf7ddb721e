"""Settings of the server of a chDB folder."""

from __future__ import annotations

from dataclasses import dataclass, field

from evometrics.schemas.service.settings import require


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The embedded ClickHouse of the local stack: where it listens and what it serves.

    `evometrics up` and `evometrics demo` give it a folder and a port of their own choice.

    Attributes:
        path: folder of the data.
        host: address to listen on.
        port: TCP port of the HTTP interface.
        password: password that clients must send; empty = none is needed.
    """

    path: str = ".evometrics/clickhouse"
    host: str = "127.0.0.1"
    port: int = 8123
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        require(0 < self.port < 65536, "port", self.port, "give a TCP port")
