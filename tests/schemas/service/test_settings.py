"""Settings come from flags, environment and file, in that order, and errors name where from."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from evometrics.producers.settings import CollectorSettings
from evometrics.schemas.ids import derived_id, new_event_id
from evometrics.schemas.service.settings import KafkaSettings, SettingsError, masked, read_settings
from evometrics.sinks.settings import ClickHouseSettings


@dataclass(frozen=True)
class Sample:
    count: int = 1
    ratio: float = 0.5
    on: bool = False
    name: str | None = None


def read(**kwargs: object) -> Sample:
    return read_settings(Sample, "sample", **{"environ": {}, **kwargs})  # type: ignore[arg-type]


def test_flags_win_over_environment_over_file_over_default() -> None:
    file = {"sample": {"count": 2, "ratio": 0.2, "name": "file"}}
    environ = {"EVOMETRICS_SAMPLE_COUNT": "3", "EVOMETRICS_SAMPLE_RATIO": "0.3"}
    found = read(file=file, environ=environ, flags={"count": 4, "on": None})
    assert found == Sample(count=4, ratio=0.3, on=False, name="file")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"environ": {"EVOMETRICS_SAMPLE_COUNT": "many"}}, "EVOMETRICS_SAMPLE_COUNT='many'"),
        ({"environ": {"EVOMETRICS_SAMPLE_ON": "perhaps"}}, "EVOMETRICS_SAMPLE_ON='perhaps'"),
        ({"file": {"sample": {"ratio": "x"}}}, "[sample] ratio='x'"),
        ({"file": {"sample": {"coutn": 1}}}, "[sample] coutn"),
        ({"flags": {"count": "x"}}, "--count='x'"),
        (
            {"environ": {"EVOMETRICS_SAMPLE_CUONT": "1"}},
            "(did you mean EVOMETRICS_SAMPLE_COUNT?)",
        ),
        ({"environ": {"EVOMETRICS_SAMPEL_COUNT": "1"}}, "EVOMETRICS_SAMPEL_COUNT: no such setting"),
        ({"file": {"sampel": {"count": 1}}}, "[sampel]: no such section (did you mean sample?)"),
        ({"file": {"sample": {"ratio": True}}}, "[sample] ratio=True: give a number"),
        ({"file": {"sample": {"count": 1.5}}}, "[sample] count=1.5: give a whole number"),
        ({"file": {"sample": {"name": ["x"]}}}, "[sample] name: give text instead of a list"),
        ({"file": {"sample": [{"name": "x"}]}}, "sample: give a section [sample] with its settings"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_source(given: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(named)):
        read(**given)


@pytest.mark.parametrize("brokers", ["", "localhost", "localhost:x", "localhost:0", "a:9092,b"])
def test_a_broker_address_that_cannot_be_is_refused(brokers: str) -> None:
    with pytest.raises(SettingsError, match="brokers"):
        KafkaSettings(brokers=brokers)


@pytest.mark.parametrize("name", ["partitions", "replication"])
def test_topics_have_at_least_one_partition_and_one_copy(name: str) -> None:
    assert getattr(KafkaSettings(**{name: 1}), name) == 1  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=f"{name}=0: must be at least 1"):
        KafkaSettings(**{name: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["http://host", "https://host:8081", "http://host:65535/under"])
def test_a_servers_url_is_taken(url: str) -> None:
    assert KafkaSettings(registry_url=url).registry_url == url


@pytest.mark.parametrize("url", ["ftp://host", "host:8081", "http://", "http://host:0", "http://host:65536"])
def test_a_url_that_is_no_servers_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"registry_url=.*give a URL like http://host:8081"):
        KafkaSettings(registry_url=url)


@pytest.mark.parametrize("port", [1, 65535])
def test_the_ports_that_there_are_can_be_a_brokers(port: int) -> None:
    assert KafkaSettings(brokers=f"a:9092, b:{port}")
    with pytest.raises(SettingsError, match="each broker is host:port"):
        KafkaSettings(brokers="a:65536")


def test_settings_of_other_parts_are_theirs_to_check() -> None:
    assert read(environ={"EVOMETRICS_SINK_GRUOP": "x"}, file={"stream": {"gruop": "x"}}) == Sample()


@pytest.mark.parametrize(
    "url", ["http://me:s3cret@h:8086?db=d", "htps://me:s3cret@h?db=d", "http://h:8086?db=d&u=me&p=s3cret"]
)
def test_no_secret_is_shown_by_settings_or_their_errors(url: str) -> None:
    try:
        shown = repr(CollectorSettings(influxdb_url=url, influxdb_token="s3cret", node_id="n"))
    except SettingsError as error:
        shown = str(error)
    assert "h" in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pass@word@h:1/x", "http://***@h:1/x"),
        ("me:a/b?c@h:1", "***@h:1"),
        ("no use of http://me:x@h:1 here", "no use of http://***@h:1 here"),
        ("at http://me:two words@h:1 now", "at http://***@h:1 now"),
        ("https://h/?token=abc&db=x", "https://h/?token=***&db=x"),
        ("https://h/?db=x&api_key=abc", "https://h/?db=x&api_key=***"),
        ("https://h/?X-Amz-Signature=abc", "https://h/?X-Amz-Signature=***"),
        ("http://h:8086?db=x", "http://h:8086?db=x"),
    ],
)
def test_what_stands_before_a_host_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_event_ids_are_version_7_and_sort_by_time() -> None:
    ids = [new_event_id(milliseconds) for milliseconds in range(1000, 1100)]
    assert ids == sorted(ids)
    assert {UUID(i).version for i in ids} == {7}
    assert {UUID(i).variant for i in ids} == {"specified in RFC 4122"}
    assert len({new_event_id() for _ in range(1000)}) == 1000


def test_event_ids_of_a_forked_child_are_its_own() -> None:
    new_event_id()  # there are random digits left now, for the child to inherit
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, new_event_id(0).encode())
        os._exit(0)
    os.close(writer)
    assert os.read(reader, 36).decode() != new_event_id(0)
    os.waitpid(child, 0)
    os.close(reader)


def test_derived_ids_depend_on_every_part_of_the_identity() -> None:
    assert derived_id("a", "b") == derived_id("a", "b")
    assert (
        len({derived_id("a", "b"), derived_id("ab", ""), derived_id("a", "b", 1), derived_id("b", "a")}) == 4
    )


@pytest.mark.parametrize(
    "entry", [{"url": ["http://me:hunter2@h"]}, {"url": {"is": "hunter2"}}, ["hunter2"], "hunter2"]
)
def test_a_value_of_another_kind_is_not_shown_for_it_may_be_the_password(entry: object) -> None:
    with pytest.raises(SettingsError, match="clickhouse") as refused:
        read_settings(ClickHouseSettings, "clickhouse", environ={}, file={"clickhouse": entry})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["client_properties", "ssl_cafile", "sasl_plain_password"])
def test_a_nul_character_is_refused_by_name_before_a_file_is_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"\[kafka\] {name}: contains a NUL character") as caught:
        read_settings(KafkaSettings, "kafka", environ={}, file={"kafka": {name: "some\0where"}})
    assert "some" not in str(caught.value)
    kept = tmp_path / "secret"
    kept.write_bytes(b"a\0b\n")
    variable = f"EVOMETRICS_KAFKA_{name.upper()}_FILE"
    with pytest.raises(SettingsError, match=f"{variable}: contains a NUL"):
        read_settings(KafkaSettings, "kafka", environ={variable: str(kept)})
