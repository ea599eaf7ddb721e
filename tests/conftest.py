"""Real parts for the tests: a Kafka node, a cluster of three, a ClickHouse front; each serves many tests."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.kafka.broker import KafkaNode, bootstrap, plan_nodes, prepare_node
from evometrics.deploy.kafka.jars import cache_folder, writable
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import free_ports
from evometrics.schemas.service.health import stacks
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.java_classes import use_class_archive
from tests.support.migrated import TO_COPY, copied, migrated_in
from tests.support.registry.server import RegistryServer

#: Seconds before the end of a test that hangs (`faulthandler_timeout`) in which to look at it.
LOOK_SECONDS = 20.0


@dataclass(frozen=True)
class KafkaCluster:
    """A running cluster: its bootstrap string, and the process of each node by the node's number, from 1."""

    brokers: str
    children: dict[int, ChildProcess]


#: Files that take half a minute or more, most with whole pipelines: begun first, so that none is the last.
LONG = (
    "tests/faults/",
    "tests/deploy/grafana/test_queries",
    "tests/deploy/history/test_import",
    "tests/deploy/stack/test_backup",
    "tests/deploy/stack/test_secured",
    "tests/deploy/commands/test_dead_letters",
    "tests/deploy/commands/test_replay",
    "tests/deploy/commands/test_republish",
    "tests/deploy/ui/test_browser",
    "tests/producers/demo/test_demo",
    "tests/streams/worker/",
    "tests/test_code",
    "tests/test_first_contact",
    "tests/test_pipeline",
    "tests/test_plain",
)


def pytest_configure(config: pytest.Config) -> None:
    """Make starts cheap where several processes run the tests: dozens of nodes, hundreds of commands."""
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # as a shell starts a job in the background; programs that the tests start would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not writable(
        cache_folder()
    ):  # as in a home that is read-only: what tests fetch and build is kept here
        os.environ["XDG_CACHE_HOME"] = str(Path(tempfile.gettempdir()) / f"evometrics-tests-{os.getuid()}")
    if getattr(config.option, "numprocesses", None):
        use_class_archive()
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each command would compile the package anew
        config.option.loadscopereorder = False  # files are taken in the order of the tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the long files first."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture(autouse=True)
def what_hangs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Show what the tasks of all event loops await, where a test is about to be ended because it hangs."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None

    def show() -> None:
        loops = [each for each in gc.get_objects() if isinstance(each, asyncio.AbstractEventLoop)]
        with capture.global_and_fixture_disabled():
            for loop in loops:
                if loop.is_running():
                    print(f"{request.node.nodeid} hangs:\n{stacks(loop)}", file=sys.stderr)

    timer = threading.Timer(float(request.config.getini("faulthandler_timeout")) - LOOK_SECONDS, show)
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Set the levels and switches of loggers back, which parts that run in this process set."""
    named = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    before = [(each, each.level, each.propagate, each.disabled) for each in (logging.root, *named)]
    yield
    for logger, level, propagate, disabled in before:
        if logger.level != level:
            logger.setLevel(level)
        logger.propagate, logger.disabled = propagate, disabled


async def start_node(node: KafkaNode, nodes: tuple[KafkaNode, ...], logs: Path) -> ChildProcess:
    child = ChildProcess(await prepare_node(node, nodes, logs, print))
    await child.start()
    return child


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a Kafka node. Shared by all tests: give topics and groups names of your own."""
    yield from running_node(tmp_path_factory.mktemp("stack"))


def running_node(data: Path) -> Iterator[str]:
    """Run a Kafka node in a folder; give its `host:port`."""
    nodes = plan_nodes(data / "kafka")
    child = asyncio.run(start_node(nodes[0], nodes, data / "logs"))
    asyncio.run(groups_are_kept(bootstrap(nodes)))
    yield bootstrap(nodes)
    asyncio.run(child.stop())


async def groups_are_kept(brokers: str) -> None:
    """Return once the brokers answer for groups: they make the topic for that when the first one asks."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id="first-group", enable_auto_commit=False)
    await consumer.start()
    try:
        await consumer.committed(TopicPartition("any-topic", 0))
    finally:
        await consumer.stop()


@pytest.fixture(scope="module")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three Kafka nodes as in production: three copies, of which two must have a write.

    Shared by a file's tests: give topics and groups names of your own. A test may kill nodes; nobody starts
    them again for it: leave the cluster with all three running and in sync. It ends with its file, for three
    idle nodes take a tenth of a core.
    """
    data = tmp_path_factory.mktemp("cluster")
    nodes = plan_nodes(data / "kafka", 3)

    async def start() -> list[ChildProcess]:
        return await asyncio.gather(*(start_node(node, nodes, data / "logs") for node in nodes))

    async def stop() -> None:
        await asyncio.gather(*(child.stop() for child in children))

    children = asyncio.run(start())
    yield KafkaCluster(
        bootstrap(nodes), {node.number: child for node, child in zip(nodes, children, strict=True)}
    )
    asyncio.run(stop())


@pytest.fixture(scope="session")
def registry_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A schema registry. Shared by all tests: give subjects names of your own, and leave it running."""
    server = RegistryServer(tmp_path_factory.mktemp("registry"))
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture(scope="session")
def registry_url(registry_server: RegistryServer) -> str:
    """The URL of the schema registry's Confluent-compatible API."""
    return registry_server.url


@pytest.fixture(scope="session")
def migrated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ClickHouse folder with all tables in the default database, and no rows; servers run on copies."""
    here = tmp_path_factory.getbasetemp()
    return migrated_in(here.parent if "PYTEST_XDIST_WORKER" in os.environ else here)


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory, migrated_folder: Path) -> Iterator[str]:
    """URL of a ClickHouse front. Shared by all tests: give databases names of your own."""
    data = tmp_path_factory.mktemp("stack")
    copied(migrated_folder, data / "clickhouse")
    (port,) = free_ports(1)
    child = ChildProcess(clickhouse_process(data / "clickhouse", port, data / "logs" / "clickhouse.log"))
    asyncio.run(child.start())
    yield f"http://127.0.0.1:{port}"
    asyncio.run(child.stop())


@pytest.fixture(scope="session")
def migrated(clickhouse: str) -> ClickHouseSettings:
    """A database that all migrations were applied to in one go. Nobody writes to it.

    `copy_database` makes another one like it in a tenth of the time that migrations take.
    """
    return ClickHouseSettings(url=clickhouse, database=TO_COPY)
