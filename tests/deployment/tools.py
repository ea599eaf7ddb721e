"""Programs that are built from Go modules, each once on a machine, into the cache folder of Kafka's jars.

Helm takes minutes to build: tests use what is there, and `python -m tests.deployment` builds what is not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from evometrics.deploy.kafka.jars import cache_folder, exclusive

BUILD_SECONDS = 1800
#: The Kubernetes whose schemas are asked, and whose API server is.
KUBERNETES = "1.37.0"


class Missing(Exception):
    """A program is not on this machine, and can't be built."""


@dataclass(frozen=True)
class Tool:
    """A program of a Go module.

    Attributes:
        name: of the program.
        module: what `go install` takes, without the version; or a folder, which `go build` takes.
        version: the module's.
    """

    name: str
    module: str | Path
    version: str

    @property
    def path(self) -> Path:
        """Where it is once it is built."""
        return cache_folder() / "go" / f"{self.name}-{self.version}"

    def built(self) -> Path:
        """Build it, unless it is there. Raises `Missing`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(self.path.with_suffix(".lock")):
            if not self.path.exists():
                self.build()
        return self.path

    def build(self) -> None:
        go = shutil.which("go")
        if go is None:
            raise Missing(f"{self.name} is built from a Go module, and there is no go in PATH")
        with tempfile.TemporaryDirectory(dir=self.path.parent) as scratch:
            command = [go, "install", "-ldflags=-s -w", f"{self.module}@{self.version}"]
            if isinstance(self.module, Path):
                command = [go, "build", "-ldflags=-s -w", "-o", f"{scratch}/{self.module.name}", "."]
            done = subprocess.run(
                command,
                cwd=self.module if isinstance(self.module, Path) else scratch,
                env={**os.environ, "GOBIN": scratch},
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
                check=False,
            )
            if done.returncode:
                raise Missing(f"{self.name} could not be built:\n{done.stderr[-1000:]}")
            (made,) = (each for each in Path(scratch).iterdir() if each.is_file())
            made.rename(self.path)


HELM = Tool("helm", "helm.sh/helm/v3/cmd/helm", "v3.22.0")
KUBE_SCORE = Tool("kube-score", "github.com/zegl/kube-score/cmd/kube-score", "v1.20.0")
#: Compose's loader; its version is in its go.mod.
COMPOSE = Tool("compose", Path(__file__).with_name("compose"), "v2.16.2")


def needed(tool: Tool, *, build: bool = False) -> Path:
    """Return a program; skip the test where it is not there, and is not to be built or can't be."""
    if build:
        try:
            return tool.built()
        except Missing as lacking:
            pytest.skip(str(lacking))
    if not tool.path.exists():
        pytest.skip(f"no {tool.name} on this machine (python -m tests.deployment builds it)")
    return tool.path


def installed(name: str, package: str) -> Path:
    """Return a program of this environment or machine; skip the test where there is none."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on this machine ({package})")
    return Path(found)


def said(command: Sequence[str | Path], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program; return how it ended, and what it wrote."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
