"""The chart by Helm and kube-score themselves, where `python -m tests.deployment` has built them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.deployment.chart import EXAMPLES, head, render, rendering, values
from tests.deployment.made import CHART
from tests.deployment.tools import HELM, KUBE_SCORE, KUBERNETES, needed, said


@pytest.fixture
def helm() -> Path:
    return needed(HELM)


def linted(helm: Path, chart: Path, example: str) -> str:
    done = said([helm, "lint", "--strict", "--kube-version", KUBERNETES, chart, "--values", values(example)])
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("example", EXAMPLES)
def test_helm_finds_nothing_to_say_and_renders_what_is_committed(helm: Path, example: str) -> None:
    assert linted(helm, CHART, example) == ""
    assert rendering(example).read_text(encoding="utf-8") == head(example) + render(helm, example)


def test_it_refuses_a_template_that_does_not_end_and_a_value_that_the_chart_does_not_have(
    helm: Path, tmp_path: Path
) -> None:
    chart = tmp_path / "evometrics"
    shutil.copytree(CHART, chart)
    workers = chart / "templates" / "workers.yaml"
    workers.write_text(workers.read_text().replace("{{- end }}", "", 1))
    assert "workers.yaml" in linted(helm, chart, "existing")
    for wrong, why in (
        ("sink.replica=3", "replica"),
        ("kafka.replication=0", "replication"),
        ("kafka.brokers=kafka", "brokers"),
        ("sink.env.PATH=/bin", "PATH"),
        ("terminationGracePeriodSeconds=5", "terminationGracePeriodSeconds"),
    ):
        with pytest.raises(ValueError, match=why):
            render(helm, "existing", CHART, "--set", wrong)


def test_what_is_not_named_is_asked_for(helm: Path) -> None:
    for missing in ("clickhouse.url", "kafka.brokers", "kafka.users.sink.name", "kafka.users.stream.secret"):
        with pytest.raises(ValueError, match=missing):
            render(helm, "existing", CHART, "--set", f"{missing}=")
    with pytest.raises(ValueError, match=r"stream.autoscaling.maxReplicas: at most kafka.partitions"):
        render(helm, "operators", CHART, "--set", "stream.autoscaling.maxReplicas=7")
    with pytest.raises(ValueError, match=r"stream.group and sink.group"):
        render(helm, "existing", CHART, "--set", "stream.group=evometrics-sink")


def test_an_ingress_has_the_names_that_the_pages_answer_to(helm: Path) -> None:
    wanted = ["--set", "ui.ingress.enabled=true"]
    with pytest.raises(ValueError, match=r"ui\.names"):
        render(helm, "existing", CHART, *wanted)
    text = render(helm, "existing", CHART, *wanted, "--set", "ui.names={a.example.org,b.example.org}")
    found = {
        each["kind"]: each
        for each in yaml.load_all(text, yaml.CSafeLoader)
        if each and "-ui" in each["metadata"]["name"]
    }
    assert [rule["host"] for rule in found["Ingress"]["spec"]["rules"]] == ["a.example.org", "b.example.org"]
    assert "tls" not in found["Ingress"]["spec"]
    args = found["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[-4:] == ["--name", "a.example.org", "--name", "b.example.org"]


def scored(manifests: Path) -> str:
    # what uses a core that nobody needs is no harm: requests, not limits, say what a part is owed
    return said([needed(KUBE_SCORE), "score", "--ignore-container-cpu-limit", "-o", "ci", manifests]).stdout


@pytest.mark.parametrize("example", EXAMPLES)
def test_kube_score_finds_nothing_critical(example: str) -> None:
    lines = scored(rendering(example)).splitlines()
    assert lines
    assert [line for line in lines if line.startswith("[CRITICAL]")] == []


def test_it_would(tmp_path: Path) -> None:
    text = rendering("existing").read_text()
    broken = tmp_path / "broken.yaml"
    broken.write_text(text.replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"))
    assert "[CRITICAL]" in scored(broken)
