"""The migrations that ship with the package: the numbered SQL files in `migrations/`."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

from evometrics.sinks.clickhouse.cluster import for_cluster
from evometrics.sinks.settings import ClickHouseSettings

FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
STATEMENT_END = re.compile(r";[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file.

    Attributes:
        number: its place in the order.
        name: the words of its file name.
        sql: its text, with `{database}` where the database's name goes.
    """

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def label(self) -> str:
        """The file's name without its ending."""
        return f"{self.number:04d}_{self.name}"

    def statements(self, settings: ClickHouseSettings) -> list[str]:
        """Return the statements, ready to run on one server or on the cluster that the settings name.

        Raises `UnknownStatement` if one can't be translated for the cluster.
        """
        parts = (part.strip() for part in STATEMENT_END.split(self.sql))
        found = [part.replace("{database}", settings.database) for part in parts if part]
        if not settings.cluster:
            return found
        return [statement for part in found for statement in for_cluster(part, settings.cluster)]


def migrations() -> list[Migration]:
    """Return the files that ship with the package, in order."""
    found = []
    for file in (resources.files("evometrics.sinks") / "migrations").iterdir():
        named = FILE_NAME.fullmatch(file.name)
        if named:
            found.append(Migration(int(named[1]), named[2], file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda m: m.number)
