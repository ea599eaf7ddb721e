"""Settings: frozen dataclasses, read once from flags, environment and file, validated by name.

Each part declares one frozen dataclass (`KafkaSettings` here, `SinkSettings` in `sinks/`, ...) and
calls `read_settings` once at its door. Where a value is given in several places, flags win over the
environment, the environment over the file, the file over the default.
"""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

S = TypeVar("S")

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})


class SettingsError(ValueError):
    """A setting is missing or has a value it cannot have; the message names it and where it came from."""


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to reach the broker and how to frame messages.

    Attributes:
        brokers: `host:port`, several separated by commas.
        client_id: name shown in the broker's logs.
        registry_url: a Confluent-compatible schema registry; empty = single-object framing, no registry.
        partitions: partitions of each topic when `evometrics topics` creates it.
        replication: copies of each partition when a topic is created.
    """

    brokers: str = "127.0.0.1:9092"
    client_id: str = "evometrics"
    registry_url: str = ""
    partitions: int = 6
    replication: int = 1

    def __post_init__(self) -> None:
        require(bool(self.brokers), "brokers", self.brokers, "name at least one host:port")
        for broker in self.brokers.split(","):
            host, _, port = broker.strip().rpartition(":")
            valid = bool(host) and port.isdigit() and 0 < int(port) < 65536
            require(valid, "brokers", self.brokers, "each broker is host:port")
        require(self.partitions > 0, "partitions", self.partitions, "must be at least 1")
        require(self.replication > 0, "replication", self.replication, "must be at least 1")


def require(holds: bool, name: str, value: object, reason: str) -> None:
    """Raise `SettingsError` naming the setting unless `holds`."""
    if not holds:
        raise SettingsError(f"setting {name}={value!r}: {reason}")


def read_settings(
    cls: type[S],
    section: str,
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Mapping[str, Any] | None = None,
) -> S:
    """Build `cls` from flags, then `EVOMETRICS_<SECTION>_<FIELD>` variables, then the file's `[section]`.

    A flag of None counts as not given. Raises `SettingsError` naming the flag, variable or file entry
    whose value does not fit, and unknown entries in the file's section.
    """
    flags = flags or {}
    environ = os.environ if environ is None else environ
    entries = dict((file or {}).get(section, {}))
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        variable = f"EVOMETRICS_{section}_{field.name}".upper()
        if flags.get(field.name) is not None:
            source, raw = f"--{field.name.replace('_', '-')}", flags[field.name]
        elif variable in environ:
            source, raw = variable, environ[variable]
        elif field.name in entries:
            source, raw = f"[{section}] {field.name}", entries[field.name]
        else:
            entries.pop(field.name, None)
            continue
        entries.pop(field.name, None)
        values[field.name] = convert(source, raw, hints[field.name])
    if entries:
        raise SettingsError(f"[{section}] {', '.join(sorted(entries))}: no such setting in this section")
    return cls(**values)


def convert(source: str, raw: Any, wanted: Any) -> Any:
    """Turn text or a file's value into `wanted` (str, int, float, bool, or one of these or None)."""
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(wanted) if a is not type(None)]
        return None if raw in (None, "") else convert(source, raw, inner[0])
    if wanted is bool:
        if isinstance(raw, bool):
            return raw
        word = str(raw).strip().lower()
        if word in TRUE_WORDS | FALSE_WORDS:
            return word in TRUE_WORDS
        raise SettingsError(f"{source}={raw!r}: give true or false")
    if wanted in (int, float):
        try:
            return wanted(raw)
        except (TypeError, ValueError):
            kind = "a whole number" if wanted is int else "a number"
            raise SettingsError(f"{source}={raw!r}: give {kind}") from None
    return str(raw)
