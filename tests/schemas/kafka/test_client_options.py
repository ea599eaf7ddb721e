"""What secures a Kafka client is read under the names Kafka's clients have, and refused by name."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from aiokafka.abc import AbstractTokenProvider

from evometrics.producers.settings import collector_settings
from evometrics.schemas.kafka.client_options import client_options, named
from evometrics.schemas.service.client_properties import properties
from evometrics.schemas.service.settings import KafkaSettings, SettingsError, read_settings
from tests.support.certificates import authority, certificate

ROOT = Path(__file__).parents[3]
CLIENTS = ("AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient", "AIOKafkaClient")
SECRET = "s3cret"
USER = {"sasl_plain_username": "me", "sasl_plain_password": SECRET}
SASL = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", **USER}
PLAIN_JAAS = (
    f'org.apache.kafka.common.security.plain.PlainLoginModule required username="a b" password="{SECRET}";'
)


class Provider(AbstractTokenProvider):
    async def token(self) -> str:
        return SECRET


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("authority"), "ca")


def test_a_plaintext_client_is_opened_with_its_name_and_addresses_alone() -> None:
    options = client_options(KafkaSettings(brokers="a:1, b:2", client_id="me"))
    assert options == {"bootstrap_servers": ["a:1", "b:2"], "client_id": "me"}


def test_a_client_is_named_after_its_part_and_instance(tmp_path: Path) -> None:
    assert named(KafkaSettings(), "sink").client_id.startswith("evometrics-sink-")
    assert len(named(KafkaSettings(), "sink").client_id) > len("evometrics-sink-")
    assert named(KafkaSettings(client_id="team"), "stream", "s-1").client_id == "team-stream-s-1"
    given = {"brokers": "a:1", "node_id": "node 7/é", "db_path": str(tmp_path / "outbox.db")}
    _, kafka = collector_settings(given)
    assert kafka is not None
    assert kafka.client_id == "evometrics-node-node_7__"


@pytest.mark.parametrize("folder", ["schemas", "producers", "streams", "sinks", "deploy"])
def test_every_client_of_the_product_is_opened_with_these_options(folder: str) -> None:
    for file in (ROOT / folder).rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in CLIENTS:
                given = [word for word in call.keywords if word.arg is None]
                where = f"{file}:{call.lineno}"
                assert [ast.unparse(each.value).partition("(")[0] for each in given] == ["client_options"], (
                    where
                )
                assert "client_id" not in {word.arg for word in call.keywords}, where


def test_a_login_over_tls_is_made_of_the_settings() -> None:
    options = client_options(KafkaSettings(**SASL))  # type: ignore[arg-type]
    context = options.pop("ssl_context")
    assert context.check_hostname
    assert options == {"bootstrap_servers": ["127.0.0.1:9092"], "client_id": "evometrics", **SASL}


def test_a_process_has_one_context_for_all_its_clients(ca: Path) -> None:
    own, key = certificate(ca, "client", password=SECRET)
    files = {"ssl_cafile": str(ca), "ssl_certfile": str(own), "ssl_keyfile": str(key), "ssl_password": SECRET}
    one, other = (
        client_options(KafkaSettings(client_id=name, security_protocol="SSL", **files))["ssl_context"]  # type: ignore[arg-type]
        for name in ("one", "other")
    )
    assert one is other
    assert not one.cert_store_stats()["crl"]


async def test_tokens_come_from_the_provider_that_is_named() -> None:
    named = f"{__name__}:Provider"
    settings = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
    kafka = KafkaSettings(**settings, sasl_oauth_token_provider=named)  # type: ignore[arg-type]
    options = client_options(kafka)
    assert await options["sasl_oauth_token_provider"].token() == SECRET
    assert "sasl_plain_password" not in options


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"security_protocol": "TLS"}, "security_protocol='TLS': give one of PLAINTEXT, SSL"),
        (
            {"security_protocol": "SASL_SSL"},
            "sasl_mechanism='': with security_protocol=SASL_SSL give one of PLAIN",
        ),
        (SASL | {"sasl_plain_password": ""}, "sasl_plain_password='': sasl_mechanism=SCRAM-SHA-512 needs it"),
        (
            USER,
            "sasl_plain_username='me': security_protocol=PLAINTEXT makes no use of it: set that to SASL_SSL",
        ),
        (SASL | {"security_protocol": "SSL"}, "security_protocol=SSL makes no use of it"),
        ({"ssl_cafile": "ca.pem"}, "set that to SSL or SASL_SSL"),
        ({"ssl_password": SECRET}, "ssl_password='***'"),
        ({"security_protocol": "SSL", "ssl_keyfile": "k"}, "set ssl_certfile to the certificate of this key"),
        (
            SASL | {"sasl_mechanism": "OAUTHBEARER"},
            "sasl_oauth_token_provider='': sasl_mechanism=OAUTHBEARER needs",
        ),
    ],
)
def test_settings_that_do_not_belong_together_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)) as refused:
        KafkaSettings(**given)
    assert SECRET not in str(refused.value)


def test_files_that_can_not_be_used_are_named_with_what_is_wrong(ca: Path, tmp_path: Path) -> None:
    own, key = certificate(ca, "own", password=SECRET)
    other, _ = certificate(ca, "other")
    no_pem = tmp_path / "no.pem"
    no_pem.write_text("nothing")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ssl_cafile": "/nowhere"}, "ssl_cafile='/nowhere': No such file or directory"),
        ({"ssl_cafile": str(no_pem)}, "not a PEM file with certificates"),
        ({"ssl_certfile": "/nowhere"}, "ssl_certfile='/nowhere': No such file"),
        ({"ssl_certfile": str(own), "ssl_keyfile": "/nowhere"}, "ssl_keyfile='/nowhere': No such file"),
        ({"ssl_certfile": str(own), "ssl_keyfile": str(key)}, "ssl_password='***': does not open the key"),
        (
            {"ssl_certfile": str(own), "ssl_keyfile": str(key), "ssl_password": "wrong"},
            "ssl_password='***': does not open the key",
        ),
        (
            {"ssl_certfile": str(other), "ssl_keyfile": str(key), "ssl_password": SECRET},
            "the key does not belong to this certificate",
        ),
    ]
    for given, said in cases:
        with pytest.raises(SettingsError, match=re.escape(said)):
            client_options(KafkaSettings(security_protocol="SSL", **given))
    with pytest.raises(SettingsError, match="sasl_oauth_token_provider='nowhere:it': ModuleNotFoundError"):
        client_options(
            KafkaSettings(
                security_protocol="SASL_SSL",
                sasl_mechanism="OAUTHBEARER",
                sasl_oauth_token_provider="nowhere:it",
            )
        )
    with pytest.raises(SettingsError, match="ssl_cafile='/nowhere'"):
        collector_settings({"brokers": "a:1", "security_protocol": "SSL", "ssl_cafile": "/nowhere"})


def test_properties_are_read_as_java_reads_them() -> None:
    text = "# comment\n! other\n a = b \nc:d\ne f\\\n   g\ng\\=h=i\\u00e9\\t\nempty\npath=C:\\\\x\n\n"
    assert properties(text) == {
        "a": "b ",
        "c": "d",
        "e": "fg",
        "g=h": "ié\t",
        "empty": "",
        "path": "C:\\x",
    }


def test_a_client_properties_file_sets_what_is_not_set_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text(
        "bootstrap.servers=b:9093\nsecurity.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nlinger.ms=5\n"
        f"sasl.jaas.config={PLAIN_JAAS}\n"
        "ssl.truststore.type=PEM\nssl.truststore.location=/ca.pem\n"
        "ssl.keystore.type=PEM\nssl.keystore.location=/own.pem\nssl.key.password=k\n"
        "ssl.endpoint.identification.algorithm=\n"
    )
    kafka = read_settings(
        KafkaSettings,
        "kafka",
        environ={"EVOMETRICS_KAFKA_CLIENT_PROPERTIES": str(file), "EVOMETRICS_KAFKA_SSL_CAFILE": "/mine.pem"},
    )
    assert kafka == KafkaSettings(
        client_properties=str(file),
        brokers="b:9093",
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_plain_username="a b",
        sasl_plain_password=SECRET,
        ssl_cafile="/mine.pem",
        ssl_certfile="/own.pem",
        ssl_password="k",
        ssl_check_hostname=False,
    )
    assert SECRET not in repr(kafka)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            "ssl.truststore.location=/t.jks",
            "ssl.truststore.location=/t.jks is of type JKS, which only Java reads",
        ),
        ("ssl.keystore.location=/k\nssl.keystore.type=PKCS12", "`openssl pkcs12 -in STORE -out client.pem`"),
        ("ssl.truststore.certificates=-----BEGIN", "write it to a PEM file, and set ssl.truststore.type=PEM"),
        ("ssl.keystore.certificate.chain=x", "ssl.keystore.type=PEM and ssl.keystore.location"),
        ("ssl.cipher.suites=x", "ssl.cipher.suites can't be used with this value: leave it out"),
        ("ssl.protocol=TLSv1", "ssl.protocol can't be used"),
        ("sasl.login.callback.handler.class=x", "EVOMETRICS_KAFKA_SASL_OAUTH_TOKEN_PROVIDER"),
        ("config.providers=file", "config.providers can't be used: write the values themselves"),
        (
            "ssl.keystore.type=PEM\nssl.keystore.location=/k\nssl.keystore.password=s3cret",
            "is ssl.key.password",
        ),
        (f"sasl.jaas.config={PLAIN_JAAS[:-1]}", "with the semicolon"),
        ("sasl.jaas.config=a.Other required password='s3cret';", "give one of PlainLoginModule"),
        (
            f"sasl.mechanism=GSSAPI\nsasl.jaas.config={PLAIN_JAAS}",
            "does not log in with sasl.mechanism=GSSAPI",
        ),
        ('sasl.jaas.config=a.Krb5LoginModule required keyTab="/k";', "KRB5_CLIENT_KTNAME"),
        (
            'sasl.jaas.config=a.OAuthBearerLoginModule required clientSecret="s3cret";',
            "clientSecret can't be used",
        ),
    ],
)
def test_a_property_that_can_not_be_honoured_is_refused_by_name(
    lines: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "client.properties"
    file.write_text(f"security.protocol=SASL_SSL\n{lines}\n")
    with pytest.raises(SettingsError, match=re.escape(said)) as refused:
        KafkaSettings(client_properties=str(file))
    assert str(file) in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_store_that_plaintext_makes_no_use_of_is_not_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("ssl.truststore.location=/t.jks\nsasl.jaas.config=x\n")
    assert client_options(KafkaSettings(client_properties=str(file))).keys() == {
        "bootstrap_servers",
        "client_id",
    }


def test_a_secret_may_be_in_a_file_that_a_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    variable = "EVOMETRICS_KAFKA_SASL_PLAIN_PASSWORD"
    others = {f"EVOMETRICS_KAFKA_{name}".upper(): value for name, value in SASL.items()}
    del others[variable]
    environ = {**others, f"{variable}_FILE": str(file)}
    assert read_settings(KafkaSettings, "kafka", environ=environ).sasl_plain_password == SECRET
    with pytest.raises(SettingsError, match=f"{variable} and {variable}_FILE: give one of them"):
        read_settings(KafkaSettings, "kafka", environ=environ | {variable: "x"})
    with pytest.raises(SettingsError, match=f"{variable}_FILE=/nowhere: "):
        read_settings(KafkaSettings, "kafka", environ=environ | {f"{variable}_FILE": "/nowhere"})
