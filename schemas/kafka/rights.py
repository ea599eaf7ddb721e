"""Which right a client lacks: Kafka says what it was refused, and `topics --acls` what each part needs."""

from __future__ import annotations

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tls import causes

DENIALS = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


def right_missing(error: BaseException | None, kafka: KafkaSettings, part: str = "") -> str | None:
    """Return what Kafka refuses to this client's user, and what to grant; None for any other error.

    `part`: the role whose rights this client should have, as `evometrics topics --acls` names it; empty where
    that is not known.
    """
    denied = denial(error)
    if denied is None:
        return None
    needs = f"; `evometrics topics --acls` prints all that {part} needs" if part else ""
    return f"Kafka denies {user(kafka)} a right ({words(denied)}): grant it{needs}"


def denial(error: BaseException | None) -> KafkaError | None:
    """Return the denial that an error is, or that caused it; None if there is none."""
    return next((each for each in causes(error) if isinstance(each, DENIALS)), None)


def words(error: KafkaError) -> str:
    """Return what an error says, with the topics or the group that it names."""
    named = ", ".join(
        str(each) if isinstance(each, str) else ", ".join(sorted(map(str, each)))
        for each in error.args
        if isinstance(each, str | set | frozenset | list | tuple)
    )
    kind = type(error).__name__.removesuffix("Error")
    return f"{kind}: {named}" if named else kind


def user(kafka: KafkaSettings) -> str:
    """Return whom Kafka takes this client for."""
    if kafka.sasl_plain_username:
        return f"user {kafka.sasl_plain_username}"
    if kafka.ssl_certfile:
        return f"the client of certificate {kafka.ssl_certfile}"
    return "this client"
