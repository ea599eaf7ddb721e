"""The parts under faults: brokers and ClickHouse behind proxies, workers, orchestrators; all supervised."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.kafka.broker import PROPERTIES, KafkaNode, plan_nodes, prepare_node
from evometrics.deploy.pipeline.topics import create_topics
from evometrics.deploy.process.child import ChildProcess, ProcessFailedError, ProcessSpec
from evometrics.deploy.process.ports import HOST, free_ports
from evometrics.deploy.process.readiness import answers, live_at
from evometrics.deploy.process.supervise import SupervisedPart
from evometrics.deploy.stack.disks import Reserve
from evometrics.schemas.service.disk import DiskSettings
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.sinks.migrations.migrate import migrate
from evometrics.sinks.settings import ClickHouseSettings
from tests.faults.check import keep_every_row
from tests.faults.clocks import Clocks
from tests.faults.crash import crashes_had
from tests.faults.proxy import Proxy
from tests.support.secured import ROLES, Secured, denied, environ, grant, make_tls, prepare_secured

#: Short enough that a pause outlasts it, long enough for a busy machine.
STREAM_SESSION_SECONDS = 8
PARTITIONS = 6
ROOT = Path(__file__).parents[2]


@dataclass
class Parts:
    """Everything that runs in one seed.

    Attributes:
        supervised: every part by name: kafka-1.., clickhouse, stream-1.., sink-1.., node-0..
        health: the address of each worker's health checks.
        proxies: by the name of the server they stand in front of.
        restarts: how often each part was started again after it died.
        orchestrators: by node, set while its process is to run until it is done; cleared, it is to begin anew
            where it ends.
        clickhouse_itself: ClickHouse's address behind its proxy.
        clocks: the parts' wall clocks, where they are not the machine's.
        with_rights: whether Kafka wants TLS and a login, and each kind of part has a user with the rights of
            its role.
        handing_over: whether brokers give their partitions to others before they stop, as those of a cluster
            that lasts do, unlike the stack's, which end together.
        secured: how to reach Kafka in the case of rights.
    """

    folder: Path
    brokers: int
    environment: dict[str, str]
    report: Callable[[str], None]
    clocks: Clocks | None = None
    with_rights: bool = False
    handing_over: bool = False
    kafka: KafkaSettings = field(init=False)
    clickhouse: ClickHouseSettings = field(init=False)
    clickhouse_itself: str = field(init=False)
    secured: Secured | None = None
    restarts: Counter[str] = field(default_factory=Counter)
    supervised: dict[str, SupervisedPart] = field(default_factory=dict)
    health: dict[str, str] = field(default_factory=dict)
    proxies: dict[str, Proxy] = field(default_factory=dict)
    orchestrators: dict[str, asyncio.Event] = field(default_factory=dict)

    @property
    def journals(self) -> Path:
        """Return the folder of the orchestrators: their events, journals and outboxes."""
        return self.folder / "outbox"

    @property
    def children(self) -> dict[str, ChildProcess]:
        """Return every process by its part's name."""
        return {name: part.child for name, part in self.supervised.items()}

    async def start(self, streams: int, sinks: int) -> None:
        """Start brokers, ClickHouse, topics, tables and workers."""
        self.journals.mkdir(exist_ok=True)
        await asyncio.gather(self.start_brokers(), self.start_clickhouse())
        workers = [("stream", n) for n in range(1, streams + 1)] + [("sink", n) for n in range(1, sinks + 1)]
        await asyncio.gather(*(self.start_worker(kind, number) for kind, number in workers))

    async def start_brokers(self) -> None:
        advertised = free_ports(self.brokers)
        planned = plan_nodes(self.folder / "kafka", self.brokers)
        if self.with_rights:
            return await self.start_secured(planned, advertised)
        nodes = tuple(replace(n, advertised_port=p) for n, p in zip(planned, advertised, strict=True))
        for node, port in zip(nodes, advertised, strict=True):
            self.proxies[f"kafka-{node.number}"] = proxy = Proxy(port, node.port)
            await proxy.start()
        addresses = ",".join(f"{HOST}:{port}" for port in advertised)
        self.kafka = KafkaSettings(brokers=addresses, partitions=PARTITIONS, replication=min(3, self.brokers))
        logs = self.folder / "logs"
        specs = await asyncio.gather(*(prepare_node(node, nodes, logs, self.report) for node in nodes))
        for node in nodes if self.handing_over else ():
            with (node.folder / PROPERTIES).open("a") as file:  # the later line counts
                file.write("controlled.shutdown.enable=true\n")
        await self.supervise_nodes(nodes, specs)
        await create_topics(self.kafka)
        return None

    async def start_secured(self, nodes: tuple[KafkaNode, ...], advertised: list[int]) -> None:
        """Start brokers whose clients come over TLS with a login; the brokers' own listener has no proxy."""
        inner = free_ports(self.brokers)
        tls = make_tls(self.folder / "tls")
        logs = self.folder / "logs"
        specs = []
        for node, port, public in zip(nodes, inner, advertised, strict=True):
            self.proxies[f"kafka-{node.number}"] = proxy = Proxy(public, port)
            await proxy.start()
            listeners = {"PLAINTEXT": node.address, "SASL_SSL": f"{HOST}:{port}"}
            told = {"SASL_SSL": f"{HOST}:{public}"}
            specs.append(await prepare_secured(node, nodes, listeners, tls, logs, told))
        addresses = {
            "PLAINTEXT": ",".join(node.address for node in nodes),
            "SASL_SSL": ",".join(f"{HOST}:{port}" for port in advertised),
        }
        self.secured = Secured(addresses, tls, tuple(spec.log for spec in specs))
        layout: dict[str, Any] = {"partitions": PARTITIONS, "replication": min(3, self.brokers)}
        self.kafka = KafkaSettings(**self.secured.settings(), **layout)
        await self.supervise_nodes(nodes, specs)
        await grant(self.secured, {name: role.rights for name, role in ROLES.items()})
        await create_topics(self.kafka)

    async def supervise_nodes(self, nodes: tuple[KafkaNode, ...], specs: list[ProcessSpec]) -> None:
        names = [f"kafka-{node.number}" for node in nodes]
        holds = [Reserve(node.folder, DiskSettings()).lacks for node in nodes]
        await asyncio.gather(*(self.supervise(*each) for each in zip(names, specs, holds, strict=True)))

    def denied(self) -> list[str]:
        """Return what Kafka denied to the parts' users."""
        if self.secured is None:
            return []
        return [f"{user}: {what}" for user in ROLES for what in sorted(denied(self.secured, user))]

    async def start_clickhouse(self) -> None:
        port, public = free_ports(2)
        self.proxies["clickhouse"] = proxy = Proxy(public, port)
        await proxy.start()
        self.clickhouse = ClickHouseSettings(url=f"http://{HOST}:{public}")
        self.clickhouse_itself = f"http://{HOST}:{port}"
        log = self.folder / "logs" / "clickhouse.log"
        await self.supervise("clickhouse", clickhouse_process(self.folder / "clickhouse", port, log))
        await migrate(self.clickhouse)
        await asyncio.to_thread(keep_every_row, self.clickhouse_itself)

    async def start_worker(self, kind: str, number: int) -> None:
        """Start a stream worker or a sink."""
        name = f"{kind}-{number}"
        (port,) = free_ports(1)
        argv = [sys.executable, "-m", "tests.faults.weakened", kind, "--brokers", self.kafka.brokers]
        argv += ["--data", str(self.folder / name), "--http-port", str(port)]
        if kind == "stream":
            argv += ["--instance", name, "--replication", str(self.kafka.replication)]
        else:
            argv += ["--clickhouse-url", self.clickhouse.url]
        self.health[name] = health = f"http://{HOST}:{port}/health"
        checks = {"ready": answers(f"{health}/ready"), "live": live_at(f"{health}/live")}
        await self.supervise(name, self.spec(name, argv, ready_timeout=120, **checks))

    def spec(self, name: str, argv: list[str], **more: object) -> ProcessSpec:
        environment = {
            **self.environment,
            "EVOMETRICS_STREAM_SESSION_TIMEOUT_SECONDS": str(STREAM_SESSION_SECONDS),
            "FAULTS_COUNTER": str(self.crash_counter(name)),
            "PYTHONPATH": str(ROOT),
        }
        if self.secured is not None:
            user = name.partition("-")[0]
            environment |= environ(self.secured.settings(sasl_plain_username=user, brokers=""))
        log = self.folder / "logs" / f"{name}.log"
        return ProcessSpec(name=name, argv=tuple(argv), log=log, env=environment, **more)  # type: ignore[arg-type]

    def with_clock(self, spec: ProcessSpec) -> ProcessSpec:
        """Return how a part is run that has a wall clock of its own, where this run's parts have."""
        if self.clocks is None:
            return spec
        return replace(spec, env={**spec.env, **self.clocks.environment(spec.name)})

    def crash_counter(self, name: str) -> Path:
        """Return the file that counts the planned crashes a part has had."""
        return self.folder / f"{name}.crashes"

    async def supervise(
        self, name: str, spec: ProcessSpec, hold: Callable[[], str | None] = lambda: None
    ) -> None:
        def restarted() -> None:
            self.restarts[name] += 1

        part = SupervisedPart(ChildProcess(self.with_clock(spec)), self.report, restarted, hold)
        self.supervised[name] = part
        while True:
            had = crashes_had(self.crash_counter(name))
            try:
                return await part.start()
            except ProcessFailedError:
                if crashes_had(self.crash_counter(name)) == had:
                    raise
                restarted()  # a planned crash, before it was ready

    async def orchestrate(self, nodes: list[str], rate: float) -> None:
        """Run an orchestrator per node, `rate` events a second together, until each has sent its events."""
        await asyncio.gather(*(self.orchestrator(node, rate / len(nodes)) for node in nodes))

    async def orchestrator(self, node: str, rate: float) -> None:
        """Run one orchestrator; where it is killed, start it again, as a node's own supervisor would."""

        async def at_once() -> bool:
            return True

        argv = [sys.executable, "-m", "tests.faults.weakened", "orchestrator", "--node", node]
        argv += [
            "--brokers",
            self.kafka.brokers,
            "--folder",
            str(self.folder / "outbox"),
            "--rate",
            str(rate),
        ]
        child = ChildProcess(self.with_clock(self.spec(node, argv, ready=at_once)))
        self.supervised[node] = SupervisedPart(child, self.report, lambda: None)
        self.orchestrators[node] = runs = asyncio.Event()
        while True:
            await child.start()
            runs.set()
            code = await child.wait()
            if code == 0:
                if runs.is_set():
                    return
                continue
            self.restarts[node] += 1
            self.report(f"{node} {child.describe_exit()}; it is started again")
            if code > 0:
                self.report(child.log_tail())
            await asyncio.sleep(0.5)

    async def kill(self, name: str) -> None:
        """Kill a part permanently: its supervisor does not start it again."""
        part = self.supervised[name]
        if part.child.running and part.child.pid is not None:
            os.kill(part.child.pid, signal.SIGKILL)
        await part.stop()

    async def stop(self) -> None:
        """End everything, without ceremony: what was to be stored is."""
        await asyncio.gather(*map(self.kill, self.supervised))
        for proxy in self.proxies.values():
            await proxy.stop()


def process_environment(without: str = "", crash: str = "") -> dict[str, str]:
    """Return the variables that weaken a part."""
    chosen = {"FAULTS_WITHOUT": without, "FAULTS_CRASH": crash}
    return {name: value for name, value in chosen.items() if value} | {
        name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ
    }
