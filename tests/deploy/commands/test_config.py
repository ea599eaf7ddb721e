"""`evometrics config`, and settings that no part has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evometrics.deploy.cli.main import main

SOURCES = {"setting", "value", "from", "variable"}


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, tuple[object, str]]:
    assert main(["config", "--json", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(set(each) == SOURCES for each in found)
    return {each["setting"]: (each["value"], each["from"]) for each in found}


def test_each_setting_is_shown_with_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(b'\xef\xbb\xbf[sink]\nbatch_rows = 7\n[kafka]\nbrokers = "file:1"\n')
    monkeypatch.setenv("EVOMETRICS_KAFKA_BROKERS", "variable:1")
    monkeypatch.setenv("EVOMETRICS_CLICKHOUSE_PASSWORD", "s3cret")
    monkeypatch.setenv("EVOMETRICS_COLLECTOR_INFLUXDB_URL", "http://me:s3cret@h:8086?db=d&p=s3cret")
    found = shown(capsys, "--config", str(file), "--data", str(tmp_path))
    assert found["sink.batch_rows"] == (7, "[sink] batch_rows")
    assert found["kafka.brokers"] == ("variable:1", "EVOMETRICS_KAFKA_BROKERS")
    assert found["clickhouse.url"] == ("http://127.0.0.1:8123", "default")
    assert found["clickhouse.password"] == ("***", "EVOMETRICS_CLICKHOUSE_PASSWORD")
    assert found["stream.data"] == (f"{tmp_path}/stream", "--data")
    assert "s3cret" not in str(found)
    assert main(["config", "--data", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    assert "s3cret" not in table
    assert "stream.allowed_lateness_seconds" in table


def test_what_a_client_properties_file_sets_is_shown_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "client.properties"
    jaas = 'ScramLoginModule required username="me" password="s3cret";'
    file.write_text(
        f"security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config={jaas}\n"
        "ssl.truststore.type=PEM\nssl.truststore.location=ca.pem\nssl.keystore.type=PEM\n"
        "ssl.keystore.location=own.pem\nssl.key.password=s3cret\n"
    )
    monkeypatch.setenv("EVOMETRICS_KAFKA_CLIENT_PROPERTIES", str(file))
    found = shown(capsys, "--data", str(tmp_path))
    assert found["kafka.security_protocol"] == ("SASL_SSL", str(file))
    assert found["kafka.sasl_plain_username"] == ("me", str(file))
    assert found["kafka.sasl_plain_password"] == found["kafka.ssl_password"] == ("***", str(file))
    assert found["kafka.ssl_check_hostname"] == (True, "default")
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[kafak]\nbrokers = 'x:1'\n", "[kafak]: no such section (did you mean kafka?)"),
        (
            "[printer]\n",
            "[printer]: no such section; the sections are clickhouse, clickhouse_server, collector,",
        ),
        ("[stream]\ngruop = 'x'\n", "[stream] gruop: no such setting in this section (did you mean group?)"),
        ("kafka = 3\n", "kafka: give a section [kafka] with its settings"),
        ("[kafka]\npartitions = true\n", "[kafka] partitions=True: give a whole number"),
        ("[kafka]\npartitions = 2.5\n", "[kafka] partitions=2.5: give a whole number"),
        ("[kafka]\nclient_id = ['a']\n", "[kafka] client_id: give text instead of a list"),
    ],
)
@pytest.mark.parametrize("command", ["topics", "config"])
def test_a_file_is_taken_as_it_is_meant_or_not_at_all(
    command: str, content: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(content)
    assert main([command, "--config", str(file), "--data", str(tmp_path)]) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("EVOMETRICS_SINK_BATCHROWS", "EVOMETRICS_SINK_BATCH_ROWS"),
        ("EVOMETRICS_KAFAK_BROKERS", "EVOMETRICS_KAFKA_BROKERS"),
        ("EVOMETRICS_CLICKHOUSE_SERVER_PASWORD", "EVOMETRICS_CLICKHOUSE_SERVER_PASSWORD"),
    ],
)
def test_a_variable_that_no_part_reads_is_refused_by_every_command(
    variable: str,
    near: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, "x")
    assert main(["topics", "--data", str(tmp_path)]) == 2
    assert f"{variable}: no such setting (did you mean {near}?)" in capsys.readouterr().err


def test_what_kubernetes_says_of_a_service_is_no_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVOMETRICS_SINK_SERVICE_HOST", "10.0.0.7")
    monkeypatch.setenv("EVOMETRICS_SINK_SERVICE_PORT_HTTP", "9400")
    monkeypatch.setenv("EVOMETRICS_SINK_PORT", "tcp://10.0.0.7:9400")
    monkeypatch.setenv("EVOMETRICS_SINK_PORT_9400_TCP_ADDR", "10.0.0.7")
    monkeypatch.setenv("EVOMETRICS_HTTP_PORT", "tcp://10.0.0.8:80")  # of a service evometrics-http
    found = shown(capsys, "--data", str(tmp_path))
    assert found["sink.batch_rows"] == (50_000, "default")
    assert found["http.port"] == (None, "default")
