"""Kafka on this machine: its jars, a JVM, and nodes by KRaft.

Imports `process`.
"""
