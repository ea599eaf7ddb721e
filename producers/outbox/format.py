"""What an outbox file is: its marks and its table, and those of the releases before."""

from __future__ import annotations

from evometrics.producers.sqlite.kinds import Format

#: "EvOb"; constants that belong to this package alone.
APPLICATION = 0x45764F62
VERSION = 1
COLUMNS = """CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    recorded_at INTEGER NOT NULL"""
#: The release that had neither marks nor checksums, and such a file once this one has taken it over.
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
