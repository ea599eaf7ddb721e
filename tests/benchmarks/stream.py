"""`stream`: completions to metrics and success rates: by our worker, by the same job in Faust and in Quix."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from evometrics.deploy.pipeline.drain import STREAM_STAGES, ConsumerGroup, drain
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_METRICS, EVOLUTION_STARTED, SUCCESS_RATES
from tests.benchmarks.checks import check_stream
from tests.benchmarks.events import Events
from tests.benchmarks.figures import Round, compared
from tests.benchmarks.fill import StreamFill, fill_stream, filling
from tests.benchmarks.peers.job import SESSION_SECONDS
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack
from tests.benchmarks.times import begin_of
from tests.benchmarks.watch import Sample, TopicEnds, cpu_seconds, watched, whole_span

INPUTS = (EVOLUTION_STARTED.name, EVOLUTION_COMPLETED.name)
OUTPUTS = (EVOLUTION_METRICS.name, SUCCESS_RATES.name)
PEERS = {"faust": "tests.benchmarks.peers.faust_stream", "quix": "tests.benchmarks.peers.quix_stream"}
NEEDS = {"quix": "quixstreams"}
#: What a peer needs to be there: Faust continues without a topic that it has only just asked for.
TABLES = ("seen", "agents", "begun", "scopes")
TOPICS = {"faust": ("facts", *(f"{table}-changelog" for table in TABLES)), "quix": ("facts",)}
#: The peers get the first tenth of the events: at their speed it takes them longer than us with all of them.
PEER_SHARE = 10
#: A contender that takes longer is given up.
SECONDS = 1800
JOIN_SECONDS = 120
#: After a group is formed: tables are there and streams run by then.
SETTLED_SECONDS = 5.0
#: The group keeps workers that stand still while the topics are filled.
PATIENT = {"EVOMETRICS_STREAM_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS)}


async def run(settings: Settings) -> dict[str, Any]:
    """Measure all contenders in turn, each on topics that were filled before it starts."""
    count, rounds = settings.sized(events=400_000, quick_events=20_000)
    events = Events(settings.seed, settings.agents, begin_of(count))
    measured: dict[str, list[Round]] = {name: [] for name in ("evometrics", *PEERS)}
    async with Stack(settings.folder, with_clickhouse=False) as stack:
        for number in range(1, rounds + 1):
            for name, found in measured.items():
                share = count // PEER_SHARE if name in PEERS else count
                found.append(await one(stack, events, share, name, f"{name}-{number}"))
                rate = found[-1].events_per_s
                say(f"stream, round {number}: {name} {rate:,.0f} events/s, output as it must be")
    return compared("evometrics", measured, events=count, agents=settings.agents, partitions=stack.partitions)


async def one(stack: Stack, events: Events, count: int, name: str, group: str) -> Round:
    """Measure one contender and check what came out."""
    await stack.renew_topics(keep=(), more=[f"{group}-{topic}" for topic in TOPICS.get(name, ())])
    if name in PEERS:
        argv = ["-m", PEERS[name], "--brokers", stack.kafka.brokers, "--group", group]
        argv += ["--partitions", str(stack.partitions), "--folder", str(stack.folder / group)]
        await stack.python(name, argv)
        stages: Sequence[Sequence[str]] = (INPUTS, (f"{group}-facts",))
    else:
        await stack.worker("stream", group, name, **PATIENT)
        stages = STREAM_STAGES
    _, samples = await worked(stack, [name], ConsumerGroup(group, stages), events, count)
    await stack.end(name)
    shutil.rmtree(stack.folder / group, ignore_errors=True)
    span, counts = whole_span(samples), samples[-1].counts
    details = {"events": count, "seconds": span.seconds, "cores": span.cores}
    outputs = {"messages_per_event": {t: n / count for t, n in zip(OUTPUTS, counts, strict=True)}}
    return Round(span.events_per_s, span.cpu_us_per_event, details | outputs)


async def worked(
    stack: Stack, names: list[str], group: ConsumerGroup, events: Events, count: int
) -> tuple[StreamFill, list[Sample]]:
    """Fill the topics, have stream workers process them, and check what came out.

    The workers have started and share the partitions before there is anything to do, and stand still while
    the topics are filled: time and processor use count from when they resume, the first sample, and all that
    follows is work. Otherwise what a worker computes before its first output would be left out, or its
    start-up would not; and a second worker that joins in the midst of the work has some of it done twice.
    """
    await settled(stack, group.name, len(names))
    stack.signal(names, signal.SIGSTOP)
    async with filling(stack.kafka) as filler:
        fill = await fill_stream(filler, events, count)
    pids = stack.pids("kafka", *names)
    async with TopicEnds(stack.kafka.brokers, *OUTPUTS) as ends:
        begin = Sample(time.monotonic(), await ends(), cpu_seconds(pids))
        stack.signal(names, signal.SIGCONT)
        done = drain(stack.kafka, [group], SECONDS)
        broken, tails = partial(stack.broken, names), partial(stack.tails, names)
        samples = [begin, *await watched(ends, pids, done, broken, tails)]
    await check_stream(stack.kafka, events, fill, samples[-1].counts)
    return fill, samples


async def settled(stack: Stack, group: str, members: int) -> None:
    """Return a while after all of a group's members share the partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka.brokers)
    await admin.start()
    try:
        async with asyncio.timeout(JOIN_SECONDS):
            while True:
                # a broker that has just started has no coordinator yet
                with suppress(KafkaError):
                    (answer,) = await admin.describe_consumer_groups([group])
                    _, _, state, _, _, joined, *_ = answer.groups[0]
                    if state == "Stable" and len(joined) == members:
                        break
                await asyncio.sleep(0.2)
    finally:
        await admin.close()
    await asyncio.sleep(SETTLED_SECONDS)
