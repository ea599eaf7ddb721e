"""`deploy/compose.yaml`, by Compose's own loader where there is Go, and by what the parts know."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from evometrics.deploy.commands.workers import END_SECONDS
from evometrics.deploy.console.options import LOCAL
from evometrics.schemas.service.settings import check_names
from tests.deployment.made import DEPLOY
from tests.deployment.tools import COMPOSE, installed, needed, said

FILE, FOLDER = DEPLOY / "compose.yaml", DEPLOY / "compose"
#: Services of this image, and those of others that run whatever the profile is.
PARTS = {"topics", "migrate", "stream", "sink", "ui"}
SERVERS = {"clickhouse", "registry", "prometheus", "alertmanager", "grafana"}
BROKERS = {"one": {"kafka-one"}, "three": {"kafka-1", "kafka-2", "kafka-3"}}


def loaded(profile: str, file: Path = FILE) -> dict[str, Any]:
    """Return the services that Compose would start. Raises `ValueError` with what it says."""
    done = said([needed(COMPOSE, build=True), file, FOLDER / f"{profile}.env"])
    if done.returncode:
        raise ValueError(done.stderr)
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def written() -> dict[str, Any]:
    """Return the services as they are written."""
    services: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
    return services


@pytest.mark.parametrize("profile", BROKERS)
def test_compose_takes_the_file_with_one_broker_and_with_three(profile: str) -> None:
    found = loaded(profile)
    assert set(found) == PARTS | SERVERS | BROKERS[profile]
    brokers = BROKERS[profile]
    aliases = [found[name]["networks"]["default"]["aliases"] for name in brokers]
    assert all("kafka" in each for each in aliases), "the name that all parts connect to"
    kafka = [found[name]["environment"] for name in brokers]
    copies = {each["KAFKA_DEFAULT_REPLICATION_FACTOR"] for each in kafka}
    assert copies == {found["topics"]["environment"]["EVOMETRICS_KAFKA_REPLICATION"]} == {str(len(brokers))}
    assert len({each["KAFKA_NODE_ID"] for each in kafka}) == len(brokers)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("stop_grace_period", "stop_grace_perod"),
        ("condition: service_healthy}", "condition: service_helthy}"),
        ("secrets: [clickhouse_sink]", "secrets: [clickhouse_sinc]"),
        ('volumes: ["kafka-1:', 'volumes: ["kafka-9:'),
    ],
)
def test_it_refuses_what_is_misspelt(right: str, wrong: str, tmp_path: Path) -> None:
    broken = tmp_path / "compose.yaml"
    assert right in FILE.read_text()
    broken.write_text(FILE.read_text().replace(right, wrong))
    with pytest.raises(ValueError, match=r"perod|service_healthy|sinc|kafka-9"):
        loaded("three", broken)


def test_it_asks_for_a_file_of_variables(tmp_path: Path) -> None:
    empty = tmp_path / "empty.env"
    empty.write_text("")
    done = said([needed(COMPOSE, build=True), FILE, empty])
    assert "give --env-file deploy/compose/one.env or three.env" in done.stderr


def test_every_image_has_a_version_and_every_port_is_of_this_machine_alone() -> None:
    for name, service in written().items():
        image = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", service["image"])
        assert re.search(r":v?\d+\.\d+(\.\d+)*(-demo)?$", image), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name


def test_the_parts_know_every_variable_and_are_given_passwords_as_files() -> None:
    names = {section: list(cls.__dataclass_fields__) for section, cls in LOCAL.items()}
    for part in PARTS | {"node"}:
        service = written()[part]
        check_names(names, {name: str(value) for name, value in service["environment"].items()}, {})
        files = [v for k, v in service["environment"].items() if "PASSWORD" in k]
        assert files == [f"/run/secrets/{name}" for name in service.get("secrets", ())]
        assert service["read_only"]
        assert int(service["stop_grace_period"].removesuffix("s")) > END_SECONDS


def test_clickhouse_takes_a_password_for_each_user_from_its_environment() -> None:
    users = ET.parse(FOLDER / "clickhouse-users.xml").find("users")
    assert users is not None
    own = {user.tag: user for user in users if user.get("remove") is None}
    entrypoint = written()["clickhouse"]["entrypoint"][-1]
    (listed,) = re.findall(r"for user in (.+); do", entrypoint)
    assert set(own) == set(listed.split())
    for name, user in own.items():
        password = user.find("password")
        assert password is not None
        assert password.attrib == {"from_env": f"EVOMETRICS_PASSWORD_OF_{name}"}
        assert password.text is None
    used = {
        service["environment"].get("EVOMETRICS_CLICKHOUSE_USER") for service in (written()[n] for n in PARTS)
    }
    assert used - {None} == set(own)


def test_prometheus_scrapes_the_jobs_of_the_rules_as_the_example_does(tmp_path: Path) -> None:
    own, example = (
        {job["job_name"]: job for job in yaml.safe_load(file.read_text())["scrape_configs"]}
        for file in (FOLDER / "prometheus.yml", DEPLOY / "prometheus" / "prometheus.yml")
    )
    assert set(own) == set(example) - {"pushgateway"}
    for name, job in own.items():
        assert job.get("metric_relabel_configs") == example[name].get("metric_relabel_configs")
        for names in job.get("dns_sd_configs", ()):
            assert set(names["names"]) <= set(written())
    for file in (FOLDER / "prometheus.yml", DEPLOY / "prometheus" / "rules.yml"):
        shutil.copy(file, tmp_path)
    checked = said(
        [installed("promtool", "apt-get install prometheus"), "check", "config", tmp_path / "prometheus.yml"]
    )
    assert checked.returncode == 0, checked.stderr


def test_every_file_that_is_mounted_is_there() -> None:
    for service in written().values():
        for volume in service.get("volumes", ()):
            source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).partition(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).exists(), source
