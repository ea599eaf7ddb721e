"""States in changelog topics, and who owns which partition's.

Imports the states and Kafka.
"""
