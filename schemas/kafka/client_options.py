"""How every Kafka client of ours is opened: addresses, name, encryption, login."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import re
import socket
from importlib.util import find_spec
from typing import Any

from evometrics.schemas.kafka.client_logs import calm
from evometrics.schemas.service.security import uses_sasl, uses_tls
from evometrics.schemas.service.settings import KafkaSettings, SettingsError, require
from evometrics.schemas.service.tls import TlsNames, tls_context

TLS_NAMES = TlsNames("brokers", "ssl_cafile", "ssl_certfile", "ssl_keyfile", password="ssl_password")

#: Between two heartbeats of a group's member. With the next one it learns that others come or go, and
#: until then the events of the partitions that change hands wait.
HEARTBEAT_SECONDS = 1.0
#: What a client's name should not contain: Kafka's tools and its metrics take these for their own.
UNUSUAL = re.compile(r"[^A-Za-z0-9._-]")


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the arguments with which an aiokafka client reaches the cluster.

    What aiokafka logs is filtered from then on (`client_logs`). Raises `SettingsError` where a certificate,
    key or token provider can't be loaded.
    """
    calm()
    return {"bootstrap_servers": kafka.addresses, "client_id": kafka.client_id, **security(kafka)}


def named(kafka: KafkaSettings, part: str, instance: str = "") -> KafkaSettings:
    """Return settings whose clients are named `<client_id>-<part>-<instance>` in Kafka's logs and quotas.

    `instance`: which of the processes of a part it is; empty = this host's name.
    """
    name = f"{kafka.client_id}-{part}-{instance or socket.gethostname()}"
    return dataclasses.replace(kafka, client_id=UNUSUAL.sub("_", name))


def security(kafka: KafkaSettings) -> dict[str, Any]:
    """Return those of the arguments that secure a connection; none for `PLAINTEXT`."""
    protocol = kafka.security_protocol
    if protocol == "PLAINTEXT":
        return {}
    options: dict[str, Any] = {"security_protocol": protocol}
    if uses_tls(protocol):
        options["ssl_context"] = tls_context(
            TLS_NAMES,
            kafka.ssl_cafile,
            kafka.ssl_certfile,
            kafka.ssl_keyfile,
            kafka.ssl_password,
            kafka.ssl_check_hostname,
        )
    if uses_sasl(protocol):
        options |= login(kafka)
    return options


def login(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the arguments that log in."""
    mechanism = kafka.sasl_mechanism
    options: dict[str, Any] = {"sasl_mechanism": mechanism}
    if mechanism == "OAUTHBEARER":
        options["sasl_oauth_token_provider"] = token_provider(kafka.sasl_oauth_token_provider)
    elif mechanism == "GSSAPI":
        installed = find_spec("gssapi") is not None
        require(installed, "sasl_mechanism", mechanism, "install the package gssapi (`pip install gssapi`)")
        options["sasl_kerberos_service_name"] = kafka.sasl_kerberos_service_name
        options["sasl_kerberos_domain_name"] = kafka.sasl_kerberos_domain_name or None
    else:
        options["sasl_plain_username"] = kafka.sasl_plain_username
        options["sasl_plain_password"] = kafka.sasl_plain_password
    return options


@functools.lru_cache(maxsize=8)
def token_provider(named: str) -> Any:
    """Return the token provider that a setting names, one for the process. Raises `SettingsError`."""
    from aiokafka.abc import AbstractTokenProvider

    module, _, name = named.partition(":")
    setting = f"setting sasl_oauth_token_provider={named!r}"
    try:
        provider = getattr(importlib.import_module(module), name)
        if not isinstance(provider, AbstractTokenProvider):
            provider = provider()
    except Exception as error:
        raise SettingsError(f"{setting}: {type(error).__name__}: {error}") from error
    if not isinstance(provider, AbstractTokenProvider):
        raise SettingsError(f"{setting}: not an aiokafka.abc.AbstractTokenProvider")
    return named_tokens(named, provider)


def named_tokens(named: str, provider: Any) -> Any:
    """Return a provider whose failure is a refused login that names it, not an error of the client's."""
    from aiokafka.abc import AbstractTokenProvider
    from aiokafka.errors import SaslAuthenticationFailed

    class Tokens(AbstractTokenProvider):  # type: ignore[misc]
        async def token(self) -> str:
            try:
                return str(await provider.token())
            except Exception as error:
                raise SaslAuthenticationFailed(f"{named} gave no token: {error!r}") from error

        def extensions(self) -> Any:
            return provider.extensions()

    return Tokens()
