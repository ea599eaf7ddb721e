"""ClickHouse's compressed blocks: `compress=1`, `decompress=1`."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from evometrics.deploy.clickhouse.blocks import ACCEPTED_BYTES, BlockReader, BlockWriter
from evometrics.deploy.clickhouse.exchange import EngineError
from evometrics.deploy.clickhouse.transform import PIECE_BYTES, through

TEXT = random.Random(1).randbytes(1_500_000) + bytes(2_000_000)


def packed(data: bytes, **settings: str) -> bytes:
    return b"".join(through(iter([data]), BlockWriter.of(settings)))


def read(data: bytes, size: int = 1_000_000) -> bytes:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    made = list(through(iter(pieces), BlockReader()))
    assert max(map(len, made), default=0) <= PIECE_BYTES
    return b"".join(made)


@pytest.mark.parametrize("method", ["LZ4", "LZ4HC", "ZSTD", "NONE"])
@pytest.mark.parametrize("data", [b"", b"x", TEXT], ids=["empty", "short", "long"])
def test_blocks_can_be_read_again(method: str, data: bytes) -> None:
    blocks = packed(data, network_compression_method=method)
    assert read(blocks) == data
    assert read(blocks, 100_001) == data
    if data == TEXT:
        assert struct.unpack_from("<I", blocks, 21)[0] == 1_048_576


def test_blocks_of_the_engine_itself_are_read(tmp_path: Path) -> None:
    """A column's file in a table is a sequence of blocks."""
    program = """
        import sys, chdb
        connection = chdb.connect(sys.argv[1])
        connection.query("CREATE TABLE t (n UInt64) ORDER BY n SETTINGS min_bytes_for_wide_part = 0")
        connection.query("INSERT INTO t SELECT number FROM numbers(100000)")
        connection.close()
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "db")]
    subprocess.run(command, check=True, timeout=60)
    (file,) = (tmp_path / "db").rglob("n.bin")
    numbers = read(file.read_bytes(), 1000)
    assert struct.unpack("<100000Q", numbers) == tuple(range(100_000))


def test_a_damaged_block_is_refused_unless_nobody_asked() -> None:
    blocks = bytearray(packed(b"some text that is long enough", network_compression_method="NONE"))
    blocks[-1] ^= 1
    with pytest.raises(EngineError, match=r"Code: 40\b.*Checksum doesn't match"):
        read(bytes(blocks))
    unchecked = list(through(iter([bytes(blocks)]), BlockReader(verify=False)))
    assert b"".join(unchecked).startswith(b"some text that is long enoug")


def test_what_is_no_block_or_a_part_of_one_is_refused() -> None:
    with pytest.raises(EngineError, match="Unknown compression method: 0x65"):
        read(b"INSERT INTO table VALUES (1), (2)")
    with pytest.raises(EngineError, match="ends within a compressed block"):
        read(packed(b"text")[:-1])


def test_a_block_that_would_take_too_much_memory_is_refused_before_it_is_read() -> None:
    header = bytes(16) + struct.pack("<BII", 0x82, 1000, ACCEPTED_BYTES + 1)
    with pytest.raises(EngineError, match="TOO_LARGE_SIZE_COMPRESSED"):
        read(header)


def test_a_method_or_level_that_nobody_knows_is_refused() -> None:
    with pytest.raises(EngineError, match="'ROT13': give one of LZ4"):
        BlockWriter.of({"network_compression_method": "rot13"})
    with pytest.raises(EngineError, match="give 1 to 15"):
        BlockWriter.of({"network_compression_method": "zstd", "network_zstd_compression_level": "99"})
