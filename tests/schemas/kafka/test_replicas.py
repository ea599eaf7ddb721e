"""Missing replicas, as the cluster describes its topics."""

from __future__ import annotations

from evometrics.schemas.kafka.replicas import missing


def partition(leader: int, isr: list[int]) -> dict[str, object]:
    return {"leader": leader, "replicas": [1, 2, 3], "isr": isr}


def test_replicas_that_are_not_in_sync_are_missing_and_without_a_leader_all_are() -> None:
    assert missing([partition(1, [1, 2, 3]), partition(2, [2, 3])]) == 1
    assert missing([partition(-1, [1])]) == 3
