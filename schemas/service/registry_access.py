"""What a client of the schema registry is let in with, and which of its settings belong together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evometrics.schemas.service.checks import check_url, require
from evometrics.schemas.service.tls import TlsNames, check_tls

if TYPE_CHECKING:
    from evometrics.schemas.service.settings import KafkaSettings

TLS_NAMES = TlsNames("registry_url", "registry_ssl_cafile", "registry_ssl_certfile", "registry_ssl_keyfile")
LOGIN = ": registry_user and registry_password take them"


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """How a registry is reached beside its URL; the fields are those of `KafkaSettings`."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    cafile: str = ""
    certfile: str = ""
    keyfile: str = ""
    read_only: bool = False


def registry_access(kafka: KafkaSettings) -> RegistryAccess:
    """Return what the settings say."""
    return RegistryAccess(
        kafka.registry_user,
        kafka.registry_password,
        kafka.registry_token,
        kafka.registry_ssl_cafile,
        kafka.registry_ssl_certfile,
        kafka.registry_ssl_keyfile,
        kafka.registry_read_only,
    )


def check_registry(kafka: KafkaSettings) -> None:
    """Raise `SettingsError` where the registry's settings contradict each other, or one is missing."""
    access, url = registry_access(kafka), kafka.registry_url
    if not url:
        require(access == RegistryAccess(), "registry_url", url, "set it, or leave the other registry_… out")
        return
    check_url("registry_url", url, "http://host:8081", LOGIN)
    check_tls(TLS_NAMES, url, access.cafile, access.certfile, access.keyfile)
    require(bool(access.user) or not access.password, "registry_user", access.user, "name the user as well")
    both = not (access.token and access.user)
    require(both, "registry_user", access.user, "registry_token logs in already: set one of the two")
