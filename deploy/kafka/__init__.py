"""Kafka on this machine: its jars, a JVM, and nodes with KRaft.

Imports `process`.
"""
