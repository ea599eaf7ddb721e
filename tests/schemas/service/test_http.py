"""Health and metrics behind TLS and a token."""

from __future__ import annotations

import asyncio
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evometrics.deploy.process.readiness import Liveness, at_work, live_at
from evometrics.producers.metrics.node import NodeMetrics
from evometrics.producers.metrics.server import serve_metrics
from evometrics.schemas.service.checks import SettingsError
from evometrics.schemas.service.http import (
    PLAIN_TEXT,
    HealthServer,
    HttpAddress,
    HttpRequest,
    HttpSettings,
    Response,
    serve,
)
from tests.support.certificates import authority, certificate

TOKEN = "a token of 32 letters, or a few"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, and a server's certificate and key."""
    made = tmp_path_factory.mktemp("tls")
    certificate(authority(made, "ca"), "server", "IP:127.0.0.1")
    return made


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[HealthServer]:
    files = str(folder / "server.pem"), str(folder / "server.key")

    def metrics(request: HttpRequest) -> Response:
        return Response(200, PLAIN_TEXT, b"gone" if request.gone() else b"there")

    found = await serve(HttpAddress(0, "127.0.0.1", *files, TOKEN), metrics, lambda: None, lambda: None)
    yield found
    await found.close()


def get(url: str, ca: Path, token: str | None = None) -> tuple[int, str]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    context = ssl.create_default_context(cafile=str(ca))
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=30, context=context
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("path", ["/metrics", "/health/live", "/health/ready", "/nothing"])
async def test_nothing_is_answered_without_the_token(server: HealthServer, folder: Path, path: str) -> None:
    url = f"https://127.0.0.1:{server.port}{path}"
    for wrong in (None, "", "another token", TOKEN + "x", "tökén"):
        status, said = await asyncio.to_thread(get, url, folder / "ca.pem", wrong)
        assert (status, said) == (401, "send Authorization: Bearer <token>\n")
    status, _ = await asyncio.to_thread(get, url, folder / "ca.pem", TOKEN)
    assert status == (404 if path == "/nothing" else 200)


async def test_a_client_that_waits_is_not_taken_for_one_that_has_gone(
    server: HealthServer, folder: Path
) -> None:
    url = f"https://127.0.0.1:{server.port}/metrics"
    assert await asyncio.to_thread(get, url, folder / "ca.pem", TOKEN) == (200, "there")


async def test_a_client_that_does_not_shake_hands_holds_nobody_up(server: HealthServer, folder: Path) -> None:
    url = f"https://127.0.0.1:{server.port}/health/live"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as silent:
        assert await asyncio.to_thread(get, url, folder / "ca.pem", TOKEN) == (200, "ok\n")
        silent.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert b"HTTP/" not in await asyncio.to_thread(silent.recv, 100)


async def test_the_supervisors_probes_send_the_token_and_take_any_name(server: HealthServer) -> None:
    url = f"https://localhost:{server.port}/health"
    assert await at_work(f"{url}/ready", TOKEN)()
    assert not await at_work(f"{url}/ready")()
    assert await live_at(f"{url}/live", TOKEN)() == Liveness(answered=True)


def test_a_node_serves_its_metrics_in_the_same_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOMETRICS_HTTP_CERTIFICATE", str(folder / "server.pem"))
    monkeypatch.setenv("EVOMETRICS_HTTP_KEY", str(folder / "server.key"))
    (folder / "token").write_text(TOKEN + "\n")
    monkeypatch.setenv("EVOMETRICS_HTTP_TOKEN_FILE", str(folder / "token"))
    node = serve_metrics(0, "127.0.0.1", NodeMetrics(lambda: pytest.fail("nobody asks for figures")))
    assert node is not None
    try:
        url = f"https://127.0.0.1:{node.port}/health/live"
        assert get(url, folder / "ca.pem")[0] == 401
        assert get(url, folder / "ca.pem", TOKEN)[0] == 200
    finally:
        node.end()


async def test_a_certificate_that_can_not_be_used_is_named(folder: Path) -> None:
    absent = str(folder / "absent.pem")
    with pytest.raises(SettingsError, match=r"\[http\] certificate='.*absent.pem'.*No such file"):
        await serve(HttpAddress(0, "127.0.0.1", absent), None, lambda: None, lambda: None)
    key = str(certificate(folder / "ca.pem", "other")[1])
    address = HttpAddress(0, "127.0.0.1", str(folder / "server.pem"), key)
    with pytest.raises(SettingsError, match="KEY_VALUES_MISMATCH"):
        await serve(address, None, lambda: None, lambda: None)
    with pytest.raises(SettingsError, match="set certificate"):
        HttpSettings(1, key=key)
    assert HttpSettings().address is None
    assert TOKEN not in repr(HttpSettings(1, token=TOKEN)) + repr(HttpSettings(1, token=TOKEN).address)
