"""ClickHouse for one machine: chDB (the engine in a library) behind ClickHouse's HTTP interface."""
