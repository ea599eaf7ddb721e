"""No secret is in a log (DEBUG), a repr, an error, `/health`, `/metrics`, `config` or the process list."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiokafka.protocol.admin import SaslAuthenticateRequest_v1

from evometrics.deploy.cli.main import main
from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.console.options import LOCAL
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import free_ports
from evometrics.producers import EvolutionMetricsCollector
from evometrics.producers.settings import CollectorSettings
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.service.http import HttpAddress
from evometrics.schemas.service.registry_access import registry_access
from evometrics.schemas.service.settings import KafkaSettings, SettingsError, read_settings, variable_of
from evometrics.schemas.wire.registry import open_registry
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.sinks.worker.worker import run_sink
from tests.support.certificates import authority, certificate
from tests.support.registry.front import guarded

CLASSES: dict[str, type[Any]] = {**LOCAL, "collector": CollectorSettings}
#: Every setting that is a secret, with a value of its own by which it is found wherever it is shown.
SECRETS = {
    (section, field.name): f"5ecret-{section}-{field.name}".replace("_", "-")
    for section, cls in CLASSES.items()
    for field in dataclasses.fields(cls)
    if not field.repr
}
#: What a part needs besides, so that a secret has an effect.
BESIDE: dict[str, dict[str, Any]] = {
    "kafka": {
        "brokers": "127.0.0.1:1",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "me",
    },
    "collector": {"influxdb_url": "http://127.0.0.1:1?bucket=b"},
}
SECRET_NAME = re.compile(r"password|token$|secret|credential", re.IGNORECASE)


def leaks(text: str) -> list[str]:
    """Return the secrets in a text, as they are and as a login with user and password has them."""
    return [secret for secret in SECRETS.values() if secret in text]


@dataclasses.dataclass(frozen=True)
class Given:
    """All secrets as settings: of the parts, and as variables. `own`: a certificate and its sealed key."""

    kafka: KafkaSettings
    clickhouse: ClickHouseSettings
    variables: dict[str, str]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, clickhouse: str) -> Iterator[Given]:
    folder = tmp_path_factory.mktemp("secrets")
    ca = authority(folder, "ca")
    cert, key = certificate(ca, "own", password=SECRETS["kafka", "ssl_password"])
    with guarded("http://127.0.0.1:1/apis", set(), set()) as registry:
        values: dict[tuple[str, str], str] = dict(SECRETS)
        beside = {
            **BESIDE,
            "clickhouse": {"url": clickhouse, "user": "me"},
            "kafka": BESIDE["kafka"]
            | {"ssl_certfile": str(cert), "ssl_keyfile": str(key), "registry_url": registry.url}
            | {"registry_user": "me"},
        }
        values |= {(section, name): value for section, some in beside.items() for name, value in some.items()}
        del values["kafka", "registry_token"]  # a user logs in; the token has a test of its own
        variables = {variable_of(section, name): value for (section, name), value in values.items()}
        yield Given(
            read_settings(KafkaSettings, "kafka", environ=variables),
            read_settings(ClickHouseSettings, "clickhouse", environ=variables),
            variables,
        )


@pytest.fixture
def shown(
    given: Given, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> pytest.LogCaptureFixture:
    """All secrets in the environment, and everything logged."""
    for name, value in given.variables.items():
        monkeypatch.setenv(name, value)
    for logger in ("", "aiokafka"):  # which has a level of its own
        caplog.set_level(logging.DEBUG, logger=logger)
    return caplog


def test_every_setting_that_sounds_like_a_secret_is_one() -> None:
    named = {
        (section, field.name)
        for section, cls in CLASSES.items()
        for field in dataclasses.fields(cls)
        if SECRET_NAME.search(field.name)
    }
    providers = {("kafka", "sasl_oauth_token_provider")}  # the name of a class
    assert named - providers == set(SECRETS)
    assert len(SECRETS) >= 8


@pytest.mark.parametrize("section", CLASSES)
def test_no_repr_and_no_error_of_a_setting_shows_one(section: str) -> None:
    cls = CLASSES[section]
    own = {name: secret for (of, name), secret in SECRETS.items() if of == section}
    texts = [repr(dataclasses.replace(registry_access(KafkaSettings()), password="p5ecret", token="p5ecret"))]
    for field in dataclasses.fields(cls):
        for wrong in ("\1", "nonsense\n://", -1, [], {}, None):
            with contextlib.suppress(SettingsError):
                texts.append(
                    repr(read_settings(cls, section, environ={}, file={section: {**own, field.name: wrong}}))
                )
            try:
                read_settings(cls, section, environ={}, file={section: {**own, field.name: wrong}})
            except SettingsError as error:
                texts.append(str(error) + repr(error))
    for name, secret in own.items():
        for wrong in ([secret], {secret: secret}, {"value": secret}):
            with pytest.raises(SettingsError) as refused:
                read_settings(cls, section, environ={}, file={section: {name: wrong}})
            texts.append(str(refused.value))
        unknown = {section: {name + "s": secret}}
        with pytest.raises(SettingsError) as refused:
            read_settings(cls, section, environ={}, file=unknown)
        texts.append(str(refused.value))
    text = "\n".join(texts)
    assert leaks(text) == [] and "p5ecret" not in text


@pytest.mark.parametrize("arguments", [("config",), ("config", "--json"), ("config", "--traceback")])
def test_config_shows_none(
    shown: pytest.LogCaptureFixture,
    arguments: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*arguments, "--data", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "***" in said.out and leaks(said.out + said.err + shown.text) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("topics",),
        ("migrate", "--dry-run"),
        ("migrate", "--grants"),
        ("sql", "SELECT throwIf(1)"),
        ("checksums",),
        ("republish",),
        ("stream",),
    ],
    ids=" ".join,
)
def test_no_command_says_one(
    shown: pytest.LogCaptureFixture,
    arguments: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a Kafka that is not there, a registry that lets nobody in, and a ClickHouse that does."""
    code = main([*arguments, "--data", str(tmp_path), "--traceback"])
    said = capsys.readouterr()
    assert (code == 0) == (arguments == ("migrate", "--grants")), said.err
    assert leaks(said.out + said.err + shown.text) == []


def fetched(url: str) -> str:
    with contextlib.suppress(OSError):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return str(answer.status) + str(answer.headers) + answer.read().decode()
        except urllib.error.HTTPError as error:
            return str(error.code) + str(error.headers) + error.read().decode()
    return ""


async def test_a_sink_and_a_node_show_none(
    given: Given, shown: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    ports = free_ports(2)
    stop = asyncio.Event()
    sink = asyncio.create_task(
        run_sink(given.kafka, given.clickhouse, SinkSettings(), HttpAddress(ports[0], "127.0.0.1"), stop)
    )
    node = EvolutionMetricsCollector(
        {
            "db_path": str(tmp_path / "n.db"),
            "prometheus_port": ports[1],
            "stop_timeout": 0,
            "flush_interval": 0.2,
        }
    )
    await node.start()
    async with node.evolution("a", evolution_type="nightly", pre_kpis={"accuracy": 0.5}) as run:
        await run.complete(post_kpis={"accuracy": 0.6})
    said, deadline = "", time.monotonic() + 60
    while (
        not ("wants a login" in said or "refuses user 'me'" in said) or "influxdb" not in shown.text.lower()
    ):
        assert time.monotonic() < deadline, said
        for port, path in (
            (p, path) for p in ports for path in ("/health/ready", "/health/live", "/health", "/metrics")
        ):
            said += await asyncio.to_thread(fetched, f"http://127.0.0.1:{port}{path}")
        await asyncio.sleep(0.2)
    await node.stop()
    stop.set()
    await asyncio.wait_for(sink, 60)
    assert leaks(said + repr(node.settings) + repr(node.kafka) + shown.text) == []
    assert said.count("# HELP") > 1


async def test_a_process_list_shows_none(given: Given, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    log = tmp_path / "clickhouse.log"
    child = ChildProcess(
        dataclasses.replace(clickhouse_process(tmp_path / "ch", port, log), env=given.variables)
    )
    await child.start()
    command = [sys.executable, "-m", "evometrics.deploy.cli", "sink", "--data", str(tmp_path)]
    sink = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **given.variables}
    )
    try:
        assert sink.stdout is not None and child.pid is not None
        said = ""
        async with asyncio.timeout(60):
            while "registry" not in said and (line := await sink.stdout.readline()):
                said += line.decode()
        listed = " ".join(" ".join(psutil.Process(pid).cmdline()) for pid in (sink.pid, child.pid))
        assert "sink" in listed and "evometrics.deploy.clickhouse" in listed
        answers = [
            await asyncio.to_thread(fetched, f"http://127.0.0.1:{port}{path}")
            for path in ("/?query=SELECT+1&user=u&password=wrong", "/health/ready", "/health/live")
        ]
        assert "Authentication failed" in answers[0]
    finally:
        sink.terminate()
        said += (await asyncio.wait_for(sink.communicate(), 60))[0].decode()
        await child.stop()
    assert leaks(said + listed + "".join(answers) + log.read_text()) == []
    assert "registry" in said


def test_a_registrys_token_is_shown_by_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = SECRETS["kafka", "registry_token"]
    with guarded("http://127.0.0.1:1/apis", set(), set()) as registry:
        kafka = KafkaSettings(registry_url=registry.url, registry_token=token)
        client = open_registry(kafka)
        assert client is not None
        with pytest.raises(ConnectionError) as refused:
            client.schema(1)
    assert leaks(f"{refused.value}{refused.value!r}{kafka}{client.access}{vars(client)}{caplog.text}") == []


def test_a_login_is_not_in_aiokafkas_log(given: Given, caplog: pytest.LogCaptureFixture) -> None:
    """It logs each request with all its fields."""
    client_options(given.kafka)
    caplog.set_level(logging.DEBUG, logger="aiokafka.conn")
    password = SECRETS["kafka", "sasl_plain_password"]
    request = SaslAuthenticateRequest_v1(f"\0me\0{password}".encode())
    assert password in repr(request), "what is to be hidden"
    logging.getLogger("aiokafka.conn").debug("Request to %s:%d %d: %s", "h", 1, 2, request)
    assert caplog.messages[-1] == "Request to h:1 2: SaslAuthenticateRequest_v1"
