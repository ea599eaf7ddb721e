"""Kafka nodes of the embedded stack: KRaft, loopback, broker and controller in one process each.

A cluster of three keeps three copies of everything and acknowledges a write once two have it: while one node
is unreachable it continues, and loses nothing. With two unreachable it accepts nothing until one of them is
back.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from evometrics.deploy.kafka.jars import KAFKA_FILES, Progress, kafka_libs
from evometrics.deploy.kafka.java import find_java
from evometrics.deploy.process.child import ProcessFailedError, ProcessSpec
from evometrics.deploy.process.ports import HOST, steady_ports
from evometrics.schemas.kafka.reaching import known_nodes
from evometrics.schemas.service.settings import require

CLUSTER_ID = "ZXZvbWV0cmljcy1sb2NhbA"  # base64 of 16 bytes, as Kafka requires for a cluster's id
# Only the quick compiler: for minutes after a start the other one would use as much CPU as the broker itself.
# One node may cache more; three share a machine, and idle at 3 % of a core each.
QUICK_JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError")
ONE_NODE_JVM = ("-Xms512m", "-Xmx512m", *QUICK_JVM)
CLUSTER_JVM = ("-Xms128m", "-Xmx384m", *QUICK_JVM)
PROPERTIES, LOG4J = "server.properties", "log4j2.properties"
# In the C locale the JVM can't open files below a folder whose name is not ASCII.
NAMES_AS_UTF8 = {"LC_ALL": "C.UTF-8"} if sys.platform == "linux" else {}
MESSAGE_MAX_BYTES = 2 * 1024 * 1024
START_SECONDS = 90


@dataclass(frozen=True, slots=True)
class KafkaNode:
    """One member of a cluster.

    Attributes:
        number: its id, from 1.
        port: where it listens for clients and for the other members.
        controller_port: where it listens for the controllers' quorum.
        folder: its files.
        advertised_port: the port that clients and the other members are told to use instead of `port`: that
            of a TCP proxy in front of it.
    """

    number: int
    port: int
    controller_port: int
    folder: Path
    advertised_port: int | None = None

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"{HOST}:{self.advertised_port or self.port}"

    @property
    def listener(self) -> str:
        """`host:port` on which the node itself listens."""
        return f"{HOST}:{self.port}"


def plan_nodes(folder: Path, count: int = 1) -> tuple[KafkaNode, ...]:
    """Return the members of a cluster of `count` under `folder`, on their previous ports if still free.

    Raises `SettingsError` if `folder` holds a cluster of another size: its members' logs would be left out,
    or outvoted by empty ones.
    """
    before = cluster_size(folder)
    reason = f"{folder} holds a cluster of {before}: start that many, or give another folder with --data"
    require(before in (0, count), "local_brokers", count, reason)
    numbers = range(1, count + 1)
    names = [f"{role}-{number}" for number in numbers for role in ("broker", "controller")]
    ports = steady_ports(folder / "ports.json", names)
    return tuple(
        KafkaNode(n, ports[f"broker-{n}"], ports[f"controller-{n}"], folder / f"node-{n}") for n in numbers
    )


def copies(brokers: int) -> int:
    """Return how many copies of each partition a cluster of that many brokers should keep."""
    return min(3, brokers)


def cluster_size(folder: Path) -> int:
    """Return the number of voters with which the cluster under `folder` was formed; 0 if there is none."""
    for formatted in folder.glob("node-*/log/meta.properties"):
        for line in (formatted.parents[1] / PROPERTIES).read_text().splitlines():
            name, _, value = line.partition("=")
            if name == "controller.quorum.voters":
                return len(value.split(","))
    return 0


def bootstrap(nodes: tuple[KafkaNode, ...]) -> str:
    """Return the `brokers` setting of the cluster's clients."""
    return ",".join(node.address for node in nodes)


def server_properties(node: KafkaNode, nodes: tuple[KafkaNode, ...]) -> str:
    """Return the node's server.properties: small, durable, quick to form a group, no automatic topics."""
    replication = copies(len(nodes))
    in_sync = max(1, replication - 1)
    settings = {
        "process.roles": "broker,controller",
        "node.id": node.number,
        "controller.quorum.voters": ",".join(f"{n.number}@{HOST}:{n.controller_port}" for n in nodes),
        "listeners": f"PLAINTEXT://{node.listener},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{node.address}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        # Relative to the folder it runs in: a comma would end a path here, and \ or é would be misread.
        "log.dirs": "log",
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
        # A killed broker may register again only once its old registration has expired (default 9 s).
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 500,
        # Lets a killed member be missed within seconds; the default minimum is what clients ask for anyway.
        "group.min.session.timeout.ms": 1000,
        # The group's offsets survive a stack that stays down for a while; topics set their own retention.
        "offsets.retention.minutes": 60 * 24 * 30,
        "log.retention.hours": 24 * 7,
        "log.segment.bytes": 256 * 1024 * 1024,
        "message.max.bytes": MESSAGE_MAX_BYTES,
        "replica.fetch.max.bytes": MESSAGE_MAX_BYTES,
        # The nodes of a stack end together: nobody is left to hand leadership to, and a node whose
        # controllers are gone would wait for their permission.
        "controlled.shutdown.enable": "false",
        # Every node writes and syncs each record of an idle controller (default: twice a second).
        "metadata.max.idle.interval.ms": 5000,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "group.coordinator.threads": 1,
        "num.recovery.threads.per.data.dir": 2,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


async def prepare_node(
    node: KafkaNode, nodes: tuple[KafkaNode, ...], logs: Path, progress: Progress
) -> ProcessSpec:
    """Write the node's files, format its storage if that was never done, and return how to run it.

    Raises `MissingPartError` without Java or jars, `ProcessFailedError` if formatting fails.
    """
    beside = node.folder.parent / "jars"
    java, libs = await asyncio.to_thread(
        lambda: (find_java().absolute(), kafka_libs(progress, otherwise=beside).absolute())
    )
    node.folder.mkdir(parents=True, exist_ok=True)
    (node.folder / PROPERTIES).write_text(server_properties(node, nodes))
    (node.folder / LOG4J).write_text((KAFKA_FILES / LOG4J).read_text())
    base = (str(java), "-cp", f"{libs}{os.sep}*", f"-Dlog4j2.configurationFile={LOG4J}")
    if not (node.folder / "log" / "meta.properties").exists():
        await asyncio.to_thread(format_storage, base, node.folder)
    jvm = ONE_NODE_JVM if len(nodes) == 1 else CLUSTER_JVM
    name = "kafka" if len(nodes) == 1 else f"kafka-{node.number}"

    async def ready() -> bool:
        return node.number in await registered_brokers(node.listener)

    return ProcessSpec(
        name=name,
        argv=(*base[:1], *jvm, *base[1:], "kafka.Kafka", PROPERTIES),
        log=logs / f"{name}.log",
        cwd=node.folder,
        env=NAMES_AS_UTF8,
        ready=ready,
        ready_timeout=START_SECONDS,
    )


def format_storage(base: tuple[str, ...], folder: Path) -> None:
    """Format an empty log folder in a node's folder for KRaft."""
    command = [base[0], "-XX:TieredStopAtLevel=1", *base[1:], "kafka.tools.StorageTool", "format"]
    command += ["-t", CLUSTER_ID, "-c", PROPERTIES, "--ignore-formatted"]
    environ = {**os.environ, **NAMES_AS_UTF8}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder, env=environ)
    if done.returncode != 0:
        raise ProcessFailedError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")


async def registered_brokers(address: str) -> frozenset[int]:
    """Return the ids of the brokers in service as seen by the one at `address`; empty if it does not answer.

    A KRaft broker is listed once it is registered and unfenced. One that lists itself serves clients, while
    others of its cluster may be unreachable.
    """
    return frozenset(node.nodeId for node in await known_nodes(address))
