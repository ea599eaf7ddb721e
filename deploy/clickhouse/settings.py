"""Settings of the server of a chDB folder."""

from __future__ import annotations

from dataclasses import dataclass, field

from evometrics.schemas.service.settings import require


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where to listen and what to serve; an empty password lets everybody in."""

    path: str = ".evometrics/clickhouse"
    host: str = "127.0.0.1"
    port: int = 8123
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        require(0 < self.port < 65536, "port", self.port, "give a TCP port")
