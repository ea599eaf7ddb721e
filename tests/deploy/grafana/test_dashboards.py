"""The dashboards as files: they are what the code builds, whole, and name only what exists."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from evometrics.deploy.grafana.building import built, without_strays
from evometrics.deploy.grafana.provisioning import PASSWORD_VARIABLE, DataSources
from tests.deploy.prometheus.test_rules import alerts
from tests.grafana.macros import used
from tests.grafana.panels import FOLDER, NAMES, asked, dashboard, laid_out, panels, variables
from tests.support.stack import evometrics_here

DOCS = FOLDER.parents[1] / "docs" / "how-to"
UNITS = {value for name, value in vars(units).items() if not name.startswith("_") and isinstance(value, str)}
pytestmark = pytest.mark.filterwarnings("ignore:Prefer using dashboardv2")
#: What Grafana itself sets.
OF_GRAFANA = {"__url_time_range", "__value", "__data", "__field"}


def test_the_files_are_what_the_code_builds() -> None:
    for name, text in built().items():
        said = f"{name}: run `python -m evometrics.deploy.grafana` and commit what it wrote"
        assert (FOLDER / name).read_text(encoding="utf-8") == text, said
    assert {file.name for file in FOLDER.glob("*.json")} == {f"{name}.json" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_panels_stand_side_by_side_with_ids_of_their_own(name: str) -> None:
    found = laid_out(name)
    assert len({each["id"] for each in found}) == len(found)
    places = [each["gridPos"] for each in found]
    for at in places:
        assert at["x"] >= 0 and at["x"] + at["w"] <= 24 and at["h"] > 0
    for one, other in combinations(places, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart |= one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart, f"{one} and {other}"


@pytest.mark.parametrize("name", NAMES)
def test_a_panel_says_what_it_shows_in_units_and_limits_that_grafana_knows(name: str) -> None:
    for panel in panels(name):
        assert panel["title"] and panel["description"].endswith("."), panel["title"]
        config = panel["fieldConfig"]
        given = {config["defaults"].get("unit")}
        for override in config.get("overrides") or []:
            given |= {each["value"] for each in override["properties"] if each["id"] == "unit"}
        assert given - {None} <= UNITS, panel["title"]
        steps = [each["value"] for each in config["defaults"].get("thresholds", {}).get("steps", [])]
        assert steps[:1] in ([], [None]) and steps[1:] == sorted(steps[1:]), panel["title"]
        assert len({each["refId"] for each in panel["targets"]}) == len(panel["targets"])
    titles = [each["title"] for each in laid_out(name)]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_that_is_used_is_defined_before_and_every_one_is_used(name: str) -> None:
    known = variables(name)
    seen: set[str] = set()
    for variable in known.values():
        if variable["type"] == "query":
            named = set(used(variable["query"])) | set(used(variable["datasource"]["uid"]))
            assert named <= seen, f"${variable['name']} asks for what is chosen after it"
        seen.add(variable["name"])
    text = json.dumps(dashboard(name)["panels"])
    named = set(used(text)) - OF_GRAFANA
    assert named <= seen
    for unused in seen - named:
        assert any(unused in used(str(each.get("query", ""))) for each in known.values()), unused


@pytest.mark.parametrize("name", NAMES)
def test_data_sources_are_chosen_by_variables_whose_first_choice_is_provisioned(name: str) -> None:
    provisioned = {each["uid"]: each["type"] for each in loaded("datasources.yml")["datasources"]}
    sources = {key: each for key, each in variables(name).items() if each["type"] == "datasource"}
    for variable in sources.values():
        assert provisioned[variable["current"]["value"]] == variable["query"]
    text = json.dumps(dashboard(name))
    for uid in re.findall(r'"datasource": \{"type": "([^"]+)", "uid": "([^"]+)"\}', text):
        assert uid in {(each["query"], f"${{{key}}}") for key, each in sources.items()}
    assert all(each.target["datasource"] == each.panel["datasource"] for each in asked(name))


def test_links_lead_to_dashboards_and_variables_that_exist() -> None:
    there = {dashboard(name)["uid"]: variables(name) for name in NAMES}
    assert len(there) == len(NAMES)
    links = re.findall(r'"url": "([^"]+)"', "".join(json.dumps(dashboard(name)) for name in NAMES))
    assert links
    for link in links:
        uid, _, rest = link.removeprefix("/d/").partition("?")
        assert set(re.findall(r"var-(\w+)=", rest)) <= there[uid].keys(), link
    for name in NAMES:
        (link,) = dashboard(name)["links"]
        assert set(link["tags"]) <= set(dashboard(name)["tags"]) and "placement" not in link


def test_the_pipeline_shows_what_every_alert_is_about() -> None:
    named = " ".join(panel["description"] for panel in panels("pipeline"))
    assert set(re.findall(r"\b(?:Evometrics|Evolution|NoEvolution)[A-Z]\w+", named)) == {
        alert["alert"] for alert in alerts()
    } - {"EvometricsClickHouseReadonly"}, "that one is about ClickHouse's own metrics"


def test_runbooks_name_the_panel_that_names_their_alert() -> None:
    of = {panel["title"]: panel["description"] for panel in panels("pipeline")}
    text = (DOCS / "runbooks.md").read_text(encoding="utf-8")
    for section in re.split(r"^### ", text, flags=re.M)[1:]:
        titles = re.findall(r"Panel: \[([^\]]+)\]\(\.\./reference/dashboards\.md#pipeline\)", section)
        for title in titles:
            assert section.splitlines()[0] in of[title], title
        assert titles or "EvometricsClickHouseReadonly" in section.splitlines()[0]


def test_the_page_has_a_table_of_all_panels() -> None:
    page = (DOCS / "dashboards.md").read_text(encoding="utf-8")
    for name in NAMES:
        part = page.partition(f"\n### {name.capitalize()}\n")[2].partition("\n#")[0]
        named = [
            each
            for row in re.findall(r"^\| [^|]+ \| ([^|]+) \|$", part, re.M)[1:]
            for each in row.split("; ")
        ]
        assert named == [panel["title"] for panel in panels(name)], name


def test_the_sdk_reads_them_and_writes_the_same() -> None:
    """Its models are generated from Grafana's schema, by which `python -m tests.grafana --schema` judges."""
    for name in NAMES:
        assert without_strays(Dashboard.from_json(dashboard(name))) == dashboard(name)


def loaded(name: str) -> dict[str, Any]:
    found = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_the_command_writes_what_grafana_is_started_with(tmp_path: Path) -> None:
    into = tmp_path / "gra$fana"
    address = (
        "--clickhouse-url",
        "https://ch.example.org",
        "--clickhouse-user",
        "ana$b",
        "--database",
        "evo",
    )
    prometheus = ("--prometheus-url", "http://p.example.org:9090")
    for _ in range(2):
        done = evometrics_here(
            *("dashboards", "--into", str(into), "--data", str(tmp_path), *address, *prometheus),
            EVOMETRICS_CLICKHOUSE_PASSWORD="never written",
            EVOMETRICS_CLICKHOUSE_CA_CERT=str(Path(__file__)),
        )
        assert done.returncode == 0, done.stderr
    written = [Path(line) for line in done.stdout.splitlines()]
    assert sorted(written) == sorted(file for file in into.rglob("*") if file.is_file())
    for name in NAMES:
        text = (into / "dashboards" / f"{name}.json").read_text(encoding="utf-8")
        assert text == (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    clickhouse, other = yaml.safe_load((into / "provisioning/datasources/evometrics.yml").read_text())[
        "datasources"
    ]
    assert clickhouse["jsonData"] == {
        "host": "ch.example.org",
        "port": 8443,
        "protocol": "http",
        "secure": True,
        "username": "ana$$b",
        "defaultDatabase": "evo",
        "tlsAuthWithCACert": True,
    }
    assert clickhouse["secureJsonData"] == {
        "password": f"${PASSWORD_VARIABLE}",
        "tlsCACert": f"$__file{{{__file__}}}",
    }
    assert other["url"] == "http://p.example.org:9090"
    (provider,) = yaml.safe_load((into / "provisioning/dashboards/evometrics.yml").read_text())["providers"]
    assert provider["options"]["path"] == str(into / "dashboards").replace("$", "$$")
    assert not any("never written" in file.read_text(encoding="utf-8") for file in written)


def test_grafana_is_told_how_many_statements_to_send_only_where_that_is_given() -> None:
    """As text: a number, the plugin would not read its settings."""
    (clickhouse, _) = yaml.safe_load(DataSources(connections=2).text())["datasources"]
    assert clickhouse["jsonData"]["maxOpenConns"] == "2"
    assert "maxOpenConns" not in loaded("datasources.yml")["datasources"][0]["jsonData"]


def test_the_command_says_why_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = evometrics_here("dashboards", "--into", str(tmp_path / "file"), "--data", str(tmp_path))
    assert done.returncode != 0 and str(tmp_path / "file") in done.stderr


def test_a_client_certificate_is_shown_with_its_key() -> None:
    text = DataSources("https://ch:9000", client_cert="/etc/a.pem").text()
    found = yaml.safe_load(text)["datasources"][0]
    assert found["jsonData"]["tlsAuth"] is True and found["jsonData"]["port"] == 9000
    assert found["secureJsonData"]["tlsClientCert"] == "$__file{/etc/a.pem}"
    assert found["secureJsonData"]["tlsClientKey"] == "$__file{/etc/a.pem}"
