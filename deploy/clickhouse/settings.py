"""Settings of the server of a chDB folder."""

from __future__ import annotations

from dataclasses import dataclass, field

from evometrics.deploy.clickhouse.access import on_loopback
from evometrics.deploy.clickhouse.users import ReaderRights, User
from evometrics.schemas.service.settings import require

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

    def __post_init__(self) -> None:
        require(0 < self.port < 65536, "port", self.port, "give a TCP port")
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
    def users(self) -> list[User]:
        """Who may log in."""
        writer = User(self.user, self.password)
        if not self.reader:
            return [writer]
        return [writer, User(self.reader, self.reader_password, ReaderRights(self.reader, self.readable))]


def flag_of(name: str) -> str:
    """Return the flag of a setting."""
    return f"--{name.replace('_', '-')}"
