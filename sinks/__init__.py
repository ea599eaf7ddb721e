"""Kafka to ClickHouse: the sink worker, migrations, the query API and the Prometheus metrics."""
