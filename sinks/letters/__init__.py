"""Dead letters in ClickHouse: listed, shown, and sent to their topics again.

Imports `clickhouse`.
"""
