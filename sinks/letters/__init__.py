"""Dead letters in ClickHouse: listed, shown, and sent to their topics again.

Imports `clickhouse`, the contract and Kafka.
"""

__all__ = ["dead_message", "letters", "retry", "show"]
