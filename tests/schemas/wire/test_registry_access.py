"""A registry that lets in who logs in, over TLS; what it refuses is told apart, and what is pinned stays."""

from __future__ import annotations

import dataclasses
import uuid
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from evometrics.schemas.service.registry_access import RegistryAccess
from evometrics.schemas.service.settings import KafkaSettings, SettingsError, read_settings
from evometrics.schemas.topics import TOPICS, Topic
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.compatibility import IncompatibleSchema
from evometrics.schemas.wire.framing import open_wire
from evometrics.schemas.wire.registry import (
    RegistryClient,
    RegistryRefused,
    open_registry,
)
from tests.support.certificates import authority, certificate
from tests.support.registry.front import Guarded, guarded
from tests.support.tls_listener import server_context, tls_listener

PASSWORD, TOKEN = "s3cret-of-the-registry", "t0ken-of-the-registry"
CURRENT = newest("evolution_progressed").source


def basic(user: str, password: str = PASSWORD) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


@dataclasses.dataclass(frozen=True)
class Secured:
    """A guarded registry behind TLS; `kafka`: the settings that its writer has."""

    guard: Guarded
    kafka: KafkaSettings
    open_port: int
    folder: Path


@pytest.fixture(scope="module")
def secured(registry_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("registry-tls")
    ca, other = authority(folder, "ca"), authority(folder / "other", "other")
    here, own = certificate(ca, "here", "IP:127.0.0.1"), certificate(ca, "own")
    certificate(other, "stranger")
    with guarded(registry_url, {basic("writer"), f"Bearer {TOKEN}"}, {basic("reader")}) as guard:
        port = urlsplit(guard.url).port
        assert port is not None
        with (
            tls_listener(port, server_context(here, ca)) as mutual,
            tls_listener(port, server_context(here)) as plain,
        ):
            kafka = KafkaSettings(
                registry_url=f"https://127.0.0.1:{mutual}{urlsplit(guard.url).path}",
                registry_user="writer",
                registry_password=PASSWORD,
                registry_ssl_cafile=str(ca),
                registry_ssl_certfile=str(own[0]),
                registry_ssl_keyfile=str(own[1]),
            )
            yield Secured(guard, kafka, plain, folder)


def client(kafka: KafkaSettings) -> RegistryClient:
    found = open_registry(kafka)
    assert found is not None
    return found


@pytest.fixture
def own_subjects(monkeypatch: pytest.MonkeyPatch) -> str:
    """All topics' subjects with a beginning of the test's own, which is returned."""
    own = uuid.uuid4().hex
    monkeypatch.setattr(Topic, "subject", property(lambda topic: f"{own}-{topic.name}"))
    return own


async def test_a_part_registers_with_a_login_over_tls(secured: Secured, own_subjects: str) -> None:
    wire = await open_wire(secured.kafka)
    assert all(wire.prefixes[topic.record][0] == 0 for topic in TOPICS)


async def test_a_token_logs_in_as_well(secured: Secured, own_subjects: str) -> None:
    without = {"registry_user": "", "registry_password": "", "registry_token": TOKEN}
    await open_wire(dataclasses.replace(secured.kafka, **without))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"registry_password": "wrong"},
            r"refuses user 'writer' \(401 .*: correct registry_user or registry_p",
        ),
        (
            {"registry_user": "", "registry_password": ""},
            r"wants a login \(401 .*: set registry_user and reg",
        ),
        (
            {"registry_user": "", "registry_password": "", "registry_token": "old"},
            r"refuses registry_token \(401 .*: set one that is valid",
        ),
        (
            {"registry_user": "reader"},
            r"denied to user 'reader' \(403 .*: grant it the right to write, or set",
        ),
        (
            {"registry_ssl_cafile": "other/other.pem"},
            "authority that is not trusted here .*: set registry_ssl_caf",
        ),
        (
            {"registry_ssl_certfile": "", "registry_ssl_keyfile": ""},
            "wants a certificate of its clients .*: set registry_ssl_certfile and registry_ssl_keyfile$",
        ),
        (
            {"registry_ssl_certfile": "other/stranger.pem", "registry_ssl_keyfile": "other/stranger.key"},
            "refuses the certificate in registry_ssl_certfile=.*stranger.pem",
        ),
        ({"scheme": "http"}, "speaks TLS on this port: make registry_url an https:// address"),
    ],
    ids=lambda value: str(value) if not isinstance(value, str) else value[:20],
)
def test_what_it_refuses_is_told_apart_in_one_line(
    secured: Secured, changed: dict[str, str], said: str, own_subjects: str
) -> None:
    files = {
        name: str(secured.folder / value) if value and name.endswith("file") else value
        for name, value in changed.items()
        if name != "scheme"
    }
    if "scheme" in changed:
        url = secured.kafka.registry_url.replace("https", "http")
        files = {f"registry_ssl_{name}file": "" for name in ("ca", "cert", "key")} | {"registry_url": url}
    with pytest.raises(RegistryRefused, match=said) as refused:
        client(dataclasses.replace(secured.kafka, **files)).register(f"{own_subjects}-value", CURRENT)
    text = str(refused.value)
    assert text.startswith("schema registry http") and "\n" not in text
    assert not any(secret in text for secret in (PASSWORD, TOKEN, basic("writer")))


def test_https_to_a_registry_in_plaintext_is_named(secured: Secured) -> None:
    url = secured.guard.url.replace("http:", "https:")
    with pytest.raises(RegistryRefused, match="does not speak TLS on this port: make registry_url an http"):
        client(dataclasses.replace(secured.kafka, registry_url=url)).schema(1)


async def test_one_that_only_reads_finds_what_is_registered_and_refuses_the_rest_by_name(
    secured: Secured, own_subjects: str
) -> None:
    reader = dataclasses.replace(secured.kafka, registry_user="reader", registry_read_only=True)
    first = TOPICS[0]
    lacking = (
        rf"lacks this build's \w+ under {own_subjects}-{first.name}, .*have `evometrics topics` register it"
    )
    with pytest.raises(IncompatibleSchema, match=lacking):
        await open_wire(reader)
    registered = await open_wire(secured.kafka)
    secured.guard.requests.clear()
    assert (await open_wire(reader)).prefixes == registered.prefixes
    assert {each.split("/")[1] for each in secured.guard.requests} == {"subjects"}
    assert not any(each.startswith("PUT") or each.endswith("/versions") for each in secured.guard.requests)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"registry_user": "u"}, "registry_url=.*set it, or leave the other registry_"),
        ({"registry_read_only": True}, "registry_url=.*set it, or leave the other registry_"),
        (
            {"registry_url": "http://h", "registry_password": "hunter2"},
            "registry_user=.*name the user as well",
        ),
        (
            {"registry_url": "http://h", "registry_user": "u", "registry_token": "hunter2"},
            "set one of the two",
        ),
        (
            {"registry_url": "http://h", "registry_ssl_cafile": "c"},
            "registry_ssl_cafile=.*no effect on an http",
        ),
        (
            {"registry_url": "https://u:hunter2@h"},
            "registry_url=.*: registry_user and registry_password take",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        KafkaSettings(**given)  # type: ignore[arg-type]
    assert "hunter2" not in str(refused.value)


def test_a_certificate_that_cannot_be_loaded_is_named_by_its_setting(tmp_path: Path) -> None:
    kafka = KafkaSettings(registry_url="https://h", registry_ssl_cafile=str(tmp_path / "none.pem"))
    with pytest.raises(SettingsError, match=r"setting registry_ssl_cafile=.*none\.pem.*No such file"):
        open_registry(kafka)


def test_secrets_may_be_in_files_and_are_shown_by_nobody(tmp_path: Path) -> None:
    environ = {"EVOMETRICS_KAFKA_REGISTRY_URL": "https://h", "EVOMETRICS_KAFKA_REGISTRY_USER": "u"}
    (tmp_path / "secret").write_text(f"{PASSWORD}\n")
    environ["EVOMETRICS_KAFKA_REGISTRY_PASSWORD_FILE"] = str(tmp_path / "secret")
    found = read_settings(KafkaSettings, "kafka", environ=environ)
    assert found.registry_password == PASSWORD
    assert PASSWORD not in repr(found)
    assert PASSWORD not in repr(RegistryAccess("u", PASSWORD)) + repr(RegistryAccess(token=PASSWORD))
