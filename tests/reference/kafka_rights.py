"""kafka-rights.md: what each role needs in Kafka, from `roles`."""

from __future__ import annotations

from evometrics.deploy.pipeline.rights import Right, roles
from tests.reference.markdown import cell, code, document, listed, table, wrapped


def row(name: str, right: Right) -> list[str]:
    """Return a right's row."""
    names = [f"{each}*" if right.prefixed else each for each in right.names]
    return [code(name), ", ".join(right.operations), right.kind, listed(names)]


def page() -> str:
    """Return the page."""
    found = roles("<stream group>", "<sink group>")
    return document(
        "Rights in Kafka",
        wrapped(
            "What each role needs on a cluster whose authorizer allows nothing by default, and no more: the "
            "tests run each of them with exactly these rights, the authorizer denies none, and each right is "
            "used, apart from those for which the tests have no occasion. READ and WRITE include DESCRIBE; "
            "idempotent producers need no more than WRITE on a topic, and nothing "
            "uses transactions. A name that ends with an asterisk stands for all names that begin so (a "
            "prefixed pattern)."
        ),
        wrapped(
            "`evometrics topics --acls` prints them for the groups in your settings, as commands for "
            "`kafka-acls.sh` or as Strimzi's `KafkaUser`: see [Secure a "
            "deployment](../how-to/secure.md#rights-in-kafka)."
        ),
        table(["role", "who"], ([code(name), cell(role.runs)] for name, role in found.items())),
        table(
            ["role", "operations", "on", "of the name"],
            (row(name, right) for name, role in found.items() for right in role.rights),
        ),
    )
