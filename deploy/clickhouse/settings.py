"""Settings of the server of a chDB folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import psutil

from evometrics.deploy.clickhouse.access import on_loopback
from evometrics.deploy.clickhouse.limits import ReaderLimits
from evometrics.deploy.clickhouse.users import ReaderRights, User
from evometrics.deploy.process.service import require

#: Where it is, which `evometrics up` decides itself.
PLACED = frozenset({"path", "host", "port"})


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The embedded ClickHouse of the local stack: where it listens, what it serves, and to whom.

    `evometrics up` and `evometrics demo` give it a folder, a port and a writer's password of their own.

    Attributes:
        path: folder of the data.
        host: address to listen on. One that is not this machine's own needs passwords for both users.
        port: TCP port of the HTTP interface.
        user: name of the writer, who may do everything.
        password: the writer's password; empty = none is needed.
        reader: name that only reads; empty = there is none.
        reader_password: the reader's password; empty = none is needed.
        reader_databases: databases whose tables the reader may read, comma-separated; the first is its
            current one.
        hosts: names that clients may call the server by, comma-separated, beside addresses, `localhost` and
            `host`: a request whose `Host` is another name is refused.
        origins: pages that may use the server from a browser, comma-separated, each as `https://host:port`;
            all others are refused.
        readers: statements of the reader that run at once; 0 = one for each processor core, at least two.
            Further ones wait for `reader_wait_seconds`, then they are refused.
        reader_wait_seconds: seconds that a reader's statement waits for its turn.
        reader_seconds: seconds that a reader's statement may take, sending its result included.
        reader_memory_mb: megabytes that a reader's statement may take; 0 = what they all may take is half of
            the machine's memory.
    """

    path: str = ".evometrics/clickhouse"
    host: str = "127.0.0.1"
    port: int = 8123
    user: str = "default"
    password: str = field(default="", repr=False)
    reader: str = "analyst"
    reader_password: str = field(default="", repr=False)
    reader_databases: str = "evometrics"
    hosts: str = ""
    origins: str = ""
    readers: int = 0
    reader_wait_seconds: float = 10.0
    reader_seconds: float = 300.0
    reader_memory_mb: int = 0

    def __post_init__(self) -> None:
        require(0 < self.port < 65536, "port", self.port, "give a TCP port")
        require(self.readers >= 0, "readers", self.readers, "must not be negative")
        waits = self.reader_wait_seconds
        require(waits >= 0, "reader_wait_seconds", waits, "must not be negative")
        require(self.reader_seconds > 0, "reader_seconds", self.reader_seconds, "must be above 0")
        require(self.reader_memory_mb >= 0, "reader_memory_mb", self.reader_memory_mb, "must not be negative")
        require(bool(self.user), "user", self.user, "name the writer")
        require(self.reader != self.user, "reader", self.reader, "is the writer's name too: give another")
        readable = bool(self.readable) or not self.reader
        require(readable, "reader_databases", self.reader_databases, "name a database, or set reader to ''")
        if self.host == "localhost" or on_loopback(self.host):
            return
        reason = "others reach this address: set EVOMETRICS_CLICKHOUSE_SERVER_PASSWORD as well"
        require(bool(self.password), "host", self.host, reason)
        reason = (
            "others reach this address: set EVOMETRICS_CLICKHOUSE_SERVER_READER_PASSWORD as well, or "
            "EVOMETRICS_CLICKHOUSE_SERVER_READER to nothing, for no reader"
        )
        require(bool(self.reader_password) or not self.reader, "host", self.host, reason)

    @property
    def readable(self) -> tuple[str, ...]:
        """The databases that the reader may read."""
        return tuple(name.strip() for name in self.reader_databases.split(",") if name.strip())

    @property
    def limits(self) -> ReaderLimits:
        """What the reader's statements may take."""
        number = self.readers or max(os.cpu_count() or 1, 2)
        memory = self.reader_memory_mb * 1024**2 or psutil.virtual_memory().total // 2 // number
        return ReaderLimits(number, self.reader_wait_seconds, self.reader_seconds, memory)

    @property
    def users(self) -> list[User]:
        """Who may log in."""
        writer = User(self.user, self.password)
        if not self.reader:
            return [writer]
        return [writer, User(self.reader, self.reader_password, ReaderRights(self.reader, self.readable))]


def flag_of(name: str) -> str:
    """Return the flag of a setting."""
    return f"--{name.replace('_', '-')}"
