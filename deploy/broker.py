"""Kafka nodes of the embedded stack: KRaft, loopback, broker and controller in one process each."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from evometrics.deploy.jars import KAFKA_FILES, Progress, kafka_libs
from evometrics.deploy.java import find_java
from evometrics.deploy.ports import HOST, steady_ports
from evometrics.deploy.process import ProcessFailedError, ProcessSpec

CLUSTER_ID = "ZXZvbWV0cmljcy1sb2NhbA"  # base64 of 16 bytes, as Kafka wants a cluster's id
HEAP = "512m"
MESSAGE_MAX_BYTES = 2 * 1024 * 1024
START_SECONDS = 90


@dataclass(frozen=True, slots=True)
class KafkaNode:
    """One member of a cluster: its number, the ports it listens on and its folder."""

    number: int
    port: int
    controller_port: int
    folder: Path

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"{HOST}:{self.port}"


def plan_nodes(folder: Path, count: int = 1) -> tuple[KafkaNode, ...]:
    """The members of a cluster of `count` under `folder`, on the ports they had before where still free."""
    numbers = range(1, count + 1)
    names = [f"{role}-{number}" for number in numbers for role in ("broker", "controller")]
    ports = steady_ports(folder / "ports.json", names)
    return tuple(
        KafkaNode(n, ports[f"broker-{n}"], ports[f"controller-{n}"], folder / f"node-{n}") for n in numbers
    )


def bootstrap(nodes: tuple[KafkaNode, ...]) -> str:
    """The `brokers` setting of the cluster's clients."""
    return ",".join(node.address for node in nodes)


def server_properties(node: KafkaNode, nodes: tuple[KafkaNode, ...]) -> str:
    """The node's server.properties: small, durable, quick to form a group, no topics made by accident."""
    replication = min(3, len(nodes))
    in_sync = max(1, replication - 1)
    settings = {
        "process.roles": "broker,controller",
        "node.id": node.number,
        "controller.quorum.voters": ",".join(f"{n.number}@{HOST}:{n.controller_port}" for n in nodes),
        "listeners": f"PLAINTEXT://{node.address},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{node.address}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": node.folder / "log",
        "auto.create.topics.enable": "false",
        "default.replication.factor": replication,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replication,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": replication,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": replication,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 4,
        "group.initial.rebalance.delay.ms": 0,
        # A killed broker may register again only once its old registration has run out (default 9 s).
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 500,
        # Lets a killed member be missed in seconds; the default floor is what clients ask for anyway.
        "group.min.session.timeout.ms": 1000,
        # The group's offsets outlive a stack that stays down for a while; topics set their own retention.
        "offsets.retention.minutes": 60 * 24 * 30,
        "log.retention.hours": 24 * 7,
        "log.segment.bytes": 256 * 1024 * 1024,
        "message.max.bytes": MESSAGE_MAX_BYTES,
        "replica.fetch.max.bytes": MESSAGE_MAX_BYTES,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


async def prepare_node(
    node: KafkaNode, nodes: tuple[KafkaNode, ...], logs: Path, progress: Progress
) -> ProcessSpec:
    """Write the node's files, format its storage if that was never done, and say how to run it.

    Raises `MissingPartError` without Java or jars, `ProcessFailedError` where formatting fails.
    """
    java, libs = await asyncio.to_thread(lambda: (find_java(), kafka_libs(progress)))
    node.folder.mkdir(parents=True, exist_ok=True)
    properties = node.folder / "server.properties"
    properties.write_text(server_properties(node, nodes))
    log4j = node.folder / "log4j2.properties"
    log4j.write_text((KAFKA_FILES / "log4j2.properties").read_text())
    base = (str(java), "-cp", f"{libs}{os.sep}*", f"-Dlog4j2.configurationFile={log4j}")
    if not (node.folder / "log" / "meta.properties").exists():
        await asyncio.to_thread(format_storage, base, properties)
    memory = (f"-Xms{HEAP}", f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError")
    name = "kafka" if len(nodes) == 1 else f"kafka-{node.number}"

    async def ready() -> bool:
        return await brokers_registered(node.address) == len(nodes)

    return ProcessSpec(
        name=name,
        argv=(*base[:1], *memory, *base[1:], "kafka.Kafka", str(properties)),
        log=logs / f"{name}.log",
        ready=ready,
        ready_timeout=START_SECONDS,
        grace=30,
    )


def format_storage(base: tuple[str, ...], properties: Path) -> None:
    """Prepare an empty log folder for KRaft."""
    command = [base[0], "-XX:TieredStopAtLevel=1", *base[1:], "kafka.tools.StorageTool", "format"]
    command += ["-t", CLUSTER_ID, "-c", str(properties), "--ignore-formatted"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise ProcessFailedError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")


async def brokers_registered(address: str) -> int:
    """How many brokers a metadata answer of the one at `address` lists; 0 while it gives none.

    A KRaft broker is listed once it is registered and unfenced, so a full count means the cluster serves.
    """
    host, _, port = address.rpartition(":")
    try:
        # The Kafka client logs an error for each attempt at a port where nobody listens yet.
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), timeout=5)
        writer.close()
        admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=5000)
        try:
            await admin.start()
            cluster = await admin.describe_cluster()
        finally:
            await admin.close()
    except (OSError, KafkaError, TimeoutError):
        return 0
    return len(cluster["brokers"])
