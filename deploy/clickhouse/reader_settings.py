"""Which settings a reader may set, in a request or in its statement, and to what."""

from __future__ import annotations

from evometrics.deploy.clickhouse.catalog import Catalog
from evometrics.deploy.clickhouse.exchange import EngineError
from evometrics.deploy.clickhouse.readable import REFUSED_SETTINGS, TEXT_SETTINGS, TEXT_TYPES
from evometrics.deploy.clickhouse.users import ReaderRights


def check_setting(catalog: Catalog, reader: ReaderRights, name: str, value: str) -> None:
    """Raise `EngineError` unless the reader may set it so."""
    if name == "readonly":
        raise still_reader()
    if name in REFUSED_SETTINGS:
        raise read_only(f"Cannot modify '{name}' setting in readonly mode: {REFUSED_SETTINGS[name]}")
    kind = catalog.settings.get(name)
    if kind is None:
        raise EngineError.named(115, "UNKNOWN_SETTING", f"Unknown setting '{name}'")
    if kind in TEXT_TYPES and name not in TEXT_SETTINGS:
        may_be = "it may name a file, an address or an expression"
        raise read_only(f"Cannot modify '{name}' setting in readonly mode: {may_be}")
    most = reader.limits.get(name)
    if most is not None and not 0 < number(value) <= most:
        message = f"Setting {name} shouldn't be greater than {most:.15g} for {reader.name}"
        if number(value) == 0:
            message = f"{message}, and 0 is without limit"
        raise EngineError.named(452, "SETTING_CONSTRAINT_VIOLATION", message)


def still_reader() -> EngineError:
    """Return the error for a reader that wants to be none."""
    return read_only("Cannot modify 'readonly' setting in readonly mode: who only reads can't change that")


def read_only(message: str) -> EngineError:
    """Return the error for what would change something."""
    return EngineError.named(164, "READONLY", message)


def number(value: str) -> float:
    """Return a setting's value as a number; 0 if it is none."""
    try:
        return float(value)
    except ValueError:
        return 0.0
