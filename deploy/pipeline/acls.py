"""Prints the rights of each role as commands for `kafka-acls.sh`, and as `KafkaUser` resources of Strimzi.

Formats: https://kafka.apache.org/documentation/#security_authz_cli, and Strimzi's CRD `KafkaUser` in
`kafka.strimzi.io/v1` (https://strimzi.io/docs/operators/latest/configuring#type-KafkaUser-reference).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping

from evometrics.deploy.pipeline.rights import Right, Role
from evometrics.schemas.service.security import uses_sasl
from evometrics.schemas.service.settings import KafkaSettings, SettingsError

#: Whom Kafka takes a client with a certificate for, where its subject is this name alone.
SUBJECT = "CN="
#: The administrator's own settings, where no `client_properties` is set.
ADMIN_PROPERTIES = "admin.properties"
#: What Kubernetes takes for the name of a resource (RFC 1123).
RESOURCE_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def users(kafka: KafkaSettings, names: Mapping[str, str], roles: Mapping[str, Role]) -> dict[str, str]:
    """Return the Kafka user of each role: as given in `names`, else `evometrics-ROLE`.

    With client certificates instead of a login that is the subject `CN=evometrics-ROLE`. Raises
    `SettingsError` for a role that does not exist.
    """
    for role in names:
        if role not in roles:
            raise SettingsError(f"--principal {role}=...: no such role; the roles are {', '.join(roles)}")
    begin = SUBJECT if kafka.security_protocol == "SSL" else ""
    return {role: names.get(role, f"{begin}evometrics-{role}").removeprefix("User:") for role in roles}


def kafka_acls(kafka: KafkaSettings, roles: Mapping[str, Role], users: Mapping[str, str]) -> str:
    """Return a shell script that grants all roles' rights; running it again changes nothing."""
    admin = kafka.client_properties or ADMIN_PROPERTIES
    begin = ["kafka-acls.sh", "--bootstrap-server", kafka.brokers, "--command-config", admin, "--add"]
    lines = [f"# {admin}: the client.properties of a user that has ALTER on the cluster"]
    for name, role in roles.items():
        lines += ["", f"# {name}: {role.runs}"]
        principal = ["--allow-principal", f"User:{users[name]}"]
        lines += [shlex.join([*begin, *principal, *resources(right)]) for right in role.rights]
    return "\n".join(lines)


def resources(right: Right) -> list[str]:
    """Return a right as flags of `kafka-acls.sh`."""
    flags = [flag for operation in right.operations for flag in ("--operation", camel(operation))]
    if right.kind == "cluster":
        return [*flags, "--cluster"]
    flags += [flag for name in right.names for flag in (f"--{right.kind}", name)]
    return [*flags, "--resource-pattern-type", "prefixed"] if right.prefixed else flags


def kafka_users(
    kafka: KafkaSettings, roles: Mapping[str, Role], users: Mapping[str, str], cluster: str
) -> str:
    """Return a `KafkaUser` for each user, in YAML; roles that share a user are one.

    They log in as the settings do: with SCRAM-SHA-512, or with a certificate, which the operator makes.
    `cluster`: the name of the `Kafka` resource. Raises `SettingsError` for a user that Kubernetes can't have.
    """
    begin = SUBJECT if kafka.security_protocol == "SSL" else ""
    named: dict[str, list[str]] = {}
    for role in roles:
        named.setdefault(users[role].removeprefix(begin), []).append(role)
    return "\n".join(
        kafka_user(name, [roles[each] for each in own], kafka, cluster) for name, own in named.items()
    )


def kafka_user(name: str, roles: list[Role], kafka: KafkaSettings, cluster: str) -> str:
    if not RESOURCE_NAME.fullmatch(name):
        raise SettingsError(
            f"--principal: {name} can't be the name of a KafkaUser: give lower case letters, digits, - and ."
        )
    lines = [
        "---",
        *(f"# {role.runs}" for role in roles),
        "apiVersion: kafka.strimzi.io/v1",
        "kind: KafkaUser",
        "metadata:",
        f"  name: {text(name)}",
        "  labels:",
        f"    strimzi.io/cluster: {text(cluster)}",
        "spec:",
        *authentication(kafka),
        "  authorization:",
        "    type: simple",
        "    acls:",
    ]
    rights = dict.fromkeys(right for role in roles for right in role.rights)
    for right in rights:
        operations = ", ".join(map(camel, right.operations))
        for each in right.names:
            lines += ["      - resource:", f"          type: {right.kind}"]
            if right.kind != "cluster":
                pattern = "prefix" if right.prefixed else "literal"
                lines += [f"          name: {text(each)}", f"          patternType: {pattern}"]
            lines.append(f"        operations: [{operations}]")
    return "\n".join(lines)


def authentication(kafka: KafkaSettings) -> list[str]:
    """Return how a `KafkaUser` logs in; nothing where its login is made elsewhere."""
    kind = ""
    if kafka.security_protocol == "SSL":
        kind = "tls"
    elif uses_sasl(kafka.security_protocol) and kafka.sasl_mechanism == "SCRAM-SHA-512":
        kind = "scram-sha-512"
    return ["  authentication:", f"    type: {kind}"] if kind else []


def text(value: str) -> str:
    """Return a string as YAML has it; JSON's are."""
    return json.dumps(value, ensure_ascii=False)


def camel(operation: str) -> str:
    """Return an operation as both tools spell it: `DescribeConfigs`."""
    return operation.title().replace("_", "")
