"""Where the page is served."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UiSettings:
    """How the page is served.

    Attributes:
        host: address to bind; loopback unless others are to look.
        port: port; 0 = any free one.
    """

    host: str = "127.0.0.1"
    port: int = 0
