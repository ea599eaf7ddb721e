"""`stream`: completions to metrics and success rates: by our worker, by the same job in Faust and in Quix."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

from evometrics.deploy.drain import STREAM_STAGES, Group, drain
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_METRICS, EVOLUTION_STARTED, SUCCESS_RATES
from tests.benchmarks.checks import check_stream
from tests.benchmarks.events import Events
from tests.benchmarks.figures import Round, compared
from tests.benchmarks.fill import fill_stream, filling
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack
from tests.benchmarks.times import begin_of
from tests.benchmarks.watch import Sample, TopicEnds, watched, work_span

INPUTS = (EVOLUTION_STARTED.name, EVOLUTION_COMPLETED.name)
OUTPUTS = (EVOLUTION_METRICS.name, SUCCESS_RATES.name)
PEERS = {"faust": "tests.benchmarks.peers.faust_stream", "quix": "tests.benchmarks.peers.quix_stream"}
NEEDS = {"quix": "quixstreams"}
#: What a peer needs to be there: Faust goes on without a topic that it has only just asked for.
TABLES = ("seen", "agents", "begun", "scopes")
TOPICS = {"faust": ("facts", *(f"{table}-changelog" for table in TABLES)), "quix": ("facts",)}
#: The peers get the first tenth of the events: at their speed it takes them longer than us with all of them.
PEER_SHARE = 10
#: A contender that takes longer is given up.
SECONDS = 1800


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
    """Measure one contender, from its first output to its last, and check what came out."""
    await stack.renew_topics(keep=(), more=[f"{group}-{topic}" for topic in TOPICS.get(name, ())])
    async with filling(stack.kafka) as filler:
        fill = await fill_stream(filler, events, count)
    if name in PEERS:
        argv = ["-m", PEERS[name], "--brokers", stack.kafka.brokers, "--group", group]
        argv += ["--partitions", str(stack.partitions), "--folder", str(stack.folder / group)]
        await stack.python(name, argv)
        stages: Sequence[Sequence[str]] = (INPUTS, (f"{group}-facts",))
    else:
        await stack.worker("stream", group, name)
        stages = STREAM_STAGES
    samples = await processed(stack, [name], Group(group, stages))
    await stack.end(name)
    counts = samples[-1].counts
    await check_stream(stack.kafka, events, fill, counts)
    shutil.rmtree(stack.folder / group, ignore_errors=True)
    span = work_span(samples)
    details = {"events": count, "seconds": span.seconds, "cores": span.cores}
    outputs = {"messages_per_event": {t: n / count for t, n in zip(OUTPUTS, counts, strict=True)}}
    return Round(span.events_per_s, span.cpu_us_per_event, details | outputs)


async def processed(stack: Stack, names: list[str], group: Group) -> list[Sample]:
    """Watch stream workers until all is processed and committed."""

    async with TopicEnds(stack.kafka.brokers, *OUTPUTS) as ends:
        pids = stack.pids("kafka", *names)
        done = drain(stack.kafka.brokers, [group], SECONDS)
        return await watched(ends, pids, done, lambda: stack.broken(names), lambda: stack.tails(names))
