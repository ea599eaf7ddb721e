"""A private authority, client certificates, a password at ClickHouse, and what is said of wrong ones."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import free_ports
from evometrics.schemas.service.settings import SettingsError, read_settings
from evometrics.sinks.clickhouse.client import ClickHouseUnavailable, open_client
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.certificates import authority, certificate
from tests.support.tls_listener import server_context, tls_listener

PASSWORD = "s3cret-of-ClickHouse"


@dataclasses.dataclass(frozen=True)
class Secured:
    """A ClickHouse with a password, behind three listeners.

    Attributes:
        own: settings with which the listener that wants client certificates can be used.
        open_url: the listener that wants none; `elsewhere_url`: with a certificate for another host.
        plain_url: the server itself.
        folder: where the certificates are.
    """

    own: ClickHouseSettings
    open_url: str
    elsewhere_url: str
    plain_url: str
    folder: Path


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    ca, _ = authority(folder, "ca"), authority(folder / "other", "other")
    here, elsewhere = certificate(ca, "here", "IP:127.0.0.1"), certificate(ca, "elsewhere", "DNS:ch.internal")
    client = certificate(ca, "client")
    (folder / "both.pem").write_text("".join(each.read_text() for each in client))
    certificate(ca, "sealed", password="of the key")
    certificate(folder / "other" / "other.pem", "stranger")
    (port,) = free_ports(1)
    spec = clickhouse_process(folder / "clickhouse", port, folder / "clickhouse.log")
    env = {"EVOMETRICS_CLICKHOUSE_SERVER_PASSWORD": PASSWORD}
    env["EVOMETRICS_CLICKHOUSE_SERVER_HOSTS"] = "ch.internal"  # a client behind a tunnel calls it so
    child = ChildProcess(dataclasses.replace(spec, env=env))
    asyncio.run(child.start())
    with (
        tls_listener(port, server_context(here, ca)) as mutual,
        tls_listener(port, server_context(here)) as front,
        tls_listener(port, server_context(elsewhere)) as other,
    ):
        own = ClickHouseSettings(
            url=f"https://127.0.0.1:{mutual}",
            password=PASSWORD,
            database="default",
            ca_cert=str(ca),
            client_cert=str(client[0]),
            client_cert_key=str(client[1]),
        )
        urls = [f"https://127.0.0.1:{each}" for each in (front, other)]
        yield Secured(own, *urls, f"http://127.0.0.1:{port}", folder)
    asyncio.run(child.stop())


async def ask(settings: ClickHouseSettings) -> Any:
    client = await open_client(settings)
    try:
        return (await client.query("SELECT 42")).result_rows
    finally:
        await client.close()


async def test_a_private_authority_and_a_client_certificate_are_used(secured: Secured) -> None:
    assert await ask(secured.own) == [(42,)]
    without = dataclasses.replace(secured.own, url=secured.open_url, client_cert="", client_cert_key="")
    assert await ask(without) == [(42,)]
    both = str(secured.folder / "both.pem")
    assert await ask(dataclasses.replace(secured.own, client_cert=both, client_cert_key="")) == [(42,)]


async def test_a_servers_name_may_be_another_than_its_address(secured: Secured) -> None:
    named = dataclasses.replace(secured.own, url=secured.elsewhere_url, server_host_name="ch.internal")
    assert await ask(named) == [(42,)]


@pytest.mark.parametrize(
    ("listener", "changed", "said"),
    [
        ("own", {"ca_cert": "other/other.pem"}, "authority that is not trusted here .*: set ca_cert to"),
        ("own", {"ca_cert": ""}, "authority that is not trusted here .*: set ca_cert to"),
        (
            "elsewhere_url",
            {},
            r"not for 127\.0\.0\.1: use a name that is in it in url, or set server_host_name",
        ),
        ("own", {"server_host_name": "other.internal"}, r"not for other\.internal: "),
        (
            "own",
            {"client_cert": "", "client_cert_key": ""},
            "wants a certificate of its clients .*: set client_cert and client_cert_key$",
        ),
        (
            "own",
            {"client_cert": "other/stranger.pem", "client_cert_key": "other/stranger.key"},
            "refuses the certificate in client_cert=.*stranger.pem .*: set one that it trusts",
        ),
        ("own", {"password": "wrong"}, "'default' was refused: set EVOMETRICS_CLICKHOUSE_USER and _PASSWORD"),
        ("plain_url", {}, "does not speak TLS on this port: make url an http:// address"),
        ("open_url", {"scheme": "http"}, "speaks TLS on this port: make url an https:// address"),
    ],
    ids=lambda value: str(value) if not isinstance(value, str) else value[:30],
)
async def test_what_is_wrong_is_told_apart_in_one_line(
    secured: Secured, listener: str, changed: dict[str, str], said: str
) -> None:
    url = secured.own.url if listener == "own" else getattr(secured, listener)
    scheme = changed.get("scheme", "https")
    files = {
        name: str(secured.folder / value) if value and name.endswith(("cert", "key")) else value
        for name, value in changed.items()
        if name != "scheme"
    }
    if scheme == "http":
        files |= {"ca_cert": "", "client_cert": "", "client_cert_key": ""}
    url = f"{scheme}://{url.partition('://')[2]}"
    settings = dataclasses.replace(secured.own, url=url, **files)
    with pytest.raises(ClickHouseUnavailable, match=said) as refused:
        await asyncio.wait_for(ask(settings), 30)
    text = str(refused.value)
    assert text.startswith(f"ClickHouse at {url}") and "\n" not in text and PASSWORD not in text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ca_cert": "none.pem"}, "ca_cert=.*none.pem.*No such file"),
        ({"ca_cert": "client.key"}, "ca_cert=.*client.key.*not a PEM file with certificates"),
        ({"client_cert": "none.pem"}, "client_cert=.*none.pem.*No such file"),
        ({"client_cert_key": "none.key"}, "client_cert_key=.*none.key.*No such file"),
        ({"client_cert_key": "here.key"}, "client_cert=.*key does not belong to this certificate"),
        (
            {"client_cert": "sealed.pem", "client_cert_key": "sealed.key"},
            "client_cert_key=.*is encrypted: `openssl pkey",
        ),
    ],
)
async def test_a_file_that_cannot_be_used_is_named_by_its_setting(
    secured: Secured, changed: dict[str, str], said: str
) -> None:
    files = {name: str(secured.folder / path) for name, path in changed.items()}
    with pytest.raises(SettingsError, match=f"setting {said}"):
        await ask(dataclasses.replace(secured.own, **files))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ca_cert": "ca.pem"}, "ca_cert.*no effect on an http:// address: make url an https:// one"),
        ({"server_host_name": "h"}, "server_host_name.*no effect on an http://"),
        ({"url": "https://h", "client_cert_key": "k"}, "client_cert_key.*set client_cert to the certificate"),
        ({"url": "https://me:hunter2@h"}, "leave user and password out of it: EVOMETRICS_CLICKHOUSE_USER"),
        ({"url": "https://h:0"}, "give a URL like"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        ClickHouseSettings(**given)
    assert "hunter2" not in str(refused.value)


def test_a_port_left_out_is_that_of_the_scheme() -> None:
    ports = {url: ClickHouseSettings(url=url).port for url in ("https://h", "http://h/", "https://h:1")}
    assert ports == {"https://h": 8443, "http://h/": 8123, "https://h:1": 1}
    assert ClickHouseSettings(url="https://[::1]").host == "::1"


def test_user_and_password_may_be_in_files(tmp_path: Path) -> None:
    environ = {}
    for name, value in (("USER", "writer"), ("PASSWORD", PASSWORD)):
        (tmp_path / name).write_text(f"{value}\n")
        environ[f"EVOMETRICS_CLICKHOUSE_{name}_FILE"] = str(tmp_path / name)
    found = read_settings(ClickHouseSettings, "clickhouse", environ=environ)
    assert (found.user, found.password) == ("writer", PASSWORD)
    assert PASSWORD not in repr(found)
