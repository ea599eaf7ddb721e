"""The contract: Avro records, event classes, wire format, topics, schema compatibility."""
