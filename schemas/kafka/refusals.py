"""Why a broker that answers refuses a client, told apart by what to set."""

from __future__ import annotations

import asyncio
import ssl

from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from evometrics.schemas.kafka.client_options import TLS_NAMES
from evometrics.schemas.service.security import PASSWORD_MECHANISMS, uses_sasl, uses_tls
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tls import OTHER_HOST, causes, untrusted

PROBE_SECONDS = 3.0


async def why_not_connected(error: BaseException, host: str, port: int, kafka: KafkaSettings) -> str | None:
    """Return why a broker to which a TCP connection is possible does not let us in; None if that is unknown.

    Where it hangs up without a word it is asked, in plaintext or over TLS, what it speaks: no secret is sent.
    """
    where = f"the Kafka broker at {host}:{port}"
    for cause in causes(error):
        if words := certificate_refused(cause, host) or login_refused(cause, kafka):
            return f"{where} {words}"
    protocol = kafka.security_protocol
    if uses_tls(protocol):
        if (words := own_certificate_refused(error, kafka)) is not None:
            return f"{where} {words}"
        if await speaks_plaintext(host, port):
            right = "SASL_PLAINTEXT" if uses_sasl(protocol) else "PLAINTEXT"
            return f"{where} does not speak TLS: set security_protocol={right}, or another port in `brokers`"
    elif await speaks_tls(host, port):
        right = "SASL_SSL" if uses_sasl(protocol) else "SSL or SASL_SSL"
        return f"{where} speaks TLS: set security_protocol={right}"
    return None


def why_closed(error: BaseException, address: str, kafka: KafkaSettings) -> str | None:
    """Return why a broker hangs up on its first request; None if that is unknown."""
    where, protocol = f"the Kafka broker at {address}", kafka.security_protocol
    if (words := own_certificate_refused(error, kafka)) is not None:
        return f"{where} {words}"
    if uses_sasl(protocol):
        return None
    right = "SASL_SSL" if uses_tls(protocol) else "SASL_PLAINTEXT"
    return f"{where} takes no client that does not log in: set security_protocol={right} and sasl_mechanism"


def certificate_refused(error: BaseException, host: str) -> str | None:
    """Return why we do not trust the broker's certificate; None for any other error."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return None
    if error.verify_code in OTHER_HOST:
        return (
            f"has a certificate that is not for {host}: name the broker in `brokers` (and its "
            "advertised.listeners) as its certificate does, or set ssl_check_hostname=false"
        )
    return untrusted(error, TLS_NAMES, host)


def own_certificate_refused(error: BaseException, kafka: KafkaSettings) -> str | None:
    """Return that the broker refuses our certificate, or wants one; None if it does not say so."""
    alerts = [cause.reason for cause in causes(error) if isinstance(cause, ssl.SSLError) and cause.reason]
    if not any("ALERT" in alert for alert in alerts):
        return None
    if kafka.ssl_certfile:
        return (
            f"does not take the certificate in ssl_certfile={kafka.ssl_certfile} ({alerts[0]}): set one that "
            "an authority in its ssl.truststore has signed"
        )
    return f"wants a certificate of its clients ({alerts[0]}): set ssl_certfile and ssl_keyfile"


def login_refused(error: BaseException, kafka: KafkaSettings) -> str | None:
    """Return why the broker refuses the login; None for any other error."""
    mechanism = kafka.sasl_mechanism
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"does not take sasl_mechanism={mechanism}: set one of its sasl.enabled.mechanisms"
    if isinstance(error, IllegalSaslStateError):
        right = "SSL" if uses_tls(kafka.security_protocol) else "PLAINTEXT"
        return f"takes no login: set security_protocol={right}"
    if not isinstance(error, SaslAuthenticationFailed):
        return None
    if mechanism in PASSWORD_MECHANISMS:
        return (
            f"refuses the login of {kafka.sasl_plain_username} by {mechanism}: correct "
            "sasl_plain_username or sasl_plain_password"
        )
    return f"refuses the login by {mechanism}: {error}"


async def speaks_tls(host: str, port: int) -> bool:
    """Return whether a listener answers a TLS handshake; certificates are not looked at."""
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=anyone)
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True


async def speaks_plaintext(host: str, port: int) -> bool:
    """Return whether a listener answers Kafka's first request in plaintext."""
    try:
        connection = await create_conn(host, port, request_timeout_ms=int(PROBE_SECONDS * 1000))
    except (OSError, KafkaError, TimeoutError):
        return False
    connection.close()
    return True
