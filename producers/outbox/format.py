"""The outbox file's format: its application id, version and table, and those of earlier releases."""

from __future__ import annotations

from evometrics.producers.sqlite.kinds import Format

#: "EvOb"; identifies this package's files.
APPLICATION = 0x45764F62
VERSION = 1
COLUMNS = """CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    recorded_at INTEGER NOT NULL"""
#: The release that had neither marks nor checksums; also such a file after this release has taken it over.
RELEASED = f"{COLUMNS})"
UPGRADED = f"{COLUMNS}, checksum INTEGER)"
OUTBOX = Format(
    APPLICATION, VERSION, "outbox", (f"{COLUMNS}, checksum INTEGER NOT NULL)", UPGRADED, RELEASED)
)
UPGRADE = f"""
BEGIN;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
ALTER TABLE outbox ADD COLUMN checksum INTEGER;
COMMIT;
"""
