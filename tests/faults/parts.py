"""The parts under faults: brokers and ClickHouse behind proxies, workers, orchestrators; all supervised."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from evometrics.deploy.broker import plan_nodes, prepare_node
from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.ports import HOST, free_ports
from evometrics.deploy.process import ChildProcess, ProcessSpec
from evometrics.deploy.readiness import answers
from evometrics.deploy.supervise import SupervisedPart
from evometrics.deploy.topics import create_topics
from evometrics.schemas.settings import KafkaSettings
from evometrics.sinks.migrate import migrate
from evometrics.sinks.settings import ClickHouseSettings
from tests.faults.proxy import Proxy
from tests.generator import Load

#: Short enough that a pause outlasts it, long enough for a busy machine.
STREAM_SESSION_SECONDS = 8
PARTITIONS = 6
ROOT = Path(__file__).parents[2]


@dataclass
class Parts:
    """Everything that runs in one seed.

    Attributes:
        children: every process by name: kafka-1.., clickhouse, stream-1.., sink-1.., node-0..
        proxies: by the name of the server they stand in front of.
    """

    folder: Path
    brokers: int
    streams: int
    sinks: int
    environment: dict[str, str]
    report: Callable[[str], None]
    kafka: KafkaSettings = field(init=False)
    clickhouse: ClickHouseSettings = field(init=False)
    supervised: dict[str, SupervisedPart] = field(default_factory=dict)
    proxies: dict[str, Proxy] = field(default_factory=dict)

    @property
    def children(self) -> dict[str, ChildProcess]:
        return {name: part.child for name, part in self.supervised.items()}

    async def start(self) -> None:
        """Start brokers, ClickHouse, topics, tables and workers."""
        await asyncio.gather(self.start_brokers(), self.start_clickhouse())
        await create_topics(self.kafka)
        await migrate(self.clickhouse)
        workers = [("stream", n) for n in range(1, self.streams + 1)]
        workers += [("sink", n) for n in range(1, self.sinks + 1)]
        await asyncio.gather(*(self.start_worker(kind, number) for kind, number in workers))

    async def start_brokers(self) -> None:
        advertised = free_ports(self.brokers)
        planned = plan_nodes(self.folder / "kafka", self.brokers)
        nodes = tuple(replace(n, advertised_port=p) for n, p in zip(planned, advertised, strict=True))
        for node, port in zip(nodes, advertised, strict=True):
            self.proxies[f"kafka-{node.number}"] = proxy = Proxy(port, node.port)
            await proxy.start()
        addresses = ",".join(f"{HOST}:{port}" for port in advertised)
        self.kafka = KafkaSettings(brokers=addresses, partitions=PARTITIONS, replication=min(3, self.brokers))
        specs = [await prepare_node(node, nodes, self.folder / "logs", self.report) for node in nodes]
        names = [f"kafka-{node.number}" for node in nodes]
        await asyncio.gather(*(self.supervise(n, s) for n, s in zip(names, specs, strict=True)))

    async def start_clickhouse(self) -> None:
        port, public = free_ports(2)
        self.proxies["clickhouse"] = proxy = Proxy(public, port)
        await proxy.start()
        self.clickhouse = ClickHouseSettings(url=f"http://{HOST}:{public}")
        log = self.folder / "logs" / "clickhouse.log"
        await self.supervise("clickhouse", clickhouse_process(self.folder / "clickhouse", port, log))

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
        ready = answers(f"http://{HOST}:{port}/health/ready")
        await self.supervise(name, self.spec(name, argv, ready_timeout=120, ready=ready))

    def spec(self, name: str, argv: list[str], **more: object) -> ProcessSpec:
        environment = {
            **self.environment,
            "EVOMETRICS_STREAM_SESSION_TIMEOUT_SECONDS": str(STREAM_SESSION_SECONDS),
            "EVOMETRICS_FAULTS_MARK": str(self.folder / f"{name}.crashed"),
            "PYTHONPATH": str(ROOT),
        }
        log = self.folder / "logs" / f"{name}.log"
        return ProcessSpec(name=name, argv=tuple(argv), log=log, env=environment, **more)  # type: ignore[arg-type]

    async def supervise(self, name: str, spec: ProcessSpec) -> None:
        part = SupervisedPart(ChildProcess(spec), self.report, lambda: None)
        self.supervised[name] = part
        await part.start()

    async def orchestrate(self, load: Load, rate: float) -> list[dict[str, object]]:
        """Run one orchestrator per node until each has recorded and sent its events; return their reports."""
        (self.folder / "outbox").mkdir(exist_ok=True)
        return await asyncio.gather(
            *(self.orchestrator(f"node-{n}", load, rate / load.nodes) for n in range(load.nodes))
        )

    async def orchestrator(self, node: str, load: Load, rate: float) -> dict[str, object]:
        """Run one orchestrator; where it is killed, start it again, as a node's own supervisor would."""

        async def at_once() -> bool:
            return True

        argv = [sys.executable, "-m", "tests.faults.weakened", "orchestrator", "--node", node]
        argv += ["--brokers", self.kafka.brokers, "--folder", str(self.folder / "outbox")]
        argv += ["--load", json.dumps(asdict(load)), "--rate", str(rate)]
        child = ChildProcess(self.spec(node, argv, ready=at_once))
        self.supervised[node] = SupervisedPart(child, self.report, lambda: None)
        while True:
            await child.start()
            code = await child.wait()
            if code == 0:
                break
            self.report(f"{node} {child.describe_exit()}; it is started again")
            if code > 0:
                self.report(child.log_tail())
            await asyncio.sleep(0.5)
        last = child.log_tail(lines=1)
        found: dict[str, object] = json.loads(last)
        return found

    async def stop(self) -> None:
        """End everything."""
        names = ["node", "stream", "sink", "clickhouse", "kafka"]
        for kind in names:
            parts = [part for name, part in self.supervised.items() if name.startswith(kind)]
            await asyncio.gather(*(part.stop() for part in parts))
        for proxy in self.proxies.values():
            await proxy.stop()


def process_environment(without: str = "", crash: str = "") -> dict[str, str]:
    """Return the variables that weaken a part."""
    chosen = {"EVOMETRICS_FAULTS_WITHOUT": without, "EVOMETRICS_FAULTS_CRASH": crash}
    return {name: value for name, value in chosen.items() if value} | {
        name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ
    }
