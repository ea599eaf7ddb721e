"""Kafka on this machine: its jars, a JVM, and nodes with KRaft.

Imports `process`.
"""

__all__ = ["broker", "jars", "java"]
