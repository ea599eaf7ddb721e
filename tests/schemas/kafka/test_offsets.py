"""An answer without offsets because of an error is not taken for "nothing is committed"."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.commit import OffsetFetchResponse_v3

from evometrics.schemas.kafka import offsets as group_offsets

LOADING, NOT_COORDINATOR, DENIED = 14, 16, 29
FOUND = [("t", [(0, 7, "plan", 0)])]


class Broker:
    """Gives one answer after the other."""

    def __init__(self, *answers: OffsetFetchResponse_v3) -> None:
        self.answers = list(answers)

    async def send(self, *_: Any, **__: Any) -> OffsetFetchResponse_v3:
        return self.answers.pop(0)


def coordinator(broker: Broker) -> Any:
    """A coordinator client as far as reading offsets needs it."""
    made = GroupCoordinator.__new__(GroupCoordinator)
    made.__dict__.update(coordinator_id=1, group_id="g", _client=broker, _retry_backoff_ms=1)
    made._coordinator_dead_fut = SimpleNamespace(set_result=lambda _: None)
    return made


def test_the_library_is_mended() -> None:
    assert group_offsets.checked.__name__ in GroupCoordinator._send_req.__qualname__


async def test_a_consumer_asks_again_while_the_coordinator_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker(OffsetFetchResponse_v3(0, [], LOADING), OffsetFetchResponse_v3(0, FOUND, 0))
    asking = coordinator(broker)

    async def known() -> None: ...

    monkeypatch.setattr(asking, "ensure_coordinator_known", known, raising=False)
    tp = TopicPartition("t", 0)
    assert (await asking.fetch_committed_offsets([tp]))[tp].offset == 7
    assert broker.answers == []


async def test_another_coordinator_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = coordinator(Broker(OffsetFetchResponse_v3(0, [], NOT_COORDINATOR)))
    with pytest.raises(NotCoordinatorForGroupError):
        await asking._do_fetch_commit_offsets([TopicPartition("t", 0)])
    assert asking.coordinator_id is None


async def test_an_admin_client_raises_the_error_of_the_whole_answer() -> None:
    admin = AIOKafkaAdminClient()
    admin._client = Broker(OffsetFetchResponse_v3(0, [], LOADING), OffsetFetchResponse_v3(0, FOUND, 0))
    with pytest.raises(GroupLoadInProgressError):
        await admin.list_consumer_group_offsets("g", group_coordinator_id=1)
    found = await admin.list_consumer_group_offsets("g", group_coordinator_id=1)
    assert found[TopicPartition("t", 0)].metadata == "plan"


async def test_an_admin_client_raises_the_error_of_a_partition_with_its_topic() -> None:
    admin = AIOKafkaAdminClient()
    admin._client = Broker(OffsetFetchResponse_v3(0, [("t", [(0, -1, "", DENIED)])], 0))
    with pytest.raises(TopicAuthorizationFailedError, match="t"):
        await admin.list_consumer_group_offsets(
            "g", group_coordinator_id=1, partitions=[TopicPartition("t", 0)]
        )
