"""The chart before a real API server, which keeps nothing of it: a dry run with every field checked.

    python -m tests.deployment.server FOLDER

FOLDER has the CustomResourceDefinitions of the operators, as their releases ship them, as *.yaml: of Strimzi
(kafkas, kafkanodepools, kafkatopics, kafkausers), Altinity's operator (clickhouseinstallations,
clickhousekeeperinstallations), KEDA (scaledobjects, triggerauthentications) and Prometheus' operator
(prometheusrules, servicemonitors). Kubernetes' API server and etcd are built of their Go modules, once on a
machine: ten minutes and more. Exit code 1 where a resource is refused, or a broken copy of one is not.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.deployment.chart import EXAMPLES, NAMESPACE, Manifest, manifests
from tests.deployment.servers import ApiServer, api_server
from tests.deployment.tools import Missing

ESTABLISHED_SECONDS = 60
#: By kind: where a copy gets a field that the kind does not have.
BROKEN = {
    "StatefulSet": ("spec", "template", "spec"),
    "KafkaTopic": ("spec",),
    "KafkaUser": ("spec", "authorization"),
    "Kafka": ("spec", "kafka"),
    "ClickHouseInstallation": ("spec", "templates"),
    "ScaledObject": ("spec",),
    "ServiceMonitor": ("spec",),
}


def main() -> int:
    """Ask for every resource of every example, and for broken copies; print a line for each kind."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.deployment.server",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("definitions", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evometrics-kubernetes-") as folder:
        try:
            with api_server(Path(folder)) as server:
                return asked(server, args.definitions)
        except Missing as lacking:
            print(lacking, file=sys.stderr)
            return 1


def asked(server: ApiServer, definitions: Path) -> int:
    version = server.ask("/version").body["gitVersion"]
    print(f"kube-apiserver {version}, fieldValidation=Strict, dryRun=All")
    define(server, definitions)
    server.ask(
        "/api/v1/namespaces", {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": NAMESPACE}}
    )
    right = True
    for example in EXAMPLES:
        for kind in sorted({each["kind"] for each in manifests(example)}):
            own = [each for each in manifests(example) if each["kind"] == kind]
            wrong = [said for each in own if (said := refused(server, each))]
            line = f"{example:10} {own[0]['apiVersion']:38} {kind:30} {len(own):2} accepted"
            if kind in BROKEN:
                said = refused(server, broken(own[0], BROKEN[kind]))
                line += (
                    f"; a broken copy is refused: {said.rpartition('error: ')[2]}"
                    if said
                    else "; A BROKEN COPY IS ACCEPTED"
                )
                right &= said is not None
            print(f"{line if not wrong else f'{example:10} {kind}: REFUSED'}")
            print(*(f"    {each}" for each in wrong), sep="\n", end="\n" if wrong else "")
            right &= not wrong
    return 0 if right else 1


def define(server: ApiServer, definitions: Path) -> None:
    """Have the server know the operators' kinds."""
    made = 0
    for file in sorted(definitions.glob("*.yaml")):
        for each in yaml.load_all(file.read_text(encoding="utf-8"), yaml.CSafeLoader):
            if not each:
                continue
            answer = server.ask("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", each)
            if answer.status != 201:
                raise Missing(f"{file.name}: {answer.body.get('message')}")
            made += 1
    end = time.monotonic() + ESTABLISHED_SECONDS
    while time.monotonic() < end:
        found = server.ask("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").body["items"]
        ready = [
            each
            for each in found
            if any(
                one["type"] == "Established" and one["status"] == "True"
                for one in each.get("status", {}).get("conditions") or ()
            )
        ]
        if len(ready) == made:
            time.sleep(2)  # until discovery has them
            return
        time.sleep(0.5)
    raise Missing("the definitions were not established")


def refused(server: ApiServer, manifest: Manifest) -> str | None:
    """Return why the server would not take a resource; None where it would."""
    group = manifest["apiVersion"]
    base = f"/apis/{group}" if "/" in group else f"/api/{group}"
    listed = server.ask(base).body.get("resources", [])
    plural = next(
        (one["name"] for one in listed if one["kind"] == manifest["kind"] and "/" not in one["name"]), None
    )
    if plural is None:
        return f"no kind {manifest['kind']} in {group}"
    path = f"{base}/namespaces/{NAMESPACE}/{plural}?dryRun=All&fieldValidation=Strict"
    answer = server.ask(path, manifest)
    return None if answer.status == 201 else f"{answer.status} {answer.body.get('message')}"


def broken(manifest: Manifest, path: tuple[str, ...]) -> Manifest:
    """Return a copy with a field more than its kind has."""
    other = copy.deepcopy(manifest)
    inside = other
    for name in path:
        inside = inside[name]
    inside["misspelt"] = 1
    return other


if __name__ == "__main__":
    sys.exit(main())
