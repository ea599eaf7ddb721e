"""What a stack is made of besides its stores: their topics and tables, and the commands of our own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from evometrics.deploy.process.child import ProcessSpec, python
from evometrics.deploy.process.ports import HOST
from evometrics.deploy.process.readiness import answers, at_work, live_at
from evometrics.deploy.stack.stackfile import StackAddresses
from evometrics.schemas.service.http import HttpSettings

START_SECONDS = 90.0
#: The part that serves the pages.
PAGES = "ui"


@dataclass(frozen=True, slots=True)
class Preparation:
    """What makes the stores of a stack ready for its workers, each as soon as its store answers.

    Attributes:
        kafka: creates the topics.
        clickhouse: creates database and tables.
    """

    kafka: Callable[[StackAddresses], Awaitable[None]]
    clickhouse: Callable[[StackAddresses], Awaitable[None]]


def worker(
    name: str,
    port: int,
    stack: StackAddresses,
    http: HttpSettings,
    flags: Sequence[str],
    env: Mapping[str, str],
) -> ProcessSpec:
    """Return a stream worker or a sink, by its name `stream-<number>` or `sink-<number>`.

    `port` is that of its health and metrics; `flags` and `env` are added to its own.
    """
    kind = name.partition("-")[0]
    argv = [*python("evometrics.deploy.cli"), kind, "--brokers", stack.brokers, "--data", str(stack.data)]
    if kind == "sink":
        argv += ["--clickhouse-url", stack.clickhouse_url]
    else:
        # The same name in the group after a restart: the worker gets its partitions back at once.
        argv += ["--instance", name]
    return ProcessSpec(
        name=name,
        argv=(*argv, *flags, "--http-port", str(port), "--http-host", HOST),
        log=stack.data / "logs" / f"{name}.log",
        env=env,
        ready=at_work(f"{served_at(http, port)}/health/ready", http.token),
        live=live_at(f"{served_at(http, port)}/health/live", http.token),
        ready_timeout=START_SECONDS,
    )


def served_at(http: HttpSettings, port: int) -> str:
    """Return where a worker serves health and metrics."""
    return f"{'https' if http.certificate else 'http'}://{HOST}:{port}"


def pages_part(port: int, stack: StackAddresses, flags: Sequence[str]) -> ProcessSpec:
    """Return the web pages; started once the stack is ready, they log in to it as any command does."""
    live = f"{stack.pages_url}health/live"
    argv = [*python("evometrics.deploy.cli"), "ui", "--data", str(stack.data), "--port", str(port)]
    argv += ["--brokers", stack.brokers, "--clickhouse-url", stack.clickhouse_url]
    return ProcessSpec(
        name=PAGES,
        argv=(*argv, *flags),
        log=stack.data / "logs" / f"{PAGES}.log",
        ready=answers(live),
        live=live_at(live),
        ready_timeout=START_SECONDS,
    )
