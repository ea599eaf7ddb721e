"""events.md: each record's fields, from the `.avsc` files of all its versions."""

from __future__ import annotations

import json
from typing import Any

from evometrics.schemas.topics import TOPICS, Topic
from evometrics.schemas.wire.catalog import WriterSchema, released
from tests.reference.markdown import cell, code, document, table, wrapped


def type_of(avro: Any) -> str:
    """Return an Avro type in words."""
    if isinstance(avro, list):
        return " or ".join(type_of(each) for each in sorted(avro, key=lambda each: each == "null"))
    if isinstance(avro, dict):
        if avro["type"] in ("array", "map"):
            return f"{avro['type']} of {type_of(avro.get('items', avro.get('values')))}"
        logical = avro.get("logicalType")
        return f"{avro['type']} ({logical})" if logical else str(avro["type"])
    return str(avro)


def since(versions: tuple[WriterSchema, ...], name: str) -> int:
    """Return the first version that has a field."""
    return min(v.version for v in versions if any(f["name"] == name for f in v.source["fields"]))


def row(versions: tuple[WriterSchema, ...], field: dict[str, Any]) -> list[str]:
    """Return a field's row."""
    default = code(json.dumps(field["default"])) if "default" in field else ""
    first = str(since(versions, field["name"]))
    return [code(field["name"]), type_of(field["type"]), default, first, cell(field["doc"])]


def section(topic: Topic) -> list[str]:
    """Return a record's section."""
    versions = released()[topic.record]
    newest = versions[-1].source
    prints = ", ".join(f"{each.version} (`{each.fingerprint.hex()}`)" for each in versions)
    return [
        f"## {newest['name']}",
        wrapped(newest["doc"]),
        wrapped(
            f"Topic `{topic.name}` ({topic.kind.replace('_', ' ')}), table "
            f"[`{topic.table}`](topics-and-tables.md#{topic.table}), schema `schemas/avro/{topic.record}/`. "
            f"Versions, each with its fingerprint: {prints}."
        ),
        table(["field", "type", "default", "since", "meaning"], (row(versions, f) for f in newest["fields"])),
    ]


def page() -> str:
    """Return the page."""
    blocks = [
        wrapped(
            "Every message is one Avro record. Times are whole microseconds since the Unix epoch, UTC; a "
            "value that is unknown is null, or 0 and named in `unmeasured` where the field can't be "
            "null. *Default* is what a reader takes where the message was written with a version that "
            "lacks the field; *since* is the first version that has it."
        ),
        wrapped(
            "A value is framed as Avro's single-object encoding: the bytes `c3 01`, the schema's "
            "fingerprint (CRC-64-AVRO of its canonical form, 8 bytes as printed here), then the datum. "
            "With a registry it is Confluent's framing: the byte `00`, the schema's id (4 bytes, "
            "big-endian), then the datum. Readers take both. The message's key is the agent's id, or the "
            "node's where the event is about no agent."
        ),
    ]
    for topic in TOPICS:
        blocks += section(topic)
    return document("Events", *blocks)
