"""The chart, as it was rendered: what Kubernetes accepts, and what the parts are given."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from evometrics.deploy.commands.workers import END_SECONDS
from evometrics.deploy.console.options import LOCAL
from evometrics.deploy.pipeline.acls import kafka_users, users
from evometrics.deploy.pipeline.rights import roles
from evometrics.deploy.pipeline.topics import retention
from evometrics.schemas.kafka.topics import with_common
from evometrics.schemas.service.settings import KafkaSettings, check_names
from evometrics.sinks.settings import SinkSettings
from evometrics.streams.settings import StreamSettings
from tests.deployment.chart import EXAMPLES, Manifest, head, manifests, rendering
from tests.deployment.made import DEPLOY, made
from tests.deployment.tools import KUBERNETES

#: Kinds that only their operators know: a real API server with their definitions judges them, by hand.
OPERATORS = ("altinity.com", "strimzi.io", "keda.sh", "monitoring.coreos.com")


def of(example: str, kind: str) -> dict[str, Manifest]:
    """Return an example's resources of a kind, by name."""
    return {each["metadata"]["name"]: each for each in manifests(example) if each["kind"] == kind}


def pods(example: str) -> Iterator[Manifest]:
    for each in manifests(example):
        if each["kind"] in ("StatefulSet", "Deployment", "Job"):
            yield each["spec"]["template"]["spec"]


def environment(pod: Manifest) -> dict[str, str]:
    return {each["name"]: each.get("value", "from-the-pod") for each in pod["containers"][0]["env"]}


@pytest.mark.parametrize("file", made(), ids=lambda file: file.name)
def test_files_that_are_made_from_the_code_are_its(file: Path) -> None:
    assert file.read_text(encoding="utf-8") == made()[file], "run python -m tests.deployment --write"


@pytest.mark.parametrize("example", EXAMPLES)
def test_renderings_are_of_this_chart(example: str) -> None:
    text = rendering(example).read_text(encoding="utf-8")
    assert text.startswith(head(example)), "run python -m tests.deployment --write"


def judged(manifest: Manifest) -> str | None:
    """Return what Kubernetes' schemas find wrong with a resource; None for nothing."""
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as wrong:
        return str(wrong)
    except kubernetes_validate.SchemaNotFoundError as unknown:
        return None if manifest["apiVersion"].partition("/")[0].endswith(OPERATORS) else unknown.message
    return None


@pytest.mark.parametrize("example", EXAMPLES)
def test_kubernetes_schemas_accept_every_resource(example: str) -> None:
    assert [wrong for each in manifests(example) if (wrong := judged(each))] == []


def test_they_refuse_a_field_that_is_misspelt() -> None:
    worker = copy.deepcopy(of("operators", "StatefulSet")["evometrics-sink"])
    worker["spec"]["template"]["spec"]["terminationGracePeriod"] = 40
    assert "terminationGracePeriod" in (judged(worker) or "")
    assert judged({"apiVersion": "apps/v1", "kind": "StatefullSet", "metadata": {"name": "x"}})


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_variable_of_a_part_is_a_setting_that_it_knows(example: str) -> None:
    names = {section: list(cls.__dataclass_fields__) for section, cls in LOCAL.items()}
    for pod in pods(example):
        check_names(names, environment(pod), {})
    with pytest.raises(ValueError, match="EVOMETRICS_SINK_REPLICAS"):
        check_names(names, {"EVOMETRICS_SINK_REPLICAS": "2"}, {})


@pytest.mark.parametrize("example", EXAMPLES)
def test_no_password_stands_in_a_resource(example: str) -> None:
    for pod in pods(example):
        mounted = {each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
        for name, value in environment(pod).items():
            if re.search("PASSWORD|TOKEN|CAFILE|CA_CERT", name):
                assert value.rpartition("/")[0] in mounted, name
    assert not of(example, "Secret")


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_pod_has_longer_to_end_than_a_part_takes(example: str) -> None:
    assert all(pod["terminationGracePeriodSeconds"] > END_SECONDS for pod in pods(example))


def test_a_stream_worker_is_a_member_under_its_pods_name_and_hands_on_as_it_stops() -> None:
    (worker,) = (each for name, each in of("operators", "StatefulSet").items() if name.endswith("-stream"))
    container = worker["spec"]["template"]["spec"]["containers"][0]
    (instance,) = (each for each in container["env"] if each["name"] == "EVOMETRICS_STREAM_INSTANCE")
    assert instance["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert environment({"containers": [container]})["EVOMETRICS_STREAM_LEAVE_GROUP"] == "true"


def test_topics_are_those_that_the_code_makes() -> None:
    kafka = KafkaSettings(replication=3)
    wanted = with_common(kafka, {name: {"retention.ms": str(ms)} for name, ms in retention().items()})
    found = of("operators", "KafkaTopic")
    assert {name: each["spec"]["config"] for name, each in found.items()} == wanted
    assert {(each["spec"]["partitions"], each["spec"]["replicas"]) for each in found.values()} == {
        (kafka.partitions, kafka.replication)
    }


def test_users_in_kafka_have_the_rights_of_their_roles_and_no_more() -> None:
    known = roles(StreamSettings().group, SinkSettings().group)
    kafka = KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username="any",
        sasl_plain_password="any",
    )
    printed = yaml.safe_load_all(kafka_users(kafka, known, users(kafka, {}, known), "kafka"))
    wanted = {each["metadata"]["name"]: each["spec"] for each in printed}
    found = {name: each["spec"] for name, each in of("operators", "KafkaUser").items()}
    assert sorted(found) == [f"evometrics-{role}" for role in ("node", "sink", "stream", "topics")]
    assert found == {name: wanted[name] for name in found}


def test_alerts_are_the_rules_with_links_to_the_docs() -> None:
    rules = (DEPLOY / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    served = rules.replace(
        "docs/how-to/runbooks.md", "https://docs.example.com/evometrics/how-to/runbooks.html"
    )
    (found,) = of("operators", "PrometheusRule").values()
    assert found["spec"] == yaml.safe_load(served)


def test_prometheus_calls_the_jobs_as_the_rules_do() -> None:
    (monitor,) = of("operators", "ServiceMonitor").values()
    label = monitor["spec"]["jobLabel"]
    labels = [each["metadata"]["labels"] for each in of("operators", "Service").values()]
    jobs = {each[label] for each in labels if label in each}
    assert jobs == {"evometrics-sink", "evometrics-stream"}
    rules = (DEPLOY / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    assert all(re.search(rf'job="{job}"', rules) for job in jobs)
    assert all(monitor["spec"]["selector"]["matchLabels"].items() <= each.items() for each in labels)


@pytest.mark.parametrize("example", EXAMPLES)
def test_policies_let_each_part_reach_what_it_is_set_to_and_no_other_port(example: str) -> None:
    policies = of(example, "NetworkPolicy")
    for each in manifests(example):
        if each["kind"] not in ("StatefulSet", "Deployment", "Job"):
            continue
        part = each["metadata"]["labels"]["app.kubernetes.io/component"]
        env = environment(each["spec"]["template"]["spec"])
        places = [env.get(f"EVOMETRICS_{name}", "") for name in ("CLICKHOUSE_URL", "KAFKA_BROKERS")]
        ports = {int(port) for port in re.findall(r":(\d+)(?:,|$)", ",".join(places))}
        ports |= {443} if "EVOMETRICS_KAFKA_REGISTRY_URL" in env else set()
        egress = policies[f"evometrics-{part}"]["spec"]["egress"]
        allowed = {rule["port"] for rule in chain.from_iterable(one["ports"] for one in egress)}
        assert allowed == ports | {53}, part


@pytest.mark.parametrize("example", EXAMPLES)
def test_uninstalling_keeps_what_holds_events(example: str) -> None:
    keeps = ("KafkaTopic", "Kafka", "KafkaNodePool", "ClickHouseInstallation", "ClickHouseKeeperInstallation")
    for each in manifests(example):
        if each["kind"] in keeps:
            assert each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
