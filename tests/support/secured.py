"""A Kafka node that lets nobody in without TLS, a login and rights."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from evometrics.deploy.kafka.broker import (
    CLUSTER_ID,
    PROPERTIES,
    KafkaNode,
    plan_nodes,
    prepare_node,
    server_properties,
)
from evometrics.deploy.kafka.jars import kafka_libs
from evometrics.deploy.kafka.java import find_java
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import HOST, free_ports
from evometrics.schemas.kafka.topics import answered
from evometrics.schemas.service.settings import KafkaSettings
from tests.support.certificates import authority, certificate

#: The user that may do everything, and one that may do nothing.
USER, STRANGER = "pipeline", "stranger"
#: Users that may do what a part needs, and no more; each has the name of the part.
PARTS = ("node", "stream", "sink", "topics", "import", "replay", "republish", "dead-letters")
PASSWORD = "s3cret-of-Kafka"
#: Numbers of Kafka's protocol.
KINDS = {"topic": 2, "group": 3, "cluster": 4}
OPERATIONS = {
    "READ": 3,
    "WRITE": 4,
    "CREATE": 5,
    "DESCRIBE": 8,
    "DESCRIBE_CONFIGS": 10,
    "ALTER_CONFIGS": 11,
}
LITERAL, PREFIXED, ALLOW = 3, 4, 3
#: One of `KINDS`, its name (with an asterisk: whatever begins so), and operations.
Right = tuple[str, str, str]
LISTENERS = ("SASL_SSL", "SSL", "SASL_PLAINTEXT", "ELSEWHERE")


@dataclass(frozen=True)
class Secured:
    """A running node and what its clients need.

    Attributes:
        addresses: `host:port` of each listener: `PLAINTEXT`, whose clients may do everything; `SASL_SSL`;
            `SSL`, which wants client certificates; `SASL_PLAINTEXT`; `ELSEWHERE`, as `SASL_SSL`, with a
            certificate for another host.
        ca: certificate of the authority of broker and clients; `other_ca`: that of another one.
        own: certificate and key of a client that may do everything.
        log: what the node logs; with each request that it denies.
    """

    addresses: dict[str, str]
    ca: Path
    other_ca: Path
    own: tuple[Path, Path]
    log: Path

    def settings(self, listener: str = "SASL_SSL", **others: str) -> dict[str, str]:
        """Return the Kafka settings of a client that may do everything; `others` replace or add some."""
        protocol = "SASL_SSL" if listener == "ELSEWHERE" else listener
        found = {"brokers": self.addresses[listener], "security_protocol": protocol}
        if protocol.endswith("SSL"):
            found["ssl_cafile"] = str(self.ca)
        if protocol == "SSL":
            found |= {"ssl_certfile": str(self.own[0]), "ssl_keyfile": str(self.own[1])}
        if protocol.startswith("SASL"):
            found |= {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": USER}
            found["sasl_plain_password"] = PASSWORD
        return {name: value for name, value in (found | others).items() if value}


def environ(settings: dict[str, str]) -> dict[str, str]:
    """Return Kafka settings as variables."""
    return {f"EVOMETRICS_KAFKA_{name}".upper(): value for name, value in settings.items()}


def secured_node(data: Path) -> Iterator[Secured]:
    """Run the node in a folder."""
    nodes = plan_nodes(data / "kafka")
    (node,) = nodes
    ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
    addresses = {"PLAINTEXT": node.address} | {name: f"{HOST}:{port}" for name, port in ports.items()}
    ca = authority(data / "tls", "ca")
    stores = {
        name: store(*certificate(ca, name, hosts))
        for name, hosts in (("broker", f"IP:{HOST}"), ("elsewhere", "DNS:kafka.elsewhere"))
    }
    settings = server_properties(node, nodes) + more_properties(node, addresses, ca, stores)
    node.folder.mkdir(parents=True)
    (node.folder / PROPERTIES).write_text(settings)
    format_with_users(node.folder)

    async def start() -> ChildProcess:
        spec = await prepare_node(node, nodes, data / "logs", print)
        (node.folder / PROPERTIES).write_text(settings)
        child = ChildProcess(spec)
        await child.start()
        return child

    child = asyncio.run(start())
    own, other_ca = certificate(ca, "client"), authority(data / "tls", "other")
    yield Secured(addresses, ca, other_ca, own, data / "logs" / "kafka.log")
    asyncio.run(child.stop())


def store(made: Path, key: Path) -> Path:
    """Put a certificate and its key in one file, as Kafka's PEM stores are."""
    both = made.with_suffix(".store")
    both.write_text(key.read_text() + made.read_text())
    return both


def more_properties(node: KafkaNode, addresses: dict[str, str], ca: Path, stores: dict[str, Path]) -> str:
    """Return what server.properties has for the further listeners, and for rights; later lines count."""
    controller = "CONTROLLER"
    protocols = {name: "SASL_SSL" if name == "ELSEWHERE" else name for name in addresses}
    listeners = ",".join(f"{name}://{address}" for name, address in addresses.items())
    login = "org.apache.kafka.common.security"
    settings = {
        "listeners": f"{listeners},{controller}://{HOST}:{node.controller_port}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": ",".join(f"{n}:{p}" for n, p in protocols.items())
        + f",{controller}:PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": stores["broker"],
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": ca,
        "listener.name.elsewhere.ssl.keystore.type": "PEM",
        "listener.name.elsewhere.ssl.keystore.location": stores["elsewhere"],
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{USER};User:CN=client",
        "allow.everyone.if.no.acl.found": "false",
    }
    for name in ("sasl_ssl", "elsewhere", "sasl_plaintext"):
        settings[f"listener.name.{name}.scram-sha-512.sasl.jaas.config"] = (
            f"{login}.scram.ScramLoginModule required;"
        )
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def format_with_users(folder: Path) -> None:
    """Format a node's storage, with the users that SCRAM knows."""
    users = [f"SCRAM-SHA-512=[name={name},password={PASSWORD}]" for name in (USER, STRANGER, *PARTS)]
    command = [str(find_java()), "-cp", f"{kafka_libs(print)}{os.sep}*", "kafka.tools.StorageTool", "format"]
    command += ["-t", CLUSTER_ID, "-c", PROPERTIES]
    for user in users:
        command += ["--add-scram", user]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def grant(secured: Secured, user: str, rights: Iterable[Right]) -> None:
    """Give a user rights."""
    kafka = KafkaSettings(brokers=secured.addresses["PLAINTEXT"])
    for kind, name, operations in rights:
        pattern = PREFIXED if name.endswith("*") else LITERAL
        for operation in operations.split():
            asked = (
                KINDS[kind],
                name.rstrip("*"),
                pattern,
                f"User:{user}",
                "*",
                OPERATIONS[operation],
                ALLOW,
            )
            answer = await answered(kafka, functools.partial(created, asked))
            assert all(not error for error, _ in answer.creation_responses), answer


async def created(asked: tuple[Any, ...], admin: AIOKafkaAdminClient) -> Any:
    return await admin._send_request(CreateAclsRequest(*asked))


def denied(secured: Secured, user: str) -> set[str]:
    """Return what was denied to a user, as `OPERATION Topic:LITERAL:name for REQUEST`."""
    pattern = rf"User:{user} is Denied operation = (\w+) .* on resource = (\S+) for request = (\w+)"
    return {f"{o} {r} for {q}" for o, r, q in re.findall(pattern, secured.log.read_text())}
