"""What the flags of `evometrics sql` ask for: the statement's text, the format, the file."""

from __future__ import annotations

import sys
from pathlib import Path

from evometrics.deploy.sql.script import statements
from evometrics.schemas.service.settings import SettingsError

#: Formats by the suffixes of files.
SUFFIXES = {
    ".arrow": "arrow",
    ".csv": "csv",
    ".feather": "arrow",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}
STANDARD = Path("-")


def statement(query: str | None, file: Path | None) -> str | None:
    """Return the statement that is meant, `-` being standard input; None for a prompt.

    Raises `SettingsError` if two are given, or a file can't be read.
    """
    if file is not None and query is not None:
        raise SettingsError("give a statement or --file, not both")
    if query == "-" or file == STANDARD or (query is None and file is None and not sys.stdin.isatty()):
        try:
            return sys.stdin.read()
        except UnicodeDecodeError as error:
            raise SettingsError(f"standard input is not UTF-8 text: {error}") from None
    if file is None:
        return query
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(f"--file {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"--file {file} is not UTF-8 text: {error}") from None


def below_each_other(text: str) -> tuple[str, bool]:
    r"""Return a statement without its `\G` or `FORMAT Vertical`, and whether it had one."""
    found = list(statements(text))
    return (found[0].text, True) if len(found) == 1 and found[0].vertical else (text, False)


def chosen_format(given: str | None, output: Path | None, *, vertical: bool) -> str:
    """Return the format: the one given, the statement's own, the one of the file's suffix, or a table.

    Raises `SettingsError` if two of them contradict each other.
    """
    by_suffix = SUFFIXES.get(output.suffix.lower()) if output is not None else None
    asked = given or ("vertical" if vertical else None)
    if asked and by_suffix and asked != by_suffix:
        raise SettingsError(
            f"--output {output} is a file of {by_suffix}, but the format is {asked}: omit one"
        )
    if vertical and given not in (None, "vertical"):
        raise SettingsError(
            f"the statement asks for its rows below each other, --format for {given}: omit one"
        )
    return asked or by_suffix or "table"
