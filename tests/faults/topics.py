"""Topics that change under load, with workers killed while it happens: recreated, or given more partitions.

A raw topic that is recreated loses what was not read of it. So that every row can be compared, the
nodes rest until all is read of one that the stream reads; then it is deleted, and they record while it is
missing, and after. One that the stream does not read is deleted with the nodes at work. Nobody lends a hand.

Partitions that are added are refused within a minute, with names and the way out. That way is gone to its
end, as an operator would: all topics recreated and filled from ClickHouse. Then the load continues.
"""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace

from aiokafka.admin import NewPartitions

from evometrics.deploy.pipeline.drain import ConsumerGroup, drain
from evometrics.deploy.pipeline.topics import create_topics
from evometrics.schemas.kafka.topics import answered, delete
from evometrics.schemas.topics import EVOLUTION_PROGRESSED, SCOPE_COUNTS, TOPICS
from evometrics.streams.sources.topics import EVOLUTION_TOPICS, SNAPSHOT_TOPICS, SOURCE_TOPICS
from tests.faults.disks import kill
from tests.faults.orchestrator import REST, RESTING
from tests.faults.parts import Parts

CASES = ("anew", "grown")
UNREAD = EVOLUTION_PROGRESSED
#: Seconds of load before a change, while a topic is missing, and after a change.
BEFORE, AWAY, AFTER = 4.0, 3.0, 4.0
#: How many partitions the topics get.
MORE = 12
#: By when growth must be refused by every stream worker.
REFUSED_SECONDS = 60.0
#: How long nodes and sinks may take until all that is recorded is sent and stored, and a command.
CALM_SECONDS, COMMAND_SECONDS = 120.0, 300.0
POLL_SECONDS = 0.2


async def made_anew(parts: Parts, seed: int, groups: tuple[ConsumerGroup, ConsumerGroup]) -> dict[str, float]:
    """Delete and recreate the raw topics that the stream reads, and one that it does not; kill workers.

    Returns when that last one was gone, as a Unix time by its record.
    """
    for number, topic in enumerate((*EVOLUTION_TOPICS, *SNAPSHOT_TOPICS), start=seed):
        await asyncio.sleep(BEFORE)
        await rest(parts)
        await drain(parts.kafka, groups, CALM_SECONDS)
        await delete_and_make(parts, topic, number)
    await asyncio.sleep(BEFORE)
    gone_at = await delete_and_make(parts, UNREAD.name, seed)
    await asyncio.sleep(AFTER)
    return {UNREAD.record: gone_at}


async def delete_and_make(parts: Parts, topic: str, number: int) -> float:
    """Delete a topic and kill a stream worker; let the nodes record; make the topic and kill a sink.

    Returns when it was gone, as a Unix time.
    """
    await answered(parts.kafka, lambda admin: delete(admin, [topic]))
    gone_at = time.time()
    kill(parts, one_of(parts, "stream", number))
    (parts.journals / REST).unlink(missing_ok=True)
    await asyncio.sleep(AWAY)
    await create_topics(parts.kafka)
    kill(parts, one_of(parts, "sink", number))
    return gone_at


async def rest(parts: Parts) -> None:
    """Have the nodes record nothing, and return once they have sent what they recorded."""
    for said in parts.journals.glob(f"*{RESTING}"):
        said.unlink()
    (parts.journals / REST).touch()
    nodes = [name for name in parts.children if name.startswith("node-")]
    async with asyncio.timeout(CALM_SECONDS):
        while len(list(parts.journals.glob(f"*{RESTING}"))) < len(nodes):  # noqa: ASYNC110 - processes
            await asyncio.sleep(POLL_SECONDS)


async def grown(parts: Parts, seed: int) -> float:
    """Add partitions to every topic, kill a stream worker; return the seconds until all of them refused.

    Raises `TimeoutError` where one did not within `REFUSED_SECONDS`.
    """
    await asyncio.sleep(BEFORE)
    wanted = {name: NewPartitions(MORE) for name in (*(topic.name for topic in TOPICS), SCOPE_COUNTS)}
    began = time.monotonic()
    await answered(parts.kafka, lambda admin: admin.create_partitions(wanted))
    kill(parts, one_of(parts, "stream", seed))
    async with asyncio.timeout(REFUSED_SECONDS):
        for name in workers(parts, "stream"):
            while not refused(await asyncio.to_thread(readiness, parts.health[name])):  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
    seconds = time.monotonic() - began
    await asyncio.sleep(AFTER)
    return seconds


def refused(words: str) -> bool:
    """Return whether a worker says which topics have grown, and the way out."""
    named = all(f"{topic} has {MORE}" in words for topic in SOURCE_TOPICS)
    return named and "evometrics topics --anew" in words and "evometrics republish" in words


def readiness(health: str) -> str:
    """Return what a worker says of its readiness; nothing where it does not answer."""
    try:
        with urllib.request.urlopen(f"{health}/ready", timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError:
        return ""


async def renewed(parts: Parts, seed: int, sink: ConsumerGroup) -> float:
    """Recreate all topics with more partitions and fill them while the nodes rest; kill workers.

    Returns when all there was in the old ones was stored, as a Unix time.
    """
    await drain(parts.kafka, [sink], CALM_SECONDS)
    stored = time.time()
    parts.kafka = replace(parts.kafka, partitions=MORE)
    brokers = ("--brokers", parts.kafka.brokers)
    both = asyncio.create_task(command("topics", *brokers, "--anew", "--partitions", str(MORE)))
    await asyncio.sleep(1)
    kill(parts, one_of(parts, "sink", seed))
    await both
    both = asyncio.create_task(command("republish", *brokers, "--clickhouse-url", parts.clickhouse.url))
    await asyncio.sleep(2)
    kill(parts, one_of(parts, "stream", seed + 1))
    kill(parts, one_of(parts, "sink", seed + 1))
    await both
    return stored


async def command(*words: str) -> None:
    """Carry out an `evometrics` command. Raises `RuntimeError` with what it said where it fails."""
    argv = [sys.executable, "-P", "-m", "evometrics.deploy.cli", *words]
    child = await asyncio.create_subprocess_exec(*argv, stdout=-1, stderr=asyncio.subprocess.STDOUT)
    try:
        said, _ = await asyncio.wait_for(child.communicate(), COMMAND_SECONDS)
    finally:
        if child.returncode is None:
            child.kill()
    if child.returncode:
        raise RuntimeError(f"evometrics {' '.join(words)} ended with {child.returncode}: {said.decode()}")


def workers(parts: Parts, kind: str) -> list[str]:
    return sorted(name for name in parts.children if name.startswith(f"{kind}-"))


def one_of(parts: Parts, kind: str, number: int) -> str:
    """Return a worker's name, another one for the next number."""
    names = workers(parts, kind)
    return names[number % len(names)]
