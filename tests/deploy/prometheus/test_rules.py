"""The alert rules and the examples: what they name exists, each has a runbook, and promtool proves them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from evometrics.schemas.metrics import MetricDef
from tests.reference.metrics import definitions
from tests.reference.reading import anchors
from tests.support.proofs import KINDS, proved
from tests.support.stack import evometrics_here

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "prometheus"
TESTS = sorted(Path(__file__).parent.glob("*.yml"))
#: What the rules name and evometrics does not declare: Prometheus' own, its client's, ClickHouse's.
OTHERS = {"up", "process_start_time_seconds", "ClickHouseMetrics_ReadonlyReplica"}
JOBS = {"evometrics-sink", "evometrics-stream", "evometrics-node"}
#: What PromQL itself says in the rules.
WORDS = {
    "sum",
    "max",
    "by",
    "on",
    "and",
    "or",
    "unless",
    "absent",
    "increase",
    "rate",
    "delta",
    "changes",
} | {
    "max_over_time",
    "predict_linear",
    "time",
    "vector",
    "offset",
}


def loaded(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def alerts() -> list[dict[str, Any]]:
    return [rule for group in loaded(FOLDER / "rules.yml")["groups"] for rule in group["rules"]]


def samples(metric: MetricDef) -> Iterator[str]:
    """Yield the names of a metric's samples."""
    if metric.kind == "histogram":
        yield from (metric.name + end for end in ("_bucket", "_sum", "_count"))
    else:
        yield metric.name


DECLARED = {name: metric for metric in definitions() for name in samples(metric)}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong_and_links_to_its_runbook(alert: dict[str, Any]) -> None:
    name, notes = alert["alert"], alert["annotations"]
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert notes["summary"] and notes["description"].endswith(".")
    page, _, anchor = notes["runbook_url"].partition("#")
    assert anchor == name.lower() and anchor in anchors(ROOT / page)


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_stands_on_metrics_and_labels_that_exist(alert: dict[str, Any]) -> None:
    expression = re.sub(r"\[[^]]*\]", "", alert["expr"])
    plain = re.sub(r"\b(?:by|on) \([^)]*\)", "", re.sub(r"\{[^}]*\}", "", expression))
    named = set(re.findall(r"[a-zA-Z_]\w*", re.sub(r"\b[\d.]+(?:e\d+|[smhd])?\b", "", plain))) - WORDS
    assert named and named <= DECLARED.keys() | OTHERS
    known = {"job", "instance", "le"} | {
        label for n in named & DECLARED.keys() for label in DECLARED[n].labels
    }
    matched = re.findall(r"(\w+)=~?\"", expression)
    grouped = re.findall(r"\w+", " ".join(re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)))
    assert {*matched, *grouped} <= known
    for name, bound in re.findall(r'(\w+)_bucket\{le="([\d.]+)"\}', expression):
        assert bound in {str(float(each)) for each in DECLARED[f"{name}_bucket"].buckets}


def test_rules_take_no_sum_over_agents_and_their_jobs_are_the_examples() -> None:
    text = (FOLDER / "rules.yml").read_text()
    assert "agent_id" not in text
    matched = "|".join(re.findall(r'job=~?"([^"]+)"', text)).replace(
        "(sink|stream)", "sink|evometrics-stream"
    )
    assert set(matched.split("|")) == JOBS
    assert {each["job_name"] for each in loaded(FOLDER / "prometheus.yml")["scrape_configs"]} > JOBS


def test_every_alert_is_seen_to_fire_and_to_be_quiet_by_promtools_tests() -> None:
    fired, quiet = set(), set()
    for path in TESTS:
        for test in loaded(path)["tests"]:
            for case in test.get("promql_expr_test", []):
                labels = " ".join(each["labels"] for each in case["exp_samples"])
                fired |= set(re.findall(r'alertname="(\w+)",alertstate="firing"', labels))
                quiet |= set() if case["exp_samples"] else {case["expr"]}
            fired |= {each["alertname"] for each in test.get("alert_rule_test", []) if each["exp_alerts"]}
    assert fired == {alert["alert"] for alert in alerts()}
    assert 'ALERTS{alertstate="firing"}' in quiet, "none fires where all is well"


@pytest.mark.parametrize("kind", KINDS)
def test_promtools_tests_look_at_each_alert_in_each_way(kind: str) -> None:
    tests = [test for path in TESTS for test in loaded(path)["tests"]]
    assert not [alert for alert, found in proved(alerts(), tests).items() if not found[kind]]


def test_routes_name_alerts_that_exist() -> None:
    found = loaded(FOLDER / "alertmanager.yml")
    matchers = [m for route in found["route"]["routes"] for m in route["matchers"]]
    for rule in found["inhibit_rules"]:
        matchers += rule["source_matchers"] + rule["target_matchers"]
    named = {
        name for m in matchers if m.startswith("alertname") for name in re.findall(r'"(.+)"', m)[0].split("|")
    }
    assert named <= {alert["alert"] for alert in alerts()}
    receivers = {each["name"] for each in found["receivers"]}
    assert {found["route"]["receiver"], *(r["receiver"] for r in found["route"]["routes"])} <= receivers


def test_the_command_prints_the_files_of_the_package_with_links_to_where_the_docs_are() -> None:
    for name in ("rules", "prometheus", "alertmanager"):
        assert evometrics_here("alerts", name).stdout == (FOLDER / f"{name}.yml").read_text()
    linked = evometrics_here("alerts", "--docs", "https://docs.example.org/e/").stdout
    assert "docs/how-to" not in linked
    assert yaml.safe_load(linked)["groups"][0]["rules"][0]["annotations"]["runbook_url"] == (
        "https://docs.example.org/e/how-to/runbooks.html#evolutionfailurerate"
    )


def tool(name: str, package: str) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"no {name} on this machine (apt-get install {package})")
    return program


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_promtool_proves_when_alerts_fire(path: Path) -> None:
    run(tool("promtool", "prometheus"), "test", "rules", path)


def test_promtool_and_amtool_accept_the_files() -> None:
    promtool = tool("promtool", "prometheus")
    run(promtool, "check", "rules", FOLDER / "rules.yml")
    run(promtool, "check", "config", FOLDER / "prometheus.yml")
    run(tool("amtool", "prometheus-alertmanager"), "check-config", FOLDER / "alertmanager.yml")
