"""Settings: frozen dataclasses, read once from flags, environment and file, validated by name.

Each part declares one frozen dataclass (`KafkaSettings` here, `SinkSettings` in `sinks/`, ...) and calls
`read_settings` once at startup. Where a value is given in several places, flags take precedence over the
environment, the environment over the file, the file over the default. A variable `…_FILE` names a file that
holds the value. Names that no part knows are refused, lest somebody rely on a value that is never read.
"""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from evometrics.schemas.service.checks import Masked as Masked
from evometrics.schemas.service.checks import SettingsError as SettingsError
from evometrics.schemas.service.checks import check_url as check_url
from evometrics.schemas.service.checks import masked as masked
from evometrics.schemas.service.checks import require as require
from evometrics.schemas.service.registry_access import check_registry
from evometrics.schemas.service.security import check_security, with_properties

S = TypeVar("S")

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})

ADDRESS = re.compile(r"[^\s/@]+:(?P<port>[0-9]{1,5})")

PREFIX = "EVOMETRICS_"
#: The sections of the file and of the variables, each read by the part that declares its dataclass.
SECTIONS = (
    "clickhouse",
    "clickhouse_server",
    "collector",
    "disk",
    "health",
    "http",
    "kafka",
    "log",
    "sink",
    "stream",
)
#: What a recorded program is told of its evolution: ids, no settings.
IDS = frozenset({"EVOMETRICS_AGENT_ID", "EVOMETRICS_EVOLUTION_ID", "EVOMETRICS_RUN_ID"})
#: Kubernetes sets such variables in every pod for each service, also for one called evometrics-something.
SERVICE_LINK = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$"
)
SERVICE_SCHEMES = ("tcp://", "udp://", "sctp://")
DEFAULT = "default"
#: End of the variable that names a file with a setting's value, as containers are given secrets.
FROM_FILE = "_FILE"
#: Types that a file's value may have instead of text, in words.
KINDS: Mapping[object, str] = {list: "a list", dict: "a table"}


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to reach the broker and how to frame messages.

    Attributes:
        brokers: `host:port` of a broker, or of several, separated by commas.
        client_id: what the names of clients in the broker's logs and quotas begin with; the part and its
            instance follow: `evometrics-sink-<host>`, `evometrics-stream-<instance>`,
            `evometrics-node-<node_id>`.
        registry_url: URL of a Confluent-compatible schema registry, without user and password; empty = no
            registry, messages are framed as Avro's single-object encoding.
        registry_user: user, for a registry with basic authentication.
        registry_password: the user's password.
        registry_token: bearer token, for a registry that wants one.
        registry_ssl_cafile: PEM file with the certificates of the authorities to trust for it; empty = the
            system's.
        registry_ssl_certfile: PEM file with the certificate to show it, and its intermediates; empty = none.
        registry_ssl_keyfile: PEM file with its key, not encrypted; empty = it is in `registry_ssl_certfile`.
        registry_read_only: never register a schema: refuse to start where one of this build's is missing.
        partitions: partitions of each topic that is created.
        replication: copies of each partition (replication factor) of each topic that is created.
        client_properties: a `client.properties` file as Kafka's own tools take it; it sets what is left at
            its default here.
        security_protocol: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`, as the listener has it.
        ssl_cafile: PEM file with the certificates of the authorities to trust; empty = the system's.
        ssl_certfile: PEM file with this client's certificate, and its intermediates; empty = none is shown.
        ssl_keyfile: PEM file with its key; empty = it is in `ssl_certfile`.
        ssl_password: password of the key.
        ssl_check_hostname: whether a broker's certificate must name the host that is connected to.
        sasl_mechanism: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER`, or `GSSAPI` where the
            package gssapi is installed.
        sasl_plain_username: user, for `PLAIN` and `SCRAM-SHA-…`.
        sasl_plain_password: the user's password.
        sasl_oauth_token_provider: `module:name` of an `aiokafka.abc.AbstractTokenProvider`, for
            `OAUTHBEARER`: an instance, or what makes one when called.
        sasl_kerberos_service_name: the brokers' service, for `GSSAPI`.
        sasl_kerberos_domain_name: their domain; empty = the host that is connected to.
    """

    brokers: str = "127.0.0.1:9092"
    client_id: str = "evometrics"
    registry_url: str = ""
    registry_user: str = ""
    registry_password: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    registry_ssl_cafile: str = ""
    registry_ssl_certfile: str = ""
    registry_ssl_keyfile: str = ""
    registry_read_only: bool = False
    partitions: int = 6
    replication: int = 1
    client_properties: str = ""
    security_protocol: str = "PLAINTEXT"
    ssl_cafile: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    ssl_password: str = field(default="", repr=False)
    ssl_check_hostname: bool = True
    sasl_mechanism: str = ""
    sasl_plain_username: str = ""
    sasl_plain_password: str = field(default="", repr=False)
    sasl_oauth_token_provider: str = ""
    sasl_kerberos_service_name: str = "kafka"
    sasl_kerberos_domain_name: str = ""

    def __post_init__(self) -> None:
        with_properties(self)
        require(bool(self.brokers), "brokers", self.brokers, "name at least one host:port")
        for broker in self.addresses:
            address = ADDRESS.fullmatch(broker)
            valid = address is not None and 0 < int(address["port"]) < 65536
            require(valid, "brokers", self.brokers, "each broker is host:port")
        check_registry(self)
        require(self.partitions > 0, "partitions", self.partitions, "must be at least 1")
        require(self.replication > 0, "replication", self.replication, "must be at least 1")
        check_security(self)

    @property
    def addresses(self) -> list[str]:
        """The brokers, `host:port` each."""
        return [each.strip() for each in self.brokers.split(",")]


@dataclass(frozen=True, slots=True)
class Given:
    """A setting's value and its origin: a flag, a variable, an entry of the file, or `default`."""

    value: Any
    source: str


def read_settings(
    cls: type[S],
    section: str,
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Mapping[str, Any] | None = None,
) -> S:
    """Build `cls` from flags, then `EVOMETRICS_<SECTION>_<FIELD>` variables, then the file's `[section]`.

    A flag of None counts as not given. Raises `SettingsError` naming the flag, variable or file entry whose
    value is invalid, or whose name is unknown.
    """
    found = given_settings(cls, section, flags=flags, environ=environ, file=file)
    return cls(**{name: each.value for name, each in found.items() if each.source != DEFAULT})


def given_settings(
    cls: type[Any],
    section: str,
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Mapping[str, Any] | None = None,
) -> dict[str, Given]:
    """Return each field's value, as `read_settings` would take it, and its origin."""
    flags, file = flags or {}, file or {}
    environ = os.environ if environ is None else environ
    names = [each.name for each in dataclasses.fields(cls)]
    check_names({**dict.fromkeys(SECTIONS), section: names}, environ, file)
    entries = file.get(section, {})
    hints = typing.get_type_hints(cls)
    found = {}
    for each in dataclasses.fields(cls):
        variable = variable_of(section, each.name)
        if flags.get(each.name) is not None:
            source, raw = f"--{each.name.replace('_', '-')}", flags[each.name]
        elif (named := in_environment(section, each.name, environ)) is not None:
            source, raw = named, environ[named] if named == variable else content(named, environ[named])
        elif each.name in entries:
            source, raw = f"[{section}] {each.name}", entries[each.name]
        else:
            found[each.name] = Given(each.default, DEFAULT)
            continue
        found[each.name] = Given(convert(source, raw, hints[each.name]), source)
    return found


def variable_of(section: str, name: str) -> str:
    """Return the variable of a setting."""
    return f"{PREFIX}{section}_{name}".upper()


def in_environment(section: str, name: str, environ: Mapping[str, str]) -> str | None:
    """Return the variable that gives a setting, or the file with it; None where neither is set.

    Raises `SettingsError` where both are.
    """
    variable = variable_of(section, name)
    names = [each for each in (variable, variable + FROM_FILE) if each in environ]
    given = [each for each in names if not service_link(each, environ[each])]  # EVOMETRICS_HTTP_PORT=tcp://…
    if len(given) > 1:
        raise SettingsError(f"{' and '.join(given)}: give one of them")
    return given[0] if given else None


def content(variable: str, path: str) -> str:
    """Return what is in the file that a variable names, without the line break at its end."""
    try:
        return Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}={path}: {error}") from None


def check_names(
    known: Mapping[str, Collection[str] | None], environ: Mapping[str, str], file: Mapping[str, Any]
) -> None:
    """Raise `SettingsError` for an unknown section, entry or variable, naming the nearest known one.

    `known`: the names of each section's settings, None where another part checks them.
    """
    for section, entries in file.items():
        if section not in known:
            near = nearest(section, known)
            raise SettingsError(
                f"[{section}]: no such section{near or '; the sections are ' + ', '.join(sorted(known))}"
            )
        if not isinstance(entries, Mapping):
            raise SettingsError(f"{section}: give a section [{section}] with its settings")
        for name in entries:
            names = known[section]
            if names is not None and name not in names:
                raise SettingsError(
                    f"[{section}] {name}: no such setting in this section{nearest(name, names)}"
                )
    variables = [variable_of(section, name) for section, names in known.items() for name in names or ()]
    for variable, value in environ.items():
        known_here = variable in IDS or variable in variables or variable.removesuffix(FROM_FILE) in variables
        if not variable.upper().startswith(PREFIX) or known_here or service_link(variable, value):
            continue
        within = [section for section in known if variable.startswith(variable_of(section, ""))]
        if within and known[max(within, key=len)] is None:
            continue
        near = nearest(variable.upper(), variables)
        raise SettingsError(f"{variable}: no such setting{near}; `evometrics config` lists all")


def service_link(variable: str, value: str) -> bool:
    """Return whether Kubernetes set a variable."""
    linked = variable.endswith("_PORT") and value.startswith(SERVICE_SCHEMES)
    return linked or SERVICE_LINK.search(variable) is not None


def nearest(name: str, names: Collection[str]) -> str:
    """Return which of the names may be meant, as the end of a message; empty where none is near."""
    near = get_close_matches(name, names, n=1, cutoff=0.75)
    return f" (did you mean {near[0]}?)" if near else ""


def convert(source: str, raw: Any, wanted: Any) -> Any:
    """Convert text or a file's value to `wanted` (str, int, float, bool, or one of these or None)."""
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(wanted) if a is not type(None)]
        return None if raw in (None, "") else convert(source, raw, inner[0])
    if wanted is bool:
        if isinstance(raw, bool):
            return raw
        word = str(raw).strip().lower()
        if word in TRUE_WORDS | FALSE_WORDS:
            return word in TRUE_WORDS
        raise SettingsError(f"{source}={masked(raw)!r}: give true or false")
    if wanted in (int, float):
        try:
            if isinstance(raw, bool) or (wanted is int and isinstance(raw, float)):
                raise TypeError
            return wanted(raw)
        except (TypeError, ValueError, OverflowError):
            kind = "a whole number" if wanted is int else "a number"
            raise SettingsError(f"{source}={masked(raw)!r}: give {kind}") from None
    if not isinstance(raw, str | int | float):
        # Without the value: it may be the password.
        raise SettingsError(f"{source}: give text instead of {KINDS.get(type(raw), 'this value')}")
    if "\0" in (text := str(raw)):  # neither a path, nor an address, nor a password can have one
        raise SettingsError(f"{source}: contains a NUL character, remove it")
    return text
