"""`evometrics dead-letters` on a stack whose readers did not know a schema, and then were told of it."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from evometrics.deploy.cli.main import main
from evometrics.schemas.events import Event
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.registry import RegistryClient
from tests.faults.fuzz_messages import around
from tests.support.generator import evolution
from tests.support.migrated import copied
from tests.support.stack import Running, evometrics_here, running_stack
from tests.support.tables import rows


def send(brokers: str, messages: list[tuple[str, bytes, bytes]]) -> None:
    async def run() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=brokers)
        await producer.start()
        for topic, key, value in messages:
            await producer.send_and_wait(topic, value, key=key)
        await producer.stop()

    asyncio.run(run())


def dead_letters(stack: Running, *arguments: str, status: int = 0, **environment: str) -> str:
    found = evometrics_here("dead-letters", *arguments, "--data", str(stack.data), **environment)
    assert found.returncode == status, found.stderr
    return found.stdout + found.stderr


def listed(stack: Running, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in dead_letters(stack, "list", "--json", *arguments).splitlines()]


def events_of_one_evolution() -> list[Event]:
    """Return the events of an evolution that recorded one of at least four kinds, and snapshots itself."""
    load = replace(around(1_780_000_000_000_000), snapshots=0.0)
    made = (evolution(random.Random(seed), load, 0) for seed in range(100))
    return next(events for events in made if len({event.record for event in events}) >= 4)


def test_events_of_an_unknown_schema_are_sent_again_after_the_fix_and_count_once(
    tmp_path: Path, registry_url: str, migrated_folder: Path
) -> None:
    events = events_of_one_evolution()
    wire = WireFormat(RegistryClient(registry_url))
    wire.register()
    messages = [(BY_RECORD[e.record].name, e.key.encode(), wire.encode(e)) for e in events]
    rubbish = (BY_RECORD["kpi_snapshot"].name, b"agent-x", b"rubbish")

    copied(migrated_folder, tmp_path / "data" / "clickhouse")
    with running_stack(tmp_path / "data", partitions=2) as stack:
        send(stack.brokers, [*messages, rubbish])
        stack.drained()
        found = listed(stack)
        assert len(found) == len(events) + 1 and {m["state"] for m in found} == {"open"}
        assert all("no schema registry is configured" in m["letters"][0]["reason"] for m in found[1:-1])
        assert rows(stack.clickhouse_url, "kpi_snapshot") == {}
        # the stream reads three of the raw topics, the sink all
        read = {"evolution_started", "evolution_completed", "kpi_snapshot"}
        by_stream = listed(stack, "--stage", "stream")
        assert len(by_stream) == sum(e.record in read for e in events) + 1
        assert all([x["stage"] for x in m["letters"]] == ["sink", "stream"] for m in by_stream)
        shown = dead_letters(stack, "show", found[0]["event_id"])
        assert "00000000  " in shown and "still bad" in shown
        assert "would be sent again" in dead_letters(stack, "retry", "--all", "--dry-run")
        assert f"0 messages sent again, {len(found)} left" in dead_letters(stack, "retry", "--all")

    fix = {"EVOMETRICS_KAFKA_REGISTRY_URL": registry_url}
    with running_stack(tmp_path / "data", partitions=2, **fix) as stack:
        ready = json.loads(dead_letters(stack, "retry", "--all", "--dry-run", "--json", **fix))
        assert len(ready["to_send"]) == len(events) and len(ready["left"]) == 1
        assert f"{len(events)} messages sent again, 1 left" in dead_letters(stack, "retry", "--all", **fix)
        again = dead_letters(stack, "retry", "--all", **fix)
        assert "0 messages sent again" in again and "was already sent again at" in again
        # asked for by id: sent a second time, and nothing of it counts twice
        (snapshot, *_) = [m for m in listed(stack, "--topic", rubbish[0]) if m["state"] == "retried"]
        assert "1 messages sent again" in dead_letters(stack, "retry", snapshot["event_id"], **fix)
        stack.drained()
        assert sorted(m["state"] for m in listed(stack)) == ["open"] + ["retried"] * len(events)
        for record in {e.record for e in events}:
            stored = rows(stack.clickhouse_url, record)
            assert {e.event_id for e in events if e.record == record} <= stored.keys()
            if record != "system_event":
                assert len(stored) == sum(e.record == record for e in events)
        snapshots = [e for e in events if e.record == "kpi_snapshot"]
        deltas = rows(stack.clickhouse_url, "kpi_delta").values()
        assert sorted(d["snapshot_event_id"] for d in deltas) == sorted(e.event_id for e in snapshots)
        (metrics,) = rows(stack.clickhouse_url, "evolution_metrics").values()
        assert metrics["source_event_id"] == next(
            e.event_id for e in events if e.record == "evolution_completed"
        )
        assert {r["attempts"] for r in rows(stack.clickhouse_url, "success_rate").values()} == {1}
        shown = json.loads(dead_letters(stack, "show", snapshot["event_id"], "--json", **fix))
        assert shown["schema"] == "kpi_snapshot v3" and shown["problem"] is None
        assert bytes.fromhex(shown["value"]) in [value for _, _, value in messages]
        assert len(shown["retries"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "--since", "yesterday"], "neither an ISO time"),
        (["list", "--limit", "0"], "at least 1"),
        (["list", "--topic", "evometrics.kpi"], "evometrics.kpi.snapshots"),
        (["list", "--stage", "outbox"], "invalid choice"),
        (["show", "x"], "not an event id"),
        (["retry"], "--all"),
        (["retry", "--all", "01912345-6789-7abc-8def-0123456789ab"], "--all"),
        (["list", "--clickhouse-url", "http://127.0.0.1:9"], "http://127.0.0.1:9"),
    ],
)
def test_what_is_asked_wrongly_is_named(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["dead-letters", *arguments, "--data", str(tmp_path)])
    except SystemExit as ended:
        code = int(ended.code or 0)
    told = capsys.readouterr().err
    assert code in (1, 2) and said in told
    assert "Traceback" not in told
