"""Replicas of topics that are not in sync: left behind by a broker that is down or can't follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient


async def replicas_missing(admin: AIOKafkaAdminClient, topics: Iterable[str]) -> dict[str, int]:
    """Ask the cluster how many replicas of each topic are not in sync. Raises `KafkaError`, `OSError`."""
    names = sorted(set(topics))
    if not names:
        return {}
    described = await admin.describe_topics(names)
    return {each["topic"]: missing(each["partitions"]) for each in described if not each["error_code"]}


def missing(partitions: Iterable[Mapping[str, Any]]) -> int:
    """Count them, as the cluster's metadata describe partitions; without a leader none is in sync."""
    return sum(
        len(each["replicas"]) - (len(each["isr"]) if each["leader"] >= 0 else 0) for each in partitions
    )
