"""Kubernetes' API server and its etcd, built of Go modules and run on loopback, without any kubelet."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evometrics.deploy.kafka.jars import cache_folder, exclusive
from evometrics.deploy.process.ports import free_ports
from tests.deployment.tools import BUILD_SECONDS, Missing

KUBERNETES, VERSION = "k8s.io/kubernetes", "v1.37.2"
ETCD, ETCD_VERSION = "go.etcd.io/etcd/server/v3", "v3.7.3"
READY_SECONDS = 120
TOKEN = "loopback"


@dataclass(frozen=True)
class Answer:
    """What the API server said: the status of HTTP, and its object."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True)
class ApiServer:
    """A running API server. `ask` is for JSON."""

    url: str
    certificate: Path

    def ask(self, path: str, body: object = None) -> Answer:
        """GET a path, or POST a body to it."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body, default=str).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                return Answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as error:
            return Answer(error.code, json.loads(error.read() or b"{}"))


def built(name: str, module: str, version: str) -> Path:
    """Build the program of a folder beside this file, unless it is there. Raises `Missing`."""
    file = cache_folder() / "go" / f"{name}-{version}"
    file.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(file.with_suffix(".lock")):
        if file.exists():
            return file
        if shutil.which("go") is None:
            raise Missing(f"{name} is built from a Go module, and there is no go in PATH")
        with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
            folder = Path(scratch)
            shutil.copy(Path(__file__).with_name(name) / "main.go", folder)
            go(folder, "mod", "init", name)
            go(folder, "mod", "edit", f"-require={module}@{version}")
            if module == KUBERNETES:
                replace_staging(folder)
            go(folder, "mod", "tidy")
            stamp = f"-s -w -X k8s.io/component-base/version.gitVersion={version}"
            go(folder, "build", "-ldflags", stamp, "-o", str(file), ".")
    return file


def replace_staging(folder: Path) -> None:
    """Take the modules that Kubernetes keeps in its own repository as they were published."""
    found = json.loads(go(folder, "mod", "download", "-json", f"{KUBERNETES}@{VERSION}"))
    text = Path(found["GoMod"]).read_text()
    staged = re.findall(r"^\s*(k8s\.io/[\w-]+) (?:v0\.0\.0$|=> \./staging)", text, re.M)
    of_them = VERSION.replace("v1", "v0", 1)
    go(folder, "mod", "edit", *(f"-replace={name}={name}@{of_them}" for name in sorted(set(staged))))


def go(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["go", *arguments], cwd=folder, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    if done.returncode:
        raise Missing(f"go {' '.join(arguments[:2])}: {done.stderr[-1000:]}")
    return done.stdout


@contextlib.contextmanager
def api_server(folder: Path) -> Iterator[ApiServer]:
    """Run both, with their files in a folder, until the block ends. Raises `Missing`."""
    server, etcd = built("apiserver", KUBERNETES, VERSION), built("etcd", ETCD, ETCD_VERSION)
    clients, peers, port = free_ports(3)
    key = folder / "service-accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    (folder / "tokens").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
    of_etcd = f"http://127.0.0.1:{clients}"
    flags: dict[Path, dict[str, str | Path]] = {
        etcd: {
            "data-dir": folder / "etcd",
            "unsafe-no-fsync": "true",
            "log-level": "error",
            "listen-client-urls": of_etcd,
            "advertise-client-urls": of_etcd,
            "listen-peer-urls": f"http://127.0.0.1:{peers}",
        },
        server: {
            "etcd-servers": of_etcd,
            "bind-address": "127.0.0.1",
            "secure-port": str(port),
            "cert-dir": folder / "certificates",
            "token-auth-file": folder / "tokens",
            "service-account-issuer": "https://loopback",
            "service-account-key-file": key,
            "service-account-signing-key-file": key,
            "service-cluster-ip-range": "10.0.0.0/24",
            # no controllers run, which would make the accounts that pods need; and none listens but this one
            "disable-admission-plugins": "ServiceAccount",
            "endpoint-reconciler-type": "none",
        },
    }
    running: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "servers.log").open("wb") as log:
            for program, given in flags.items():
                command = [program, *(f"--{name}={value}" for name, value in given.items())]
                running.append(subprocess.Popen(command, stdout=log, stderr=log))
        made = ApiServer(f"https://127.0.0.1:{port}", folder / "certificates" / "apiserver.crt")
        until_ready(made, running, folder / "servers.log")
        yield made
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(30)


def until_ready(server: ApiServer, running: list[subprocess.Popen[bytes]], log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError, json.JSONDecodeError):
            if (
                server.ask("/apis/apps/v1").status == 200
                and server.ask("/api/v1/namespaces/default").status == 200
            ):
                return
        if any(process.poll() is not None for process in running):
            break
        time.sleep(0.5)
    raise Missing(f"the API server did not start:\n{log.read_text()[-1500:]}")
