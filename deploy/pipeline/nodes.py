"""Orchestrator nodes of the demo, each a process of its own, watched by its JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evometrics.deploy.process.child import python, tie_to_parent
from evometrics.deploy.terminal import tell
from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.service.http import HttpSettings
from evometrics.schemas.service.logs import LogSettings
from evometrics.schemas.service.settings import FROM_FILE, KafkaSettings, variable_of
from evometrics.schemas.service.tasks import end_tasks

log = logging.getLogger(__name__)

#: How long a node may take to end: it waits for its outbox to be sent, up to its `stop_timeout`.
END_SECONDS = 30.0
#: Maximum length of a line of its output, bytes.
LONGEST_LINE = 2**24


class NodeFailed(EvometricsError, RuntimeError):
    """An orchestrator process ended without its report; the message ends with its last output."""


@dataclass(frozen=True, slots=True)
class NodePlan:
    """The work of one node: number of agents and evolutions, seed.

    Attributes:
        http: where it serves metrics and health; None: not at all.
        logs: how it logs on this process's standard error; None: it keeps its log to itself, unless it fails.
    """

    node_id: str
    agents: int
    evolutions: int
    seed: int
    http: HttpSettings | None = None
    logs: LogSettings | None = None


@dataclass(frozen=True, slots=True)
class NodeResult:
    """The result of one node.

    Attributes:
        recorded: events that its collector accepted, by topic.
        waiting: events that the broker does not have: they are in the node's outbox.
        report: the night's report: evolutions, succeeded, rolled_back, failed, retired, agents, seconds.
    """

    node_id: str
    recorded: dict[str, int]
    waiting: int
    report: dict[str, Any]


def share(total: int, parts: int) -> list[int]:
    """Split a number into parts that differ by at most 1."""
    return [total // parts + (number < total % parts) for number in range(parts)]


async def run_nodes(
    plans: list[NodePlan],
    kafka: KafkaSettings,
    data: str,
    *,
    on_evolution: Callable[[dict[str, Any]], None] | None = None,
    echo_json: bool = False,
) -> list[NodeResult]:
    """Run all nodes concurrently until they are done; if one fails, end the others.

    Raises `NodeFailed`.
    """
    tasks = [asyncio.create_task(run_node(p, kafka, data, on_evolution, echo_json)) for p in plans]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await end_tasks(tasks)


async def run_node(
    plan: NodePlan,
    kafka: KafkaSettings,
    data: str,
    on_evolution: Callable[[dict[str, Any]], None] | None,
    echo_json: bool,
) -> NodeResult:
    """Run one node; on cancellation ask it to end and wait for it."""
    arguments = {
        "--node-id": plan.node_id,
        "--agents": plan.agents,
        "--evolutions": plan.evolutions,
        "--seed": plan.seed,
        "--brokers": kafka.brokers,
        "--outbox-dir": f"{data}/outbox/{plan.node_id}",
    }
    if plan.http is not None and plan.http.port is not None:
        arguments["--http-port"] = plan.http.port
    process = await asyncio.create_subprocess_exec(
        *(*tie_to_parent(), *python("evometrics.producers.demo"), "--json-progress"),
        *(str(part) for pair in arguments.items() for part in pair),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE if plan.logs is None else None,
        limit=LONGEST_LINE,
        # not as flags: anybody on the machine may read those
        env=environ_of(kafka, {"log": plan.logs, "http": plan.http}),
        # Ctrl-C reaches only us; we end the node cleanly
        start_new_session=True,
    )
    assert process.stdout is not None
    said = asyncio.create_task(last_words(process.stderr))
    done: dict[str, Any] | None = None
    try:
        async for line in process.stdout:
            message = progress(line)
            if message is None:  # a library's output
                tell(line.decode(errors="replace").rstrip())
                continue
            if echo_json:
                print(line.decode().rstrip(), flush=True)
            if message["event"] == "done":
                done = message
            elif on_evolution is not None:
                on_evolution(message)
        code = await process.wait()
    finally:
        for line in (await end(process)).splitlines():
            if (message := progress(line)) is not None and message["event"] == "done":
                done = message
        if done is not None and done["waiting"]:
            log.warning(
                "%d events of node %s were not delivered (%s): they wait in %s/outbox/%s, for the next start "
                "under that name and on that folder",
                done["waiting"],
                plan.node_id,
                done["problem"] or "its time was up",
                data,
                plan.node_id,
            )
    if code != 0 or done is None:
        raise NodeFailed(f"orchestrator {plan.node_id} ended with exit code {code}:\n{await said}")
    await said
    return NodeResult(plan.node_id, done["recorded"], done["waiting"], done["report"])


def environ_of(kafka: KafkaSettings, sections: Mapping[str, Any]) -> dict[str, str]:
    """Return a node's environment: this process's, how it reaches Kafka and registry, other sections."""
    environ = dict(os.environ)
    prefixes = ("security_", "ssl_", "sasl_", "registry_")
    secured = [field.name for field in dataclasses.fields(kafka) if field.name.startswith(prefixes)]
    given = [(variable_of("kafka", name), getattr(kafka, name)) for name in secured]
    for section, settings in sections.items():
        fields = dataclasses.asdict(settings) if settings is not None else {}
        given += [(variable_of(section, name), each) for name, each in fields.items() if each is not None]
    for variable, value in given:
        environ.pop(variable + FROM_FILE, None)
        environ[variable] = str(value)
    return environ


def progress(line: bytes) -> dict[str, Any] | None:
    """Return a node's progress report in a line of its output; None if the line is something else."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and "event" in message else None


async def end(process: asyncio.subprocess.Process) -> bytes:
    """Ask a node to end, and wait until it has; kill it if it exceeds its time. Returns its last output."""
    rest = b""
    if process.returncode is not None:
        return rest
    assert process.stdout is not None
    process.terminate()
    try:
        async with asyncio.timeout(END_SECONDS):
            rest = await process.stdout.read()  # a process whose output nobody reads would block on it
            await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return rest


async def last_words(stream: asyncio.StreamReader | None, lines: int = 15) -> str:
    """Read a stream to its end and return its last lines; without one, say where they are."""
    if stream is None:
        return "its log says why"
    kept: list[str] = []
    async for line in stream:
        kept = [*kept[-(lines - 1) :], line.decode(errors="replace").rstrip()]
    return "\n".join(kept)
