"""A broker that knows no cluster yet counts as one that does not answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import aiokafka.client
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataResponse_v0

import evometrics.schemas.kafka.client_fixes  # noqa: F401


async def test_a_client_does_not_start_on_an_answer_without_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    async def conn(*_: Any, **__: Any) -> Any:
        async def send(_: Any) -> MetadataResponse_v0:
            return MetadataResponse_v0([], [])

        async def close(**_: Any) -> None:
            closed.append(True)

        return SimpleNamespace(send=send, close=close)

    monkeypatch.setattr(aiokafka.client, "create_conn", conn)
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:9")
    with pytest.raises(KafkaConnectionError, match="knows no broker yet"):
        await consumer.start()
    await consumer.stop()
    assert closed
