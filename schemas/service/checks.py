"""Refuses settings by name, and keeps secrets out of what is shown."""

from __future__ import annotations

import dataclasses
import re
from urllib.parse import urlsplit

from evometrics.schemas.errors import EvometricsError

#: User and password, which may contain spaces where a URL begins before them; else everything before the @.
OF_A_USER = re.compile(r"(\w+://).*@|\S*@", re.DOTALL)
#: A URL parameter that grants access, by parts of its name.
SECRET_PARAMETER = re.compile(
    r"(?i)([?&](?:u|p|[^=&\s]*(?:user|pass|pwd|token|secret|key|auth|sig|cred)[^=&\s]*)=)[^&\s]*"
)


class SettingsError(EvometricsError, ValueError):
    """A setting is missing or has an invalid value; the message names it and where it came from."""


def require(holds: bool, name: str, value: object, reason: str) -> None:
    """Raise `SettingsError` naming the setting unless `holds`."""
    if not holds:
        raise SettingsError(f"setting {name}={masked(value)!r}: {reason}")


def check_url(name: str, url: str, example: str, secrets: str) -> None:
    """Raise `SettingsError` unless `url` is an HTTP server's, without user and password.

    `secrets` says where those belong instead.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid, parts = False, urlsplit("")
    require(valid, name, url, f"give a URL like {example}")
    require("@" not in parts.netloc, name, url, f"leave user and password out of it{secrets}")


def masked(value: object) -> object:
    """Return a value that can be shown: text without the user and password, or the token, of a URL."""
    if not isinstance(value, str):
        return value
    text = OF_A_USER.sub(r"\1***@", value)
    return SECRET_PARAMETER.sub(r"\1***", text)


class Masked:
    """A dataclass of settings whose `repr` shows no secret, such as the password in a URL."""

    __slots__ = ()

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        shown = (f"{f.name}={masked(getattr(self, f.name))!r}" for f in fields if f.repr)
        return f"{type(self).__name__}({', '.join(shown)})"
