"""`evometrics schemas`: what somebody without this package writes events with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evometrics.deploy.cli.main import main
from evometrics.schemas.topics import TOPICS
from evometrics.schemas.wire.catalog import released, writer_schema


def test_a_printed_schema_has_the_fingerprint_that_the_list_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schemas"]) == 0
    lines = {tuple(line.split()) for line in capsys.readouterr().out.splitlines()[2:]}
    for topic in TOPICS:
        for known in released()[topic.record]:
            assert main(["schemas", topic.record, "--version", str(known.version)]) == 0
            printed = capsys.readouterr().out
            fingerprint = writer_schema(topic.record, known.version, json.loads(printed)).fingerprint
            assert (topic.record, str(known.version), fingerprint.hex(), topic.name) in lines
    assert len(lines) == sum(map(len, released().values()))


def test_without_a_version_it_is_the_newest_to_the_byte(capsys: pytest.CaptureFixture[str]) -> None:
    newest = released()["evolution_completed"][-1].version
    assert main(["schemas", "evolution_completed"]) == 0
    file = Path("schemas/avro/evolution_completed") / f"v{newest}.avsc"
    assert capsys.readouterr().out == (Path(__file__).parents[3] / file).read_text(encoding="utf-8")


def test_a_version_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schemas", "evolution_completed", "--version", "1000"]) == 2
    assert "evolution_completed has versions 1 to " in capsys.readouterr().err
