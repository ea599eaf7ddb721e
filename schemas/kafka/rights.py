"""Which right a client lacks: Kafka says what it was refused, and a part knows what it needs."""

from __future__ import annotations

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from evometrics.schemas.kafka.refusals import causes
from evometrics.schemas.service.settings import KafkaSettings

DENIALS = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
RAW = "the topics of raw events"
#: What each part needs; docs/how-to/secure.md has the topics and groups by name.
NEEDS = {
    "node": f"WRITE on {RAW}, and DESCRIBE on the cluster for its time",
    "stream": "READ and WRITE on its source topics, READ on its group, WRITE on evometrics.dead-letters and "
    "the topics of derived events, and READ, WRITE, CREATE and DESCRIBE_CONFIGS on topics that begin with "
    "`<its group>-`",
    "sink": "READ on all topics and its group, WRITE on evometrics.dead-letters",
    "topics": "CREATE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS on topics that begin with `evometrics.`",
    "import": f"READ and WRITE on {RAW}, DESCRIBE on all topics and on the sink's group, READ on group "
    "evometrics-import",
    "republish": f"READ, WRITE, DESCRIBE_CONFIGS and ALTER_CONFIGS on {RAW}, DESCRIBE on the stream's group",
    "replay": "READ on the stream's source topics",
    "dead-letters": "WRITE on the topics that the messages came from and on evometrics.system.events",
}


def right_missing(error: BaseException | None, kafka: KafkaSettings, part: str = "") -> str | None:
    """Return what Kafka refuses to this client's user, and what to grant; None for any other error.

    `part`: one of `NEEDS`, or another word for one whose needs are not known.
    """
    denied = denial(error)
    if denied is None:
        return None
    needs = f"; {part} needs {NEEDS[part]}" if part in NEEDS else ""
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
