"""Kafka nodes that let nobody in without TLS, a login and rights."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest

from evometrics.deploy.kafka.broker import (
    CLUSTER_ID,
    LOG4J,
    PROPERTIES,
    QUICK_JVM,
    KafkaNode,
    plan_nodes,
    prepare_node,
    server_properties,
)
from evometrics.deploy.kafka.jars import kafka_libs
from evometrics.deploy.kafka.java import find_java
from evometrics.deploy.pipeline.rights import Right, roles
from evometrics.deploy.process.child import ChildProcess, ProcessSpec
from evometrics.deploy.process.ports import HOST, free_ports
from evometrics.schemas.kafka.topics import answered
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.sinks.settings import SinkSettings
from evometrics.streams.settings import StreamSettings
from tests.support.certificates import authority, certificate

#: The user that may do everything, and one that may do nothing.
USER, STRANGER = "pipeline", "stranger"
PASSWORD = "s3cret-of-Kafka"
#: Each role has a user of its name.
ROLES = roles(StreamSettings().group, SinkSettings().group)
#: Numbers of Kafka's protocol.
KINDS = {"topic": 2, "group": 3, "cluster": 4}
OPERATIONS = {
    "READ": 3,
    "WRITE": 4,
    "CREATE": 5,
    "DELETE": 6,
    "DESCRIBE": 8,
    "DESCRIBE_CONFIGS": 10,
    "ALTER_CONFIGS": 11,
}
#: Has the authorizer log what it allows, too.
AUDIT = "\nlogger.authorizer.name = kafka.authorizer.logger\nlogger.authorizer.level = debug\n"
ANY, LITERAL, PREFIXED, ALLOW = 1, 3, 4, 3
HEARD_SECONDS = 60
#: A right as Kafka's protocol has it: kind, name, pattern, user, host, operation, permission.
Acl = tuple[int, str, int, str, str, int, int]
LISTENERS = ("SASL_SSL", "SSL", "SASL_PLAINTEXT", "ELSEWHERE", "OTHERS")
#: Those that are named after what they speak.
PROTOCOLS = ("PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL", "SSL")


@dataclass(frozen=True)
class Tls:
    """Files of certificates.

    Attributes:
        ca: certificate of the authority of brokers and clients; `other_ca`: that of another one.
        broker, elsewhere: the brokers' certificate with its key, and one for another host.
        own: certificate and key of a client that may do everything.
    """

    ca: Path
    other_ca: Path
    broker: Path
    elsewhere: Path
    own: tuple[Path, Path]


@dataclass(frozen=True)
class Secured:
    """Running nodes and what their clients need.

    Attributes:
        addresses: `host:port` of each node, by listener: `PLAINTEXT`, whose clients may do everything;
            `SASL_SSL`; `SSL`, which wants client certificates; `SASL_PLAINTEXT`; `ELSEWHERE`, as `SASL_SSL`,
            with a certificate for another host; `OTHERS`, as `SASL_SSL`, with other mechanisms.
        tls: certificates.
        logs: what the nodes log; with each request that they allow or deny.
    """

    addresses: dict[str, str]
    tls: Tls
    logs: tuple[Path, ...]

    def settings(self, listener: str = "SASL_SSL", **others: str) -> dict[str, str]:
        """Return the Kafka settings of a client that may do everything; `others` replace or add some."""
        protocol = listener if listener in PROTOCOLS else "SASL_SSL"
        found = {"brokers": self.addresses[listener], "security_protocol": protocol}
        if protocol.endswith("SSL"):
            found["ssl_cafile"] = str(self.tls.ca)
        if protocol == "SSL":
            found |= {"ssl_certfile": str(self.tls.own[0]), "ssl_keyfile": str(self.tls.own[1])}
        if listener == "OTHERS":
            provider = "tests.support.tokens:UnsignedTokens"
            found |= {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": provider}
        elif protocol.startswith("SASL"):
            found |= {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": USER}
            found["sasl_plain_password"] = PASSWORD
        return {name: value for name, value in (found | others).items() if value}


def environ(settings: dict[str, str]) -> dict[str, str]:
    """Return Kafka settings as variables."""
    return {f"EVOMETRICS_KAFKA_{name}".upper(): value for name, value in settings.items()}


def secured_nodes(data: Path, count: int = 1) -> Iterator[Secured]:
    """Run nodes in a folder."""
    nodes = plan_nodes(data / "kafka", count)
    tls = make_tls(data / "tls")
    ports = free_ports(len(LISTENERS) * count)
    listeners = []
    for number, node in enumerate(nodes):
        own = ports[number * len(LISTENERS) :]
        addresses = {name: f"{HOST}:{port}" for name, port in zip(LISTENERS, own, strict=False)}
        listeners.append({"PLAINTEXT": node.address} | addresses)

    async def start(node: KafkaNode, own: Mapping[str, str]) -> ChildProcess:
        child = ChildProcess(await prepare_secured(node, nodes, own, tls, data / "logs"))
        await child.start()
        return child

    async def start_all() -> list[ChildProcess]:
        return await asyncio.gather(*map(start, nodes, listeners))

    async def stop_all() -> None:
        await asyncio.gather(*(child.stop() for child in children))

    children = asyncio.run(start_all())
    addresses = {name: ",".join(own[name] for own in listeners) for name in listeners[0]}
    yield Secured(addresses, tls, tuple(child.spec.log for child in children))
    asyncio.run(stop_all())


def make_tls(folder: Path) -> Tls:
    """Make an authority and the brokers' certificates."""
    ca = authority(folder, "ca")
    return Tls(
        ca,
        authority(folder, "other"),
        store(*certificate(ca, "broker", f"IP:{HOST}")),
        store(*certificate(ca, "elsewhere", "DNS:kafka.elsewhere")),
        certificate(ca, "client"),
    )


async def prepare_secured(
    node: KafkaNode,
    nodes: tuple[KafkaNode, ...],
    listeners: Mapping[str, str],
    tls: Tls,
    logs: Path,
    advertised: Mapping[str, str] | None = None,
) -> ProcessSpec:
    """Write a node's files, with the users in its storage, and return how to run it.

    `listeners`: `host:port` by name; `advertised`: those of them that clients are told otherwise.
    """
    settings = server_properties(node, nodes) + more_properties(node, listeners, advertised or {}, tls)
    node.folder.mkdir(parents=True)
    (node.folder / PROPERTIES).write_text(settings)
    await asyncio.to_thread(format_with_users, node.folder)
    spec = await prepare_node(node, nodes, logs, print)
    (node.folder / PROPERTIES).write_text(settings)
    with (node.folder / LOG4J).open("a") as log4j:
        log4j.write(AUDIT)
    return spec


def store(made: Path, key: Path) -> Path:
    """Put a certificate and its key in one file, as Kafka's PEM stores are."""
    both = made.with_suffix(".store")
    both.write_text(key.read_text() + made.read_text())
    return both


def more_properties(
    node: KafkaNode, addresses: Mapping[str, str], advertised: Mapping[str, str], tls: Tls
) -> str:
    """Return what server.properties has for the further listeners, and for rights; later lines count."""
    controller = "CONTROLLER"
    protocols = {name: name if name in PROTOCOLS else "SASL_SSL" for name in addresses}
    listeners = ",".join(f"{name}://{address}" for name, address in addresses.items())
    told = ",".join(f"{name}://{advertised.get(name, address)}" for name, address in addresses.items())
    login = "org.apache.kafka.common.security"
    settings = {
        "listeners": f"{listeners},{controller}://{HOST}:{node.controller_port}",
        "advertised.listeners": told,
        "listener.security.protocol.map": ",".join(f"{n}:{p}" for n, p in protocols.items())
        + f",{controller}:PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": tls.broker,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": tls.ca,
        "listener.name.elsewhere.ssl.keystore.type": "PEM",
        "listener.name.elsewhere.ssl.keystore.location": tls.elsewhere,
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.others.sasl.enabled.mechanisms": "OAUTHBEARER,PLAIN",
        "listener.name.others.oauthbearer.sasl.jaas.config": (
            f'{login}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="unused";'
        ),
        "listener.name.others.plain.sasl.jaas.config": (
            f'{login}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{USER};User:CN=client",
        "allow.everyone.if.no.acl.found": "false",
    }
    passwords = (n for n, protocol in protocols.items() if protocol.startswith("SASL") and n != "OTHERS")
    for name in map(str.lower, passwords):
        settings[f"listener.name.{name}.scram-sha-512.sasl.jaas.config"] = (
            f"{login}.scram.ScramLoginModule required;"
        )
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def format_with_users(folder: Path) -> None:
    """Format a node's storage, with the users that SCRAM knows."""
    users = [f"SCRAM-SHA-512=[name={name},password={PASSWORD}]" for name in (USER, STRANGER, *ROLES)]
    command = [str(find_java()), *QUICK_JVM, "-cp", f"{kafka_libs(print)}{os.sep}*"]
    command += ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", PROPERTIES]
    for user in users:
        command += ["--add-scram", user]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def acls(user: str, rights: Iterable[Right]) -> list[Acl]:
    """Return rights as Kafka's protocol has them."""
    return [
        (
            KINDS[right.kind],
            name,
            PREFIXED if right.prefixed else LITERAL,
            f"User:{user}",
            "*",
            OPERATIONS[operation],
            ALLOW,
        )
        for right in rights
        for name in right.names
        for operation in right.operations
    ]


class CreateAll(CreateAclsRequest):
    """Creates many rights at once."""

    def __init__(self, rights: list[Acl]) -> None:
        self.rights = rights

    def build(self, request: Any) -> Any:
        return request(self.rights)


async def grant(secured: Secured, rights: Mapping[str, Iterable[Right]]) -> None:
    """Give users rights; returns once every node knows them."""
    wanted = [acl for user, own in rights.items() for acl in acls(user, own)]
    kafka = KafkaSettings(brokers=secured.addresses["PLAINTEXT"])
    answer = await answered(kafka, lambda admin: admin._send_request(CreateAll(wanted)))
    assert all(not error for error, _ in answer.creation_responses), answer
    for user, own in rights.items():
        await known_everywhere(secured, user, len(set(acls(user, own))))


async def known_everywhere(secured: Secured, user: str, number: int) -> None:
    """Return once every node knows this many rights of a user."""

    async def known(admin: AIOKafkaAdminClient) -> int:
        asked = DescribeAclsRequest(ANY, None, ANY, f"User:{user}", None, ANY, ANY)
        nodes = [broker.nodeId for broker in admin._client.cluster.brokers()]
        found = [await admin._send_request_to_node(node, asked) for node in nodes]
        return min(sum(len(acls) for *_, acls in answer.resources) for answer in found)

    kafka = KafkaSettings(brokers=secured.addresses["PLAINTEXT"])
    async with asyncio.timeout(HEARD_SECONDS):
        while await answered(kafka, known) < number:  # noqa: ASYNC110 - Kafka sends no notification
            await asyncio.sleep(0.1)


def denied(secured: Secured, user: str) -> set[str]:
    """Return what was denied to a user, as `OPERATION Topic:LITERAL:name for REQUEST`."""
    pattern = rf"User:{user} is Denied operation = (\w+) .* on resource = (\S+) for request = (\w+)"
    said = "".join(log.read_text() for log in secured.logs)
    return {f"{o} {r} for {q}" for o, r, q in re.findall(pattern, said)}


def unused(secured: Secured, user: str, rights: Iterable[Right]) -> set[tuple[str, str]]:
    """Return which of a user's rights were never made use of, each as operation and name."""
    pattern = rf"User:{user} is Allowed operation = (\w+) .* on resource = (\w+):LITERAL:(\S+) for request"
    said = "".join(log.read_text() for log in secured.logs)
    used = {(operation, kind.lower(), name) for operation, kind, name in re.findall(pattern, said)}

    def is_used(right: Right, operation: str, name: str) -> bool:
        if not right.prefixed:
            return (operation, right.kind, name) in used
        return any(o == operation and k == right.kind and n.startswith(name) for o, k, n in used)

    return {
        (operation, name)
        for right in rights
        for operation in right.operations
        for name in right.names
        if not is_used(right, operation, name)
    }
