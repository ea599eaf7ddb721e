"""Logging of the long-running parts: one place that sets it up, as text or as JSON lines.

A JSON line has `timestamp` (ISO 8601, UTC), `level`, `logger`, `message`, `part`, `instance`, and `exception`
with the traceback as text where there is one. Line breaks are escaped: a record is always one line.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

from evometrics.schemas.service.checks import require

TEXT, JSON = FORMATS = ("text", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
#: Loggers of which only warnings and errors are logged, not each step, except at level DEBUG.
LIBRARIES = ("faust", "mode", "aiokafka", "asyncio")
TEXT_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What a long-running part logs, on standard error.

    Attributes:
        format: `text`, or `json` for one JSON object a line.
        level: the lowest level that is logged: `DEBUG`, `INFO`, `WARNING` or `ERROR`. At `DEBUG` the
            libraries' steps are logged, too.
    """

    format: str = TEXT
    level: str = "INFO"

    def __post_init__(self) -> None:
        require(self.format in FORMATS, "format", self.format, f"must be one of {', '.join(FORMATS)}")
        require(self.level in LEVELS, "level", self.level, f"must be one of {', '.join(LEVELS)}")


class JsonLines(logging.Formatter):
    """Formats a record as a JSON object, on one line.

    Args:
        part: which part logs, e.g. `sink`.
        instance: which one of them.
    """

    def __init__(self, part: str, instance: str) -> None:
        super().__init__()
        self.part = part
        self.instance = instance

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "timestamp": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "part": self.part,
            "instance": self.instance,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(settings: LogSettings, part: str, instance: str = "", quiet: tuple[str, ...] = ()) -> None:
    """Log to standard error from now on, unless this process logs somewhere already.

    `instance`: the host's name if empty; `quiet`: loggers to treat as those of libraries.
    """
    handler = logging.StreamHandler(sys.stderr)
    as_json = settings.format == JSON
    handler.setFormatter(
        JsonLines(part, instance or socket.gethostname()) if as_json else logging.Formatter(TEXT_LINE)
    )
    logging.basicConfig(level=settings.level, handlers=[handler])
    logging.captureWarnings(as_json)  # a warning printed by itself is no JSON
    for name in (*LIBRARIES, *quiet):
        lowest = logging.INFO if settings.level == "DEBUG" else logging.WARNING
        logging.getLogger(name).setLevel(max(lowest, logging.getLevelName(settings.level)))


def logs_json() -> bool:
    """Return whether this process logs JSON lines."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)
