"""Files of deployments that are made from the code: rights, topics and data sources are said once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from evometrics.deploy.grafana.provisioning import DataSources
from evometrics.deploy.pipeline.acls import camel
from evometrics.deploy.pipeline.rights import Role, roles
from evometrics.deploy.pipeline.topics import retention
from evometrics.schemas.kafka.topic_settings import MIN_IN_SYNC, RETENTION
from evometrics.schemas.kafka.topics import with_common
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.sinks.clickhouse.grants import READERS_LIMITS, grants
from evometrics.sinks.settings import ClickHouseSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm" / "evometrics"
NOTE = "Made from the code by tests/deployment/made.py."
#: What the chart replaces by its own values.
STREAM_GROUP, SINK_GROUP, DATABASE = "STREAM_GROUP", "SINK_GROUP", "DB_NAME"
DASHBOARDS = ("fleet", "pipeline", "agent")
#: Users of Compose's ClickHouse, and the role whose rights each has.
USERS = {"migrator": "migrator", "sink": "writer", "analyst": "reader"}


def made() -> dict[Path, str]:
    """Return the text of each file."""
    return {
        DEPLOY / "compose" / "clickhouse-users.xml": users_xml(),
        DEPLOY / "compose" / "grafana-datasources.yml": DataSources(
            "http://clickhouse:8123", prometheus_url="http://prometheus:9090"
        ).text(),
        CHART / "files" / "kafka.yaml": as_yaml({"topics": topics(), "roles": acls()}),
        CHART / "files" / "clickhouse.yaml": as_yaml(
            {"limits": READERS_LIMITS, "server": rights(), "cluster": rights("evometrics")}
        ),
        # a chart can't have links out of its folder: Helm follows them, and complains of each
        CHART / "files" / "rules.yml": (DEPLOY / "prometheus" / "rules.yml").read_text(encoding="utf-8"),
        **{CHART / "files" / "dashboards" / f"{name}.json": compact(name) for name in DASHBOARDS},
    }


def compact(name: str) -> str:
    """Return one of Grafana's dashboards without spaces, as small as a ConfigMap should be."""
    dashboard = json.loads((DEPLOY / "grafana" / f"{name}.json").read_text(encoding="utf-8"))
    return json.dumps(dashboard, separators=(",", ":"), ensure_ascii=False) + "\n"


def topics() -> dict[str, dict[str, str]]:
    """Return each topic's settings; the chart adds the one that goes by the number of copies."""
    settings = with_common(KafkaSettings(), {name: {RETENTION: str(ms)} for name, ms in retention().items()})
    return {name: {k: v for k, v in own.items() if k != MIN_IN_SYNC} for name, own in settings.items()}


def acls() -> dict[str, list[dict[str, Any]]]:
    """Return each role's rights in Kafka, as a KafkaUser has them."""
    return {name: list(of_role(role)) for name, role in roles(STREAM_GROUP, SINK_GROUP).items()}


def of_role(role: Role) -> Iterator[dict[str, Any]]:
    for right in role.rights:
        for name in right.names:
            resource: dict[str, Any] = {"type": right.kind}
            if right.kind != "cluster":
                resource |= {"name": name, "patternType": "prefix" if right.prefixed else "literal"}
            yield {"resource": resource, "operations": [camel(each) for each in right.operations]}


def rights(cluster: str = "") -> dict[str, list[str]]:
    """Return each role's grants in ClickHouse, as a user's configuration has them: without the grantee."""
    found = {}
    for role, statements in grants(ClickHouseSettings(database=DATABASE, cluster=cluster)):
        listed = [text for text in statements if text.startswith("GRANT") and not role.includes]
        if listed:
            found[role.part] = [re.sub(r" ON CLUSTER '\w+'| TO \w+$", "", text) for text in listed]
    return found


def users_xml() -> str:
    """Return the users of Compose's ClickHouse; each takes its password from the environment."""
    own = {
        name: [each.replace(DATABASE, "evometrics") for each in listed] for name, listed in rights().items()
    }
    limits = "".join(f"            <{name}>{most}</{name}>\n" for name, most in READERS_LIMITS.items())
    most = "".join(
        f"                <{name}><min>1</min><max>{most}</max></{name}>\n"
        for name, most in READERS_LIMITS.items()
    )
    users = "".join(
        f"        <{user}>\n"
        f'            <password from_env="EVOMETRICS_PASSWORD_OF_{user}"/>\n'
        f"            <profile>{'evometrics_reader' if role == 'reader' else 'default'}</profile>\n"
        "            <quota>default</quota>\n"
        "            <networks><ip>::/0</ip></networks>\n"
        "            <grants>\n"
        + "".join(f"                <query>{escape(each)}</query>\n" for each in own[role])
        + f"            </grants>\n        </{user}>\n"
        for user, role in USERS.items()
    )
    return (
        f"<clickhouse>\n    <!-- {NOTE} -->\n    <profiles>\n        <evometrics_reader>\n"
        f"            <readonly>2</readonly>\n{limits}"
        f"            <constraints>\n{most}            </constraints>\n"
        "        </evometrics_reader>\n    </profiles>\n"
        f'    <users>\n        <default remove="remove"/>\n{users}    </users>\n</clickhouse>\n'
    )


def as_yaml(value: dict[str, Any]) -> str:
    """Return YAML: maps and lists in blocks, everything below the third level in one line."""
    lines = [f"# {NOTE}"]
    for name, section in value.items():
        lines.append(f"{name}:")
        for key, own in section.items():
            if isinstance(own, list):
                lines.append(f"  {key}:")
                lines += [f"    - {json.dumps(each)}" for each in own]
            else:
                lines.append(f"  {key}: {json.dumps(own)}")
    return "\n".join(lines) + "\n"


def write() -> None:
    """Write every file that has changed, and name it."""
    for file, text in made().items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            print(f"wrote {file.relative_to(DEPLOY.parent)}")
