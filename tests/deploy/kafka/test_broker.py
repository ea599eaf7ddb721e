"""A Kafka node of the embedded stack."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from evometrics.deploy.kafka.broker import KafkaNode, bootstrap, plan_nodes, prepare_node, server_properties
from evometrics.deploy.process.child import ChildProcess


async def create_topic(brokers: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 2, 1)])
    finally:
        await admin.close()


async def send(brokers: str, topic: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers, enable_idempotence=True, acks="all", max_request_size=2 * 1024 * 1024
    )
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def read_all(brokers: str, topic: str, number: int = 0) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(topic, number)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        values: list[bytes] = []
        while await consumer.position(partition) < end:
            fetched = await consumer.getmany(partition, timeout_ms=1000)
            values += [record.value for record in fetched.get(partition, [])]
        return values
    finally:
        await consumer.stop()


async def committed(brokers: str, group: str, topic: str, offset: int | None = None) -> int | None:
    """Commit an offset for the group where one is given; what is committed."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        if offset is not None:
            await consumer.commit({partition: offset})
        return await consumer.committed(partition)
    finally:
        await consumer.stop()


async def test_a_killed_broker_comes_back_on_its_port_with_its_data(tmp_path: Path) -> None:
    nodes = plan_nodes(tmp_path / "kafka")
    brokers = bootstrap(nodes)
    child = ChildProcess(await prepare_node(nodes[0], nodes, tmp_path / "logs", print))
    await child.start()
    try:
        await create_topic(brokers, "kept")
        values = [f"value {n}".encode() for n in range(100)]
        await send(brokers, "kept", values)
        assert await committed(brokers, "group", "kept", offset=60) == 60
        child.kill()
        await child.start()
        assert await read_all(brokers, "kept") == values
        assert await committed(brokers, "group", "kept") == 60
        await send(brokers, "kept", [b"after"])
        assert (await read_all(brokers, "kept"))[100:] == [b"after"]
    finally:
        await child.stop()
    log = (tmp_path / "logs" / "kafka.log").read_text()
    assert "Kafka Server started" in log
    # A later run prepares the same node again, formats nothing, and finds the topic.
    again = plan_nodes(tmp_path / "kafka")
    child = ChildProcess(await prepare_node(again[0], again, tmp_path / "logs", print))
    await child.start()
    try:
        assert len(await read_all(bootstrap(again), "kept")) == 101
    finally:
        await child.stop()


async def test_topics_are_made_by_intention_only(kafka: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, request_timeout_ms=2000)
    await producer.start()
    try:
        with pytest.raises((UnknownTopicOrPartitionError, KafkaError)):
            await producer.send_and_wait("broker_nobody_made_this", b"x")
    finally:
        await producer.stop()


async def test_messages_of_more_than_a_mebibyte_fit(kafka: str) -> None:
    await create_topic(kafka, "broker_large")
    large = bytes(1_900_000)
    await send(kafka, "broker_large", [large])
    assert await read_all(kafka, "broker_large") == [large]


def test_a_node_behind_a_proxy_says_so(tmp_path: Path) -> None:
    (node,) = (KafkaNode(1, 9001, 9101, tmp_path, advertised_port=9201),)
    properties = dict(line.split("=", 1) for line in server_properties(node, (node,)).splitlines())
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:9001,CONTROLLER://127.0.0.1:9101"
    assert properties["advertised.listeners"] == f"PLAINTEXT://{bootstrap((node,))}"
    assert bootstrap((node,)) == "127.0.0.1:9201"


def test_a_cluster_is_a_matter_of_its_nodes(tmp_path: Path) -> None:
    nodes = tuple(KafkaNode(n, 9000 + n, 9100 + n, tmp_path / str(n)) for n in (1, 2, 3))
    properties = dict(line.split("=", 1) for line in server_properties(nodes[1], nodes).splitlines())
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:9101,2@127.0.0.1:9102,3@127.0.0.1:9103"
    assert (properties["default.replication.factor"], properties["min.insync.replicas"]) == ("3", "2")
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:9002,CONTROLLER://127.0.0.1:9102"
