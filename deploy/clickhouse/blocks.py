"""ClickHouse's own compression, that of `compress=1` and `decompress=1`.

A stream is a sequence of blocks, each: 16 bytes CityHash128 (version 1.0.2) of all that follows, 1 byte
method, 4 bytes size of the block from the method on, 4 bytes size of its data, little-endian; then the data,
compressed (https://clickhouse.com/docs/interfaces/http#compression, src/Compression in ClickHouse's sources).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping

import lz4.block
from clickhouse_cityhash.cityhash import CityHash128

from evometrics.deploy.clickhouse.encodings import zstd_module
from evometrics.deploy.clickhouse.exchange import EngineError
from evometrics.deploy.clickhouse.transform import PIECE_BYTES

CHECKSUM = struct.Struct("<QQ")
HEADER = struct.Struct("<BII")
NONE, LZ4, ZSTD = 0x02, 0x82, 0x90
#: What `network_compression_method` may name.
METHODS = {"LZ4": LZ4, "LZ4HC": LZ4, "ZSTD": ZSTD, "NONE": NONE}
#: Bytes of data in a block that is sent, as in ClickHouse.
SENT_BYTES = 1_048_576
#: Bytes of data in a block that is accepted, which is in memory as a whole. A server takes 1 GiB.
ACCEPTED_BYTES = 256 * 1024**2


class BlockWriter:
    """Compresses a stream into blocks of 1 MiB; a `Transform`."""

    def __init__(self, compress: Callable[[bytes], bytes], method: int) -> None:
        self._compress = compress
        self._method = method
        self._waiting = bytearray()

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> BlockWriter:
        """Return the writer that a request's settings ask for; LZ4 where they ask for none."""
        name = settings.get("network_compression_method", "LZ4").upper()
        if name not in METHODS:
            known = ", ".join(METHODS)
            raise EngineError.named(
                89, "UNKNOWN_COMPRESSION_METHOD", f"network_compression_method {name!r}: give one of {known}"
            )
        if name == "ZSTD":
            level = settings.get("network_zstd_compression_level", "3")
            if not level.isdigit() or not 1 <= int(level) <= 15:
                raise EngineError.named(
                    36, "BAD_ARGUMENTS", f"network_zstd_compression_level {level!r}: give 1 to 15"
                )
            return cls(lambda data: bytes(zstd_module().compress(data, int(level))), ZSTD)
        if name == "NONE":
            return cls(bytes, NONE)
        return cls(lambda data: bytes(lz4.block.compress(data, store_size=False)), LZ4)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        self._waiting += piece
        while len(self._waiting) >= SENT_BYTES:
            data = bytes(self._waiting[:SENT_BYTES])
            del self._waiting[:SENT_BYTES]
            yield self._block(data)

    def end(self) -> Iterator[bytes]:
        if self._waiting:
            yield self._block(bytes(self._waiting))
            self._waiting.clear()

    def _block(self, data: bytes) -> bytes:
        packed = self._compress(data)
        block = HEADER.pack(self._method, HEADER.size + len(packed), len(data)) + packed
        return checksum(block) + block


class BlockReader:
    """Decompresses a stream of blocks; a `Transform`."""

    def __init__(self, *, verify: bool = True) -> None:
        self._verify = verify
        self._waiting = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        self._waiting += piece
        start = CHECKSUM.size
        while len(self._waiting) >= start + HEADER.size:
            method, packed, size = HEADER.unpack_from(self._waiting, start)
            if method not in (NONE, LZ4, ZSTD):
                raise EngineError.named(
                    89, "UNKNOWN_COMPRESSION_METHOD", f"Unknown compression method: {method:#x}"
                )
            if not HEADER.size < packed <= ACCEPTED_BYTES or size > ACCEPTED_BYTES:
                text = f"Too large block: {packed} bytes, {size} uncompressed; at most {ACCEPTED_BYTES}"
                raise EngineError.named(39, "TOO_LARGE_SIZE_COMPRESSED", text)
            if len(self._waiting) < start + packed:
                return
            block = bytes(self._waiting[start : start + packed])
            if self._verify and checksum(block) != self._waiting[:start]:
                raise EngineError.named(
                    40, "CHECKSUM_DOESNT_MATCH", "Checksum doesn't match: corrupted data in the body"
                )
            del self._waiting[: start + packed]
            yield from unpacked(method, block[HEADER.size :], size)

    def end(self) -> Iterator[bytes]:
        if self._waiting:
            raise EngineError.named(33, "CANNOT_READ_ALL_DATA", "The body ends within a compressed block")
        yield from ()


def checksum(block: bytes) -> bytes:
    """Return a block's checksum: the hash's low half, then its high half."""
    hashed = CityHash128(block)
    return CHECKSUM.pack(hashed >> 64, hashed & 0xFFFF_FFFF_FFFF_FFFF)


def unpacked(method: int, packed: bytes, size: int) -> Iterator[bytes]:
    """Yield a block's data in pieces; raises `EngineError` if they are not `size` bytes."""
    try:
        if method == NONE:
            data = packed
        elif method == LZ4:
            data = lz4.block.decompress(packed, uncompressed_size=size)
        else:
            data = zstd_module().ZstdDecompressor().decompress(packed, size)
    except Exception as error:  # Each codec has an error class of its own.
        raise EngineError.named(271, "CANNOT_DECOMPRESS", f"Cannot decompress a block: {error}") from None
    if len(data) != size:
        raise EngineError.named(271, "CANNOT_DECOMPRESS", f"A block has {len(data)} bytes, not {size}")
    for start in range(0, size, PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]
