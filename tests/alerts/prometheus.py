"""A real Prometheus, with a copy of the rules in which times are short, and what it says of alerts."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from evometrics.deploy.process.ports import HOST, free_ports

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yml"
JOBS = ("evometrics-sink", "evometrics-stream", "evometrics-node")
#: What is shortened in the copy's expressions: windows and limits that are times.
SHORT = {
    "[24h]": "[60s]",
    # a line through a minute says something of four
    "[6h], 86400": "[60s], 240",
    "[1h]": "[60s]",
    "[30m]": "[2m]",
    "[15m:1m]": "[20s:2s]",
    "[10m]": "[60s]",
    "[5m]": "[15s]",
    "offset 1d": "offset 60s",
    "offset 1h": "offset 10s",
    "timestamp_seconds) > 900": "timestamp_seconds) > 20",
    "oldest_seconds > 600": "oldest_seconds > 10",
    "stuck_seconds > 60": "stuck_seconds > 15",
    "rebalances_total[2m])) > 10": "rebalances_total[2m])) > 4",
}
SCRAPE_SECONDS = 2
#: Prometheus' own default.
TIMEOUT_SECONDS = 10


def shortened() -> str:
    """Return the rules with `for` of 10 seconds, and short windows."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            for long, short in SHORT.items():
                rule["expr"] = rule["expr"].replace(long, short)
            if "for" in rule:
                rule["for"] = "10s"
            if "keep_firing_for" in rule:
                rule["keep_firing_for"] = "10s"
    return str(yaml.safe_dump(rules, sort_keys=False))


class Prometheus:
    """The server; targets are files, so that they come and go while it runs."""

    def __init__(
        self,
        folder: Path,
        rules: str | None = None,
        scrape_seconds: float = SCRAPE_SECONDS,
        evaluation_seconds: float = 1,
    ) -> None:
        """`rules`: the text of its rules; without it `shortened`."""
        program = shutil.which("prometheus")
        if program is None:
            raise FileNotFoundError("no prometheus on this machine (apt-get install prometheus)")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rules.yml").write_text(rules or shortened())
        every, evaluated = f"{scrape_seconds:g}s", f"{evaluation_seconds:g}s"
        config = {
            "global": {
                "scrape_interval": every,
                "scrape_timeout": f"{min(scrape_seconds, TIMEOUT_SECONDS):g}s",
                "evaluation_interval": evaluated,
            },
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {"job_name": job, "file_sd_configs": [{"files": [f"{job}.json"], "refresh_interval": "2s"}]}
                for job in JOBS
            ],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        (port,) = free_ports(1)
        self.url = f"http://{HOST}:{port}"
        self.argv = [
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{port}",
            "--enable-feature=extra-scrape-metrics",
        ]
        self.targets: dict[str, list[str]] = {job: [] for job in JOBS}
        self.process: subprocess.Popen[bytes] | None = None

    def scrape(self, job: str, *addresses: str) -> None:
        """Have these targets, and no others, in a job."""
        self.targets[job] = list(addresses)
        groups = [{"targets": self.targets[job]}] if addresses else []
        new = self.folder / f"{job}.new"
        new.write_text(json.dumps(groups))
        new.rename(self.folder / f"{job}.json")

    def start(self) -> None:
        for job, targets in self.targets.items():
            self.scrape(job, *targets)
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    def ask(self, path: str, **parameters: str) -> Any:
        with urllib.request.urlopen(
            f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=10
        ) as answer:
            return json.loads(answer.read())["data"]

    def itself(self) -> dict[str, float]:
        """Return Prometheus' metrics of its own, by their text before the value."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in found}

    def value(self, expression: str) -> float | None:
        """Return the value of an expression's only, or first, series."""
        found = self.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> dict[str, dict[str, Any]]:
        """Return the alerts that fire, by name; one of each name. Raises OSError."""
        alerts = self.ask("alerts")["alerts"]
        return {each["labels"]["alertname"]: each for each in alerts if each["state"] == "firing"}

    async def until_ready(self, seconds: float = 60) -> None:
        ends = time.monotonic() + seconds
        while True:
            try:
                await asyncio.to_thread(self.ask, "alerts")
                return
            except OSError:
                if time.monotonic() >= ends:
                    raise
                await asyncio.sleep(0.2)


def badly_said(alerts: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the texts in which a template has failed, or a label that they name has no value."""
    for alert in alerts:
        for name, text in alert["annotations"].items():
            if (
                "<error" in text
                or "<no value>" in text
                or re.search(r"  | of {2}| (?:to|of|from|on) *$", text)
            ):
                yield f"{alert['labels']['alertname']}: {name}: {text}"
