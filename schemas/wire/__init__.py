"""From events to message values and back: Avro, its schemas, framings and registries.

Every released schema ships in `schemas/avro`. Imports the event classes, the topics, the rules and `service`.
"""

__all__ = ["binary", "catalog", "codec", "compatibility", "datum", "framing", "reading", "registry"]
