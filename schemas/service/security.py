"""Which of the settings that secure a Kafka client belong together, and what a `client.properties` adds."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from evometrics.schemas.service.checks import require
from evometrics.schemas.service.client_properties import client_properties

if TYPE_CHECKING:
    from evometrics.schemas.service.settings import KafkaSettings

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
#: Mechanisms that log in with user and password.
PASSWORD_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
MECHANISMS = (*PASSWORD_MECHANISMS, "OAUTHBEARER", "GSSAPI")
HIDDEN = "***"


def uses_tls(protocol: str) -> bool:
    """Return whether connections of a security protocol are encrypted."""
    return protocol.endswith("SSL")


def uses_sasl(protocol: str) -> bool:
    """Return whether connections of a security protocol log in."""
    return protocol.startswith("SASL")


def with_properties(kafka: KafkaSettings) -> None:
    """Set what is still at its default to what the file `client_properties` says.

    Raises `SettingsError` naming the property that can't be used.
    """
    if not kafka.client_properties:
        return
    defaults = {field.name: field.default for field in dataclasses.fields(kafka)}
    for name, value in client_properties(kafka.client_properties, kafka.security_protocol).items():
        if getattr(kafka, name) == defaults[name]:
            object.__setattr__(kafka, name, value)


def check_security(kafka: KafkaSettings) -> None:
    """Raise `SettingsError` where the security settings contradict each other, or one is missing."""
    protocol, mechanism = kafka.security_protocol, kafka.sasl_mechanism
    require(protocol in PROTOCOLS, "security_protocol", protocol, f"give one of {', '.join(PROTOCOLS)}")
    for field in dataclasses.fields(kafka):
        unused = field.name.startswith("ssl_") and not uses_tls(protocol)
        unused |= field.name.startswith("sasl_") and not uses_sasl(protocol)
        if unused and (value := getattr(kafka, field.name)) != field.default:
            other = "SASL_SSL" if field.name.startswith("sasl_") else "SSL or SASL_SSL"
            reason = (
                f"security_protocol={protocol} makes no use of it: set that to {other}, or leave this out"
            )
            require(False, field.name, value if field.repr else HIDDEN, reason)
    alone = not kafka.ssl_keyfile or bool(kafka.ssl_certfile)
    require(alone, "ssl_keyfile", kafka.ssl_keyfile, "set ssl_certfile to the certificate of this key")
    if not uses_sasl(protocol):
        return
    reason = f"with security_protocol={protocol} give one of {', '.join(MECHANISMS)}"
    require(mechanism in MECHANISMS, "sasl_mechanism", mechanism, reason)
    if mechanism in PASSWORD_MECHANISMS:
        for name in ("sasl_plain_username", "sasl_plain_password"):
            require(bool(getattr(kafka, name)), name, "", f"sasl_mechanism={mechanism} needs it")
    if mechanism == "OAUTHBEARER":
        name = "sasl_oauth_token_provider"
        reason = "sasl_mechanism=OAUTHBEARER needs one: module:name of an aiokafka.abc.AbstractTokenProvider"
        require(":" in getattr(kafka, name), name, getattr(kafka, name), reason)
