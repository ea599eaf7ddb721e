"""The password of the embedded ClickHouse's writer: made at the first start, kept in the stack's folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from evometrics.schemas.service.settings import SettingsError, require, variable_of
from evometrics.sinks.settings import ClickHouseSettings

PASSWORD_FILE = "clickhouse.password"
BYTES = 24
MODE = 0o600


def writers_password(data: Path) -> Path:
    """Return the file with the password, made where there is none; only this user may read it.

    Raises `SettingsError` where it can't be kept so.
    """
    path = data / PASSWORD_FILE
    if not path.exists():
        scratch = data / f"{PASSWORD_FILE}.{os.getpid()}"
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as file:
            file.write(f"{secrets.token_urlsafe(BYTES)}\n")
        scratch.rename(path)
    read_password(path)
    try:
        path.chmod(MODE)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}: it must be readable for its owner alone") from None
    return path


def check_passwords(of_the_parts: str, of_the_server: str) -> None:
    """Raise `SettingsError` where both are set and the parts could not log in."""
    reason = "is not the one in section clickhouse, with which the parts log in: set one of the two"
    same = not (of_the_parts and of_the_server) or of_the_parts == of_the_server
    require(same, "clickhouse_server.password", "***", reason)


def login(settings: ClickHouseSettings, password: str) -> dict[str, str]:
    """Return the variables that a sink, which has the same settings, lacks for logging in with a password."""
    return {} if settings.password == password else {variable_of("clickhouse", "password"): password}


def read_password(path: Path) -> str:
    """Return the password in the file. Raises `SettingsError` where it can't be read, or there is none."""
    try:
        password = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise SettingsError(f"{path}: {reason}. It has the password of the stack's ClickHouse") from None
    if not password:
        raise SettingsError(
            f"{path} is empty. Remove it, and start the stack again: it makes its ClickHouse a new password"
        )
    return password
