"""The exit codes of the command line."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """What a command tells whoever started it; `meaning` says it in words."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        self = int.__new__(cls, code)
        self._value_ = code
        self.meaning = meaning
        return self

    DONE = 0, "The command did what it was asked; `up`, `stream` and `sink` ended cleanly when asked to."
    FAILED = (
        1,
        "The command failed, or completed only part of its work: `import` rejected rows, `dead-letters "
        "retry` did not send a message that was named, `orchestrate` left events that the broker does not "
        "have, `replay --apply` left rows that differ, `demo` did not find in ClickHouse what was recorded, "
        "`topics` found topics that the pipeline does not work with. "
        "`stream` and `sink`, asked to end, had not ended after 25 s.",
    )
    MISUSED = 2, "A flag, an argument or a setting is wrong; standard error names it."
    DIFFERENT = 3, "`replay` without `--apply` found rows that differ. Nothing was changed."
    NOT_EXECUTABLE = 126, "`record` could not execute the command, as a shell says it."
    NOT_FOUND = 127, "`record` did not find the command, as a shell says it."
    INTERRUPTED = 130, "Ctrl-C (SIGINT) ended the command before it had finished (128 + 2)."
    READER_GONE = (
        141,
        "The reader of the output, such as `head`, has gone: as if SIGPIPE ended it (128 + 13).",
    )
    TERMINATED = 143, "SIGTERM ended the command before it had finished (128 + 15)."
