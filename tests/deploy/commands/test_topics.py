"""`evometrics topics --acls`: what it prints. tests/deploy/stack/test_secured.py runs it."""

from __future__ import annotations

import re
import shlex

import pytest

from evometrics.deploy.pipeline.rights import roles
from tests.support.secured import ROLES
from tests.support.stack import evometrics_here

#: The resource of one role, written by hand from Strimzi's CRD.
USER = """\
---
# `evometrics sink`
apiVersion: kafka.strimzi.io/v1
kind: KafkaUser
metadata:
  name: "of-sinks"
  labels:
    strimzi.io/cluster: "events"
spec:
  authentication:
    type: scram-sha-512
  authorization:
    type: simple
    acls:
"""
#: How Strimzi's CRD spells operations.
OPERATIONS = ("Read", "Write", "Create", "Delete", "Alter", "Describe", "AlterConfigs", "DescribeConfigs")
SCRAM = {
    "EVOMETRICS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "EVOMETRICS_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "EVOMETRICS_KAFKA_SASL_PLAIN_USERNAME": "admin",
    "EVOMETRICS_KAFKA_SASL_PLAIN_PASSWORD": "secret",
}


def acls(*flags: str, **environment: str) -> str:
    printed = evometrics_here("topics", "--acls", *flags, **environment)
    assert printed.returncode == 0, printed.stderr
    return printed.stdout


def resources(printed: str) -> dict[str, str]:
    """Return each `KafkaUser` that was printed, by its name."""
    found = re.split(r"^---$", printed, flags=re.M)[1:]
    return {re.findall(r"name: \"(.*)\"", each)[0]: each for each in found}


def test_every_role_has_commands_for_the_users_and_groups_that_are_given() -> None:
    printed = acls(
        *("--brokers", "kafka-1:9093,kafka-2:9093", "--principal", "sink=User:O=us,CN=metrics sink"),
        EVOMETRICS_STREAM_GROUP="ours",
        EVOMETRICS_SINK_GROUP="theirs",
    )
    commands = [shlex.split(line) for line in printed.splitlines() if line and not line.startswith("#")]
    assert len(commands) == sum(len(role.rights) for role in ROLES.values())
    assert {tuple(words[:3]) for words in commands} == {
        ("kafka-acls.sh", "--bootstrap-server", "kafka-1:9093,kafka-2:9093")
    }
    users = {words[words.index("--allow-principal") + 1] for words in commands}
    assert users == {f"User:evometrics-{role}" for role in ROLES if role != "sink"} | {
        "User:O=us,CN=metrics sink"
    }
    assert "--group ours" in printed and "--group theirs" in printed
    assert "--operation DescribeConfigs --topic ours- --resource-pattern-type prefixed" in printed


def test_strimzi_gets_a_user_for_each_role_that_logs_in_as_the_settings_do() -> None:
    found = resources(acls("--strimzi", "events", "--principal", "sink=of-sinks", **SCRAM))
    assert set(found) == {f"evometrics-{role}" for role in ROLES if role != "sink"} | {"of-sinks"}
    sink = found["of-sinks"]
    assert f"---{sink}".startswith(USER)
    assert sink.count("- resource:") == 12
    assert sink.rstrip().endswith(
        """
      - resource:
          type: group
          name: "evometrics-sink"
          patternType: literal
        operations: [Read]"""
    )
    assert "type: cluster\n        operations: [Describe]" in found["evometrics-node"]
    assert 'name: "evometrics-stream-"\n          patternType: prefix\n' in found["evometrics-stream"]
    spelt = {
        word for text in found.values() for each in re.findall(r"\[(.*)\]", text) for word in each.split(", ")
    }
    assert spelt <= set(OPERATIONS)


def test_roles_that_share_a_user_are_one_resource() -> None:
    same = [word for role in roles("", "") for word in ("--principal", f"{role}=evometrics")]
    ((name, text),) = resources(acls("--strimzi", "events", *same)).items()
    assert name == "evometrics"
    assert "authentication" not in text
    for role in ROLES.values():
        assert f"# {role.runs}\n" in text


def test_with_client_certificates_users_are_their_subjects() -> None:
    assert "User:CN=evometrics-sink" in acls(EVOMETRICS_KAFKA_SECURITY_PROTOCOL="SSL")
    found = resources(acls("--strimzi", "events", EVOMETRICS_KAFKA_SECURITY_PROTOCOL="SSL"))
    assert "  authentication:\n    type: tls\n" in found["evometrics-sink"]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--acls", "--principal", "sinks=x"], "no such role; the roles are node, stream, sink"),
        (["--acls", "--principal", "sink="], "'sink=' is not ROLE=USER"),
        (["--acls", "--strimzi", "c", "--principal", "sink=CN=Us"], "CN=Us can't be the name of a KafkaUser"),
        (["--acls", "--anew"], "leave --anew out"),
        (["--strimzi", "c"], "--strimzi applies to --acls"),
    ],
)
def test_what_can_not_be_printed_is_named(flags: list[str], named: str) -> None:
    refused = evometrics_here("topics", *flags)
    assert refused.returncode == 2
    assert named in refused.stderr
