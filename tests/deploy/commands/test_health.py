"""`evometrics health` asks as whoever started the part may: with its token, and trusting its certificate."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evometrics.deploy.cli.main import main
from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.process.ports import free_ports
from evometrics.schemas.service.http import HttpAddress, serve
from tests.support.certificates import authority, certificate


async def asked(*flags: str) -> int:
    return await asyncio.to_thread(main, ["health", *flags])


async def test_the_exit_code_says_whether_a_part_is_live_and_ready(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = await serve(HttpAddress(0, "0.0.0.0"), None, lambda: None, lambda: "Kafka does not answer")
    try:
        at = ("--http-port", str(server.port), "--http-host", "0.0.0.0")
        assert await asked(*at) == ExitCode.DONE
        assert capsys.readouterr().out == "ok\n"
        assert await asked(*at, "--ready") == ExitCode.FAILED
        assert "Kafka does not answer" in capsys.readouterr().err
    finally:
        await server.close()


async def test_it_has_the_parts_own_certificate_and_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pem, key = certificate(authority(tmp_path, "ca"), "sink.example.com", "DNS:sink.example.com")
    address = HttpAddress(0, certificate=str(pem), key=str(key), token="of-metrics")
    server = await serve(address, None, lambda: None, lambda: None)
    try:
        monkeypatch.setenv("EVOMETRICS_HTTP_PORT", str(server.port))
        monkeypatch.setenv("EVOMETRICS_HTTP_CERTIFICATE", str(pem))
        monkeypatch.setenv("EVOMETRICS_HTTP_TOKEN", "another")
        assert await asked() == ExitCode.FAILED
        assert "Bearer" in capsys.readouterr().err
        monkeypatch.setenv("EVOMETRICS_HTTP_TOKEN", "of-metrics")
        assert await asked("--ready") == ExitCode.DONE
        other, _ = certificate(authority(tmp_path, "another"), "other")
        monkeypatch.setenv("EVOMETRICS_HTTP_CERTIFICATE", str(other))
        assert await asked() == ExitCode.FAILED
    finally:
        await server.close()


def test_a_part_that_is_not_there_and_a_port_that_is_not_named_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (port,) = free_ports(1)
    assert main(["health", "--http-port", str(port)]) == ExitCode.FAILED
    assert f"127.0.0.1:{port} does not answer" in capsys.readouterr().err
    assert main(["health"]) == ExitCode.MISUSED
    assert "EVOMETRICS_HTTP_PORT" in capsys.readouterr().err
