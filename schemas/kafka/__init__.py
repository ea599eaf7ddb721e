"""What every part asks of a Kafka cluster besides consuming and producing.

Topics and their settings, groups' offsets and lag, ranges of offsets, partitions, and workarounds that
aiokafka needs. Imports the topics, the rules and `service`.
"""

__all__ = [
    "client_fixes",
    "client_options",
    "lag",
    "left_to_read",
    "offsets",
    "partitions",
    "ranges",
    "reaching",
    "retention",
    "rights",
    "topic_differences",
    "topic_identity",
    "topic_settings",
    "topics",
]
