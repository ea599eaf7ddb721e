"""Kafka's classes as a JVM keeps them in memory, in a file: a node starts with half the processor time.

The tests start a few dozen nodes. The file is made once on a machine, by a node that is started, used and
ended for it, and lies beside the jars; a JVM that can't use it does without.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from evometrics.deploy.kafka.broker import bootstrap, plan_nodes, prepare_node
from evometrics.deploy.kafka.jars import cache_folder, exclusive, kafka_libs
from evometrics.deploy.kafka.java import MissingPartError, find_java
from evometrics.deploy.pipeline.topics import create_topics
from evometrics.deploy.process.child import ChildProcess, ProcessFailedError
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import EVOLUTION_COMPLETED

#: Every JVM reads its options from here, whoever starts it.
OPTIONS = "JAVA_TOOL_OPTIONS"
#: Writing the file takes a node that ends its time.
END_SECONDS = 90


def use_class_archive() -> None:
    """Have this process's children start Kafka from the file; make it where it is missing."""
    with suppress(MissingPartError):  # the tests that need what is missing say so
        archive = archive_of(find_java(), kafka_libs(print))
        archive.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(archive.with_suffix(".lock")):
            if not archive.exists():
                asyncio.run(make(archive))
        if archive.exists():
            os.environ[OPTIONS] = f"{os.environ.get(OPTIONS, '')} -XX:SharedArchiveFile={archive}".strip()


def archive_of(java: Path, libs: Path) -> Path:
    """Return where the file lies of a JVM and jars: it serves these alone."""
    version = subprocess.run([java, "-version"], capture_output=True, timeout=30, check=True).stderr
    jars = sorted((jar.name, jar.stat().st_mtime_ns) for jar in libs.glob("*.jar"))
    made_of = repr((str(java.resolve()), version, str(libs), jars))
    return cache_folder() / f"kafka-classes-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.jsa"


async def make(archive: Path) -> None:
    """Run a node, use it a little, and have it write the classes that it loaded."""
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=f"{archive.stem}-") as scratch:
        folder = Path(scratch)
        nodes = plan_nodes(folder / "kafka")
        spec = await prepare_node(nodes[0], nodes, folder, print)
        java, *arguments = spec.argv
        written = folder / archive.name
        argv = (java, f"-XX:ArchiveClassesAtExit={written}", *arguments)
        node = ChildProcess(replace(spec, argv=argv, grace=END_SECONDS))
        try:
            await node.start()
            await use(bootstrap(nodes))
        except (ProcessFailedError, KafkaError) as error:
            print(f"Kafka starts without a file of its classes: {error}")
        finally:
            await node.stop()
        if written.exists():
            written.rename(archive)


async def use(brokers: str) -> None:
    """Make topics, send a message and read it as a group's member."""
    await create_topics(KafkaSettings(brokers=brokers, partitions=1))
    producer = AIOKafkaProducer(bootstrap_servers=brokers, enable_idempotence=True)
    await producer.start()
    await producer.send_and_wait(EVOLUTION_COMPLETED.name, b"x", key=b"x")
    await producer.stop()
    consumer = AIOKafkaConsumer(
        EVOLUTION_COMPLETED.name, bootstrap_servers=brokers, group_id="x", auto_offset_reset="earliest"
    )
    await consumer.start()
    await consumer.getone()
    await consumer.commit()
    await consumer.stop()
